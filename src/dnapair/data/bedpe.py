"""How places of a genome are written: BEDPE's columns, or `chr:start-end(strand)`."""

import re
from collections.abc import Sequence

BEDPE = (
    *("chrom1", "start1", "end1", "chrom2", "start2", "end2"),
    *("name", "score", "strand1", "strand2"),
)
"""The columns by position; those of the user's own follow."""
LABEL = "label"
CHROMOSOMES = ("chrom1", "chrom2")
REGION = r"^(?P<chrom>.+):(?P<start>\d+)-(?P<end>\d+)(?:\((?P<strand>.?)\))?$"
"""As `bedtools getfasta` names what it cuts out: counted from 0, the end not included."""

_REGION = re.compile(REGION)
_BEDPE_NUMBERS = (1, 2, 4, 5)
_SIDE_NAMES = {
    "chrom": ("chrom#", "chr#", "chromosome#"),
    "start": ("start#", "chromstart#"),
    "end": ("end#", "stop#", "chromend#"),
    "strand": ("strand#",),
}
_JUICER = {"start1": "x1", "end1": "x2", "start2": "y1", "end2": "y2"}


def is_region(value: str) -> bool:
    """Tell whether a field is a place such as ``chr1:100-200(+)``."""
    return bool(_REGION.match(value.strip()))


def is_place_row(fields: Sequence[str]) -> bool:
    """Tell whether the first line of a table is a pair of places already, and no names."""
    return _is_bedpe_row(fields) or sum(map(is_region, fields)) >= 2


def _is_bedpe_row(fields: Sequence[str]) -> bool:
    return len(fields) >= 6 and all(fields[place].strip().isdecimal() for place in _BEDPE_NUMBERS)


def names_by_position(fields: Sequence[str]) -> list[str]:
    """Name the columns of a table without a header by its first line.

    Parameters
    ----------
    fields
        The line's fields.

    Returns
    -------
    list of str
        One for each. Where the line is BEDPE's, its names; ``label`` is the eleventh, or the seventh of
        seven. Empty where nothing is known.
    """
    if not _is_bedpe_row(fields):
        return [""] * len(fields)
    own = [*BEDPE[:6], LABEL] if len(fields) == 7 else [*BEDPE, LABEL]
    return [*own, *[""] * len(fields)][: len(fields)]


def named_by_position(names: Sequence[str]) -> bool:
    """Tell whether the names of a table without a header are BEDPE's."""
    return tuple(names[:6]) == BEDPE[:6]


def bedpe_sides(names: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Find BEDPE's columns by their names.

    Parameters
    ----------
    names
        Of the columns; case, ``#`` and ``_`` do not matter.

    Returns
    -------
    tuple of tuple of str, or None
        Of either side the columns of chromosome, start, end and, where there is one, strand; None where one
        of the others is missing.
    """
    plain = {re.sub("[^a-z0-9]", "", name.lower()): name for name in reversed(names)}
    sides = []
    for number, letter in (("1", "a"), ("2", "b")):
        found = {
            part: next(
                (
                    plain[usual]
                    for usual in (
                        *(name.replace("#", end) for end in (number, letter) for name in usual_names),
                        _JUICER.get(part + number, ""),
                    )
                    if usual in plain
                ),
                None,
            )
            for part, usual_names in _SIDE_NAMES.items()
        }
        *place, strand = found.values()
        if None in place:
            return None
        sides.append(tuple(str(name) for name in (*place, strand) if name is not None))
    return sides[0], sides[1]
