"""Small genomes as files, for tests of what reads places."""

import struct
from itertools import groupby
from pathlib import Path


def write_fasta(path: Path, chromosomes: dict[str, str], width: int = 60) -> Path:
    with path.open("w") as file:
        for name, sequence in chromosomes.items():
            lines = [sequence[start : start + width] for start in range(0, len(sequence), width)]
            print(f">{name} a description", *lines, sep="\n", file=file)
    return path


def pack(plain: Path) -> Path:
    """Pack a file by bgzip, beside it."""
    import pysam

    path = plain.with_name(f"{plain.name}.gz")
    pysam.tabix_compress(str(plain), str(path), force=True)
    return path


def write_bgzip(path: Path, chromosomes: dict[str, str]) -> Path:
    plain = write_fasta(path.with_name("unpacked.fa"), chromosomes)
    packed = pack(plain).rename(path)
    plain.unlink()
    return packed


def write_2bit(path: Path, chromosomes: dict[str, str], order: str = "<", version: int = 0) -> Path:
    """Write UCSC's format; lower case is a soft-masked run."""
    offset = "Q" if version else "I"
    place = 16 + sum(1 + len(name) + struct.calcsize(f"<{offset}") for name in chromosomes)
    index = records = b""
    for name, sequence in chromosomes.items():
        index += bytes([len(name)]) + name.encode() + struct.pack(order + offset, place + len(records))
        records += struct.pack(order + "I", len(sequence))
        records += _runs(order, [base in "Nn" for base in sequence])
        records += _runs(order, [base.islower() for base in sequence])
        codes = ["TCAG".find(base.replace("N", "T")) for base in sequence.upper()]
        codes += [0] * (-len(codes) % 4)
        records += bytes(4) + bytes(
            a << 6 | b << 4 | c << 2 | d for a, b, c, d in zip(*(codes[i::4] for i in range(4)), strict=True)
        )
    path.write_bytes(struct.pack(order + "4I", 0x1A412743, version, len(chromosomes), 0) + index + records)
    return path


def _runs(order: str, marks: list[bool]) -> bytes:
    starts, sizes, place = [], [], 0
    for marked, run in groupby(marks):
        size = len(list(run))
        if marked:
            starts.append(place)
            sizes.append(size)
        place += size
    return struct.pack(f"{order}{1 + 2 * len(starts)}I", len(starts), *starts, *sizes)
