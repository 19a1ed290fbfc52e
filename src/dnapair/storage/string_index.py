"""Strings on disk that are found again by their content, and selections of them."""

import hashlib
import os
import tempfile
import weakref
from abc import abstractmethod
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

_DIGEST_BYTES = 16


class Strings(Sequence[str]):
    """Strings that are read one by one, by their rows."""

    @overload
    def __getitem__(self, row: int) -> str: ...

    @overload
    def __getitem__(self, row: slice) -> list[str]: ...

    def __getitem__(self, row: int | slice) -> str | list[str]:
        """Read one string, or several."""
        if isinstance(row, slice):
            return [self._read(place) for place in range(*row.indices(len(self)))]
        if not 0 <= row < len(self):
            raise IndexError(row)
        return self._read(row)

    @abstractmethod
    def _read(self, row: int) -> str:
        """Read the string of a row that is there."""


class Selection(Strings):
    """Some of the strings, in an order of their own.

    Parameters
    ----------
    texts
        All of them.
    rows : np.ndarray, shape=(n,)
        The rows of those that are selected.
    """

    def __init__(self, texts: Sequence[str], rows: NDArray[np.int64]) -> None:
        self._texts = texts
        self._rows = rows

    def __len__(self) -> int:
        """Return how many there are."""
        return self._rows.size

    def _read(self, row: int) -> str:
        return self._texts[int(self._rows[row])]


class Texts(Strings):
    """Strings in a temporary file: 32 bytes of memory each, whatever their length.

    Equal strings are known by a digest of 128 bits.

    Parameters
    ----------
    folder
        Where the file lies, which is gone with the process; None: where the system keeps such files.
    """

    def __init__(self, folder: Path | None = None) -> None:
        file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 # it lives as long as this object
        weakref.finalize(self, file.close)
        self._file = file
        self._ends = array("q", [0])
        self._digests = bytearray()
        self._order = np.empty(0, np.int64)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._ends) - 1

    def _read(self, row: int) -> str:
        self._file.flush()
        start, end = self._ends[row], self._ends[row + 1]
        return os.pread(self._file.fileno(), end - start, start).decode()

    def lengths(self) -> NDArray[np.int64]:
        """Return the bytes of each string, shape=(n,)."""
        ends = np.frombuffer(self._ends, np.int64)
        lengths: NDArray[np.int64] = ends[1:] - ends[:-1]
        return lengths

    def append(self, text: str) -> None:
        """Write a string, whether it is there already or not."""
        content = text.encode()
        self._file.write(content)
        self._ends.append(self._ends[-1] + len(content))
        self._digests += _digest(content)

    def find(self, texts: Iterable[str]) -> NDArray[np.int64]:
        """Return the first row of each text, -1 where it is not there."""
        return self._rows(_as_array(b"".join(_digest(text.encode()) for text in texts)))

    def add(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Write the strings that are not there yet; return the first row of each."""
        rows = self.find(texts)
        new: dict[str, int] = {}
        for place in np.flatnonzero(rows < 0).tolist():
            text = texts[place]
            if text not in new:
                new[text] = len(self)
                self.append(text)
            rows[place] = new[text]
        return rows

    def firsts(self) -> NDArray[np.int64]:
        """Return for each row the first row with the same text, shape=(n,)."""
        return self._rows(_as_array(self._digests))

    def forget(self) -> None:
        """Give back the memory that finding needs: from now on strings are read by their rows alone."""
        self._digests = bytearray()
        self._order = np.empty(0, np.int64)

    def _rows(self, digests: NDArray[np.bytes_]) -> NDArray[np.int64]:
        known = _as_array(self._digests)
        if self._order.size < known.size:
            self._sort(known)
        if not known.size:
            return np.full(digests.size, -1)
        rows = np.empty(digests.size, np.int64)
        # in blocks: a search has its own copies
        for start in range(0, digests.size, 65536):
            wanted = digests[start : start + 65536]
            places = np.searchsorted(known, wanted, sorter=self._order)
            found = self._order[np.minimum(places, known.size - 1)]
            rows[start : start + 65536] = np.where(known[found] == wanted, found, -1)
        return rows

    def _sort(self, known: NDArray[np.bytes_]) -> None:
        new = np.arange(self._order.size, known.size)
        # stable, so that of equal texts the first row comes first
        new = new[np.argsort(known[new], kind="stable")]
        places = np.searchsorted(known[: self._order.size], known[new], side="right", sorter=self._order)
        self._order = np.insert(self._order, places, new)


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_DIGEST_BYTES).digest()


def _as_array(digests: bytes | bytearray) -> NDArray[np.bytes_]:
    return np.frombuffer(digests, f"S{_DIGEST_BYTES}")
