"""A table of pairs to be scored: predict, drift and explain read it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from dnapair.data.columns import has_names, list_columns
from dnapair.data.genome_files import open_genome
from dnapair.data.pair_columns import PairColumns, spell_pairs
from dnapair.data.places import CUT_OUT, Scissors, needs_genome, no_genome, with_sequences
from dnapair.data.raw_files import EXAMPLES, fasta_files, listing
from dnapair.data.scored_columns import find_sequences, read_names, write_names
from dnapair.data.sequences import read_fasta
from dnapair.data.tables import as_text, open_table
from dnapair.errors import DnapairError


class PairTable:
    """A table with two columns of raw DNA, of ids and their sequences in FASTA, or of places of a genome.

    Parameters
    ----------
    file
        CSV, TSV or Parquet, plain or packed.
    columns
        What the two are called, as for ``--columns``; None: as in training, or by their usual names.
    sequences
        FASTA, a file or a folder, where the two hold its ids.
    genome
        FASTA or 2bit, where the table has places: BEDPE, or the two hold ``chr:start-end(strand)``.
    width
        Bases of a window round the centre of each place; None: as in training.

    Attributes
    ----------
    table : Table
        All of it.
    columns : tuple of str
        The two, once :meth:`find` knows them.
    renamed : dict
        Chromosomes that the table calls otherwise than the genome, as far as it was read.

    Raises
    ------
    DnapairError
        If a file can't be read, or a column is not there.
    """

    def __init__(
        self,
        file: Path,
        columns: str | None = None,
        sequences: Path | None = None,
        genome: Path | None = None,
        width: int | None = None,
    ) -> None:
        if genome and sequences:
            raise DnapairError("--genome and --sequences: give the one that the table needs.")
        if width and not genome:
            raise DnapairError("--width is that of places: give their --genome too.")
        named = read_names(columns) if columns is not None else None
        self._fastas = [] if sequences is None else fasta_files(sequences, "--sequences")
        self._fasta = read_fasta(self._fastas) if self._fastas else None
        self.table = open_table(file, self._is_header)
        for name in named or ():
            if name not in self.table.names:
                raise DnapairError(f"--columns: {file} has no column {name!r}. {list_columns(self.table)}")
        self._named = named
        self.columns = named or ("", "")
        self._scissors = Scissors(open_genome(genome), width) if genome else None
        self.renamed = self._scissors.renamed if self._scissors else {}
        if self._scissors:
            self.table = with_sequences(self.table, self._scissors, named, score=True)
            self.columns = CUT_OUT

    def find(self, remembered: Sequence[PairColumns], width: int | None = None) -> None:
        """Find the two columns, and say so where others could be meant.

        Parameters
        ----------
        remembered
            Those of the table that the model was trained with.
        width
            Bases of the windows round places that it was trained with.

        Raises
        ------
        DnapairError
            As :func:`dnapair.data.scored_columns.find_sequences`, or if the table has places and no genome is
            given.
        """
        if self._scissors:
            self._scissors.width = self._scissors.width or width
            return
        others: list[tuple[str, str]] = []
        try:
            if not self._named:
                by_id = self._fasta is not None
                self.columns, *others = find_sequences(self.table, remembered, by_id=by_id)
        except DnapairError:
            self._check_no_places(())
            raise
        self._check_no_places(self.columns)
        if others:
            print(
                f"The pairs are {spell_pairs([self.columns])}, as in training. "
                f"{spell_pairs(others, ', ')} are there too: --columns {write_names(others[0])} takes these."
            )

    def sides(self, batch: Any, start: int) -> tuple[list[str], list[str]]:
        """Return the sequences of a batch of the table.

        Parameters
        ----------
        batch
            pyarrow record batch or table that has both columns.
        start
            The table's row that it begins with, from 0.

        Returns
        -------
        tuple of two lists
            As they are written there.

        Raises
        ------
        DnapairError
            If an id is in no FASTA record; the message names the line.
        """
        texts = [as_text(self.table.path, name, batch[name]) for name in self.columns]
        if self._fasta is None:
            first, second = (column.to_pylist() for column in texts)
            return first, second
        ids = [pc.utf8_trim_whitespace(column).to_pylist() for column in texts]
        rows = [self._fasta.ids.find(values) for values in ids]
        unknown = [
            (place, f"column {name}: {values[place]!r}")
            for name, values, found in zip(self.columns, ids, rows, strict=True)
            for place in np.flatnonzero(found < 0).tolist()
        ]
        if unknown:
            shown = unknown[:EXAMPLES]
            places = self.table.places([start + place for place, _ in shown])
            words = [f"{place}, {value}" for place, (_, value) in zip(places, shown, strict=True)]
            raise DnapairError(
                f"{len(unknown)} id(s) are in no FASTA record:\n{listing(words, len(unknown))}\nRecords "
                f"were read from {', '.join(map(str, self._fastas))}; an id is a header up to its first "
                "white space."
            )
        first, second = ([self._fasta.sequences[row] for row in found.tolist()] for found in rows)
        return first, second

    def _check_no_places(self, columns: Sequence[str]) -> None:
        if self._fasta is None and needs_genome(self.table, columns):
            raise no_genome(self.table.path, "give their genome, FASTA or 2bit: --genome GENOME")

    def _is_header(self, fields: list[str]) -> bool:
        if self._fasta is None:
            return has_names(fields)
        return int(np.count_nonzero(self._fasta.ids.find([field.strip() for field in fields]) >= 0)) < 2
