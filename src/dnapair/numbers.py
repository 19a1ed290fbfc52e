"""Columns of numbers, read from Parquet without a second copy of them all."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray


def open_parquet(path: Path) -> pq.ParquetFile:
    """Open a Parquet file.

    Raises
    ------
    FileNotFoundError
        If it is missing; pyarrow's own does not say which file.
    """
    path.stat()
    return pq.ParquetFile(path)


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
    """
    with open_parquet(path) as file:
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
    return arrays
