"""A matrix on disk of which only the rows that are asked for are read."""

import os
import weakref
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from dnapair.errors import DnapairError


class Matrix(Protocol):
    """What an array and a :class:`MatrixFile` have in common."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""

    def __len__(self) -> int:
        """Return the number of rows."""

    def __getitem__(self, rows: Any, /) -> NDArray[Any]:
        """Return the rows that a slice or an array of row numbers names."""


class MatrixFile:
    """The matrix of an .npy file.

    Rows are read, not mapped: mapped pages would stay in memory until all of the file is there.

    Parameters
    ----------
    path
        Two dimensions, C order.

    Attributes
    ----------
    shape : tuple of int
        Rows and columns.
    dtype : np.dtype
        Of the values.

    Raises
    ------
    DnapairError
        If the file is missing or truncated.
    """

    def __init__(self, path: Path) -> None:
        try:
            mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        except (FileNotFoundError, ValueError):
            raise DnapairError(f"{path} is missing or truncated. Make it again: dvc repro -f scale") from None
        self.shape: tuple[int, ...] = mapped.shape
        self.dtype: np.dtype[Any] = mapped.dtype
        self._start: int = mapped.offset
        self._row_bytes: int = self.shape[1] * self.dtype.itemsize
        self._file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.shape[0]

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> NDArray[Any]:
        """Read rows.

        Parameters
        ----------
        rows : slice or np.ndarray
            Neighbouring rows, or row numbers in any shape.

        Returns
        -------
        np.ndarray, shape=(n, columns) or (*rows.shape, columns)
            A copy.

        Raises
        ------
        IndexError
            If there is no such row.
        """
        if isinstance(rows, slice):
            start, stop, _ = rows.indices(len(self))
            count = max(stop - start, 0)
            values = bytearray(os.pread(self._file, count * self._row_bytes, self._offset(start)))
            return np.frombuffer(values, self.dtype).reshape(-1, self.shape[1])
        if rows.size and not (rows.min() >= 0 and rows.max() < len(self)):
            raise IndexError(f"rows {rows.min()} to {rows.max()} of a matrix of {len(self)}")
        values = bytearray(rows.size * self._row_bytes)
        room = memoryview(values)
        for place, row in enumerate(rows.ravel().tolist()):
            part = room[place * self._row_bytes : (place + 1) * self._row_bytes]
            os.preadv(self._file, [part], self._offset(row))
        return np.frombuffer(values, self.dtype).reshape(*rows.shape, self.shape[1])

    def _offset(self, row: int) -> int:
        return self._start + row * self._row_bytes


def write_header(file: BinaryIO, shape: tuple[int, int], dtype: DTypeLike) -> None:
    """Begin an .npy file in C order, to which the values are then written a part at a time."""
    header = {
        "descr": np.lib.format.dtype_to_descr(np.dtype(dtype)),
        "fortran_order": False,
        "shape": shape,
    }
    np.lib.format.write_array_header_1_0(file, header)
