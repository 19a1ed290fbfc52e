"""A user whom the machine does not know by name, or who has no home: so are those of many containers."""

import functools
import getpass
import os
import tempfile
from pathlib import Path


@functools.cache
def missing_variables() -> dict[str, str]:
    """Return what the environment lacks for libraries that ask who the user is and where at home.

    Returns
    -------
    dict of str to str
        Empty for most users. A home that can't be used gives way to a folder of the user's own among the
        temporary files; one that can only be read stays, for the settings in it.
    """
    found = {}
    try:
        getpass.getuser()
    except (KeyError, OSError):
        found["USER"] = str(os.getuid())
    # as it is without HOME, where the machine does not know the user
    home = os.path.expanduser("~")  # noqa: PTH111 - pathlib raises here
    if not os.access(home, os.R_OK | os.X_OK):
        found["HOME"] = str(_own_folder())
    elif not os.access(home, os.W_OK):
        for name, folder in (("MPLCONFIGDIR", "matplotlib"), ("NUMBA_CACHE_DIR", "numba")):
            if name not in os.environ:
                found[name] = str(_own_folder() / folder)
    return found


def _own_folder() -> Path:
    """Make the user's folder among the temporary files; a new one, where someone else has taken its name."""
    folder = Path(tempfile.gettempdir(), f"dnapair-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if found.st_uid == os.getuid() and not found.st_mode & 0o077 and not folder.is_symlink():
        return folder
    return Path(tempfile.mkdtemp(prefix=f"dnapair-{os.getuid()}-"))
