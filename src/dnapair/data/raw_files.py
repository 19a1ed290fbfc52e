"""A user's files, found by their names. A name never leads out of the data's folder."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from dnapair.data.opening import check_file, is_utf8, open_raw, unpacked_name, zip_member
from dnapair.errors import DnapairError

EXAMPLES = 5
"""How many of the rows at fault a message shows."""

FASTA_SUFFIXES = frozenset({".fa", ".fasta", ".fna", ".ffn"})
TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".txt", ".bedpe", ".parquet"})
_NOT_DATA = re.compile("readme|licen[cs]e|copying|notice|citation|changelog|requirements", re.IGNORECASE)
_DVC_CACHE = re.compile(r"/files/md5/[0-9a-f]{2}/[0-9a-f]{30}$")
"""How the path of a file in a DVC cache ends: `cache.type symlink` makes links to it."""

PACKINGS = ".gz, .bz2, .xz, .zst or .zip"


class RawFiles(NamedTuple):
    """The files of a data set, each kind sorted by name.

    Attributes
    ----------
    folder : Path
        Where they are.
    tables, fastas, others : list of Path
        Pair tables, FASTA files, and all else.
    """

    folder: Path
    tables: list[Path]
    fastas: list[Path]
    others: list[Path]


def find_files(
    path: Path, tables: Sequence[str] | None = None, fastas: Sequence[str] | None = None
) -> RawFiles:
    """Find the pair tables and FASTA files of a data set.

    Parameters
    ----------
    path
        A folder, or one file.
    tables, fastas
        Names inside the folder; None: every file with a suffix of :data:`TABLE_SUFFIXES` or
        :data:`FASTA_SUFFIXES`, read-me files and hidden ones apart. One file alone needs no suffix.

    Returns
    -------
    RawFiles
        At least one table.

    Raises
    ------
    DnapairError
        If the path or a named file is not there, there is no table, or a name or a link leads out of the
        folder.
    """
    if not path.exists():
        raise DnapairError(
            f"{path} (data.path) is not there. Name a folder or a file, or bring one: `dnapair use WHERE`."
        )
    folder = path if path.is_dir() else path.parent
    kinds = (
        {file: _kind(file) for file in sorted(_visible_files(path))}
        if path.is_dir()
        else {path: _only_kind(path)}
    )
    chosen_tables = _choose(
        folder, tables, "data.pairs", [file for file, kind in kinds.items() if kind == "table"]
    )
    chosen_fastas = _choose(
        folder, fastas, "data.sequences", [file for file, kind in kinds.items() if kind == "fasta"]
    )
    if not chosen_tables:
        there = ", ".join(file.relative_to(folder).as_posix() for file in kinds) or "nothing"
        unread = "".join(f"\n{said}" for said in filter(None, map(_unread, islice(kinds, EXAMPLES))))
        raise DnapairError(
            f"{path} has no pair table: no file that ends in {', '.join(sorted(TABLE_SUFFIXES))}, or in one "
            f"of these and {PACKINGS}. There is: {there}. Name the table in data.pairs.{unread}"
        )
    used = {*chosen_tables, *chosen_fastas}
    for file in used:
        _check_name(file)
    return RawFiles(folder, chosen_tables, chosen_fastas, [file for file in kinds if file not in used])


def fasta_files(path: Path, setting: str) -> list[Path]:
    """Find the FASTA files that a setting names.

    Parameters
    ----------
    path
        One file, of any name, or a folder.
    setting
        The setting's name, for messages.

    Returns
    -------
    list of Path
        At least one, sorted by name.

    Raises
    ------
    DnapairError
        If the path is not there, or the folder has no FASTA file.
    """
    if not path.exists():
        raise DnapairError(f"{path} ({setting}) is not there. Name a FASTA file, or a folder of them.")
    if not path.is_dir():
        check_file(path)
        return [path]
    found = [file for file in sorted(_visible_files(path)) if _kind(file) == "fasta"]
    if not found:
        raise DnapairError(
            f"{path} ({setting}) has no FASTA file: none ends in {', '.join(sorted(FASTA_SUFFIXES))}, or in "
            f"one of these and {PACKINGS}."
        )
    return found


def _visible_files(folder: Path) -> Iterator[Path]:
    for file in folder.rglob("*"):
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(folder).parts):
            _check_inside(file, folder)
            yield file


def _check_inside(file: Path, folder: Path) -> None:
    # the folder itself may be a link: that is the user's own word, what lies in it is not
    target = file.resolve()
    if not (target.is_relative_to(folder.resolve()) or _DVC_CACHE.search(target.as_posix())):
        raise DnapairError(
            f"{file} leads out of {folder}, to {target}: it is not read. Put a copy of the file there."
        )


def _check_name(file: Path) -> None:
    # it is written into reports, and DVC can't write it into its own files
    name = os.fsencode(file)
    if not is_utf8(name):
        shown = name.decode("utf-8", "backslashreplace")
        raise DnapairError(f"{shown} has a name that is not UTF-8. Give it another one: mv $'{shown}' NAME")


def _kind(file: Path) -> str:
    names = [unpacked_name(file.name), zip_member(file) if file.suffix.lower() == ".zip" else ""]
    suffixes = {Path(name).suffix.lower() for name in names}
    if suffixes & FASTA_SUFFIXES:
        return "fasta"
    return "table" if suffixes & TABLE_SUFFIXES and not _NOT_DATA.match(file.name) else "other"


def _unread(file: Path) -> str:
    """Say why a file can't be read, whatever its name; nothing where it can."""
    try:
        with open_raw(file):
            return ""
    except DnapairError as error:
        return str(error)


def _only_kind(file: Path) -> str:
    # `dvc import-url` of one file leaves no suffix to go by
    with open_raw(file) as raw:
        return "fasta" if raw.read(1) == b">" else "table"


def _choose(folder: Path, names: Sequence[str] | None, setting: str, found: list[Path]) -> list[Path]:
    if names is None:
        return found
    for name in names:
        if not (folder / name).is_file():
            raise DnapairError(f"{folder / name} is not there, but {setting} names it.")
        _check_inside(folder / name, folder)
    return [folder / name for name in names]


def stem(path: Path) -> str:
    """Return a file's name without its suffix: ``train`` of ``data/train.tsv.gz``."""
    return Path(unpacked_name(path.name)).stem


def listing(examples: Iterable[str], total: int) -> str:
    """Write the first few examples one a line, and how many more there are."""
    shown = list(islice(examples, EXAMPLES))
    more = [f"... and {total - len(shown)} more"] if total > len(shown) else []
    return "\n".join(f"  {line}" for line in [*shown, *more])
