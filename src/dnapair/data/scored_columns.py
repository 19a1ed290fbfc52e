"""Which two columns of a table to be scored are the pair."""

import csv
import io
import shlex
from collections.abc import Sequence

from dnapair.data.columns import also_known, list_columns, usual_name
from dnapair.data.detection import sequence_columns
from dnapair.data.pair_columns import USUAL_PAIR, PairColumns, complete_pairs, spell_pairs
from dnapair.data.tables import Table
from dnapair.errors import DnapairError


def find_sequences(
    table: Table, remembered: Sequence[PairColumns] = (), *, by_id: bool = False
) -> list[tuple[str, str]]:
    """Find the two columns of a table to be scored.

    Parameters
    ----------
    table
        Without a header, they are the two that hold DNA, or else the first and the second.
    remembered
        The columns that the model was trained with; they go before those with usual names.
    by_id
        Whether to look for ids, in place of sequences.

    Returns
    -------
    list of tuple of str
        The two that make the pair. What follows are others that could be meant.

    Raises
    ------
    DnapairError
        If there are none; the message lists the columns there are.
    """
    found = _named(table, remembered, by_id)
    if not found and not table.header and len(table.names) > 1:
        dna = [] if by_id else sequence_columns(table)
        first, second = dna if len(dna) == 2 else table.names[:2]
        found = [(first, second)]
    if not found:
        raise _no_pair(table, remembered, by_id)
    return found


def read_names(text: str) -> tuple[str, str]:
    """Read the value of ``--columns``: two names with a comma between, one with a comma in it in quotes.

    Raises
    ------
    DnapairError
        If these are not two.
    """
    names = [name.strip() for name in next(csv.reader([text]), [])]
    if len(names) != 2 or not all(names) or names[0] == names[1]:
        raise DnapairError(f"--columns {text}: give the names of two columns, with a comma between.")
    return names[0], names[1]


def write_names(names: Sequence[str]) -> str:
    """Write the value of ``--columns`` as a shell takes it."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(names)
    return shlex.quote(line.getvalue())


def _trained(table: Table, remembered: Sequence[PairColumns], by_id: bool) -> list[tuple[str, str]]:
    alike = (pair for pair in remembered if pair.by_id == by_id and pair.named == table.header)
    return [(pair.first, pair.second) for pair in alike]


def _named(table: Table, remembered: Sequence[PairColumns], by_id: bool) -> list[tuple[str, str]]:
    kind = "id" if by_id else "seq"
    usual = [(usual_name(table, f"{kind}1") or "", usual_name(table, f"{kind}2") or "")]
    return complete_pairs(table.names, [*_trained(table, remembered, by_id), *usual])


def _no_pair(table: Table, remembered: Sequence[PairColumns], by_id: bool) -> DnapairError:
    what, usual = ("ids", ("id1", "id2")) if by_id else ("sequences", USUAL_PAIR)
    trained = _trained(table, remembered, by_id)
    before = f"neither {spell_pairs(trained, ', nor ')}, as in training, nor" if trained else "no"
    said = f"{table.path} has no columns of {what}: {before} {' and '.join(map(also_known, usual))}."
    others = _named(table, remembered, not by_id)
    if others and by_id:
        return DnapairError(f"{said} It has sequences in {spell_pairs(others[:1])}: leave out --sequences.")
    if others:
        return DnapairError(
            f"{said} It has ids in {spell_pairs(others[:1])}: name the FASTA file with the sequences that "
            "these stand for: --sequences FILE"
        )
    trained_by_id = " If they hold FASTA ids, as in training: --sequences FILE." * (
        not by_id and any(pair.by_id for pair in remembered)
    )
    dna = [] if by_id else sequence_columns(table)
    held = f" DNA is in: {', '.join(dna)}." if dna else ""
    first_line = (
        f". If its first line is a pair already, put a line of names above it, with {spell_pairs([usual])}."
        if table.header
        else ""
    )
    return DnapairError(
        f"{said} {list_columns(table)}{held}{trained_by_id} Name the two, in the order of training: "
        f"--columns {write_names(dna if len(dna) == 2 else ['FIRST', 'SECOND'])}{first_line}"
    )
