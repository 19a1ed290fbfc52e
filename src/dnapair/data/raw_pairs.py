"""A user's tables and FASTA files, read to numbers: what each pair is of, and where it came from."""

from array import array
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from tqdm import tqdm

from dnapair.data.bedpe import LABEL, named_by_position
from dnapair.data.columns import ColumnNames, Roles, find_label, find_roles, is_header
from dnapair.data.detection import id_columns
from dnapair.data.faults import Faults
from dnapair.data.places import CUT_OUT, Scissors, needs_genome, no_genome, with_sequences
from dnapair.data.raw_files import RawFiles, stem
from dnapair.data.sequences import Fasta, normalize, read_fasta
from dnapair.data.tables import Table, open_table
from dnapair.errors import DnapairError
from dnapair.storage.numeric_columns import number_values
from dnapair.storage.string_index import Texts

_NO_GENOME = "name their genome, FASTA or 2bit, in data.genome"
_BATCH = 65536
"""Pairs handled at once where no file sets the pace."""


class Sources(NamedTuple):
    """Where each pair came from; pairs are numbered from 0 in the order read, over all tables.

    Attributes
    ----------
    tables : list of Table
        In the order read.
    sizes : list of int
        Pairs in each.
    roles : list of Roles
        The columns of each that make a pair.
    """

    tables: list[Table]
    sizes: list[int]
    roles: list[Roles]

    @property
    def others(self) -> list[list[str]]:
        """The columns of each table besides pair and label."""
        return [
            [name for name in table.names if name not in roles[:3]]
            for table, roles in zip(self.tables, self.roles, strict=True)
        ]

    def places(self, numbers: Iterable[int]) -> list[str]:
        """Name file and line of pairs, in the order given."""
        wanted = np.array(list(numbers), np.int64)
        places = np.empty(wanted.size, object)
        starts, of_table = self._starts(), self._of_table(wanted)
        for index in np.unique(of_table):
            own = of_table == index
            places[own] = self.tables[index].places((wanted[own] - starts[index]).tolist())
        return list(places)

    def stems(self, numbers: "pd.Index[int]") -> "pd.Series[Any]":
        """Return the name of each pair's file without its suffix, with the numbers as index."""
        stems = pd.Categorical([stem(table.path) for table in self.tables])
        return pd.Series(stems[self._of_table(numbers.to_numpy())], index=numbers)

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
            if there:
                for batch in table.batches(there):
                    empty = pa.repeat("", batch.num_rows)
                    yield batch.num_rows, {n: batch[n] if n in there else empty for n in columns}
            else:
                for start in range(0, size, _BATCH):
                    rows = min(_BATCH, size - start)
                    yield rows, dict.fromkeys(columns, pa.repeat("", rows))

    def _starts(self) -> NDArray[np.int64]:
        return np.cumsum([0, *self.sizes[:-1]])

    def _of_table(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.searchsorted(self._starts(), numbers, side="right") - 1


class Categories:
    """A text column as numbers of its values, which are numbered by their first appearance."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self._codes = array("i")

    def add(self, column: Any) -> None:
        """Take the next batch, a pyarrow string array."""
        known = self.numbers
        codes = number_values(column, lambda values: [known.setdefault(one, len(known)) for one in values])
        self._codes.frombytes(codes.tobytes())

    def codes(self) -> NDArray[np.int32]:
        """Return the number of each row's value, shape=(n,)."""
        return np.frombuffer(self._codes, np.int32)

    def categorical(self) -> "pd.Categorical[str]":
        """Return the column."""
        return pd.Categorical.from_codes(self.codes(), pd.Index(list(self.numbers), dtype=object))


class Pool:
    """Sequences by content, and the rows that FASTA ids stand for.

    Attributes
    ----------
    ids, texts : Texts
        The FASTA records' ids; their sequences, and after these the tables' own.
    read : int
        Sequences read, equal ones too.
    """

    def __init__(self, fasta: Fasta | None, scratch: Path | None) -> None:
        self.ids = fasta.ids if fasta else Texts(scratch)
        self.texts = fasta.sequences if fasta else Texts(scratch)
        self.read = len(self.texts)
        # of records with one sequence the first stands for all
        firsts = self.texts.firsts()
        self._repeated = int(np.count_nonzero(firsts != np.arange(firsts.size)))
        # the last is for ids that are not found, at -1
        self._rows = np.append(firsts, -1).astype(np.int32)

    @property
    def unique(self) -> int:
        """Number of different sequences."""
        return len(self.texts) - self._repeated

    def rows_of_ids(self, ids: Any) -> NDArray[np.int32]:
        """Return the row of each id in a string array, -1 for unknown ids."""
        return number_values(pc.utf8_trim_whitespace(ids), lambda values: self._rows[self.ids.find(values)])

    def rows_of_texts(self, texts: Any) -> NDArray[np.int32]:
        """Return the row of each sequence in a string array, -1 where :func:`_read_text` finds a fault."""
        self.read += len(texts)
        return number_values(texts, self._add)

    def forget(self) -> None:
        """Give back the memory that finding rows needs."""
        self.ids.forget()
        self.texts.forget()
        self._rows = np.empty(0, np.int32)

    def _add(self, texts: list[str]) -> NDArray[np.int64]:
        sequences = [_read_text(text)[0] for text in texts]
        rows = np.full(len(texts), -1)
        rows[[bool(sequence) for sequence in sequences]] = self.texts.add(list(filter(None, sequences)))
        return rows


class RawPairs(NamedTuple):
    """Every pair of the tables, in the order read.

    Attributes
    ----------
    pool : Pool
        The sequences.
    row1, row2 : np.ndarray, shape=(n,)
        Rows of each pair's sequences in the pool.
    labels : Categories
        The label column.
    sources : Sources
        Where each pair came from.
    fasta : Fasta or None
        The records that ids name; None where the tables hold the sequences.
    """

    pool: Pool
    row1: NDArray[np.int32]
    row2: NDArray[np.int32]
    labels: Categories
    sources: Sources
    fasta: Fasta | None

    def place(self, row: int) -> str:
        """Name the FASTA record of a sequence, or the first pair that it is in."""
        if self.fasta and row < len(self.fasta.ids):
            return self.fasta.place(self.fasta.ids[row])
        number = int(((self.row1 == row) | (self.row2 == row)).argmax())
        word = "first" if self.row1[number] == row else "second"
        return f"{self.sources.places([number])[0]}, {word} sequence"


def read_raw_pairs(
    files: RawFiles,
    header: Literal["auto"] | bool,
    columns: ColumnNames,
    scratch: Path | None,
    scissors: Scissors | None = None,
) -> RawPairs:
    """Read every pair table, and the FASTA files where a table has ids.

    Parameters
    ----------
    files
        From :func:`dnapair.data.raw_files.find_files`.
    header, columns
        As in :class:`dnapair.data.dataset.Reading`.
    scratch
        Folder of the temporary files that hold the sequences; None: where the system keeps such files.
    scissors
        Of the genome that the tables give places of; None: they give sequences or ids.

    Returns
    -------
    RawPairs
        With a row for every sequence.

    Raises
    ------
    DnapairError
        If a file can't be read, an id is in no FASTA record, a sequence is none, or a place is not there.
    """

    def names_come_first(fields: list[str]) -> bool:
        return is_header(fields, columns) if header == "auto" else header

    @cache
    def records() -> Fasta:
        return read_fasta(files.fastas, scratch)

    def are_ids(values: list[str]) -> Any:
        return records().ids.find(values) >= 0

    known_ids = are_ids if files.fastas and not scissors else None
    opened = [_open(path, names_come_first, columns, known_ids, scissors) for path in files.tables]
    tables, roles = [table for table, _ in opened], _same_sides([role for _, role in opened])
    fasta = records() if any(role.by_id for role in roles) else None
    pool = Pool(fasta, scratch)
    unknown, broken = Faults(), Faults()
    rows = (array("i"), array("i"))
    labels = Categories()
    sizes = [0] * len(tables)
    with tqdm(desc="read pairs", unit="pair", dynamic_ncols=True, disable=None) as bar:
        for index, (table, role) in enumerate(zip(tables, roles, strict=True)):
            for batch in table.batches(list(dict.fromkeys([*table.names, *role[:3]]))):
                read = _read_pairs(batch, role, pool, unknown if role.by_id else broken, sum(sizes))
                for column, part in zip(rows, read, strict=True):
                    column.frombytes(part.tobytes())
                labels.add(batch[role.label])
                sizes[index] += batch.num_rows
                bar.update(batch.num_rows)
    sources = Sources(tables, sizes, roles)
    unknown.check(
        sources,
        "id(s) of the pair table are in no FASTA record",
        f"Records were read from {', '.join(map(str, files.fastas))}; an id is a header up to its first "
        "white space. If these columns hold sequences, name them in data.columns.seq1 and seq2.",
    )
    broken.check(sources, "sequence(s) can't be read", "Mend or take out these rows.")
    row1, row2 = (np.frombuffer(column, np.int32) for column in rows)
    return RawPairs(pool, row1, row2, labels, sources, fasta)


def _open(
    path: Path,
    names_come_first: Callable[[list[str]], bool],
    columns: ColumnNames,
    known_ids: Callable[[list[str]], Any] | None,
    scissors: Scissors | None,
) -> tuple[Table, Roles]:
    """Open a table, with the sequences of its places if it has these; find the columns of its pairs."""
    table = open_table(path, names_come_first)
    if scissors:
        first, second = columns.seq1 or columns.id1, columns.seq2 or columns.id2
        placed = with_sequences(table, scissors, (first, second) if first and second else None)
        return placed, Roles(*CUT_OUT, _label_of_places(table, placed.place_columns, columns.label), False)
    try:
        roles = find_roles(table, columns, known_ids)
    except DnapairError:
        if needs_genome(table, []):
            raise no_genome(path, _NO_GENOME) from None
        raise
    are_known = known_ids and roles.by_id and {*roles[:2]} <= {*id_columns(table, known_ids)}
    if not are_known and needs_genome(table, roles[:2]):
        raise no_genome(path, _NO_GENOME)
    return table, roles


def _same_sides(roles: list[Roles]) -> list[Roles]:
    """Give columns of the same names the sides that these have in the first table, whatever their order."""
    sides: dict[frozenset[str], tuple[str, str]] = {}
    return [
        Roles(*sides.setdefault(frozenset(role[:2]), (role.first, role.second)), role.label, role.by_id)
        for role in roles
    ]


def _label_of_places(table: Table, places: list[str], named: str | None) -> str:
    if table.header or not named_by_position(table.names):
        return find_label(table, named, places)
    if not named and LABEL not in table.names:
        raise DnapairError(
            f"{table.path} has {len(table.names)} columns and no header line. Ten are BEDPE's own, and the "
            "eleventh is the label (of seven, the seventh). Name another in data.columns.label, of: "
            f"{', '.join(table.names)}."
        )
    return find_label(table, named or LABEL, places)


def _read_pairs(
    batch: Any, role: Roles, pool: Pool, faults: Faults, first: int
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


def _read_text(text: str) -> tuple[str, str]:
    """Return a sequence, or else what is wrong with it."""
    try:
        sequence = normalize(text)
    except DnapairError as error:
        return "", str(error)
    return sequence, "" if sequence else "the sequence is empty"
