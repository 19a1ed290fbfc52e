"""The genome that a FASTA header names."""

import re
from collections.abc import Callable

from dnapair.errors import DnapairError


def genome_finder(pattern: str, setting: str) -> Callable[[str], str | None]:
    r"""Make the function that finds a genome's name in a header.

    Parameters
    ----------
    pattern
        Regular expression searched in each header; its first group that matched is the name:
        ``genome=(\S+)``.
    setting
        What the pattern is called where the user sets it, for messages.

    Returns
    -------
    callable
        From a header to the name, or to None where it has none.

    Raises
    ------
    DnapairError
        If the pattern is no regular expression, or has no group.
    """
    search = compile_pattern(pattern, setting)
    if not search.groups:
        raise DnapairError(
            f"{setting}: {pattern!r} has no group. Put brackets around the name: genome=(\\S+)"
        )

    def find(header: str) -> str | None:
        match = search.search(header)
        return next((group for group in match.groups() if group), None) if match else None

    return find


def compile_pattern(pattern: str, setting: str) -> "re.Pattern[str]":
    """Compile a user's regular expression; a wrong one is a DnapairError that names the setting."""
    try:
        return re.compile(pattern)
    except re.error as error:
        raise DnapairError(f"{setting}: {pattern!r} is no regular expression: {error}.") from None
