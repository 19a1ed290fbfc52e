"""UCSC's 2bit: four bases in a byte, of which only those asked for are read."""

import os
import struct
import weakref
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dnapair.errors import DnapairError

SIGNATURE = 0x1A412743
_OFFSET_BYTES = {0: 4, 1: 8}
"""By the format's version: with 8, a file may have more than 4 GB."""
_QUARTETS = [bytes(quartet) for quartet in product(b"TCAG", repeat=4)]


class _Record(NamedTuple):
    """Where a chromosome's bases lie in the file, and its runs of N."""

    bases: int
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]


class TwoBit:
    """A genome in 2bit.

    Parameters
    ----------
    path
        The file.

    Attributes
    ----------
    lengths : dict
        Bases of each chromosome, by its name.

    Raises
    ------
    DnapairError
        If the file is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)
        self._size = os.fstat(self._file).st_size
        self._order = "<" if struct.unpack("<I", self._read(0, 4))[0] == SIGNATURE else ">"
        signature, version, count = self._numbers(0, 3).tolist()
        if signature != SIGNATURE or version not in _OFFSET_BYTES:
            raise self._damaged()
        self._offsets = self._index(count, _OFFSET_BYTES[version])
        self.lengths = {name: int(self._numbers(offset, 1)[0]) for name, offset in self._offsets.items()}
        self._record = lru_cache(maxsize=64)(self._read_record)

    def fetch(self, chromosome: str, start: int, end: int) -> str:
        """Return the bases from ``start`` to before ``end``, counted from 0, in upper case."""
        record = self._record(chromosome)
        first = start // 4
        packed = self._read(record.bases + first, (end + 3) // 4 - first)
        letters = b"".join([_QUARTETS[four] for four in packed])[start - 4 * first : end - 4 * first].decode()
        runs = slice(record.ends.searchsorted(start, "right"), record.starts.searchsorted(end))
        for begin, stop in zip(record.starts[runs].tolist(), record.ends[runs].tolist(), strict=True):
            inside = slice(max(begin - start, 0), min(stop, end) - start)
            letters = letters[: inside.start] + "N" * (inside.stop - inside.start) + letters[inside.stop :]
        return letters

    def _index(self, count: int, offset_bytes: int) -> dict[str, int]:
        offsets: dict[str, int] = {}
        place = 16
        for _ in range(count):
            length = self._read(place, 1)[0]
            name = self._read(place + 1, length)
            (offset,) = struct.unpack(
                self._order + ("I" if offset_bytes == 4 else "Q"),
                self._read(place + 1 + length, offset_bytes),
            )
            if offsets.setdefault(name.decode("ascii", "replace"), offset) != offset:
                raise self._damaged()
            place += 1 + length + offset_bytes
        return offsets

    def _read_record(self, chromosome: str) -> _Record:
        place = self._offsets[chromosome]
        length, runs = self._numbers(place, 2).tolist()
        starts, sizes = self._numbers(place + 8, 2 * runs).reshape(2, -1)
        masked = place + 8 + 8 * runs
        # soft-masked runs, which are not read, and four bytes that mean nothing
        bases = masked + 4 + 8 * int(self._numbers(masked, 1)[0]) + 4
        if bases + (length + 3) // 4 > self._size:
            raise self._damaged()
        return _Record(bases, starts, starts + sizes)

    def _numbers(self, place: int, count: int) -> NDArray[np.int64]:
        return np.frombuffer(self._read(place, 4 * count), f"{self._order}u4").astype(np.int64)

    def _read(self, place: int, size: int) -> bytes:
        if place + size > self._size:
            raise self._damaged()
        return os.pread(self._file, size, place)

    def _damaged(self) -> DnapairError:
        return DnapairError(f"{self.path} is damaged, or no 2bit after all. Copy or download it again.")
