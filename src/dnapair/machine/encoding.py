"""Text is UTF-8, whatever the locale says."""

import io
import os
import sys


def use_utf8() -> None:
    """Make Python, its libraries and what they start take UTF-8 for text, and print whatever a name holds.

    In a locale of another encoding, such as ASCII, the program starts again in Python's UTF-8 mode.
    """
    if sys.getfilesystemencoding() != "utf-8" and os.environ.get("PYTHONUTF8") != "1":
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606
    # a file's name may be no text at all
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
