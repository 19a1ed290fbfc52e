"""Raw files to clean pairs: two rows in a list of unique sequences, a label, and what else the table says."""

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, overload

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from tqdm import tqdm

from dnapair.data.columns import (
    NEGATIVE_LABELS,
    POSITIVE_LABELS,
    ColumnNames,
    Roles,
    find_roles,
    is_header,
    plain_label,
)
from dnapair.data.raw_files import EXAMPLES, RawFiles, listing, stem
from dnapair.data.sequences import Ambiguous, Fasta, find_ambiguous, normalize, read_fasta
from dnapair.data.tables import Table, open_table
from dnapair.errors import DnapairError
from dnapair.storage.string_index import Texts

BATCH = 65536
"""Pairs handled at once where no file sets the pace."""


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
    others : list of list of str
        The columns of each besides pair and label.
    """

    tables: list[Table]
    sizes: list[int]
    others: list[list[str]]

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
        stems = pd.Categorical([stem(table.path) for table in self.tables])
        return pd.Series(stems[np.searchsorted(self._starts(), numbers, side="right") - 1], index=numbers)

    def texts(self, columns: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Read columns besides pair and label once more, batch by batch.

        Parameters
        ----------
        columns
            Their names.

        Yields
        ------
        int
            Pairs in the batch.
        dict
            Their values by column, pyarrow string arrays; empty where a table has no such column.
        """
        for table, size, others in zip(self.tables, self.sizes, self.others, strict=True):
            there = [name for name in columns if name in others]
            batches = table.batches(there) if there else _blank(size)
            for batch in batches:
                empty = pa.repeat("", batch.num_rows)
                yield batch.num_rows, {name: batch[name] if name in there else empty for name in columns}

    def _starts(self) -> list[int]:
        return [sum(self.sizes[:index]) for index in range(len(self.sizes))]


def _blank(size: int) -> Iterator[Any]:
    for start in range(0, size, BATCH):
        yield pa.record_batch([pa.nulls(min(BATCH, size - start))], [""])


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
        values = {name: _Values() for name in names}
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
        row1, row2, used = _number_by_first_use(*(pairs[name].to_numpy() for name in ("row1", "row2")))
        counted = self.counts["sequences"]
        left_out = len(self.sequences) - used.size
        counts = {
            "pairs": self.counts["pairs"] | {"kept": len(pairs)},
            "sequences": counted | {"unused": counted["unused"] + left_out, "kept": used.size},
        }
        return self._replace(
            ids=_Selection(self.ids, used),
            sequences=_Selection(self.sequences, used),
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


class _Selection(Sequence[str]):
    """Some of the strings on disk, in an order of their own."""

    def __init__(self, texts: Sequence[str], rows: NDArray[np.int64]) -> None:
        self._texts = texts
        self._rows = rows

    def __len__(self) -> int:
        return self._rows.size

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> list[str]: ...

    def __getitem__(self, place: int | slice) -> str | list[str]:
        if isinstance(place, slice):
            return [self[number] for number in range(*place.indices(len(self)))]
        return self._text(place)

    def _text(self, place: int) -> str:
        return self._texts[int(self._rows[place])]


class _Ids(_Selection):
    """The records' ids, and numbers for sequences that are no record's."""

    def _text(self, place: int) -> str:
        return super()._text(place) if self._rows[place] < len(self._texts) else f"sequence{place + 1}"


class _Values:
    """The values of a text column as numbers, in the order of their first appearance."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self._codes = array("i")

    def add(self, column: Any) -> None:
        """Take the next batch, a pyarrow string array."""
        encoded = column.dictionary_encode()
        known = self.numbers
        numbers = [known.setdefault(value, len(known)) for value in encoded.dictionary.to_pylist()]
        self._codes.frombytes(np.array(numbers, np.int32)[encoded.indices.to_numpy()].tobytes())

    def codes(self) -> NDArray[np.int32]:
        """Return the number of each row's value, shape=(n,)."""
        return np.frombuffer(self._codes, np.int32)

    def categorical(self) -> "pd.Categorical[str]":
        """Return the column."""
        return pd.Categorical.from_codes(self.codes(), pd.Index(list(self.numbers), dtype=object))


class _Raw(NamedTuple):
    pool: "_Pool"
    row1: NDArray[np.int32]
    row2: NDArray[np.int32]
    labels: _Values
    sources: Sources
    fasta: Fasta | None


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
    raw = _gather(files, reading, scratch)
    read = raw.row1.size
    label_counts, positive, labels = _read_labels(raw, reading.positive_label)
    unambiguous, ambiguous = _settle_ambiguous(raw, reading.ambiguous)
    raw.pool.forget()
    kept, repeats, contradictory = _settle_repeated(raw, labels, unambiguous, reading.contradictory)
    if not kept.size:
        raise DnapairError(
            f"None of {read} pairs is left: {read - unambiguous.size} have letters outside "
            f"ACGT (data.ambiguous: drop), {contradictory} have both labels (data.contradictory: "
            "drop)."
        )
    pool = raw.pool
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
    pairs = pd.DataFrame({"row1": row1, "row2": row2, "label": labels[kept]}, index=kept)
    extras = list(dict.fromkeys(name for others in raw.sources.others for name in others))
    ids, sequences = _Ids(pool.ids, used), _Selection(pool.texts, used)
    return Dataset(ids, sequences, pairs, extras, raw.sources, counts, repeats)


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
    """Sequences by content, and the rows that FASTA ids stand for."""

    def __init__(self, fasta: Fasta | None, scratch: Path | None) -> None:
        self.ids = fasta.ids if fasta else Texts(scratch)
        self.texts = fasta.sequences if fasta else Texts(scratch)
        # of records with one sequence the first stands for all
        self._rows = self.texts.firsts().astype(np.int32)
        self._repeated = int(np.count_nonzero(self._rows != np.arange(self._rows.size)))
        self.read = len(self.texts)

    @property
    def unique(self) -> int:
        """Number of different sequences."""
        return len(self.texts) - self._repeated

    def rows_of_ids(self, ids: Any) -> NDArray[np.int32]:
        """Return the row of each id in a string array, -1 for unknown ids."""
        encoded = pc.utf8_trim_whitespace(ids).dictionary_encode()
        records = self.ids.find(encoded.dictionary.to_pylist())
        found: NDArray[np.int32] = np.append(self._rows, np.int32(-1))[records][encoded.indices.to_numpy()]
        return found

    def rows_of_texts(self, texts: Any) -> NDArray[np.int32]:
        """Return the row of each sequence in a string array, -1 where :func:`_read_text` finds a fault."""
        encoded = texts.dictionary_encode()
        read = [_read_text(text)[0] for text in encoded.dictionary.to_pylist()]
        sound = [place for place, sequence in enumerate(read) if sequence]
        rows = np.full(len(read), -1, np.int32)
        rows[sound] = self.texts.add([read[place] for place in sound])
        self.read += len(texts)
        found: NDArray[np.int32] = rows[encoded.indices.to_numpy()]
        return found

    def forget(self) -> None:
        """Give back the memory that finding rows needs."""
        for texts in (self.ids, self.texts):
            texts.forget()
        self._rows = np.empty(0, np.int32)


def _read_text(text: str) -> tuple[str, str]:
    """Return a sequence, or else what is wrong with it."""
    try:
        sequence = normalize(text)
    except DnapairError as error:
        return "", str(error)
    return sequence, "" if sequence else "the sequence is empty"


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


def _gather(files: RawFiles, reading: Reading, scratch: Path | None) -> _Raw:
    """Read every table: rows in the pool, and labels."""

    def names_come_first(fields: list[str]) -> bool:
        return is_header(fields, reading.columns) if reading.header == "auto" else reading.header

    tables = [open_table(path, names_come_first) for path in files.tables]
    roles = [find_roles(table, reading.columns, has_fasta=bool(files.fastas)) for table in tables]
    fasta = read_fasta(files.fastas, scratch) if any(role.by_id for role in roles) else None
    pool = _Pool(fasta, scratch)
    unknown, broken = _Faults(), _Faults()
    rows = (array("i"), array("i"))
    labels = _Values()
    sizes = [0] * len(tables)
    with tqdm(desc="read pairs", unit="pair", dynamic_ncols=True, disable=None) as bar:
        for index, (table, role) in enumerate(zip(tables, roles, strict=True)):
            for batch in table.batches():
                read = _read_pairs(batch, role, pool, unknown if role.by_id else broken, sum(sizes))
                for column, part in zip(rows, read, strict=True):
                    column.frombytes(part.tobytes())
                labels.add(batch[role.label])
                sizes[index] += batch.num_rows
                bar.update(batch.num_rows)
    others = [
        [name for name in table.names if name not in role[:3]]
        for table, role in zip(tables, roles, strict=True)
    ]
    sources = Sources(tables, sizes, others)
    unknown.check(
        sources,
        "id(s) of the pair table are in no FASTA record",
        f"Records were read from {', '.join(map(str, files.fastas))}; an id is a header up to its first "
        "white space. If these columns hold sequences, name them in data.columns.seq1 and seq2.",
    )
    broken.check(sources, "sequence(s) can't be read", "Mend or take out these rows.")
    row1, row2 = (np.frombuffer(column, np.int32) for column in rows)
    return _Raw(pool, row1, row2, labels, sources, fasta)


def _read_pairs(
    batch: Any, role: Roles, pool: _Pool, faults: _Faults, first: int
) -> tuple[NDArray[np.int32], ...]:
    columns = []
    for theirs in (role.first, role.second):
        values = batch[theirs]
        rows = pool.rows_of_ids(values) if role.by_id else pool.rows_of_texts(values)

        def describe(number: int, name: str = theirs, values: Any = values) -> str:
            value = values[number - first].as_py()
            return f"column {name}: " + (repr(value) if role.by_id else _read_text(value)[1])

        faults.add(first + np.flatnonzero(rows < 0), describe)
        columns.append(rows)
    return tuple(columns)


def _read_labels(
    raw: _Raw, positive: str | int | bool | None
) -> tuple[dict[str, int], list[str], NDArray[np.int8]]:
    """Return how often each value occurs, those that mean related, and the label of each pair."""
    codes, values = raw.labels.codes(), list(raw.labels.numbers)
    plain = [plain_label(value) for value in values]
    counts = np.bincount(codes)
    if positive is None:
        meanings = [
            1 if value in POSITIVE_LABELS else 0 if value in NEGATIVE_LABELS else None for value in plain
        ]
    else:
        # with a third value, "all but the positive one" would make negatives of typing errors
        two = len(set(plain)) == 2
        meanings = [int(value == plain_label(positive)) if two else None for value in plain]
    if None in meanings or len(set(meanings)) < 2 or "" in plain:
        firsts = np.unique(codes, return_index=True)[1]
        places = raw.sources.places(firsts[:EXAMPLES])
        shown = [
            f"{value!r}: {count} pair(s), the first at {place}"
            for value, count, place in zip(values, counts.tolist(), places, strict=False)
        ]
        raise DnapairError(
            f"The label column has {len(values)} different value(s):\n{listing(shown, len(values))}\n"
            f"{_label_remedy(plain, positive)}"
        )
    order = sorted(range(len(values)), key=lambda index: values[index])
    return (
        {values[index]: int(counts[index]) for index in order},
        [values[index] for index in order if meanings[index]],
        np.array(meanings, np.int8)[codes],
    )


def _label_remedy(plain: list[str], positive: str | int | bool | None) -> str:
    if len(set(plain)) != 2 or "" in plain:
        return (
            "Labels need two values, one for related (data.positive_label) and one for unrelated pairs. Mend "
            "the rows, or name the right column in data.columns.label."
        )
    wrong = "" if positive is None else f"None of them is {positive!r}. "
    return f"{wrong}Set data.positive_label to the one that means related."


def _settle_ambiguous(raw: _Raw, policy: str) -> tuple[NDArray[np.int64], int]:
    """Return the pairs that the policy allows, and how many sequences in use have letters outside ACGT."""
    used = np.zeros(len(raw.pool.texts), bool)
    used[raw.row1] = used[raw.row2] = True
    ambiguous = np.zeros_like(used)
    examples: dict[int, Ambiguous] = {}
    letters = 0
    for row in np.flatnonzero(used).tolist():
        found = find_ambiguous(raw.pool.texts[row])
        if found:
            ambiguous[row] = True
            letters += found.total
            if len(examples) < EXAMPLES:
                examples[row] = found
    count = int(np.count_nonzero(ambiguous))
    if policy == "error" and count:
        raise _ambiguous_error(raw, examples, count, letters)
    left_out = (ambiguous[raw.row1] | ambiguous[raw.row2]) & (policy != "keep")
    return np.flatnonzero(~left_out), count


def _ambiguous_error(raw: _Raw, examples: dict[int, Ambiguous], count: int, letters: int) -> DnapairError:
    shown = [
        f"{_place(raw, row)}: {what.letter!r} at position {what.position}, {what.total} such letter(s) in all"
        for row, what in examples.items()
    ]
    return DnapairError(
        f"{count} sequence(s) have letters other than A, C, G and T, {letters} in all:\n"
        f"{listing(shown, count)}\n"
        "Set data.ambiguous to drop (leaves out their pairs) or to keep (the k-mers that touch such a letter "
        "are unknown, and left out of the mean)."
    )


def _place(raw: _Raw, row: int) -> str:
    """Name the FASTA record of a sequence, or the first pair that it is in."""
    if raw.fasta and row < len(raw.fasta.ids):
        return raw.fasta.place(raw.fasta.ids[row])
    number = int(((raw.row1 == row) | (raw.row2 == row)).argmax())
    word = "first" if raw.row1[number] == row else "second"
    return f"{raw.sources.places([number])[0]}, {word} sequence"


def _settle_repeated(
    raw: _Raw, labels: NDArray[np.int8], numbers: NDArray[np.int64], policy: str
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Keep each of these pairs once, none with both labels; return repeats too, and count rows with both."""
    if not numbers.size:
        return numbers, np.empty((0, 2), np.int64), 0
    key = raw.row1[numbers].astype(np.int64)
    key *= len(raw.pool.texts)
    key += raw.row2[numbers]
    # stable, so that of equal pairs the first row comes first
    order = np.argsort(key, kind="stable")
    key = key[order]
    starts = np.append(0, np.flatnonzero(key[1:] != key[:-1]) + 1)
    del key
    sizes = np.diff(starts, append=order.size)
    grouped = labels[numbers[order]]
    contradictory = np.minimum.reduceat(grouped, starts) != np.maximum.reduceat(grouped, starts)
    if policy == "error" and contradictory.any():
        wrong = np.flatnonzero(contradictory)
        rows = [numbers[order[starts[at] : starts[at] + sizes[at]]] for at in wrong[:EXAMPLES]]
        raise _contradictory_error(raw.sources, labels, rows, wrong.size)
    kept = numbers[order[starts[~contradictory]]]
    kept.sort()
    several = (sizes > 1) & ~contradictory
    repeated = numbers[order[np.repeat(several, sizes)]]
    first = np.repeat(numbers[order[starts[several]]], sizes[several])
    repeats = np.column_stack([repeated, first])[repeated != first]
    return kept, repeats[np.argsort(repeats[:, 0])], int(sizes[contradictory].sum())


def _contradictory_error(
    sources: Sources, labels: NDArray[np.int8], examples: list[NDArray[np.int64]], count: int
) -> DnapairError:
    unrelated = [rows[labels[rows] == 0][0] for rows in examples]
    related = [rows[labels[rows] == 1][0] for rows in examples]
    shown = [
        f"{no} says unrelated, {yes} says related"
        for no, yes in zip(sources.places(unrelated), sources.places(related), strict=True)
    ]
    return DnapairError(
        f"{count} pair(s) have both labels:\n{listing(shown, count)}\n"
        "Mend these rows, or set data.contradictory to drop, which leaves out every row of such a pair."
    )


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
