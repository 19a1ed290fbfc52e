"""DNA sequences: FASTA files, one way to write a sequence, letters outside ACGT, reverse complement."""

import io
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from dnapair.data.foreign import new_stem
from dnapair.data.opening import LONGEST_RECORD, is_utf8, open_raw, unpack_command, unpacked_name
from dnapair.data.raw_files import EXAMPLES, listing
from dnapair.errors import DnapairError
from dnapair.storage.string_index import Texts

_BLOCK = 10
_ASCII_SPACE = " \t\n\r\v\f"
_OTHER_TEXT = {
    "@": (
        "It looks like FASTQ, of which awk makes FASTA: "
        "{cat} | awk 'NR % 4 == 1 {print \">\" substr($0, 2)} NR % 4 == 2' > {new}.fasta"
    ),
}
_NO_BASE = re.compile("[^A-Za-z*.~? -]")
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


def normalize(text: str, *, spaced: bool = False) -> str:
    """Bring a sequence into the one form that dnapair works on.

    Parameters
    ----------
    text
        DNA or RNA in either case; or the same as overlapping k-mers of any k with spaces between; or in
        blocks of ten, as databases print it.
    spaced
        Whether spaces may stand anywhere, as in FASTA.

    Returns
    -------
    str
        Upper-case, T for U, k-mers and blocks joined; empty where there was nothing but white space.

    Raises
    ------
    DnapairError
        If there are spaces, but what is between them are neither the overlapping k-mers of a sequence nor
        blocks.
    """
    plain = text.upper().replace("U", "T").strip()
    return _overlap(plain) or _join(plain.split(), spaced)


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


def _join(words: list[str], spaced: bool) -> str:
    if len(words) < 2 or _are_blocks(words, spaced):
        return "".join(words)
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


def _are_blocks(words: list[str], spaced: bool) -> bool:
    """Tell whether words follow each other; of k-mers with a fault, nearly all overlap still."""
    tens = {len(word) for word in words[:-1]} == {_BLOCK} and len(words[-1]) <= _BLOCK
    # one letter repeated tells nothing, and k-mers have one length
    steps = [(word, after) for word, after in pairwise(words) if word != after and len(word) == len(after)]
    going_on = sum(len(word) > 1 and word[1:] == after[: len(word) - 1] for word, after in steps)
    return (tens or spaced) and 2 * going_on < max(len(steps), 1)


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
    """Read FASTA files, plain or packed, wrapped or not.

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
    """Go through a FASTA file, plain or packed, with a progress bar.

    Parameters
    ----------
    path
        The file. Lines that begin with ``;`` or ``#`` are comments. Sequences may stand in blocks, with the
        positions of bases before or after them as GenBank and EMBL have these, and end with ``*``.

    Yields
    ------
    tuple
        The record's number, from 1, its whole header, and its letters, with spaces where words stand apart.

    Raises
    ------
    DnapairError
        If the file is damaged, is not FASTA or has no records, an id is not UTF-8, or a line of a
        sequence has what can't be a base.
    """
    number = 0
    shown = tqdm(_records(path), desc=f"read {path.name}", unit="record", dynamic_ncols=True, disable=None)
    for number, (header, text) in enumerate(shown, start=1):
        yield number, header, text
    if number == 0:
        raise DnapairError(f"{path} is empty: a FASTA file needs at least one record.")


def _records(path: Path) -> Iterator[tuple[str, str]]:
    header: str | None = None
    letters = io.StringIO()
    bases, spaced = 0, False
    for line, text in _lines(path):
        if text.startswith(">"):
            if header is not None:
                yield header, letters.getvalue().removesuffix("*")
            header = _read_header(path, line, text[1:])
            letters, bases, spaced = io.StringIO(), 0, False
            continue
        if header is None:
            raise _not_fasta(path, line, text)
        # nearly every line
        if text.isascii() and text.isalpha() and not spaced:
            letters.write(text)
            bases += len(text)
        else:
            words = _read_words(path, line, text, bases)
            spaced = spaced or len(words) > 1
            letters.write(f" {' '.join(words)}" if spaced else words[0])
            bases += sum(map(len, words))
        if bases > LONGEST_RECORD:
            raise DnapairError(
                f"{path}, line {line}: the record is longer than {LONGEST_RECORD:,} bases, the most that "
                "dnapair reads of one. Is this the right file? If so, cut the sequence."
            )
    if header is not None:
        yield header, letters.getvalue().removesuffix("*")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield each line that is neither blank nor a comment, a letter for each byte, with its number."""
    with open_raw(path, LONGEST_RECORD) as file:
        # any line end; only ids need be UTF-8
        for line, text in enumerate(io.TextIOWrapper(file, encoding="latin-1"), start=1):
            stripped = text.strip(_ASCII_SPACE)
            if stripped and stripped[0] not in ";#":
                yield line, stripped


def _read_header(path: Path, line: int, text: str) -> str:
    """Decode a header: in UTF-8, or its description as Latin-1 where that is none."""
    content = text.encode("latin-1")
    if is_utf8(content):
        return content.decode("utf-8")
    record_id, *description = content.split(maxsplit=1)
    if not content.startswith(record_id):
        # no id, which is not for here to refuse
        return text
    if not is_utf8(record_id):
        raise DnapairError(
            f"{path}, line {line}: the record's id, {text.split(maxsplit=1)[0]!r}, is not UTF-8 text. Save "
            "the file as UTF-8, or give the record another id."
        )
    return f"{record_id.decode('utf-8')} {b''.join(description).decode('latin-1')}"


def _read_words(path: Path, line: int, text: str, before: int) -> list[str]:
    """Take a line of a sequence apart, and the position of its first or last base out of it."""
    words = text.split()
    numbered = "begins" if words[0].isdigit() else "ends"
    position = words[0] if numbered == "begins" else words[-1]
    if len(words) > 1 and position.isdigit():
        words.remove(position)
        bases = before + (1 if numbered == "begins" else sum(map(len, words)))
        if int(position) != bases:
            raise DnapairError(
                f"{path}, line {line} {numbered} with {position}, but that base is number {bases} of the "
                "record. Are letters missing? If not, take the numbers out."
            )
    if ">" in text:
        raise DnapairError(
            f"{path}, line {line}: a `>` in the middle of a sequence, at {_around(text, '>')!r}. A header "
            "begins a line of its own: put a line end before it."
        )
    odd = _NO_BASE.search(" ".join(words))
    if odd:
        raise DnapairError(
            f"{path}, line {line}: {odd[0]!r} in a sequence, at {_around(text, odd[0])!r}. Mend the line, or "
            "take it out."
        )
    return words


def _around(text: str, found: str) -> str:
    place = text.index(found)
    return text[max(place - 10, 0) : place + 10]


def _not_fasta(path: Path, line: int, text: str) -> DnapairError:
    other = next((f" {said}" for start, said in _OTHER_TEXT.items() if text.startswith(start)), "")
    new = new_stem(Path(unpacked_name(path.name)))
    other = other.replace("{cat}", unpack_command(path)).replace("{new}", new)
    return DnapairError(
        f"{path}, line {line}: not FASTA: a record begins with `>` and its id, not with {text[:20]!r}.{other}"
    )


def record_sequence(path: Path, record: int | str, text: str) -> str:
    """Bring a record's text into the form of :func:`normalize`; an error names its file, and number or id."""
    try:
        return normalize(text, spaced=True)
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
        for line, text in _lines(path):
            if text.startswith(">") and _read_header(path, line, text[1:]).split(maxsplit=1)[:1] == [
                record_id
            ]:
                places.append(f"{path}, line {line}")
    return places
