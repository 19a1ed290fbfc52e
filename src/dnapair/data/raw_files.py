"""Files as users have them: found by their names; plain or gz, with or without a byte order mark.

What they hold is not to be trusted: a name never leads out of the data's folder, and reading never takes
more memory than its longest line or record may have.
"""

import codecs
import gzip
import io
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice, takewhile
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from dnapair.errors import DnapairError

EXAMPLES = 5
"""How many of the rows at fault a message shows."""

FASTA_SUFFIXES = frozenset({".fa", ".fasta", ".fna", ".ffn"})
TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".txt", ".bedpe", ".parquet"})
_NOT_DATA = re.compile("readme|licen[cs]e|copying|notice|citation|changelog|requirements", re.IGNORECASE)
GZIP_MAGIC = b"\x1f\x8b"
_DVC_CACHE = re.compile(r"/files/md5/[0-9a-f]{2}/[0-9a-f]{30}$")
"""How the path of a file in a DVC cache ends: `cache.type symlink` makes links to it."""

LONGEST_LINE = 2**25
"""Bytes of a table's line: two sequences of 16 million bases, or of 2.4 million as 6-mers."""
LONGEST_RECORD = 2**28
"""Bytes of a FASTA record, header and line ends included: human chromosome 1 has 253 million."""
MOST_LINES = 2**24
"""Of a FASTA record: each takes some 60 bytes of memory, however short it is."""
MOST_UNPACKED = 200
"""Times its packed size that a gz file may unpack to, beyond :data:`_FREELY_UNPACKED` bytes. DNA: 3 to 5."""
_FREELY_UNPACKED = 2**30
_CHUNK = 2**17


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
        raise DnapairError(
            f"{path} has no pair table: no file that ends in {', '.join(sorted(TABLE_SUFFIXES))}, or in one "
            f"of these and .gz. There is: {there}. Name the table in data.pairs."
        )
    used = {*chosen_tables, *chosen_fastas}
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
    if path.is_file():
        return [path]
    found = [file for file in sorted(_visible_files(path)) if _kind(file) == "fasta"]
    if not found:
        raise DnapairError(
            f"{path} ({setting}) has no FASTA file: none ends in {', '.join(sorted(FASTA_SUFFIXES))}, or in "
            "one of these and .gz."
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


def _kind(file: Path) -> str:
    suffix = Path(re.sub(r"\.gz$", "", file.name.lower())).suffix
    if suffix in FASTA_SUFFIXES:
        return "fasta"
    return "table" if suffix in TABLE_SUFFIXES and not _NOT_DATA.match(file.name) else "other"


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
    return Path(re.sub(r"\.gz$", "", path.name, flags=re.IGNORECASE)).stem


def is_gzip(path: Path) -> bool:
    """Tell whether a file is gz, by its name or by its first two bytes."""
    if path.suffix.lower() == ".gz":
        return True
    with path.open("rb") as file:
        return file.read(2) == GZIP_MAGIC


@contextmanager
def open_raw(path: Path, mark: bytes = b"\n", longest: int = LONGEST_LINE) -> Iterator[BinaryIO]:
    """Open a plain or gz file for reading bytes, past a UTF-8 byte order mark.

    Parameters
    ----------
    path
        The file.
    mark, longest
        What its parts begin or end with, one byte or two, and the most bytes of a part.

    Yields
    ------
    BinaryIO
        Its bytes, unpacked.

    Raises
    ------
    DnapairError
        If, while it is read, the gz data turns out to be truncated or damaged, or unpacks to absurdly much,
        or a part turns out to be too long.
    """
    try:
        with (
            path.open("rb") as packed,
            io.BufferedReader(_Bounded(path, packed, mark, longest), _CHUNK) as file,
        ):
            if file.peek(3)[:3] == codecs.BOM_UTF8:
                file.read(3)
            yield cast(BinaryIO, file)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        reason = str(error).rstrip(".")
        raise DnapairError(f"{path} is damaged gz data: {reason}. Copy or download it again.") from None


class _Bounded(io.RawIOBase):
    """A file's bytes, unpacked, that ends with an error where a reader's memory or disk would not."""

    def __init__(self, path: Path, packed: BinaryIO, mark: bytes, longest: int) -> None:
        self._path = path
        self._packed = packed
        self._bytes = cast(BinaryIO, gzip.GzipFile(fileobj=packed)) if is_gzip(path) else packed
        self._mark, self._longest = mark, longest
        self._unpacked = self._open = self._lines = self._parts = 0
        self._last = b""

    def readable(self) -> bool:
        return True

    def readinto(self, room: Any) -> int:
        content = self._bytes.read(min(len(room), _CHUNK))
        if self._bytes is not self._packed:
            self._check_ratio(len(content))
        self._check_part(self._last + content)
        # a mark of two bytes may lie across two reads
        self._last = content[len(content) - len(self._mark) + 1 :]
        room[: len(content)] = content
        return len(content)

    def _check_part(self, content: bytes) -> None:
        first, last = content.find(self._mark), content.rfind(self._mark)
        reached = self._open + (first if first >= 0 else len(content))
        if reached > self._longest or self._lines > MOST_LINES:
            what = "line" if self._mark == b"\n" else "record"
            lines = f" or has more than {MOST_LINES:,} lines" if what == "record" else ""
            raise DnapairError(
                f"{self._path}, {what} {self._parts + 1}: it is longer than {self._longest:,} bytes{lines}, "
                f"the most that dnapair reads of a {what}. Is this the right file? If so, cut the sequence."
            )
        self._parts += content.count(self._mark)
        if last >= 0:
            self._open = self._lines = 0
            content = content[last:]
        self._open += len(content)
        if len(self._mark) > 1:
            self._lines += content.count(b"\n")

    def _check_ratio(self, more: int) -> None:
        self._unpacked += more
        allowed = max(_FREELY_UNPACKED, MOST_UNPACKED * self._packed.tell())
        if self._unpacked > allowed:
            raise DnapairError(
                f"{self._path} unpacks to more than {MOST_UNPACKED} times its size, as a file does that is "
                "made to fill a disk. If you trust it, unpack it yourself (gunzip) and give the plain file."
            )


def not_utf8(path: Path) -> DnapairError:
    """Make the error for a text file that could not be decoded, with the line where that begins."""
    # a FASTA's line may be its whole record
    with open_raw(path, longest=LONGEST_RECORD) as file:
        line = 1 + sum(1 for _ in takewhile(_is_utf8, file))
    return DnapairError(
        f"{path}, line {line}: these bytes are not UTF-8 text. Save the file as UTF-8; "
        "if it is Latin-1: iconv -f latin1 -t utf-8"
    )


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def listing(examples: Iterable[str], total: int) -> str:
    """Write the first few examples one a line, and how many more there are."""
    shown = list(islice(examples, EXAMPLES))
    more = [f"... and {total - len(shown)} more"] if total > len(shown) else []
    return "\n".join(f"  {line}" for line in [*shown, *more])
