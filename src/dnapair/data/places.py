"""Pair tables that give places of a genome in place of sequences."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dnapair.data.bedpe import CHROMOSOMES, REGION, bedpe_sides
from dnapair.data.detection import region_columns
from dnapair.data.faults import Faults
from dnapair.data.genome_files import Genome
from dnapair.data.opening import LONGEST_LINE
from dnapair.data.raw_files import EXAMPLES
from dnapair.data.sequences import reverse_complement
from dnapair.data.tables import Table, as_text
from dnapair.errors import DnapairError
from dnapair.storage.numeric_columns import number_values

CUT_OUT = ("sequence of place 1", "sequence of place 2")
"""Columns of a :class:`PlaceTable` that it gives where they are asked for by name, and not with all."""
LONGEST = LONGEST_LINE // 2
"""Bases of a place: as many as a table with sequences may have."""
_BATCH_BASES = 2**25
_STRANDS = pa.array(["+", "-", ".", ""])
_MINUS = 1

Sides = tuple[tuple[str, ...], tuple[str, ...]]


class _Spans(NamedTuple):
    """One side's places of a batch; each of shape=(n,).

    Attributes
    ----------
    texts : list of pa.Array
        Chromosome, start, end and strand as they are written.
    chromosome : np.ndarray
        Number in the genome, -1 for one that it has not.
    start, end : np.ndarray
        With the width that is asked for; -1 where no number is written.
    minus, sound : np.ndarray
        Whether it is on the minus strand, and whether it can be cut out.
    """

    texts: list[Any]
    chromosome: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    minus: NDArray[np.bool_]
    sound: NDArray[np.bool_]


class Scissors:
    """Cuts places out of a genome.

    Parameters
    ----------
    genome
        From :func:`dnapair.data.genome_files.open_genome`.
    width
        Bases of each window round the centre of a place; where the two are not both odd or both even, it lies
        half a base nearer the chromosome's start. None: the place as it is.

    Attributes
    ----------
    renamed : dict
        What tables call chromosomes, and the genome's names: with or without ``chr`` before it.
    """

    def __init__(self, genome: Genome, width: int | None) -> None:
        self.genome, self.width = genome, width
        self.renamed: dict[str, str] = {}
        self._names = list(genome.lengths)
        self._numbers = {name: number for number, name in enumerate(self._names)}
        # the last is for chromosomes that are not there, at -1
        self._lengths = np.array([*genome.lengths.values(), 0], np.int64)

    def names(self, chromosome: NDArray[np.int64]) -> Any:
        """Return the genome's names of chromosomes, empty for -1."""
        return pa.array([*self._names, ""]).take(pa.array(chromosome % (len(self._names) + 1)))

    def find(self, chromosome: Any, start: Any, end: Any, strand: Any) -> _Spans:
        """Read places that are written as text, pyarrow string arrays."""
        texts = [chromosome, start, end, strand]
        numbers = number_values(chromosome, lambda names: [self._number(name) for name in names])
        first, last = _whole_numbers(start), _whole_numbers(end)
        strands = pc.fill_null(pc.index_in(strand, _STRANDS), -1).to_numpy(zero_copy_only=False)
        sound = (first >= 0) & (last > first) & (numbers >= 0) & (strands >= 0)
        if self.width:
            windows = (first + last - self.width) // 2
            first, last = np.where(sound, windows, first), np.where(sound, windows + self.width, last)
        sound &= (first >= 0) & (last <= self._lengths[numbers]) & (last - first <= LONGEST)
        return _Spans(texts, numbers.astype(np.int64), first, last, strands == _MINUS, sound)

    def cut(self, spans: _Spans, rows: slice) -> Any:
        """Return the sequences of rows, empty ones where a place is not sound; a pyarrow string array."""
        columns = (spans.chromosome, spans.start, spans.end, spans.minus, spans.sound)
        return pa.array(
            [
                self._sequence(self._names[number], start, end, minus) if sound else ""
                for number, start, end, minus, sound in zip(
                    *(column[rows].tolist() for column in columns), strict=True
                )
            ],
            pa.string(),
        )

    def fault(self, spans: _Spans, row: int) -> str:
        """Say what is wrong with a place that is not sound."""
        chromosome, start, end, strand = (text[row].as_py() for text in spans.texts)
        first, last, number = int(spans.start[row]), int(spans.end[row]), int(spans.chromosome[row])
        if not chromosome and not end:
            return f"{start!r} is no place such as chr1:100-200(+)"
        place = f"{chromosome}:{start}-{end}"
        if min(_whole_numbers(pa.array([start, end]))) < 0:
            return f"{place}: start and end must be whole numbers from 0"
        if strand not in _STRANDS.to_pylist():
            return f"{place}: strand {strand!r} is neither + nor -"
        if number < 0:
            return f"{place}: the genome has no chromosome {chromosome!r}"
        if last <= first:
            return f"{place}: the end is not after the start"
        if last - first > LONGEST:
            return f"{place}: {last - first:,} bases; the most that dnapair reads is {LONGEST:,}"
        window = f"the {self.width} bases round its centre, {first} to {last}, are" if self.width else "it is"
        return (
            f"{place}: {window} not all in {self._names[number]}, which has {self._lengths[number]:,} bases"
        )

    def remedy(self) -> str:
        """Say what to do about places that are not sound."""
        names = ", ".join(self._names[:EXAMPLES]) + (", ..." if len(self._names) > EXAMPLES else "")
        width = ", or ask for a smaller width (data.width)" if self.width else ""
        return (
            "Places count from 0, and the end is not included, as in BED. Chromosomes of "
            f"{self.genome.path}: {names}. Mend or take out these rows{width}."
        )

    def _number(self, name: str) -> int:
        other = name.removeprefix("chr") if name.startswith("chr") else f"chr{name}"
        if name not in self._numbers and other in self._numbers:
            self.renamed[name] = other
        return self._numbers.get(self.renamed.get(name, name), -1)

    def _sequence(self, chromosome: str, start: int, end: int, minus: bool) -> str:
        sequence = self.genome.fetch(chromosome, start, end)
        return reverse_complement(sequence) if minus else sequence


class PlaceTable:
    """A table of places with the sequences that are there.

    Parameters
    ----------
    table
        The table as it is.
    sides
        Of either side the columns of chromosome, start, end and maybe strand; or the one of all these.
    scissors
        Cut the sequences out.
    score
        Whether it is to be scored: faults are told with the batch that they are in, and its columns stay.
        Else they are told of the whole table, and ``chrom1`` and ``chrom2`` added, with the genome's names.
    """

    def __init__(self, table: Table, sides: Sides, scissors: Scissors, *, score: bool = False) -> None:
        self.path, self.header, self.schema = table.path, table.header, table.schema
        self.places = table.places
        self._table, self._sides, self._scissors = table, sides, scissors
        added = () if score else CHROMOSOMES
        self._score = score
        self.place_columns = [*sides[0], *sides[1]]
        self._own = [name for name in table.names if name.lstrip("#") not in added]
        self.names = [*self._own, *added]

    def batches(self, columns: Sequence[str] | None = None, *, typed: bool = False) -> Iterator[Any]:
        """Yield pyarrow record batches, as :class:`dnapair.data.tables.Table` says."""
        wanted = self.names if columns is None else list(columns)
        own = [name for name in wanted if name in self._own]
        needed = list(dict.fromkeys([*own, *self.place_columns]))
        cuts = bool({*wanted} & {*CUT_OUT})
        faults, done = Faults(), 0
        for batch in self._table.batches(needed, typed=typed):
            spans = [self._spans(batch, side) for side in self._sides]
            self._note(faults, spans, done)
            if self._score:
                self._check(faults)
            done += batch.num_rows
            there = {name: batch[name] for name in own}
            there |= {
                name: self._scissors.names(side.chromosome)
                for name, side in zip(CHROMOSOMES, spans, strict=True)
                if name not in own
            }
            bases = sum(np.where(side.sound, side.end - side.start, 0) for side in spans)
            for rows in _parts(bases) if cuts else [slice(0, batch.num_rows)]:
                values = {name: column[rows] for name, column in there.items()}
                if cuts:
                    values |= dict(
                        zip(CUT_OUT, (self._scissors.cut(side, rows) for side in spans), strict=True)
                    )
                yield pa.record_batch([values[name] for name in wanted], names=wanted)
        self._check(faults)

    def _check(self, faults: Faults) -> None:
        faults.check(self, f"place(s) are not in {self._scissors.genome.path}", self._scissors.remedy())

    def _spans(self, batch: Any, side: tuple[str, ...]) -> _Spans:
        texts = [pc.utf8_trim_whitespace(as_text(self.path, name, batch[name])) for name in side]
        if len(side) == 1:
            parts = pc.extract_regex(texts[0], REGION)
            found = [pc.fill_null(pc.struct_field(parts, name), "") for name in ("chrom", "end", "strand")]
            start = pc.struct_field(parts, "start")
            # what is no place stands where its start would, for the message
            texts = [found[0], pc.coalesce(start, texts[0]), *found[1:]]
        elif len(side) == 3:
            texts.append(pa.repeat("", batch.num_rows))
        return self._scissors.find(*texts)

    def _note(self, faults: Faults, spans: list[_Spans], done: int) -> None:
        for number, side in enumerate(spans, start=1):

            def describe(row: int, side: _Spans = side, number: int = number) -> str:
                return f"place {number}: {self._scissors.fault(side, row - done)}"

            faults.add(done + np.flatnonzero(~side.sound), describe)


def find_sides(table: Table, named: tuple[str, str] | None = None) -> Sides | None:
    """Find the columns of places: those named, BEDPE's by their names, or two that hold ``chr:start-end``.

    Parameters
    ----------
    table
        The table.
    named
        Columns that the settings name.

    Returns
    -------
    tuple of tuple of str, or None
        As :class:`PlaceTable` takes them; None where there are none.

    Raises
    ------
    DnapairError
        If more than two columns hold places.
    """
    if named and set(named) <= {*table.names}:
        return (named[0],), (named[1],)
    # without a header the names are those that the position gives
    sides = bedpe_sides(table.names)
    if sides:
        return sides
    found = region_columns(table)
    if len(found) > 2:
        raise DnapairError(
            f"{table.path}: {len(found)} columns hold places, and two can be of the pair: "
            f"{', '.join(found)}. Name the right ones in data.columns.seq1 and seq2."
        )
    return ((found[0],), (found[1],)) if len(found) == 2 else None


def with_sequences(
    table: Table, scissors: Scissors, named: tuple[str, str] | None = None, *, score: bool = False
) -> PlaceTable:
    """Add the sequences to a table of places.

    Raises
    ------
    DnapairError
        If it has no places.
    """
    sides = find_sides(table, named)
    if sides is None:
        raise DnapairError(
            f"{table.path} has no places, but a genome is named ({scissors.genome.path}). Places are BEDPE's "
            "columns (chrom1, start1, end1, chrom2, start2, end2), or two columns of chr1:100-200(+), which "
            "data.columns.seq1 and seq2 can name. If it has sequences or ids, name no genome (data.genome: "
            "null)."
        )
    return PlaceTable(table, sides, scissors, score=score)


def needs_genome(table: Table, pair: Sequence[str]) -> bool:
    """Tell whether a table has places, and the columns of its pair, if any were found, are among these."""
    places = {*chain(*(bedpe_sides(table.names) or ())), *region_columns(table)}
    return len(places) > 1 and {*pair} <= places


def no_genome(path: Path, remedy: str) -> DnapairError:
    """Make the error for places without a genome."""
    return DnapairError(f"{path} has places in place of sequences: {remedy}.")


def spell_renamed(renamed: Mapping[str, str]) -> str:
    """Say which names of chromosomes, at least one, were taken for others."""
    names = ", ".join(f"{theirs} for {name}" for name, theirs in renamed.items())
    return f"The genome names chromosomes otherwise than the pair table: taken are {names}."


def _whole_numbers(text: Any) -> NDArray[np.int64]:
    """Return the numbers of a string array, -1 where there is none."""
    plain = pc.replace_substring_regex(text, r"\.0+$", "")
    known = pc.match_substring_regex(plain, r"^\d{1,15}$")
    numbers = pc.if_else(known, plain, "-1").cast(pa.int64())
    return np.asarray(numbers)


def _parts(bases: Any) -> Iterator[slice]:
    """Cut the rows of a batch so that not too many bases are in memory at once."""
    ends = np.cumsum(bases)
    cuts = np.flatnonzero(np.diff(ends // _BATCH_BASES)) + 1
    starts = [0, *cuts.tolist()]
    for start, stop in zip(starts, [*starts[1:], len(ends)], strict=True):
        yield slice(start, stop)
