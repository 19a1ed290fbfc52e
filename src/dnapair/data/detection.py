"""What the columns of a pair table hold, told by their values."""

import re
from collections.abc import Callable, Collection
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dnapair.data.bedpe import is_region
from dnapair.data.tables import Table

_SAMPLE = 1000
_MOSTLY = 0.95
"""Share of a column's values that make it one of DNA: a faulty row is told of with its line later."""
_DNA = re.compile("[ACGTURYSWKMBDHVN ]{6,}", re.IGNORECASE)
_CERTAIN_DNA = 0.8
"""Share of the four bases: the other letters that may stand in DNA are those of proteins too."""


def is_dna(value: str) -> bool:
    """Tell whether a field holds a sequence of at least six bases, plain or as k-mers."""
    plain = value.strip().upper()
    if not _DNA.fullmatch(plain):
        return False
    letters = plain.replace(" ", "")
    return sum(letters.count(base) for base in "ACGTU") >= max(6, _CERTAIN_DNA * len(letters))


def sequence_columns(table: Table) -> list[str]:
    """Find the columns that hold DNA, by a table's first rows; in the table's order."""
    return _columns(table, lambda values: _share(values, is_dna) >= _MOSTLY)


def region_columns(table: Table) -> list[str]:
    """Find the columns that hold places such as ``chr1:100-200(+)``, by a table's first rows; in order."""
    return _columns(table, lambda values: _share(values, is_region) >= _MOSTLY)


def id_columns(table: Table, known: Callable[[list[str]], Collection[bool]]) -> list[str]:
    """Find the columns that hold ids, by a table's first rows; in the table's order.

    Parameters
    ----------
    table
        The table.
    known
        Tells of each of some values whether it is an id.
    """

    def holds_ids(values: list[str]) -> bool:
        filled = [value.strip() for value in values if value.strip()]
        return bool(filled) and sum(known(filled)) >= _MOSTLY * len(filled)

    return _columns(table, holds_ids)


def valued_columns(table: Table, meaning: Callable[[str], object]) -> list[str]:
    """Find the columns whose every value has a meaning, and that have more than one of these.

    Parameters
    ----------
    table
        It is read until each column is settled: at worst to its end, where a column is constant.
    meaning
        Of a value; None: it has none.

    Returns
    -------
    list of str
        Their names, in the table's order.
    """
    meanings: dict[str, set[object]] = {name: set() for name in _plain_columns(table)}
    for batch in table.batches(list(meanings)) if meanings else ():
        for name in list(meanings):
            meanings[name] |= {meaning(value) for value in pc.unique(batch[name]).to_pylist()}
            if None in meanings[name]:
                del meanings[name]
        if all(len(found) > 1 for found in meanings.values()):
            # the rest may still hold a value of no meaning: whoever reads it names the line
            break
    return [name for name, found in meanings.items() if len(found) > 1]


def _columns(table: Table, holds: Callable[[list[str]], bool]) -> list[str]:
    names = _plain_columns(table)
    batches: Any = table.batches(names) if names else iter(())
    sample = next(batches, None)
    return [name for name in names if sample and holds(sample[name].slice(0, _SAMPLE).to_pylist())]


def _plain_columns(table: Table) -> list[str]:
    """Return the columns of text and numbers: lists, blobs and dates of a Parquet file are none of a pair."""
    types = dict(zip(table.schema.names, table.schema.types, strict=True))
    # what is not in the file is made of its places, and text
    return [name for name in table.names if name not in types or _is_plain(types[name])]


def _is_plain(kind: Any) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    plain = (pa.types.is_string, pa.types.is_large_string, pa.types.is_integer, pa.types.is_floating)
    return pa.types.is_boolean(kind) or any(is_one(kind) for is_one in plain)


def _share(values: list[str], is_one: Callable[[str], bool]) -> float:
    filled = [value for value in values if value.strip()]
    return sum(map(is_one, filled)) / len(filled) if filled else 0.0
