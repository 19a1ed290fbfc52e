"""The one error that dnapair raises for a user's mistake, and what a user is shown of any error."""

import errno
from collections.abc import Iterable

LONGEST_LINE = 2000
"""Letters of one line of a message."""

_PLACE = {errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.ELOOP}
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}


class DnapairError(Exception):
    """Something the user can mend.

    The message says what is wrong, where (file, line, column, record) and how to fix it.
    The command line prints it without a traceback and exits with 1.
    """


def message(error: Exception) -> str | None:
    """Say what can be done about an error.

    Returns
    -------
    str or None
        None for what is not the user's to mend: a fault in the code, whose traceback is wanted.
    """
    if isinstance(error, DnapairError):
        return str(error)
    if isinstance(error, FileNotFoundError):
        # pyarrow gives the path as the message, everyone else as the filename
        path = str(error.filename or error)
        if path.startswith(("artifacts/", "reports/")):
            return f"{path} is missing. The stage that writes it comes first: dvc repro"
        return None
    if isinstance(error, ModuleNotFoundError):
        from importlib.util import find_spec

        package = (error.name or "").partition(".")[0]
        # one that lacks a module is a fault in the code
        if package and find_spec(package) is None:
            return (
                f"{package} is not installed here, and this command needs it: install all packages of "
                "dnapair's requirements.txt. An image that only serves has not all of them."
            )
        return None
    if isinstance(error, OSError) and error.errno in _PLACE:
        return f"{error.strerror}: {error.filename}. Give another path."
    if isinstance(error, OSError) and error.errno in _DISK:
        where = f" ({error.filename})" if error.filename else ""
        return (
            f"{error.strerror}{where}. Make room or give access, then run the same command again: "
            "what was finished is kept, nothing is left half-written."
        )
    return None


def similar(word: str, known: Iterable[str]) -> str:
    """Ask whether a word that is not known was meant to be one that is, for the end of a message.

    Returns
    -------
    str
        Begins with a space; empty where none is like it.
    """
    from difflib import get_close_matches

    return "".join(f" Did you mean {near}?" for near in get_close_matches(word, known, 1))


def printable(text: str) -> str:
    """Write a message so that names from the data can't fill or steer the terminal it is shown on."""
    lines = []
    for line in text.split("\n"):
        shown = "".join(
            letter if letter.isprintable() or letter == "\t" else f"\\x{ord(letter):02x}" for letter in line
        )
        lines.append(shown if len(shown) <= LONGEST_LINE else f"{shown[:LONGEST_LINE]} ...")
    return "\n".join(lines)


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, with a full stop; its type where it says nothing."""
    line = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return line if line.endswith(".") else f"{line}."
