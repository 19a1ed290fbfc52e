"""How trouble with the tracking store is told."""

import re


class StoreError(Exception):
    """The tracking store did not do what it was asked to do, as another process says.

    Parameters
    ----------
    words
        The reason.
    error_code
        MLflow's own name of it, if any.
    """

    def __init__(self, words: str, error_code: str | None = None) -> None:
        super().__init__(words)
        self.error_code = error_code


def reason(error: Exception) -> str:
    """Return an error's first line that says anything, without the user and password of an address in it."""
    # SQLAlchemy begins with a hint for programmers
    lines = [line for line in str(error).strip().splitlines() if not line.startswith("(raised as a result")]
    words = without_user(lines[0] if lines else type(error).__name__)
    return words if words.endswith(".") else words + "."


def without_user(words: str) -> str:
    """Leave out the user and the password that an address may hold."""
    return re.sub(r"(?<=://)[^/@\s]*@", "", words)
