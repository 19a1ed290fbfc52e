"""Which columns of a pair table are what."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from dnapair.data.tables import Table
from dnapair.errors import DnapairError

POSITIVE_LABELS = frozenset({"1", "1.0", "true", "yes", "positive", "related", "same"})
NEGATIVE_LABELS = frozenset({"0", "0.0", "-1", "-1.0", "false", "no", "negative", "unrelated", "different"})

_ID_NAMES = (
    *("id#", "seq#id", "seqid#", "idseq#", "sequence#id", "sequenceid#", "idsequence#"),
    *("name#", "seq#name", "record#", "accession#"),
)
_SEQUENCE_NAMES = ("seq#", "sequence#", "dna#", "dnaseq#", "dnasequence#", "seq#sequence")
_USUAL = {
    "id1": [name.replace("#", end) for end in "1a" for name in _ID_NAMES],
    "id2": [name.replace("#", end) for end in "2b" for name in _ID_NAMES],
    "seq1": [name.replace("#", end) for end in "1a" for name in _SEQUENCE_NAMES],
    "seq2": [name.replace("#", end) for end in "2b" for name in _SEQUENCE_NAMES],
    "label": ["label", "labels", "y", "target", "class", "related", "isrelated"],
}
_ALL_USUAL = frozenset(name for names in _USUAL.values() for name in names)
_BY_POSITION = {"id1": 0, "id2": 1, "seq1": 0, "seq2": 1, "label": 2}
_DNA = re.compile("[ACGTUN ]{6,}", re.IGNORECASE)


class ColumnNames(NamedTuple):
    """What a pair table calls its columns; None where they go by their usual names."""

    id1: str | None = None
    id2: str | None = None
    seq1: str | None = None
    seq2: str | None = None
    label: str | None = None


class Roles(NamedTuple):
    """The columns that make a pair.

    Attributes
    ----------
    first, second, label : str
        Names of the columns.
    by_id : bool
        Whether the first two hold FASTA ids; if not, they hold sequences.
    """

    first: str
    second: str
    label: str
    by_id: bool


def plain_label(value: object) -> str:
    """Write a label so that TRUE, True and true are one."""
    return str(value).strip().lower()


def is_header(fields: Sequence[str], columns: ColumnNames) -> bool:
    """Tell whether the first line of a table holds names, and not a pair already.

    Parameters
    ----------
    fields
        The line's fields.
    columns
        The names that the settings give.

    Returns
    -------
    bool
        False where the first two fields are DNA, or the third is a usual label and none is a usual name.
    """
    if len(fields) >= 3 and all(_DNA.fullmatch(field.strip()) for field in fields[:2]):
        return False
    if {_plain_name(field) for field in fields} & _ALL_USUAL or {field.strip() for field in fields} & set(
        columns
    ):
        return True
    return not (len(fields) >= 3 and plain_label(fields[2]) in POSITIVE_LABELS | NEGATIVE_LABELS)


def find_roles(table: Table, columns: ColumnNames, *, has_fasta: bool) -> Roles:
    """Find the columns that make a pair.

    Parameters
    ----------
    table
        Without a header, its columns are first, second and label in this order.
    columns
        Names that the settings give; the others are found by their usual names.
    has_fasta
        Whether there are records that ids can name. If so, ids go before sequences.

    Returns
    -------
    Roles
        All different.

    Raises
    ------
    DnapairError
        If a column is missing, or there are ids but no FASTA file; the message lists the columns there are.
    """
    found = {role: _find(table, role, name) for role, name in columns._asdict().items()}
    ids_named = columns.id1 or columns.id2
    sequences_named = columns.seq1 or columns.seq2
    if ids_named and sequences_named:
        raise DnapairError(
            "data.columns names id columns and sequence columns: set just one of the two kinds."
        )
    has_ids = bool(found["id1"] and found["id2"])
    has_sequences = bool(found["seq1"] and found["seq2"])
    by_id = bool(ids_named) or (not sequences_named and has_ids and (has_fasta or not has_sequences))
    pair = (
        ("id1", "id2")
        if by_id or (has_fasta and not has_sequences and not sequences_named)
        else ("seq1", "seq2")
    )
    missing = [role for role in (*pair, "label") if not found[role]]
    if missing:
        raise _missing(table, missing)
    if by_id and not has_fasta:
        raise DnapairError(
            f"{table.path} has ids ({found['id1']}, {found['id2']}), but there is no FASTA file with "
            "their sequences. Put one beside it (.fa, .fasta, .fna, .ffn; plain or .gz), or name it in "
            "data.sequences."
        )
    first, second, label = (str(found[role]) for role in (*pair, "label"))
    if len({first, second, label}) < 3:
        raise DnapairError(
            f"{table.path}: {', '.join(pair)} and label must be three columns, not {first}, {second} and "
            f"{label}. See data.columns."
        )
    return Roles(first, second, label, by_id)


def has_names(fields: Sequence[str]) -> bool:
    """Tell whether the first line of a table to be scored holds names: its first two fields are not DNA."""
    return not (len(fields) >= 2 and all(_DNA.fullmatch(field.strip()) for field in fields[:2]))


def find_sequences(table: Table) -> tuple[str, str]:
    """Find the two columns of sequences in a table to be scored.

    Parameters
    ----------
    table
        Without a header, they are the first and the second.

    Returns
    -------
    tuple of str
        Names of the columns.

    Raises
    ------
    DnapairError
        If one is missing; the message lists the columns there are.
    """
    first, second = _find(table, "seq1", None), _find(table, "seq2", None)
    if first is None or second is None:
        raise _missing(table, [role for role, found in (("seq1", first), ("seq2", second)) if found is None])
    return first, second


def _find(table: Table, role: str, name: str | None) -> str | None:
    if name is not None:
        if name not in table.names:
            raise DnapairError(
                f"{table.path} has no column {name!r} (data.columns.{role}). {_those_there(table)}"
            )
        return name
    if not table.header:
        place = _BY_POSITION[role]
        return table.names[place] if place < len(table.names) else None
    plain = {_plain_name(given): given for given in reversed(table.names)}
    return next((plain[usual] for usual in _USUAL[role] if usual in plain), None)


def _missing(table: Table, roles: list[str]) -> DnapairError:
    looked = "; ".join(f"{role} (also known as {', '.join(_USUAL[role][1:4])}, ...)" for role in roles)
    settings = ", ".join(f"data.columns.{role}" for role in roles)
    return DnapairError(
        f"{table.path} has no column for {looked}. {_those_there(table)} Name the right ones in {settings}. "
        "If this is no pair table, name the one that is in data.pairs."
    )


def _those_there(table: Table) -> str:
    if table.header:
        shown = ", ".join(name if len(name) <= 40 else f"{name[:40]}..." for name in table.names)
        return f"Its columns are: {shown}. (If its first line is a pair already, set data.header: false.)"
    return (
        f"Its columns are: {', '.join(table.names)}. (If its first line holds names, set data.header: true.)"
    )


def _plain_name(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())
