"""Which columns of a pair table are what."""

import re
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from dnapair.data.bedpe import is_place_row
from dnapair.data.detection import id_columns, is_dna, sequence_columns, valued_columns
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
        False where two fields are DNA, or the third is a usual label and none is a usual name.
    """
    if not has_names(fields):
        return False
    if {_plain_name(field) for field in fields} & _ALL_USUAL or {field.strip() for field in fields} & set(
        columns
    ):
        return True
    return not (len(fields) >= 3 and plain_label(fields[2]) in POSITIVE_LABELS | NEGATIVE_LABELS)


def find_roles(
    table: Table,
    columns: ColumnNames,
    known_ids: Callable[[list[str]], Collection[bool]] | None = None,
) -> Roles:
    """Find the columns that make a pair: as the settings say, by their usual names, by what they hold.

    Parameters
    ----------
    table
        Where it has no header and what it holds leaves it open, its columns are first, second and label in
        this order.
    columns
        Names that the settings give.
    known_ids
        Tells of each of some values whether it is the id of a FASTA record; None: there are no records. If
        there are, ids go before sequences.

    Returns
    -------
    Roles
        All different. Columns that were found by what they hold are first and second in the table's order.

    Raises
    ------
    DnapairError
        If a column is missing or several could be it, or there are ids but no FASTA file; the message lists
        the columns there are.
    """
    ids_named = columns.id1 or columns.id2
    sequences_named = columns.seq1 or columns.seq2
    if ids_named and sequences_named:
        raise DnapairError(
            "data.columns names id columns and sequence columns: set just one of the two kinds."
        )
    has_fasta = known_ids is not None
    kinds = ["id", "seq"] if has_fasta else ["seq", "id"]
    if ids_named or sequences_named:
        kinds = ["id"] if ids_named else ["seq"]
    found = {role: _find(table, role, name) for role, name in columns._asdict().items()}
    dna = sequence_columns(table)
    if not columns.label and found["label"] in dna:
        found["label"] = None
    kind = next((kind for kind in kinds if found[f"{kind}1"] and found[f"{kind}2"]), None)
    if kind is None:
        kind = _find_by_content(table, found, kinds, dna, known_ids)
    if kind == "id" and not has_fasta:
        raise DnapairError(
            f"{table.path} has ids ({found['id1']}, {found['id2']}), but there is no FASTA file with "
            "their sequences. Put one beside it (.fa, .fasta, .fna, .ffn; plain or .gz), or name it in "
            "data.sequences."
        )
    first, second = str(found[f"{kind}1"]), str(found[f"{kind}2"])
    label = found["label"] or _find_label(table, (first, second))
    if len({first, second, label}) < 3:
        raise DnapairError(
            f"{table.path}: {kind}1, {kind}2 and label must be three columns, not {first}, {second} and "
            f"{label}. See data.columns."
        )
    return Roles(first, second, label, kind == "id")


def _find_by_content(
    table: Table,
    found: dict[str, str | None],
    kinds: list[str],
    dna: list[str],
    known_ids: Callable[[list[str]], Collection[bool]] | None,
) -> str:
    """Complete what was found by what the other columns hold; return the kind of pair that it makes."""
    for kind in kinds:
        ids = id_columns(table, known_ids) if known_ids and kind == "id" else []
        holders = dna if kind == "seq" else ids
        roles = [role for role in (f"{kind}1", f"{kind}2") if not found[role]]
        rest = [name for name in holders if name not in found.values()]
        if not table.header and rest[:2] == table.names[:2]:
            rest = rest[:2]
        if len(rest) > len(roles):
            what = "DNA" if kind == "seq" else "ids of the FASTA records"
            raise DnapairError(
                f"{table.path}: {len(rest)} columns hold {what}, and {len(roles)} can be of the pair: "
                f"{', '.join(rest)}. Name the right ones in {_settings(roles)}."
            )
        if len(rest) == len(roles):
            found |= dict(zip(roles, rest, strict=True))
            return kind
    kind = kinds[0]
    roles = [role for role in (f"{kind}1", f"{kind}2") if not found[role]]
    if table.header or len(table.names) < 3:
        raise _missing(table, roles)
    found |= {role: _by_position(table, role) for role in roles}
    return kind


def find_label(table: Table, named: str | None, others: Collection[str]) -> str:
    """Find the column of labels: as the settings name it, by its usual names, by what it holds.

    Parameters
    ----------
    table
        The table.
    named
        The name that the settings give; None: none.
    others
        Columns that are something else.

    Raises
    ------
    DnapairError
        If it is missing, or several columns could be it; the message lists the columns there are.
    """
    return _find(table, "label", named) or _find_label(table, others)


def _find_label(table: Table, pair: Collection[str]) -> str:
    if not table.header and len(table.names) > 2 and table.names[2] not in pair:
        return table.names[2]
    holders = [name for name in valued_columns(table, _is_positive) if name not in pair]
    if not holders:
        raise _missing(table, ["label"])
    if len(holders) > 1:
        raise DnapairError(
            f"{table.path}: {len(holders)} columns hold two labels, and one can be the label: "
            f"{', '.join(holders)}. Name the right one in data.columns.label."
        )
    return holders[0]


def _is_positive(value: str) -> bool | None:
    plain = plain_label(value)
    return True if plain in POSITIVE_LABELS else False if plain in NEGATIVE_LABELS else None


def usual_name(table: Table, role: str) -> str | None:
    """Return the column that has one of a role's usual names, or None."""
    plain = {_plain_name(given): given for given in reversed(table.names)} if table.header else {}
    return next((plain[usual] for usual in _USUAL[role] if usual in plain), None)


def has_names(fields: Sequence[str]) -> bool:
    """Tell whether the first line of a table holds names: no two of its fields are DNA or places."""
    return sum(map(is_dna, fields)) < 2 and not is_place_row(fields)


def _find(table: Table, role: str, name: str | None) -> str | None:
    if name is None:
        return usual_name(table, role)
    if name not in table.names:
        raise DnapairError(
            f"{table.path} has no column {name!r} (data.columns.{role}). {_those_there(table)}"
        )
    return name


def _by_position(table: Table, role: str) -> str | None:
    place = _BY_POSITION[role]
    return table.names[place] if place < len(table.names) else None


def also_known(role: str) -> str:
    """Write a role with some of its other usual names."""
    return f"{role} (also known as {', '.join(_USUAL[role][1:4])}, ...)"


def list_columns(table: Table) -> str:
    """Write which columns there are."""
    shown = ", ".join(name if len(name) <= 40 else f"{name[:40]}..." for name in table.names)
    return f"Its columns are: {shown}."


def _missing(table: Table, roles: list[str]) -> DnapairError:
    looked = "; ".join(map(also_known, roles))
    return DnapairError(
        f"{table.path} has no column for {looked}, and what the columns hold does not tell. "
        f"{_those_there(table)} Name the right ones in {_settings(roles)}. If this is no pair table, name "
        "the one that is in data.pairs."
    )


def _settings(roles: list[str]) -> str:
    return ", ".join(f"data.columns.{role}" for role in roles)


def _those_there(table: Table) -> str:
    wrong, other = ("is a pair already", "false") if table.header else ("holds names", "true")
    return f"{list_columns(table)} (If its first line {wrong}, set data.header: {other}.)"


def _plain_name(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())
