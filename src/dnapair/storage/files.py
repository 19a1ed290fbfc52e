"""Files and folders that appear whole or not at all, and are known again by their hashes."""

import errno
import fcntl
import functools
import hashlib
import json
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from dnapair.errors import DnapairError

SUMS = "SHA256SUMS"
"""The file in a folder that `sha256sum --check` reads."""


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Give a temporary name to write to; the file gets its real name when the block ends well.

    The temporary name is always the same for a file, so what a killed process left is written over.

    Parameters
    ----------
    path
        The file's real name. Its folder is made where it is missing. The temporary name keeps the
        suffix, for writers that choose their format by it.

    Yields
    ------
    Path
        Where to write. It is removed if the block raises.

    Raises
    ------
    DnapairError
        If another process is writing the same file.
    """
    with (
        _folder_for(path),
        scratch_file(path.with_name(f".{path.stem}.tmp{path.suffix}"), path) as temporary,
    ):
        yield temporary
        _sync(temporary)
        temporary.replace(path)
    _sync_folder(path.parent)


@contextmanager
def scratch_file(path: Path, output: Path) -> Iterator[Path]:
    """Give a file that is removed when the block ends; what a killed process left is written over.

    Parameters
    ----------
    path
        The file; its folder is there.
    output
        What it helps to write: named if another process is at it.

    Yields
    ------
    Path
        The file.

    Raises
    ------
    DnapairError
        If another process has the same file.
    """
    with _opened(path, os.O_RDWR | os.O_CREAT) as descriptor, _lock_for(descriptor, output):
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder to fill; it takes the place of ``path`` when the block ends well.

    What was there before is moved away first: a kill between the two leaves no folder, never half of one,
    and the next call puts the earlier one back before its block begins.

    Raises
    ------
    DnapairError
        If another process is writing the same folder.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    replaced = path.with_name(f".{path.name}.old.tmp")
    with ExitStack() as held:
        held.enter_context(_folder_for(path))
        temporary.mkdir(exist_ok=True)
        held.enter_context(_lock_for(held.enter_context(_opened(temporary, os.O_RDONLY)), path))
        try:
            # what a killed process left
            for leftover in temporary.iterdir():
                _remove(leftover)
            if replaced.exists() and not path.exists():
                replaced.replace(path)
            yield temporary
            for written in sorted(temporary.rglob("*")):
                _sync(written)
            if path.exists():
                _remove(replaced)
                path.replace(replaced)
            temporary.replace(path)
            _sync_folder(path.parent)
            _remove(replaced)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def check_place(path: Path, name: str, *, folder: bool = False) -> None:
    """Refuse a place where nothing can be written, before the work for it begins; nothing is left there.

    Parameters
    ----------
    path
        Of the output.
    name
        What the user calls it: ``--output``.
    folder
        Whether it is to be a folder.

    Raises
    ------
    DnapairError
        If it is a folder and should be a file, lies below a file, may not be written, or has too long a name.
    """
    # as long as any temporary name
    trial = path.parent / f".{path.name}.trial.tmp"
    try:
        if path.is_dir() and not folder:
            raise DnapairError(f"{name} {path} is a folder. Name a file, there or elsewhere.")
        with _folder_for(path, stays=False):
            trial.touch()
            trial.unlink()
    except OSError as error:
        above = next((place for place in path.parents if os.path.lexists(place)), path)
        if error.errno == errno.ENAMETOOLONG:
            cause = "the name is too long"
        elif not above.is_dir():
            cause = f"{above} is no folder"
        else:
            cause = f"{error.strerror} in {above}"
        raise DnapairError(f"{name} {path} can't be written: {cause}. Name another place.") from None


@contextmanager
def lock(path: Path, task: str) -> Iterator[bool]:
    """Keep all other processes from the same task until the block ends, however this process ends.

    Parameters
    ----------
    path
        The lock's file; it stays.
    task
        What is done, for the message: ``writing to artifacts/embeddings``.

    Yields
    ------
    bool
        Whether processes of all machines are kept away; False, and said, where the file system has no locks.

    Raises
    ------
    DnapairError
        If another process is at it.
    """
    with _folder_for(path), path.open("a+", encoding="utf-8") as file, ExitStack() as held:
        try:
            everywhere = held.enter_context(_locked(file.fileno(), path))
        except BlockingIOError:
            file.seek(0)
            raise DnapairError(
                f"Process {file.read().strip() or '?'} is {task}. Wait for it, or end it (it may live on "
                "when what started it is killed), then run the same command again."
            ) from None
        if not everywhere:
            _tell_of_no_locks(path.parent)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield everywhere


def write_json(path: Path, content: Any) -> None:
    """Write JSON that people can read and git can compare: indented, in the order given."""
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    with atomic_file(path) as temporary:
        # what a file's name holds that is no text becomes an escape of JSON
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object that :func:`write_json` wrote.

    Returns
    -------
    dict
        To ask it, or an object in it, for a key that it lacks is a DnapairError too, and no KeyError: another
        version of dnapair may have written the file.

    Raises
    ------
    DnapairError
        If the file holds something else. One that is missing is a FileNotFoundError, as for any file.
    """
    try:
        content = json.loads(
            path.read_text(encoding="utf-8"), object_hook=lambda found: _Written(found, path)
        )
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise DnapairError(f"{path} is damaged, or no JSON object. Make it again: rm {path} && dvc repro")
    return content


class _Written(dict[str, Any]):
    """An object in a JSON file, which names the file where a key is missing."""

    def __init__(self, content: dict[str, Any], path: Path) -> None:
        super().__init__(content)
        self._path = path

    def __missing__(self, key: str) -> NoReturn:
        raise DnapairError(
            f"{self._path} has no {key!r}: another version of dnapair wrote it, or it is damaged. "
            f"Make it again: rm {self._path} && dvc repro"
        )


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_sums(folder: Path, but: str = SUMS) -> None:
    """Write the SHA-256 of every file in a folder, but those of one name, into its SHA256SUMS."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in (SUMS, but))
    lines = [f"{sha256(path)}  {path.relative_to(folder).as_posix()}\n" for path in files]
    with atomic_file(folder / SUMS) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")


def check_sums(folder: Path, remedy: str) -> None:
    """Hash every file that a folder's SHA256SUMS names.

    Parameters
    ----------
    folder
        Filled by :func:`write_sums`.
    remedy
        The end of the message: how to have the folder made again.

    Raises
    ------
    FileNotFoundError
        If there is no SHA256SUMS.
    DnapairError
        If a file is missing, truncated or changed.
    """
    for line in (folder / SUMS).read_text(encoding="utf-8", errors="replace").splitlines():
        expected, _, name = line.partition("  ")
        path = folder / name
        if len(expected) != 64 or not name:
            raise DnapairError(f"{folder / SUMS} is damaged. {remedy}")
        if not path.is_file():
            raise DnapairError(f"{path} is missing, though {SUMS} beside it names it. {remedy}")
        if sha256(path) != expected:
            raise DnapairError(
                f"{path} is truncated or changed: its SHA-256 is not the one in {SUMS} beside it. {remedy}"
            )


@contextmanager
def _folder_for(path: Path, *, stays: bool = True) -> Iterator[None]:
    """Make the folders above a path; the new ones go again if the block raises and they are empty."""
    missing = [place for place in path.parents if not place.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        stays = False
        raise
    finally:
        for place in () if stays else missing:
            with suppress(OSError):
                place.rmdir()


@contextmanager
def _opened(path: Path, how: int) -> Iterator[int]:
    descriptor = os.open(path, how, 0o666)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _lock_for(descriptor: int, path: Path) -> Iterator[None]:
    with ExitStack() as held:
        try:
            held.enter_context(_locked(descriptor, path))
        except BlockingIOError:
            raise DnapairError(
                f"Another process is writing {path}. Wait for it, then run the same command again."
            ) from None
        yield


@contextmanager
def _locked(descriptor: int, path: Path) -> Iterator[bool]:
    """Hold a lock until the block ends, or this process; yield whether processes of other machines see it.

    Raises
    ------
    BlockingIOError
        If another process has it.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    # a file system without locks, such as NFS for folders
    except OSError:
        with socket.socket(socket.AF_UNIX) as name:
            # a name in Linux's memory: nothing on any disk, and gone with this process
            if sys.platform == "linux":
                place = hashlib.sha256(os.fsencode(path.parent.resolve() / path.name)).hexdigest()
                try:
                    name.bind(f"\0dnapair-{place}")
                except OSError:
                    raise BlockingIOError from None
            yield False
    else:
        yield True


@functools.cache
def _tell_of_no_locks(folder: Path) -> None:
    print(
        f"dnapair: the file system of {folder} has no locks: two commands on it are kept apart on this "
        "machine, not on two. Run one at a time.",
        file=sys.stderr,
    )


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(path: Path) -> None:
    # the new name must be on the disk too; some file systems can't be asked for it
    with suppress(OSError):
        _sync(path)
