"""Whether this folder is one that DVC works in, and whose name its commits bear."""

import configparser
import getpass
import os
import socket
import subprocess
from pathlib import Path

from dnapair.errors import DnapairError

_CONFIGURATIONS = (".dvc/config", ".dvc/config.local")


def check_repository() -> None:
    """Make sure that DVC finds the git repository that it asks for, or was told to do without.

    Raises
    ------
    DnapairError
        If it does not, as where the project was unpacked from an archive.
    """
    if not Path(".dvc").is_dir():
        raise DnapairError(
            f"{Path.cwd()} is no dnapair project: there is no folder .dvc. Go to where the project is (cd)."
        )
    here = Path.cwd()
    if any((folder / ".git").exists() for folder in (here, *here.parents)):
        return
    settings = configparser.ConfigParser(strict=False)
    try:
        settings.read(_CONFIGURATIONS, encoding="utf-8")
        without = settings.getboolean("core", "no_scm", fallback=False)
    except (configparser.Error, ValueError):
        # DVC says what is wrong in it
        return
    if not without:
        raise DnapairError(
            "This folder is not in a git repository, and DVC was not told to do without one. Make one: git "
            "init; git add -A; git commit -m 'First'. Or do without (no `dvc exp run`): dvc config --local "
            "core.no_scm true"
        )


def missing_signature() -> dict[str, str]:
    """Return the variables by which DVC signs an experiment's commit where git was never told who commits.

    Returns
    -------
    dict of str to str
        Empty where git knows, or there is no git.
    """
    user = getpass.getuser()
    found: dict[str, str] = {}
    for part, own in (("name", user), ("email", f"{user}@{socket.gethostname()}")):
        try:
            known = subprocess.run(["git", "config", f"user.{part}"], capture_output=True, check=False)
        except OSError:
            return {}
        if not known.stdout.strip():
            names = (f"GIT_AUTHOR_{part.upper()}", f"GIT_COMMITTER_{part.upper()}")
            found |= {name: own for name in names if name not in os.environ}
    return found
