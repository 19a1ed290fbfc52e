"""The file of unique sequences: Parquet in small row groups, of which only those asked for are read."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dnapair.storage.numeric_columns import open_parquet, reading

GROUP_ROWS = 8192
GROUP_LETTERS = 8_000_000
"""A row group ends at whichever comes first: long sequences make small groups."""

_SCHEMA = pa.schema([("id", pa.string()), ("sequence", pa.string())])


class SequenceFile(Sequence[str]):
    """A text column of a Parquet file, read row group by row group.

    Parameters
    ----------
    path
        The file, best written by :func:`write_sequences`.
    column
        ``sequence`` or ``id``.
    """

    def __init__(self, path: Path, column: str = "sequence") -> None:
        self._file = open_parquet(path)
        self._path = path
        self._column = column
        groups = self._file.metadata
        sizes = [groups.row_group(group).num_rows for group in range(groups.num_row_groups)]
        self._ends = np.cumsum(sizes, dtype=np.int64)

    def __reduce__(self) -> tuple[type["SequenceFile"], tuple[Path, str]]:
        # an open file can't be sent to another process, its name can: one that holds in any folder
        return type(self), (self._path.absolute(), self._column)

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self._file.metadata.num_rows)

    def __iter__(self) -> Iterator[str]:
        """Yield every row, with one row group in memory."""
        for group in range(self._ends.size):
            yield from self._group(group).to_pylist()

    @overload
    def __getitem__(self, rows: int) -> str: ...

    @overload
    def __getitem__(self, rows: slice) -> list[str]: ...

    def __getitem__(self, rows: int | slice) -> str | list[str]:
        """Return a row, or neighbouring rows."""
        if isinstance(rows, slice):
            start, stop, _ = rows.indices(len(self))
            return self.read(start, stop)
        return self.take(np.array([rows]))[0]

    def read(self, start: int, stop: int) -> list[str]:
        """Return the rows from ``start`` to before ``stop``, of which those beyond the last are left out."""
        first = int(np.searchsorted(self._ends, start, side="right"))
        texts: list[str] = []
        for group in range(first, self._ends.size):
            begin = int(self._ends[group - 1]) if group else 0
            if begin >= stop:
                break
            part = self._group(group)
            texts += part[max(start - begin, 0) : stop - begin].to_pylist()
        return texts

    def take(self, rows: NDArray[np.int64]) -> list[str]:
        """Return rows in the order given; each row group is read once.

        Parameters
        ----------
        rows : np.ndarray, shape=(n,)
            Row numbers.

        Returns
        -------
        list of str
            n texts.

        Raises
        ------
        IndexError
            If there is no such row.
        """
        if rows.size and not (rows.min() >= 0 and rows.max() < len(self)):
            raise IndexError(f"rows {rows.min()} to {rows.max()} of {len(self)}")
        wanted, places = np.unique(rows, return_inverse=True)
        groups = np.searchsorted(self._ends, wanted, side="right")
        texts: list[str] = []
        for group in np.unique(groups).tolist():
            begin = int(self._ends[group - 1]) if group else 0
            texts += self._group(group).take(pa.array(wanted[groups == group] - begin)).to_pylist()
        return [texts[place] for place in places.tolist()]

    def _group(self, group: int) -> Any:
        with reading(self._path):
            return self._file.read_row_group(group, columns=[self._column])[self._column]


def letter_blocks(sequences: Iterable[str], letters: int) -> Iterator[tuple[int, list[str]]]:
    """Go through sequences a block at a time.

    Parameters
    ----------
    sequences
        Such as a :class:`SequenceFile`.
    letters
        A block ends with the sequence that brings it to so many.

    Yields
    ------
    int
        Number of the block's first sequence.
    list of str
        Its sequences.
    """
    first = held = 0
    block: list[str] = []
    for sequence in sequences:
        block.append(sequence)
        held += len(sequence)
        if held >= letters:
            yield first, block
            first, held, block = first + len(block), 0, []
    if block:
        yield first, block


def write_sequences(path: Path, records: Iterable[tuple[str, str]]) -> None:
    """Write ids and sequences as columns ``id`` and ``sequence``, with one row group in memory.

    Parameters
    ----------
    path
        The Parquet file.
    records
        Each an id and its sequence.
    """
    with pq.ParquetWriter(path, _SCHEMA) as writer:
        ids: list[str] = []
        sequences: list[str] = []
        letters = 0
        for name, sequence in records:
            ids.append(name)
            sequences.append(sequence)
            letters += len(sequence)
            if len(ids) == GROUP_ROWS or letters >= GROUP_LETTERS:
                writer.write_table(pa.table([ids, sequences], _SCHEMA))
                ids, sequences, letters = [], [], 0
        if ids:
            writer.write_table(pa.table([ids, sequences], _SCHEMA))
