"""A matrix on disk of which only the rows that are asked for are read."""

import os
import weakref
from pathlib import Path
from typing import IO, Any, BinaryIO, Protocol

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
            with path.open("rb") as file:
                self.shape, self.dtype = read_header(file)
                self._start = file.tell()
                self._row_bytes = self.shape[1] * self.dtype.itemsize
                whole = file.seek(0, os.SEEK_END) == self._offset(self.shape[0])
        except FileNotFoundError:
            whole = False
        except ValueError as error:
            raise DnapairError(
                f"{path} is no matrix: {error}. Make it again: dvc repro --force --single-item scale"
            ) from None
        if not whole:
            raise DnapairError(
                f"{path} is missing or truncated. Make it again: dvc repro --force --single-item scale"
            )
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


def read_header(file: BinaryIO) -> tuple[tuple[int, int], np.dtype[Any]]:
    """Read the beginning of an .npy file, up to its values, and nothing else: no pickle, no archive.

    Returns
    -------
    shape : tuple of int
        Rows and columns.
    dtype : np.dtype
        A kind of floating-point numbers.

    Raises
    ------
    ValueError
        If it is not what :func:`write_header` writes, of such numbers.
    """
    version = np.lib.format.read_magic(file)
    if version != (1, 0):
        raise ValueError(f"its format is {version}, not (1, 0)")
    shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(file)
    if len(shape) != 2 or min(shape) < 0 or fortran_order or dtype.kind != "f":
        raise ValueError(f"it holds {dtype} of shape {shape}, not numbers in rows")
    return shape, dtype


def write_header(file: IO[bytes], shape: tuple[int, int], dtype: DTypeLike) -> None:
    """Begin an .npy file in C order, to which the values are then written a part at a time."""
    header = {
        "descr": np.lib.format.dtype_to_descr(np.dtype(dtype)),
        "fortran_order": False,
        "shape": shape,
    }
    np.lib.format.write_array_header_1_0(file, header)
