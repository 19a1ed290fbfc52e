"""The one error that dnapair raises for a user's mistake, and how it quotes others."""


class DnapairError(Exception):
    """Something the user can mend.

    The message says what is wrong, where (file, line, column, record) and how to fix it.
    The command line prints it without a traceback and exits with 1.
    """


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, with a full stop; its type where it says nothing."""
    line = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return line if line.endswith(".") else f"{line}."
