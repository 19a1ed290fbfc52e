"""Columns of numbers, read from Parquet without a second copy of them all."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dnapair.errors import DnapairError


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what pyarrow raises for a file that is not what it should be into a :class:`DnapairError`."""
    try:
        yield
    except (pa.ArrowException, KeyError, MemoryError, OverflowError) as error:
        reason = str(error).splitlines()[0] if str(error) else "it claims to hold more than memory does"
        raise DnapairError(
            f"{path} is damaged, or no Parquet file of dnapair's: {reason}. Make it again: "
            f"rm {path} && dvc repro"
        ) from None


def open_parquet(path: Path, texts: Sequence[str] = ()) -> pq.ParquetFile:
    """Open a Parquet file.

    Parameters
    ----------
    path
        The file.
    texts
        Columns to read as numbers of a dictionary.

    Raises
    ------
    FileNotFoundError
        If it is missing; pyarrow's own does not say which file.
    DnapairError
        If it is no Parquet file.
    """
    path.stat()
    with reading(path):
        return pq.ParquetFile(path, read_dictionary=list(texts) or None)


def column_names(path: Path) -> list[str]:
    """Return the names of a Parquet file's columns; raises as :func:`open_parquet`."""
    with open_parquet(path) as file:
        return list(file.schema_arrow.names)


def read_table(path: Path, columns: Sequence[str] | None = None, texts: Sequence[str] = ()) -> pa.Table:
    """Read columns of a Parquet file, all of them for None; raises as :func:`open_parquet`."""
    with open_parquet(path, texts) as file, reading(path):
        return file.read(None if columns is None else list(columns))


def read_numbers(path: Path, columns: Sequence[str]) -> list[NDArray[Any]]:
    """Read columns of a Parquet file.

    Parameters
    ----------
    path
        The file.
    columns
        Names of columns of numbers, none of them null.

    Returns
    -------
    list of np.ndarray, each of shape=(rows,)
        In the order of ``columns``.

    Raises
    ------
    DnapairError
        If the file is damaged or has no such columns.
    """
    with open_parquet(path) as file, reading(path):
        schema = file.schema_arrow
        arrays = [
            np.empty(file.metadata.num_rows, schema.field(name).type.to_pandas_dtype()) for name in columns
        ]
        start = 0
        for group in range(file.num_row_groups):
            # on one thread, which has no groups waiting
            part = file.read_row_group(group, columns=list(columns), use_threads=False)
            for name, array in zip(columns, arrays, strict=True):
                array[start : start + part.num_rows] = part[name].to_numpy()
            start += part.num_rows
        if start != file.metadata.num_rows:
            raise DnapairError(f"{path} says {file.metadata.num_rows} rows and holds {start}: it is damaged.")
    return arrays


def number_values(column: Any, look_up: Callable[[list[str]], Any]) -> NDArray[np.int32]:
    """Make numbers of a text column, each different value being looked up once.

    Parameters
    ----------
    column
        A pyarrow string array without nulls.
    look_up
        From the different values, in the order of their first appearance, to a number for each.

    Returns
    -------
    np.ndarray, shape=(rows,)
        The number of each row's value.
    """
    encoded = column.dictionary_encode()
    numbers = np.array(look_up(encoded.dictionary.to_pylist()), np.int32)
    of_rows: NDArray[np.int32] = numbers[encoded.indices.to_numpy()]
    return of_rows
