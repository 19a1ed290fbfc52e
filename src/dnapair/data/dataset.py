"""The data set: clean pairs, each two rows in a list of unique sequences, a label, and the other columns."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from dnapair.data.cleaning import drop_ambiguous, drop_repeated, read_labels
from dnapair.data.columns import ColumnNames
from dnapair.data.genome_files import open_genome
from dnapair.data.places import Scissors
from dnapair.data.raw_files import RawFiles
from dnapair.data.raw_pairs import Categories, RawPairs, Sources, read_raw_pairs
from dnapair.errors import DnapairError
from dnapair.storage.string_index import Selection


class Reading(NamedTuple):
    """How raw files are read.

    Attributes
    ----------
    header : bool or "auto"
        Whether the pair tables have a line of column names; ``auto``: see
        :func:`dnapair.data.columns.is_header`.
    columns : ColumnNames
        What their columns are called.
    positive_label : str, int, bool or None
        The label that means related; None: one of :data:`dnapair.data.columns.POSITIVE_LABELS`, against
        one of :data:`dnapair.data.columns.NEGATIVE_LABELS`.
    ambiguous : "error", "drop" or "keep"
        What becomes of pairs with letters outside ACGT.
    contradictory : "error" or "drop"
        What becomes of a pair that has both labels.
    genome : Path or None
        The genome that the pair tables give places of, FASTA or 2bit; None: they give sequences or ids.
    width : int or None
        Bases of each window round the centre of a place; None: the places as they are.
    """

    header: Literal["auto"] | bool = "auto"
    columns: ColumnNames = ColumnNames()
    positive_label: str | int | bool | None = None
    ambiguous: Literal["error", "drop", "keep"] = "error"
    contradictory: Literal["error", "drop"] = "error"
    genome: Path | None = None
    width: int | None = None


class Dataset(NamedTuple):
    """Pairs and the sequences that they are made of; text stays on disk.

    Attributes
    ----------
    ids : Sequence of str
        A name for each unique sequence: its (first) FASTA id, or sequence1, sequence2, ...
    sequences : Sequence of str
        The unique sequences, in order of first use.
    pairs : pd.DataFrame, shape=(n, 3)
        ``row1``, ``row2`` (int64, into the sequences), ``label`` (int8, 1 = related). The index is the
        pair's number in the sources.
    extras : list of str
        Names of every other column of the tables.
    sources : Sources
        Where the pairs came from.
    counts : dict
        What was read, dropped and kept.
    repeats : np.ndarray, shape=(m, 2)
        The number of each pair that was dropped as another's repeat, and that one's number.
    """

    ids: Sequence[str]
    sequences: Sequence[str]
    pairs: pd.DataFrame
    extras: list[str]
    sources: Sources
    counts: dict[str, Any]
    repeats: NDArray[np.int64]

    @property
    def rows(self) -> NDArray[np.int64]:
        """The two sequences of each pair, shape=(n, 2)."""
        return self.pairs[["row1", "row2"]].to_numpy()

    def extra_columns(
        self, names: list[str], setting: str, remedy: str, numbers: "pd.Index[int] | None" = None
    ) -> pd.DataFrame:
        """Read extra columns by their names in the tables.

        Parameters
        ----------
        names
            The columns.
        setting, remedy
            Who asks for them, and what to do if one is missing, for the message.
        numbers
            Of the pairs in the sources; None: of all pairs that were kept.

        Returns
        -------
        pd.DataFrame, shape=(n, len(names))
            Categorical columns, with these numbers as index.

        Raises
        ------
        DnapairError
            If one is not there.
        """
        missing = [name for name in names if name not in self.extras]
        if missing:
            there = ", ".join(self.extras) or "none"
            files = ", ".join(str(table.path) for table in self.sources.tables)
            raise DnapairError(
                f"{files}: there is no column {', '.join(map(repr, missing))}, but {setting} names it. "
                f"The columns besides pair and label are: {there}. {remedy}"
            )
        index = self.pairs.index if numbers is None else numbers
        values = {name: Categories() for name in names}
        for _, texts in self.sources.texts(names) if names else ():
            for name, column in texts.items():
                values[name].add(column)
        return pd.DataFrame(
            {name: values[name].categorical()[index.to_numpy()] for name in names},
            index=index,
        )

    def select(self, kept: NDArray[np.bool_]) -> "Dataset":
        """Leave out pairs, and the sequences that only these use.

        Parameters
        ----------
        kept : np.ndarray, shape=(n,)
            True for the pairs that stay, at least one.

        Returns
        -------
        Dataset
            Its sequences are numbered anew by first use; its counts say what was kept.
        """
        pairs = self.pairs[kept]
        row1, row2, used = _number_by_first_use(pairs["row1"].to_numpy(), pairs["row2"].to_numpy())
        counted = self.counts["sequences"]
        left_out = len(self.sequences) - used.size
        counts = {
            "pairs": self.counts["pairs"] | {"kept": len(pairs)},
            "sequences": counted | {"unused": counted["unused"] + left_out, "kept": used.size},
        }
        return self._replace(
            ids=Selection(self.ids, used),
            sequences=Selection(self.sequences, used),
            pairs=pairs.assign(row1=row1, row2=row2),
            counts=self.counts | counts,
        )

    def places(self, positions: Iterable[int]) -> list[str]:
        """Name file and line of pairs that are given by their position in the frame."""
        return self.sources.places(self.pairs.index[list(positions)])

    def pair_batches(self, split: NDArray[np.object_], without: str | None = None) -> Iterator[Any]:
        """Put pairs, splits and extra columns side by side, batch by batch.

        Parameters
        ----------
        split : np.ndarray, shape=(n,)
            The split of each pair.
        without
            An extra column to leave out, because the splits were read from it.

        Yields
        ------
        pa.RecordBatch
            Columns ``row1``, ``row2``, ``label``, ``split`` and every extra one; an extra column whose name
            is one of the first four is called input_NAME.

        Raises
        ------
        DnapairError
            If that name is taken too.
        """
        extras = [name for name in self.extras if name != without]
        first_four = [*self.pairs.columns, "split"]
        names = list(first_four)
        for name in extras:
            own = f"input_{name}" if name in first_four else name
            if own in names:
                raise DnapairError(f"The pair table has columns {name!r} and {own!r}: rename one of them.")
            names.append(own)
        numbers = self.pairs.index.to_numpy()
        begin = 0
        for size, texts in self.sources.texts(extras):
            start, stop = np.searchsorted(numbers, [begin, begin + size])
            kept = pa.array(numbers[start:stop] - begin)
            pairs = [self.pairs[name].to_numpy()[start:stop] for name in self.pairs]
            columns = [*map(pa.array, pairs), pa.array(split[start:stop], pa.string())]
            yield pa.record_batch([*columns, *(texts[name].take(kept) for name in extras)], names)
            begin += size


def read_dataset(files: RawFiles, reading: Reading, scratch: Path | None = None) -> Dataset:
    """Read pairs and sequences, and clean them: nothing is dropped without being counted.

    Memory holds some 30 bytes of each pair and some 80 of each sequence.

    Parameters
    ----------
    files
        From :func:`dnapair.data.raw_files.find_files`.
    reading
        How they are to be read.
    scratch
        Folder of the temporary files that hold the sequences; None: where the system keeps such files.

    Returns
    -------
    Dataset
        With each ordered pair once, and no sequence that no pair uses.

    Raises
    ------
    DnapairError
        If a file, or a row of it, can't be read as pairs of labelled DNA; the message names file and line.
    """
    scissors = Scissors(open_genome(reading.genome, scratch), reading.width) if reading.genome else None
    raw = read_raw_pairs(files, reading.header, reading.columns, scratch, scissors)
    pool, read = raw.pool, raw.row1.size
    labels, label_counts, positive = read_labels(raw, reading.positive_label)
    unambiguous, ambiguous = drop_ambiguous(raw, reading.ambiguous)
    pool.forget()
    kept, repeats, contradictory = drop_repeated(raw, labels, unambiguous, reading.contradictory)
    if not kept.size:
        raise DnapairError(
            f"None of {read} pairs is left: {read - unambiguous.size} have letters outside "
            f"ACGT (data.ambiguous: drop), {contradictory} have both labels (data.contradictory: "
            "drop)."
        )
    row1, row2, used = _number_by_first_use(raw.row1[kept], raw.row2[kept])
    counts = {
        "files_read": _file_counts(files, raw),
        "labels": label_counts,
        "positive_label": positive,
        "pairs": {
            "read": read,
            "dropped_ambiguous": read - unambiguous.size,
            "dropped_contradictory": contradictory,
            "dropped_duplicate": unambiguous.size - contradictory - kept.size,
            "kept": kept.size,
        },
        "sequences": {
            "read": pool.read,
            "identical_to_another": pool.read - pool.unique,
            "unused": pool.unique - used.size,
            "kept": used.size,
            "ambiguous": ambiguous,
        },
    }
    if scissors:
        counts["genome"] = {"file": scissors.genome.path.name, "renamed": scissors.renamed}
    pairs = pd.DataFrame({"row1": row1, "row2": row2, "label": labels[kept]}, index=kept)
    extras = list(dict.fromkeys(name for others in raw.sources.others for name in others))
    ids, sequences = _Ids(pool.ids, used), Selection(pool.texts, used)
    return Dataset(ids, sequences, pairs, extras, raw.sources, counts, repeats)


def _file_counts(files: RawFiles, raw: RawPairs) -> dict[str, Any]:
    def name(path: Path) -> str:
        return path.relative_to(files.folder).as_posix()

    unread = [] if raw.fasta else files.fastas
    return {
        "pairs": {name(t.path): size for t, size in zip(raw.sources.tables, raw.sources.sizes, strict=True)},
        "sequences": {name(path): size for path, size in raw.fasta.sizes.items()} if raw.fasta else {},
        "not_read": [name(path) for path in sorted([*files.others, *unread])],
    }


class _Ids(Selection):
    """The records' ids, and numbers for sequences that are no record's."""

    def _read(self, row: int) -> str:
        return super()._read(row) if self._rows[row] < len(self._texts) else f"sequence{row + 1}"


def _number_by_first_use(
    row1: NDArray[np.integer], row2: NDArray[np.integer]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Renumber the sequences by first use; return the pairs' rows, and the old row of each new one."""
    uses = np.column_stack([row1, row2]).ravel()
    first = np.full(uses.max() + 1, uses.size)
    # backwards: of several uses the first is written last
    first[uses[::-1]] = np.arange(uses.size - 1, -1, -1)
    used = np.flatnonzero(first < uses.size)
    used = used[np.argsort(first[used])]
    first[used] = np.arange(used.size)
    return first[row1], first[row2], used
