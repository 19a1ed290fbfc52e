"""The one error that dnapair raises for a user's mistake."""


class DnapairError(Exception):
    """Something the user can mend.

    The message says what is wrong, where (file, line, column, record) and how to fix it.
    The command line prints it without a traceback and exits with 1.
    """
