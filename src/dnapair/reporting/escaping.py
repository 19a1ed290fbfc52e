"""Text from the data, made inert where programs would act on it: Markdown pages and spreadsheets."""

import html
import re

_MARKDOWN = re.compile(r"([\\`*_\[\]|~#!$@]|(?<=www)\.|:(?=//))", re.IGNORECASE)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
LONGEST = 100
"""Letters of one piece of text in a Markdown page."""


def markdown(words: str, longest: int = LONGEST) -> str:
    """Write text so that Markdown shows it as it is: no HTML, link, picture, heading or second cell.

    Parameters
    ----------
    words
        Any text.
    longest
        The most letters that are kept of it.

    Returns
    -------
    str
        One line.
    """
    plain = " ".join("".join(letter if letter.isprintable() else " " for letter in words).split())
    if len(plain) > longest:
        plain = plain[: longest - 3] + "..."
    return _MARKDOWN.sub(r"\\\1", html.escape(plain, quote=False))


def cell(text: str) -> str:
    """Write text so that no spreadsheet takes it for a formula: an apostrophe goes before one.

    Source: OWASP, "CSV Injection".
    """
    return f"'{text}" if text.startswith(_FORMULA) else text
