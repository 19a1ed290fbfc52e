"""Tables as users have them: CSV, TSV or Parquet, plain or packed; all values as text, batch by batch."""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from dnapair.data.bedpe import names_by_position
from dnapair.data.opening import LONGEST_LINE, is_packed, not_utf8, open_raw, plain_name, unpack_command
from dnapair.data.raw_files import EXAMPLES, listing
from dnapair.errors import DnapairError

# pyarrow reads 32 blocks ahead
_BLOCK_BYTES = 2**19
_BATCH_ROWS = 8192
_BATCH_BYTES = 2**28
_PARQUET_MAGIC = b"PAR1"
# pyarrow's errors are Python's own in part: a column's name may be no UTF-8
_DAMAGE = (pa.ArrowException, OSError, MemoryError, ValueError, LookupError, OverflowError)
MOST_COLUMNS = 10_000
MOST_PARQUET = 2**30
"""Bytes of a Parquet file that is packed once more: it is unpacked in memory."""


class Table(Protocol):
    """A table that is read in batches.

    Attributes
    ----------
    path : Path
        Its file.
    header : bool
        Whether the columns have names of their own; if not, they are called column1, column2, ..., or as
        BEDPE has it.
    names : list of str
        The columns; no two are the same.
    schema : pyarrow.Schema
        The types that the file has; strings in a text file.
    """

    path: Path
    header: bool
    names: list[str]
    schema: Any

    def batches(self, columns: Sequence[str] | None = None, *, typed: bool = False) -> Iterator[Any]:
        """Yield pyarrow record batches.

        Parameters
        ----------
        columns
            Those to read, at least one; None: all.
        typed
            Whether values and nulls are as the file has them; if not, every column is a string and nothing
            is null.
        """

    def places(self, rows: Sequence[int]) -> list[str]:
        """Name the file and line of rows, counted from 0 without the header, for a message."""


def open_table(path: Path, is_header: Callable[[list[str]], bool]) -> Table:
    """Open a table of any of the formats.

    Parameters
    ----------
    path
        The file. Parquet is known by its first bytes; else it is text, with tabs, commas or semicolons
        between columns, or bars or spaces where its first line has none of these.
    is_header
        Asked with the fields of a text file's first line, whether they are names.

    Returns
    -------
    Table
        Nothing but its first line has been read.

    Raises
    ------
    DnapairError
        If the file is missing, empty or damaged, or a column's name is there twice.
    """
    with open_raw(path) as file:
        start = file.read(len(_PARQUET_MAGIC))
    return _ParquetTable(path) if start == _PARQUET_MAGIC else _TextTable(path, is_header)


class _TextTable:
    def __init__(self, path: Path, is_header: Callable[[list[str]], bool]) -> None:
        self.path = path
        self._delimiter = _delimiter(path)
        # its own limit of 128 KiB is less than a long sequence
        csv.field_size_limit(LONGEST_LINE)
        records = self._records()
        _, first = next(records, (0, []))
        if not first:
            raise DnapairError(f"{path} is empty: a pair table needs a row for each pair.")
        if first[0].startswith(">"):
            raise DnapairError(
                f"{path} is FASTA, and here goes a table of pairs. Among the data, name it in "
                "data.sequences, and the table in data.pairs."
            )
        if first[0].startswith("@") and any(row[0].startswith("+") for _, row in islice(records, 2)):
            raise DnapairError(f"{path} is FASTQ, and here goes a table of pairs: two sequences in a row.")
        self.header = is_header(first)
        given = first if self.header else names_by_position(first)
        self.names = [name.strip() or f"column{number}" for number, name in enumerate(given, start=1)]
        _check_names(path, self.names)
        self.schema = pa.schema([(name, pa.string()) for name in self.names])

    def batches(self, columns: Sequence[str] | None = None, *, typed: bool = False) -> Iterator[Any]:
        last = None
        try:
            with open_raw(self.path) as file:
                for batch in self._open_csv(file, columns):
                    if batch.num_rows:
                        last = batch
                        yield batch
        except pa.ArrowInvalid as error:
            raise self._explain(str(error)) from None
        if last is None:
            raise DnapairError(f"{self.path} has a line of column names, but no pairs.")
        # a quote that is never closed takes all that follows into the last field, without an error
        if any("\n" in value for value in last.slice(last.num_rows - 1).to_pylist()[0].values()):
            for _ in self._records():
                pass

    def _open_csv(self, file: Any, columns: Sequence[str] | None) -> Any:
        return pa_csv.open_csv(
            file,
            read_options=pa_csv.ReadOptions(
                use_threads=False,
                block_size=max(_BLOCK_BYTES, 2 * self._longest_line),
                column_names=self.names,
                skip_rows_after_names=int(self.header),
            ),
            parse_options=pa_csv.ParseOptions(delimiter=self._delimiter, newlines_in_values=True),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(self.names, pa.string()), include_columns=columns
            ),
        )

    @cached_property
    def _longest_line(self) -> int:
        # a row must fit into a block
        with open_raw(self.path) as file:
            return max(map(len, file), default=0)

    def places(self, rows: Sequence[int]) -> list[str]:
        numbered = enumerate(self._records(), start=-int(self.header))
        wanted = set(rows)
        lines = {number: line for number, (line, _) in numbered if number in wanted}
        return [f"{self.path}, line {lines[row]}" for row in rows]

    def _explain(self, reason: str) -> DnapairError:
        wanted = len(self.names)
        ragged = [(line, len(row)) for line, row in self._records() if len(row) != wanted]
        if not ragged:
            return DnapairError(f"{self.path} can't be read as a table: {reason}")
        shown = [f"{self.path}, line {line}: {found} fields" for line, found in ragged[:EXAMPLES]]
        return DnapairError(
            f"{self.path}: {len(ragged)} row(s) have not the {wanted} fields of its first line:\n"
            f"{listing(shown, len(ragged))}\nMend these rows; a field that holds the delimiter needs quotes."
        )

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """Yield each row that is not blank, with the number of the line it begins on."""
        line = 1
        try:
            with open_raw(self.path) as file:
                text = io.TextIOWrapper(file, encoding="utf-8", newline="")
                reader = csv.reader(text, delimiter=self._delimiter, strict=True)
                for row in reader:
                    if row:
                        yield line, row
                    line = reader.line_num + 1
        except UnicodeDecodeError:
            raise not_utf8(self.path) from None
        except csv.Error as error:
            raise DnapairError(
                f"{self.path}, line {line}: {error}. Does a quote there open and never close?"
            ) from None


class _ParquetTable:
    header = True

    def __init__(self, path: Path) -> None:
        self.path = path
        source: Any = path
        if is_packed(path):
            # binary: it may have no line end anywhere
            with open_raw(path, longest=MOST_PARQUET) as file:
                content = file.read(MOST_PARQUET + 1)
            if len(content) > MOST_PARQUET:
                raise DnapairError(
                    f"{path} unpacks to more than {MOST_PARQUET:,} bytes. Unpack it: {unpack_command(path)} "
                    f"> {plain_name(path)}"
                )
            source = pa.BufferReader(content)
        try:
            schema = pq.read_schema(source)
            # text as numbers of a dictionary: the same long value in every row is one value then
            texts = [field.name for field in schema if _is_text(field.type)]
            self._file = pq.ParquetFile(source, read_dictionary=texts)
            self.schema = schema.remove_metadata()
            self.names = schema.names
        except _DAMAGE as error:
            raise self._damaged(error) from None
        if len(self.names) > MOST_COLUMNS:
            raise DnapairError(f"{path} has more than {MOST_COLUMNS:,} columns.")
        _check_names(path, self.names)
        if self._file.metadata.num_rows == 0:
            raise DnapairError(f"{path} has columns, but no pairs.")

    def batches(self, columns: Sequence[str] | None = None, *, typed: bool = False) -> Iterator[Any]:
        names = self.names if columns is None else list(columns)
        for name in names:
            stored = self.schema.field(name).type
            if not typed and pa.types.is_nested(stored):
                raise _unreadable(self.path, name, stored)
        done = 0
        try:
            for batch in self._file.iter_batches(_BATCH_ROWS, columns=names):
                rows = self._affordable_rows(batch, done)
                done += batch.num_rows
                for start in range(0, batch.num_rows, rows):
                    part = batch.slice(start, rows)
                    convert = self._as_stored if typed else partial(as_text, self.path)
                    yield pa.record_batch([convert(name, part[name]) for name in names], names=names)
        except _DAMAGE as error:
            raise self._damaged(error) from None

    def _affordable_rows(self, batch: Any, done: int) -> int:
        """Return how many rows may be written out as text at a time."""
        widest = 0
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if pa.types.is_dictionary(column.type) and _is_text(column.type.value_type):
                longest = int(pc.max(pc.binary_length(column.dictionary)).as_py() or 0)
                if longest > LONGEST_LINE:
                    raise DnapairError(
                        f"{self.path}, rows {done + 1} to {done + batch.num_rows}: column {name!r} has a "
                        f"value of {longest:,} bytes; the most that dnapair reads is {LONGEST_LINE:,}."
                    )
                widest += longest
        rows: int = min(batch.num_rows, _BATCH_BYTES // max(widest, 1))
        return max(1, rows)

    def places(self, rows: Sequence[int]) -> list[str]:
        return [f"{self.path}, row {row + 1}" for row in rows]

    def _as_stored(self, name: str, column: Any) -> Any:
        stored = self.schema.field(name).type
        return column if column.type == stored else column.cast(stored)

    def _damaged(self, error: Exception) -> DnapairError:
        return DnapairError(f"{self.path} is damaged, or not Parquet after all: {error}")


def _is_text(kind: Any) -> bool:
    return kind in (pa.string(), pa.large_string(), pa.binary(), pa.large_binary())


def as_text(path: Path, name: str, column: Any) -> Any:
    """Make strings of a pyarrow column, and empty ones of nulls.

    Parameters
    ----------
    path, name
        Its file and its name, for the message.
    column
        The column.

    Raises
    ------
    DnapairError
        If its values can't be text.
    """
    try:
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        text = pc.fill_null(column.cast(pa.string()), "")
        # a damaged file may hold bytes that are no UTF-8
        text.validate(full=True)
        return text
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        raise _unreadable(path, name, column.type) from None


def _unreadable(path: Path, name: str, kind: Any) -> DnapairError:
    return DnapairError(f"{path}: column {name!r} holds {kind}, which can't be read as text. Take it out.")


def _delimiter(path: Path) -> str:
    with open_raw(path) as file:
        line = file.readline()
    counts = {delimiter: line.count(delimiter.encode()) for delimiter in "\t;,"}
    if max(counts.values()) >= MOST_COLUMNS:
        raise DnapairError(
            f"{path}, line 1: more than {MOST_COLUMNS:,} columns. A pair table has two of sequences or ids, "
            "one of labels, and what else is needed."
        )
    if not any(counts.values()):
        # a value may hold these: they part columns where nothing else does
        return next((rare for rare in "| " if rare.encode() in line), ",")
    if counts["\t"]:
        return "\t"
    return ";" if counts[";"] > counts[","] else ","


def _check_names(path: Path, names: list[str]) -> None:
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise DnapairError(
            f"{path}, line 1: more than one column is called {', '.join(map(repr, twice))}. "
            f"The columns are: {', '.join(names)}. Give each a name of its own."
        )
