"""Raw files to clean pairs: two rows in a list of unique sequences, a label, and what else the table says."""

from bisect import bisect_right
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from tqdm import tqdm

from dnapair.columns import (
    NEGATIVE_LABELS,
    POSITIVE_LABELS,
    ColumnNames,
    Roles,
    find_roles,
    is_header,
    plain_label,
)
from dnapair.errors import DnapairError
from dnapair.rawfiles import EXAMPLES, RawFiles, listing, stem
from dnapair.sequences import Ambiguous, Fasta, find_ambiguous, normalize, read_fasta
from dnapair.tables import Table, open_table


class Reading(NamedTuple):
    """How raw files are read.

    Attributes
    ----------
    header : bool or "auto"
        Whether the pair tables have a line of column names; ``auto``: see :func:`dnapair.columns.is_header`.
    columns : ColumnNames
        What their columns are called.
    positive_label : str, int, bool or None
        The label that means related; None: one of :data:`dnapair.columns.POSITIVE_LABELS`, against
        one of :data:`dnapair.columns.NEGATIVE_LABELS`.
    ambiguous : "error", "drop" or "keep"
        What becomes of pairs with letters outside ACGT.
    contradictory : "error" or "drop"
        What becomes of a pair that has both labels.
    """

    header: Literal["auto"] | bool = "auto"
    columns: ColumnNames = ColumnNames()
    positive_label: str | int | bool | None = None
    ambiguous: Literal["error", "drop", "keep"] = "error"
    contradictory: Literal["error", "drop"] = "error"


class Sources(NamedTuple):
    """Where each pair came from; pairs are numbered from 0 in the order read, over all tables.

    Attributes
    ----------
    tables : list of Table
        In the order read.
    sizes : list of int
        Pairs in each.
    """

    tables: list[Table]
    sizes: list[int]

    def places(self, numbers: Iterable[int]) -> list[str]:
        """Name file and line of pairs, in the order given."""
        wanted = [int(number) for number in numbers]
        starts = self._starts()
        places: dict[int, str] = {}
        for index, table in enumerate(self.tables):
            own = [number for number in wanted if bisect_right(starts, number) - 1 == index]
            if own:
                rows = [number - starts[index] for number in own]
                places |= zip(own, table.places(rows), strict=True)
        return [places[number] for number in wanted]

    def stems(self, numbers: "pd.Index[int]") -> "pd.Series[Any]":
        """Return the name of each pair's file without its suffix, with the numbers as index."""
        stems = np.array([stem(table.path) for table in self.tables], dtype=object)
        return pd.Series(stems[np.searchsorted(self._starts(), numbers, side="right") - 1], index=numbers)

    def _starts(self) -> list[int]:
        return [sum(self.sizes[:index]) for index in range(len(self.sizes))]


class Dataset(NamedTuple):
    """Pairs and the sequences that they are made of.

    Attributes
    ----------
    ids : list of str
        A name for each unique sequence: its (first) FASTA id, or sequence1, sequence2, ...
    sequences : list of str
        The unique sequences, in order of first use.
    pairs : pd.DataFrame, shape=(n, 3)
        ``row1``, ``row2`` (int64, into the sequences), ``label`` (int8, 1 = related). The index is the
        pair's number in the sources.
    extras : pd.DataFrame
        Every other column of the tables as text, with the same index.
    sources : Sources
        Where the pairs came from.
    counts : dict
        What was read, dropped and kept.
    """

    ids: list[str]
    sequences: list[str]
    pairs: pd.DataFrame
    extras: pd.DataFrame
    sources: Sources
    counts: dict[str, Any]

    @property
    def rows(self) -> NDArray[np.int64]:
        """The two sequences of each pair, shape=(n, 2)."""
        return self.pairs[["row1", "row2"]].to_numpy()

    def extra_columns(self, names: list[str], setting: str, remedy: str) -> pd.DataFrame:
        """Return extra columns by their names in the tables.

        Parameters
        ----------
        names
            The columns.
        setting, remedy
            Who asks for them, and what to do if one is missing, for the message.

        Raises
        ------
        DnapairError
            If one is not there.
        """
        missing = [name for name in names if name not in self.extras]
        if missing:
            there = ", ".join(self.extras.columns) or "none"
            files = ", ".join(str(table.path) for table in self.sources.tables)
            raise DnapairError(
                f"{files}: there is no column {', '.join(map(repr, missing))}, but {setting} names it. "
                f"The columns besides pair and label are: {there}. {remedy}"
            )
        return self.extras[names]

    def places(self, positions: Iterable[int]) -> list[str]:
        """Name file and line of pairs that are given by their position in the frame."""
        return self.sources.places(self.pairs.index[list(positions)])

    def pair_table(self, split: NDArray[np.str_], without: str | None = None) -> pd.DataFrame:
        """Put pairs, splits and extra columns side by side.

        Parameters
        ----------
        split : np.ndarray, shape=(n,)
            The split of each pair.
        without
            An extra column to leave out, because the splits were read from it.

        Returns
        -------
        pd.DataFrame, shape=(n, 4 + extras)
            An extra column whose name is one of the first four is called input_NAME.

        Raises
        ------
        DnapairError
            If that name is taken too.
        """
        table = self.pairs.assign(split=split)
        for name in self.extras.columns.drop(without or []):
            own = f"input_{name}" if name in table.columns[:4] else name
            if own in table:
                raise DnapairError(f"The pair table has columns {name!r} and {own!r}: rename one of them.")
            table[own] = self.extras[name]
        return table


class _Raw(NamedTuple):
    pool: "_Pool"
    pairs: pd.DataFrame
    labels: pd.Series
    extras: pd.DataFrame
    sources: Sources
    fasta: Fasta | None


def read_dataset(files: RawFiles, reading: Reading) -> Dataset:
    """Read pairs and sequences, and clean them: nothing is dropped without being counted.

    Parameters
    ----------
    files
        From :func:`dnapair.rawfiles.find_files`.
    reading
        How they are to be read.

    Returns
    -------
    Dataset
        With each ordered pair once, and no sequence that no pair uses.

    Raises
    ------
    DnapairError
        If a file, or a row of it, can't be read as pairs of labelled DNA; the message names file and line.
    """
    raw = _gather(files, reading)
    label_counts, positive = _add_labels(raw, reading.positive_label)
    pairs, ambiguous = _settle_ambiguous(raw, reading.ambiguous)
    unambiguous = len(pairs)
    pairs = _settle_contradictory(pairs, reading.contradictory, raw.sources)
    consistent = len(pairs)
    pairs = pairs.drop_duplicates(["row1", "row2"])
    if pairs.empty:
        raise DnapairError(
            f"None of {len(raw.pairs)} pairs is left: {len(raw.pairs) - unambiguous} have letters outside "
            f"ACGT (data.ambiguous: drop), {unambiguous - consistent} have both labels (data.contradictory: "
            "drop)."
        )
    pairs, used = _number_by_first_use(pairs)
    pool = raw.pool
    counts = {
        "files_read": _file_counts(files, raw),
        "labels": label_counts,
        "positive_label": positive,
        "pairs": {
            "read": len(raw.pairs),
            "dropped_ambiguous": len(raw.pairs) - unambiguous,
            "dropped_contradictory": unambiguous - consistent,
            "dropped_duplicate": consistent - len(pairs),
            "kept": len(pairs),
        },
        "sequences": {
            "read": pool.read,
            "identical_to_another": pool.read - len(pool.sequences),
            "unused": len(pool.sequences) - len(used),
            "kept": len(used),
            "ambiguous": ambiguous,
        },
    }
    ids = [pool.names.get(row, f"sequence{number}") for number, row in enumerate(used, start=1)]
    sequences = [pool.sequences[row] for row in used]
    return Dataset(ids, sequences, pairs, raw.extras.loc[pairs.index], raw.sources, counts)


def _file_counts(files: RawFiles, raw: _Raw) -> dict[str, Any]:
    def name(path: Path) -> str:
        return path.relative_to(files.folder).as_posix()

    unread = [] if raw.fasta else files.fastas
    return {
        "pairs": {name(t.path): size for t, size in zip(raw.sources.tables, raw.sources.sizes, strict=True)},
        "sequences": {name(path): size for path, size in raw.fasta.sizes.items()} if raw.fasta else {},
        "not_read": [name(path) for path in sorted([*files.others, *unread])],
    }


class _Pool:
    """Unique sequences by content, and the rows that FASTA ids stand for."""

    def __init__(self, fasta: Fasta | None) -> None:
        self.sequences: list[str] = []
        self.names: dict[int, str] = {}
        self.read = 0
        self.faults: dict[str, str] = {}
        self._rows: dict[str, int] = {}
        self._ids = pa.array(fasta.ids if fasta else [], pa.string())
        self._id_rows = np.zeros(len(self._ids), np.int64)
        if fasta:
            self.read = len(fasta.ids)
            self._id_rows[:] = [self._row(sequence) for sequence in fasta.sequences]
            for row, name in zip(self._id_rows.tolist(), fasta.ids, strict=True):
                self.names.setdefault(row, name)

    def rows_of_ids(self, ids: Any) -> NDArray[np.int64]:
        """Return the row of each id in a string array, -1 for unknown ids."""
        found = pc.index_in(pc.utf8_trim_whitespace(ids), value_set=self._ids)
        places: NDArray[np.int32] = pc.fill_null(found, len(self._ids)).to_numpy()
        return np.append(self._id_rows, -1)[places]

    def rows_of_texts(self, texts: Any) -> NDArray[np.int64]:
        """Return the row of each sequence in a string array, -1 where :attr:`faults` says what is wrong."""
        encoded = texts.dictionary_encode()
        rows = np.array([self._row_of_text(text) for text in encoded.dictionary.to_pylist()], np.int64)
        places: NDArray[np.int32] = encoded.indices.to_numpy()
        self.read += len(texts)
        return rows[places]

    def _row_of_text(self, text: str) -> int:
        try:
            sequence = normalize(text)
        except DnapairError as error:
            self.faults[text] = str(error)
            return -1
        if not sequence:
            self.faults[text] = "the sequence is empty"
            return -1
        return self._row(sequence)

    def _row(self, sequence: str) -> int:
        row = self._rows.setdefault(sequence, len(self.sequences))
        if row == len(self.sequences):
            self.sequences.append(sequence)
        return row


class _Faults:
    """Fields at fault: the first few, and how many there are in all."""

    def __init__(self) -> None:
        self.total = 0
        self._examples: list[tuple[int, str]] = []

    def add(self, numbers: NDArray[np.int64], describe: Callable[[int], str]) -> None:
        self.total += len(numbers)
        room = EXAMPLES - len(self._examples)
        self._examples += [(number, describe(number)) for number in numbers[:room].tolist()]

    def check(self, sources: Sources, headline: str, remedy: str) -> None:
        if self.total:
            places = sources.places(number for number, _ in self._examples)
            shown = [f"{place}, {text}" for place, (_, text) in zip(places, self._examples, strict=True)]
            raise DnapairError(f"{self.total} {headline}:\n{listing(shown, self.total)}\n{remedy}")


def _gather(files: RawFiles, reading: Reading) -> _Raw:
    """Read every table: rows in the pool, labels and extras as text."""

    def names_come_first(fields: list[str]) -> bool:
        return is_header(fields, reading.columns) if reading.header == "auto" else reading.header

    tables = [open_table(path, names_come_first) for path in files.tables]
    roles = [find_roles(table, reading.columns, has_fasta=bool(files.fastas)) for table in tables]
    fasta = read_fasta(files.fastas) if any(role.by_id for role in roles) else None
    pool = _Pool(fasta)
    unknown, broken = _Faults(), _Faults()
    parts, extras = [], []
    sizes = [0] * len(tables)
    with tqdm(desc="read pairs", unit="pair", dynamic_ncols=True, disable=None) as bar:
        for index, (table, role) in enumerate(zip(tables, roles, strict=True)):
            others = [name for name in table.names if name not in role[:3]]
            for batch in table.batches():
                parts.append(_read_pairs(batch, role, pool, unknown if role.by_id else broken, sum(sizes)))
                text = pa.Table.from_batches([batch]).select(others)
                extras.append(text.append_column(_LABEL, batch[role.label]))
                sizes[index] += batch.num_rows
                bar.update(batch.num_rows)
    sources = Sources(tables, sizes)
    unknown.check(
        sources,
        "id(s) of the pair table are in no FASTA record",
        f"Records were read from {', '.join(map(str, files.fastas))}; an id is a header up to its first "
        "white space. If these columns hold sequences, name them in data.columns.seq1 and seq2.",
    )
    broken.check(sources, "sequence(s) can't be read", "Mend or take out these rows.")
    texts = pa.concat_tables(extras, promote_options="default").to_pandas().fillna("")
    return _Raw(pool, pd.concat(parts, ignore_index=True), texts.pop(_LABEL), texts, sources, fasta)


_LABEL = "\0label"


def _read_pairs(batch: Any, role: Roles, pool: _Pool, faults: _Faults, first: int) -> pd.DataFrame:
    columns = {}
    for own, theirs in (("row1", role.first), ("row2", role.second)):
        values = batch[theirs]
        columns[own] = pool.rows_of_ids(values) if role.by_id else pool.rows_of_texts(values)

        def describe(number: int, name: str = theirs, values: Any = values) -> str:
            value = values[number - first].as_py()
            return f"column {name}: " + (repr(value) if role.by_id else pool.faults[value])

        faults.add(first + np.flatnonzero(columns[own] < 0), describe)
    return pd.DataFrame(columns)


def _add_labels(raw: _Raw, positive: str | int | bool | None) -> tuple[dict[str, int], list[str]]:
    """Give raw.pairs its labels; return how often each value occurs, and those that mean related."""
    codes, values = pd.factorize(raw.labels)
    plain = [plain_label(value) for value in values]
    counts = np.bincount(codes)
    firsts = np.unique(codes, return_index=True)[1]
    if positive is None:
        meanings = [
            1 if value in POSITIVE_LABELS else 0 if value in NEGATIVE_LABELS else None for value in plain
        ]
    else:
        # with a third value, "all but the positive one" would make negatives of typing errors
        two = len(set(plain)) == 2
        meanings = [int(value == plain_label(positive)) if two else None for value in plain]
    if None in meanings or len(set(meanings)) < 2 or "" in plain:
        places = raw.sources.places(firsts[:EXAMPLES])
        shown = [
            f"{value!r}: {count} pair(s), the first at {place}"
            for value, count, place in zip(values, counts.tolist(), places, strict=False)
        ]
        raise DnapairError(
            f"The label column has {len(values)} different value(s):\n{listing(shown, len(values))}\n"
            f"{_label_remedy(plain, positive)}"
        )
    raw.pairs["label"] = np.array(meanings, np.int8)[codes]
    order = sorted(range(len(values)), key=lambda index: str(values[index]))
    return (
        {str(values[index]): int(counts[index]) for index in order},
        [str(values[index]) for index in order if meanings[index]],
    )


def _label_remedy(plain: list[str], positive: str | int | bool | None) -> str:
    if len(set(plain)) != 2 or "" in plain:
        return (
            "Labels need two values, one for related (data.positive_label) and one for unrelated pairs. Mend "
            "the rows, or name the right column in data.columns.label."
        )
    wrong = "" if positive is None else f"None of them is {positive!r}. "
    return f"{wrong}Set data.positive_label to the one that means related."


def _settle_ambiguous(raw: _Raw, policy: str) -> tuple[pd.DataFrame, int]:
    """Keep the pairs that the policy allows; count the sequences in use that have letters outside ACGT."""
    used = np.unique(raw.pairs[["row1", "row2"]].to_numpy()).tolist()
    found = {row: what for row in used if (what := find_ambiguous(raw.pool.sequences[row]))}
    if policy == "error" and found:
        raise _ambiguous_error(raw, found)
    if policy == "keep" or not found:
        return raw.pairs, len(found)
    return raw.pairs[~raw.pairs[["row1", "row2"]].isin(list(found)).any(axis=1)], len(found)


def _ambiguous_error(raw: _Raw, found: dict[int, Ambiguous]) -> DnapairError:
    shown = [
        f"{_place(raw, row)}: {what.letter!r} at position {what.position}, {what.total} such letter(s) in all"
        for row, what in list(found.items())[:EXAMPLES]
    ]
    letters = sum(what.total for what in found.values())
    return DnapairError(
        f"{len(found)} sequence(s) have letters other than A, C, G and T, {letters} in all:\n"
        f"{listing(shown, len(found))}\n"
        "Set data.ambiguous to drop (leaves out their pairs) or to keep (the k-mers that touch such a letter "
        "are unknown, and left out of the mean)."
    )


def _place(raw: _Raw, row: int) -> str:
    """Name the FASTA record of a sequence, or the first pair that it is in."""
    if raw.fasta and row in raw.pool.names:
        return raw.fasta.place(raw.pool.names[row])
    which = raw.pairs[["row1", "row2"]].eq(row)
    number = int(which.any(axis=1).to_numpy().argmax())
    word = "first" if which["row1"].iloc[number] else "second"
    return f"{raw.sources.places([number])[0]}, {word} sequence"


def _settle_contradictory(pairs: pd.DataFrame, policy: str, sources: Sources) -> pd.DataFrame:
    """Refuse or drop every pair that is there with both labels."""
    per_pair = pairs.groupby(["row1", "row2"], sort=False)["label"]
    contradictory = per_pair.transform("min") != per_pair.transform("max")
    if policy == "drop" or not contradictory.any():
        return pairs[~contradictory]
    wrong = pairs[contradictory].drop_duplicates(["row1", "row2", "label"])
    by_label = wrong.sort_values(["row1", "row2", "label"], kind="stable")
    unrelated, related = by_label.index[::2][:EXAMPLES], by_label.index[1::2][:EXAMPLES]
    shown = [
        f"{no} says unrelated, {yes} says related"
        for no, yes in zip(sources.places(unrelated), sources.places(related), strict=True)
    ]
    raise DnapairError(
        f"{len(wrong) // 2} pair(s) have both labels:\n{listing(shown, len(wrong) // 2)}\n"
        "Mend these rows, or set data.contradictory to drop, which leaves out every row of such a pair."
    )


def _number_by_first_use(pairs: pd.DataFrame) -> tuple[pd.DataFrame, list[int]]:
    """Renumber the sequences by first use; return the pairs, and the old row of each new one."""
    codes, used = pd.factorize(pairs[["row1", "row2"]].to_numpy().reshape(-1))
    row1, row2 = codes.reshape(-1, 2).T
    return pairs.assign(row1=row1, row2=row2), used.tolist()
