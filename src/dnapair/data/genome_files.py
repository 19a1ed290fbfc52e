"""Genomes of which only the places that are asked for are read: FASTA, plain or bgzip, and 2bit."""

import re
import shlex
import struct
import tempfile
from pathlib import Path
from typing import Any, Protocol

from dnapair.data.opening import (
    GZIP_MAGIC,
    LONGEST_RECORD,
    is_packed,
    open_raw,
    plain_name,
    unpack_command,
    unpacked_name,
)
from dnapair.data.two_bit import SIGNATURE, TwoBit
from dnapair.errors import DnapairError

_TWO_BIT = {struct.pack(order + "I", SIGNATURE) for order in "<>"}
_BGZIP_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
_NAME = re.compile(rb">(\S*)")
_CHUNK = 2**20


class Genome(Protocol):
    """Chromosomes in a file.

    Attributes
    ----------
    path : Path
        The file.
    lengths : dict
        Bases of each chromosome, by its name.
    """

    path: Path
    lengths: dict[str, int]

    def fetch(self, chromosome: str, start: int, end: int) -> str:
        """Return the bases from ``start`` to before ``end``, counted from 0, in upper case and as DNA."""


def open_genome(path: Path, scratch: Path | None = None) -> Genome:
    """Open a genome.

    Parameters
    ----------
    path
        FASTA, plain or packed by bgzip, or 2bit; known by its first bytes.
    scratch
        Folder of the index of a FASTA file while it is made; None: where the system keeps temporary files.
        Beside the file nothing is written, and an index there is not read: it may be of another FASTA.

    Returns
    -------
    Genome
        Its chromosomes' names and lengths have been read, none of their bases.

    Raises
    ------
    DnapairError
        If the file is missing, damaged, or of another format, or has two chromosomes of one name.
    """
    if not path.is_file():
        raise DnapairError(
            f"{path} (the genome) is not there. Name a FASTA file, plain or packed by bgzip, or a .2bit file."
        )
    with path.open("rb") as file:
        start = file.read(18)
        file.seek(max(file.seek(0, 2) - len(_BGZIP_END), 0))
        end = file.read()
    if start[:4] in _TWO_BIT:
        return TwoBit(path)
    packed = start[:2] == GZIP_MAGIC
    if packed:
        _check_bgzip(path, start, end)
    elif start[:1] != b">":
        unpack = f" Unpack it: {unpack_command(path)} > {plain_name(path)}" if is_packed(path) else ""
        raise DnapairError(f"{path} is no genome that dnapair reads: neither FASTA nor 2bit.{unpack}")
    return _Fasta(path, packed, scratch)


def _check_bgzip(path: Path, start: bytes, end: bytes) -> None:
    unpack, plain = unpack_command(path), plain_name(path)
    if start[3:4] + start[12:14] != b"\x04BC":
        raise DnapairError(
            f"{path} is packed by gzip, in which no place can be found without unpacking all before it. "
            f"Unpack it ({unpack} > {plain}) and name {plain}; or pack it by bgzip, of samtools: "
            f"{unpack} | bgzip > {plain}.bgz"
        )
    if end != _BGZIP_END:
        raise DnapairError(f"{path} is damaged: its end is missing. Copy or download it again.")


class _Fasta:
    def __init__(self, path: Path, packed: bool, scratch: Path | None) -> None:
        import pysam

        self.path = path
        pysam.set_verbosity(0)
        with tempfile.TemporaryDirectory(dir=scratch, prefix=".index.") as folder:
            index, blocks = f"{folder}/fai", f"{folder}/gzi"
            try:
                pysam.faidx(str(path), "--fai-idx", index, "--gzi-idx", blocks)
                # read whole: the files are not needed any more
                self._file: Any = pysam.FastaFile(str(path), index, blocks if packed else None)
            except (pysam.SamtoolsError, OSError, ValueError):
                raise _no_index(path) from None
        self.lengths = dict(zip(self._file.references, self._file.lengths, strict=True))
        # an index has the first record of a name
        if _count_records(path, packed) > len(self.lengths):
            raise _named_twice(path)

    def fetch(self, chromosome: str, start: int, end: int) -> str:
        try:
            bases: str = self._file.fetch(chromosome, start, end)
        except (OSError, ValueError) as error:
            raise DnapairError(f"{self.path} is damaged: {error}. Copy or download it again.") from None
        if len(bases) != end - start:
            raise DnapairError(f"{self.path} is damaged. Copy or download it again.")
        return bases.upper().replace("U", "T")


def _count_records(path: Path, packed: bool) -> int:
    count, last = 0, b"\n"
    with open_raw(path, longest=LONGEST_RECORD) if packed else path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            count += (last + chunk).count(b"\n>")
            last = chunk[-1:]
    return count


def _named_twice(path: Path) -> DnapairError:
    """Say where the first record is whose name another has."""
    lines: dict[bytes, int] = {}
    with open_raw(path, longest=LONGEST_RECORD) as file:
        for line, text in enumerate(file, start=1):
            header = _NAME.match(text)
            if header and lines.setdefault(header[1], line) != line:
                shown, first = header[1].decode("utf-8", "replace"), lines[header[1]]
                break
    return DnapairError(
        f"{path}, line {line}: this record is called {shown!r}, as that of line {first}, so it is not known "
        "which of the two a place is in. Give each a name of its own; or leave out all but a name's first: "
        f"{unpack_command(path)} | awk '/^>/ {{keep = !seen[$1]++}} keep' > {_mended(path)}"
    )


def _mended(path: Path) -> str:
    # a shell empties a file of the same name first
    new = shlex.quote(f"new_{unpacked_name(path.name)}")
    return f"{new}, and name {new}."


def _no_index(path: Path) -> DnapairError:
    """Say where the first line is that an index has no place for."""
    length = last = 0
    with open_raw(path, longest=LONGEST_RECORD) as file:
        for number, line in enumerate(file, start=1):
            bases = len(line.strip())
            if line.startswith(b">"):
                length = last = 0
            elif last < length or not bases or (length and bases > length):
                short = number - 1 if last < length else number
                wrong = f", line {short}: it is not as long as the lines of its record above it"
                break
            else:
                length, last = length or bases, bases
        else:
            wrong = " has a record without bases"
    return DnapairError(
        f"{path}{wrong}. In such a FASTA file no place can be found. One line for each record will do: "
        f'{unpack_command(path)} | awk \'/^>/ {{if (NR > 1) print ""; print; next}} {{gsub(/[ \\t\\r]/, ""); '
        f'printf "%s", $0}} END {{print ""}}\' > {_mended(path)}'
    )
