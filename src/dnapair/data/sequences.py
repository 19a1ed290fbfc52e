"""DNA sequences: FASTA files, one way to write a sequence, letters outside ACGT, reverse complement."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import dnaio
import numpy as np
from tqdm import tqdm

from dnapair.data.raw_files import EXAMPLES, LONGEST_RECORD, listing, not_utf8, open_raw
from dnapair.errors import DnapairError
from dnapair.storage.string_index import Texts

_OUTSIDE_ACGT = re.compile("[^ACGT]")
_COMPLEMENT = str.maketrans("ACGTRYKMBVDHacgtrykmbvdh", "TGCAYRMKVBHDtgcayrmkvbhd")


class Ambiguous(NamedTuple):
    """Letters of one sequence that are not A, C, G or T.

    Attributes
    ----------
    letter : str
        The first one.
    position : int
        Where it is, counted from 1.
    total : int
        How many there are in the sequence.
    """

    letter: str
    position: int
    total: int


class Fasta(NamedTuple):
    """Records of one or more FASTA files.

    Attributes
    ----------
    ids : Texts
        Each header up to its first white space; no two are the same.
    sequences : Texts
        As :func:`normalize` gives them, in the same order.
    sizes : dict
        Number of records by file, in the order read.
    """

    ids: Texts
    sequences: Texts
    sizes: dict[Path, int]

    def place(self, record_id: str) -> str:
        """Name a record and its file for a message."""
        number = self.ids.find([record_id])[0]
        file = np.searchsorted(np.cumsum(list(self.sizes.values())), number, side="right")
        return f"{list(self.sizes)[file]}, record {record_id}"


def normalize(text: str) -> str:
    """Bring a sequence into the one form that dnapair works on.

    Parameters
    ----------
    text
        DNA or RNA in either case; or the same as overlapping k-mers of any k with spaces between.

    Returns
    -------
    str
        Upper-case, T for U, k-mers joined back; empty where there was nothing but white space.

    Raises
    ------
    DnapairError
        If there are spaces, but what is between them are not the overlapping k-mers of a sequence.
    """
    plain = text.upper().replace("U", "T").strip()
    return _overlap(plain) or _join(plain.split())


def _overlap(text: str) -> str:
    """Join overlapping k-mers with one space between; empty where the text is anything else."""
    k = text.find(" ")
    if k < 0:
        return ""
    count = (len(text) + 1) // (k + 1)
    sequence = text[:k] + text[2 * k :: k + 1]
    # the letters at one place of all k-mers are a part of the sequence: much faster than word by word
    regular = sequence.isalpha() and text[k :: k + 1] == " " * (count - 1)
    if regular and all(text[place :: k + 1] == sequence[place : place + count] for place in range(k)):
        return sequence
    return ""


def _join(words: list[str]) -> str:
    if len(words) < 2:
        return words[0] if words else ""
    k = len(words[0])
    odd = next((number for number, word in enumerate(words, start=1) if len(word) != k), None)
    if odd:
        raise DnapairError(
            f"word {odd} has {len(words[odd - 1])} letters and word 1 has {k}. A sequence with spaces is "
            "read as overlapping k-mers of one length; write a plain sequence without spaces"
        )
    joined = "".join(words)
    letters = np.frombuffer(joined.encode("utf-32-le"), np.uint32).reshape(-1, k)
    breaks = np.flatnonzero((letters[1:, :-1] != letters[:-1, 1:]).any(axis=1))
    if breaks.size:
        first = int(breaks[0])
        raise DnapairError(
            f"k-mer {first + 2} ({words[first + 1]}) does not go on from k-mer {first + 1} ({words[first]}): "
            f"consecutive {k}-mers of a sequence share {k - 1} letters"
        )
    return joined[:k] + joined[2 * k - 1 :: k]


def reverse_complement(sequence: str) -> str:
    """Return the sequence of the opposite strand, 5' to 3'.

    Parameters
    ----------
    sequence
        Letters in either case; IUPAC's ambiguous ones are complemented too (R becomes Y, N stays N).

    Returns
    -------
    str
        Of the same length.
    """
    return sequence.translate(_COMPLEMENT)[::-1]


def find_ambiguous(sequence: str) -> Ambiguous | None:
    """Look for letters other than A, C, G and T in a sequence that :func:`normalize` made.

    Returns
    -------
    Ambiguous or None
        None where there are no such letters.
    """
    found = _OUTSIDE_ACGT.search(sequence)
    if not found:
        return None
    total = len(sequence) - sum(sequence.count(base) for base in "ACGT")
    return Ambiguous(found[0], found.start() + 1, total)


def read_fasta(paths: Sequence[Path], scratch: Path | None = None) -> Fasta:
    """Read FASTA files, plain or gz, wrapped or not.

    Parameters
    ----------
    paths
        At least one file.
    scratch
        Folder of the temporary files that hold the records; None: where the system keeps such files.

    Returns
    -------
    Fasta
        Their records, one file after the other.

    Raises
    ------
    DnapairError
        If a file is damaged, is not FASTA or has no records, a record has no id or no sequence,
        or an id is there twice.
    """
    ids, sequences = Texts(scratch), Texts(scratch)
    sizes = {}
    for path in paths:
        before = len(ids)
        _read_records(path, ids, sequences)
        sizes[path] = len(ids) - before
    fasta = Fasta(ids, sequences, sizes)
    _check_ids(fasta)
    return fasta


def fasta_records(path: Path) -> Iterator[tuple[int, str, str]]:
    """Go through a FASTA file, plain or gz, with a progress bar.

    Parameters
    ----------
    path
        The file.

    Yields
    ------
    tuple
        The record's number, from 1, its whole header, and its text as it stands there.

    Raises
    ------
    DnapairError
        If the file is damaged, is not FASTA or has no records.
    """
    number = 0
    try:
        with open_raw(path, b"\n>", LONGEST_RECORD) as file, dnaio.open(file, fileformat="fasta") as reader:
            shown = tqdm(reader, desc=f"read {path.name}", unit="record", dynamic_ncols=True, disable=None)
            for number, record in enumerate(shown, start=1):
                yield number, record.name, record.sequence
    except UnicodeDecodeError:
        raise not_utf8(path) from None
    except dnaio.FileFormatError as error:
        line = "" if error.line is None else f", line {error.line + 1}"
        raise DnapairError(f"{path}{line}: not FASTA: {error.message}") from None
    if number == 0:
        raise DnapairError(f"{path} is empty: a FASTA file needs at least one record.")


def record_sequence(path: Path, record: int | str, text: str) -> str:
    """Bring a record's text into the form of :func:`normalize`; an error names its file, and number or id."""
    try:
        return normalize(text)
    except DnapairError as error:
        raise DnapairError(f"{path}, record {record}: {error}.") from None


def _read_records(path: Path, ids: Texts, sequences: Texts) -> None:
    for number, header, text in fasta_records(path):
        record_id = header.split(maxsplit=1)[0] if header and not header[0].isspace() else ""
        sequences.append(_record_sequence(path, number, record_id, text))
        ids.append(record_id)


def _record_sequence(path: Path, number: int, record_id: str, text: str) -> str:
    if not record_id:
        raise DnapairError(f"{path}, record {number} has no id: put one right after its `>`.")
    sequence = record_sequence(path, record_id, text)
    if not sequence:
        raise DnapairError(
            f"{path}, record {record_id} has no sequence. Take the record out, or add its letters."
        )
    return sequence


def _check_ids(fasta: Fasta) -> None:
    firsts = fasta.ids.firsts()
    again = firsts[firsts != np.arange(firsts.size)]
    # each once, in the order of the second record
    again = again[np.sort(np.unique(again, return_index=True)[1])]
    if len(again):
        named = [fasta.ids[row] for row in again[:EXAMPLES].tolist()]
        shown = [f"{record_id}: {' and '.join(_header_places(fasta, record_id))}" for record_id in named]
        raise DnapairError(
            f"{len(again)} FASTA id(s) stand for more than one record:\n{listing(shown, len(again))}\n"
            "Give each record an id of its own (the header up to its first white space)."
        )


def _header_places(fasta: Fasta, record_id: str) -> list[str]:
    places = []
    for path in fasta.sizes:
        with open_raw(path, longest=LONGEST_RECORD) as file:
            for line, text in enumerate(file, start=1):
                if text.startswith(b">") and text[1:].split(maxsplit=1)[:1] == [record_id.encode()]:
                    places.append(f"{path}, line {line}")
    return places
