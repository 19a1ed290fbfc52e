"""What comes through a pipe, as a file for as long as it is needed: tables are read more than once."""

import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dnapair.data.opening import check_file
from dnapair.errors import DnapairError
from dnapair.storage.files import scratch_file

_DESCRIPTOR = re.compile(r"-|/dev/stdin|(?:/dev|/proc/self)/fd/(\d+)")
_BUFFER = 2**20


@contextmanager
def spooled(path: Path, output: Path | None) -> Iterator[Path]:
    """Give a file in place of a pipe, and any other path as it is.

    Parameters
    ----------
    path
        A file; a named pipe; or what a shell gives to the command: ``-`` or ``/dev/stdin`` for its input,
        ``/dev/fd/63`` for ``<(...)``.
    output
        The pipe's content is kept beside it; None: where the system keeps temporary files.

    Yields
    ------
    Path
        The file. In the messages of errors, the pipe has its own name.

    Raises
    ------
    DnapairError
        If there is no such file or pipe, or another process writes to the output.
    """
    found = _DESCRIPTOR.fullmatch(str(path))
    if not found and not (path.exists() and stat.S_ISFIFO(path.stat().st_mode)):
        check_file(path)
        yield path
        return
    descriptor = _duplicate(path, int(found[1] or 0)) if found else os.open(path, os.O_RDONLY)
    with os.fdopen(descriptor, "rb", buffering=0) as pipe, _beside(output) as file:
        with file.open("wb") as spool:
            shutil.copyfileobj(pipe, spool, _BUFFER)
        try:
            yield file
        except DnapairError as error:
            raise DnapairError(str(error).replace(str(file), str(path))) from None


def _duplicate(path: Path, descriptor: int) -> int:
    try:
        own = os.dup(descriptor)
    except OSError:
        raise DnapairError(f"{path} is not there: nothing is given to the command through it.") from None
    mode = os.fstat(own).st_mode
    if stat.S_ISREG(mode) or stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
        return own
    os.close(own)
    raise DnapairError(f"{path} is no pipe or file. Name a file, or pipe a table into the command.")


@contextmanager
def _beside(output: Path | None) -> Iterator[Path]:
    if output is None:
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary, "input")
        return
    # its own folder may have to be made yet, which is not done for a table that can't be read
    folder = next(parent for parent in output.absolute().parents if parent.is_dir())
    with scratch_file(folder / f".{output.name}.input", output) as file:
        yield file
