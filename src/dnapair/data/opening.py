"""Files as users have them, opened as bytes: plain or packed, with or without a byte order mark.

What they hold is not to be trusted: reading never takes more memory than the longest line may have, nor more
disk than what was packed may be worth.
"""

import bz2
import codecs
import errno
import gzip
import io
import lzma
import re
import shlex
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from dnapair.data.foreign import foreign, foreign_zip
from dnapair.errors import DnapairError

LONGEST_LINE = 2**25
"""Bytes of a table's line: two sequences of 16 million bases, or of 2.4 million as 6-mers."""
LONGEST_RECORD = 2**28
"""Bytes of a FASTA record's header or sequence: human chromosome 1 has 253 million."""
GZIP_MAGIC = b"\x1f\x8b"
MOST_UNPACKED = 200
"""Times its packed size that a file may unpack to, beyond :data:`_FREELY_UNPACKED` bytes. DNA: 3 to 5."""
_FREELY_UNPACKED = 2**30
_XZ_MEMORY = 2**27
"""Bytes for unpacking xz: `xz -9` wants 65 MiB, a file may ask for gigabytes. zst has this bound itself."""
_ZIP_LIST = 2**20
_ZIP_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_CHUNK = 2**17
_START = 512
_BINARY = re.compile(rb"[\x00-\x08]")

Read = Callable[[int], bytes]
"""Gives at most as many bytes; none at the end."""


class _Packing(NamedTuple):
    name: str
    start: re.Pattern[bytes]
    unpack: Callable[[Path, BinaryIO], Read]
    command: str


def is_packed(path: Path) -> bool:
    """Tell whether a file is packed, by its first bytes; by its name where these are damaged."""
    with path.open("rb") as file:
        return _packing(path, file.read(_START)) is not None


def unpacked_name(name: str) -> str:
    """Return a file's name without the suffix of its packing: ``train.tsv`` of ``train.tsv.gz``."""
    return _PACKED_NAME.sub("", name)


def unpack_command(path: Path) -> str:
    """Return the command that writes a file's content, unpacked, to the standard output."""
    with path.open("rb") as file:
        packing = _packing(path, file.read(_START))
    return f"{packing.command if packing else 'cat'} {shlex.quote(str(path))}"


def plain_name(path: Path) -> str:
    """Return a name, quoted, for a file's plain content: not the file's own, which a shell empties first."""
    name = unpacked_name(path.name)
    return shlex.quote(f"new_{name}" if name == path.name else name)


@contextmanager
def open_raw(path: Path, longest: int = LONGEST_LINE) -> Iterator[BinaryIO]:
    r"""Open a file for reading bytes: unpacked, and past a UTF-8 byte order mark.

    Parameters
    ----------
    path
        The file: plain, gz, bz2, xz, zst, or a zip of one file.
    longest
        The most bytes of a line.

    Yields
    ------
    BinaryIO
        Its bytes; line ends are ``\n`` where they are all ``\r``.

    Raises
    ------
    DnapairError
        If it is not there, is no file, or of a format that dnapair does not read; or if, while it is read,
        what is packed turns out to be truncated or damaged, or unpacks to absurdly much, or a line to be too
        long.
    """
    check_file(path)
    with (
        path.open("rb") as packed,
        io.BufferedReader(_Bounded(path, packed, longest), _CHUNK) as file,
    ):
        yield cast(BinaryIO, file)


def check_file(path: Path) -> None:
    """Refuse what is not there, and what can't be read twice.

    Raises
    ------
    DnapairError
        If there is no such file, or it is a folder, a pipe, a socket or a device.
    """
    if path.is_file():
        return
    if not path.exists():
        raise DnapairError(f"{path} is not there.")
    mode = path.stat().st_mode
    what = "a folder" if stat.S_ISDIR(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"
    what = "a pipe" if stat.S_ISFIFO(mode) else what
    raise DnapairError(f"{path} is {what}. Give a file.")


def zip_member(path: Path) -> str:
    """Return the name of the one file in a zip; nothing where the file is no such zip."""
    try:
        with path.open("rb") as packed:
            return _open_zip(path, packed)[1].filename
    except (DnapairError, *_DAMAGE):
        return ""


def not_utf8(path: Path) -> DnapairError:
    """Make the error for a table that could not be decoded, with the line where that begins."""
    with open_raw(path) as file:
        if _BINARY.search(file.read(_START)):
            return DnapairError(
                f"{path} is no text, and of no format that dnapair knows. Give CSV or Parquet."
            )
    with open_raw(path) as file:
        line = 1 + sum(1 for _ in takewhile(is_utf8, file))
    mended = shlex.quote(f"utf8_{unpacked_name(path.name)}")
    return DnapairError(
        f"{path}, line {line}: these bytes are not UTF-8 text. Save the file as UTF-8 (in Excel: CSV UTF-8); "
        f"if it is Latin-1: {unpack_command(path)} | iconv -f latin1 -t utf-8 > {mended}"
    )


def is_utf8(content: bytes) -> bool:
    """Tell whether bytes are text in UTF-8."""
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


class _Bounded(io.RawIOBase):
    """A file's bytes, unpacked, that ends with an error where a reader's memory or disk would not."""

    def __init__(self, path: Path, packed: BinaryIO, longest: int) -> None:
        self._path, self._packed, self._longest = path, packed, longest
        self._unpacked = self._open = self._lines = 0
        self._packing = _packing(path, packed.read(_START))
        packed.seek(0)
        self._read: Read = packed.read
        with self._damaged():
            if self._packing:
                self._read = self._packing.unpack(path, packed)
        start = b""
        while len(start) < _START and (more := self._unpack(_CHUNK)):
            start += more
        if said := foreign(path, start, packed=self._packing is not None):
            raise DnapairError(said)
        self._waiting = start.removeprefix(codecs.BOM_UTF8)
        # an old Mac's: what counts lines, and bounds them, looks for \n
        self._returns = b"\r" in start and b"\n" not in start and not _BINARY.search(start)

    def readable(self) -> bool:
        return True

    def readinto(self, room: Any) -> int:
        most = min(len(room), _CHUNK)
        content = self._waiting[:most] or self._unpack(most)
        self._waiting = self._waiting[most:]
        if self._returns:
            content = content.replace(b"\r", b"\n")
        self._check_line(content)
        room[: len(content)] = content
        return len(content)

    def _unpack(self, most: int) -> bytes:
        with self._damaged():
            content = self._read(most)
        if self._packing:
            self._check_ratio(len(content))
        return content

    @contextmanager
    def _damaged(self) -> Iterator[None]:
        try:
            yield
        except _DAMAGE as error:
            # the disk's own errors have a number; a damaged zip may lead to before its beginning
            own = isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)
            if self._packing is None or own:
                raise
            reason = str(error).rstrip(".")
            raise DnapairError(
                f"{self._path} is damaged {self._packing.name} data: {reason}. Copy or download it again."
            ) from None

    def _check_line(self, content: bytes) -> None:
        first, last = content.find(b"\n"), content.rfind(b"\n")
        if self._open + (first if first >= 0 else len(content)) > self._longest:
            raise DnapairError(
                f"{self._path}, line {self._lines + 1}: it is longer than {self._longest:,} bytes, the most "
                "that dnapair reads of a line. Is this the right file? If so, cut the sequence."
            )
        self._lines += content.count(b"\n")
        self._open = len(content) - last - 1 if last >= 0 else self._open + len(content)

    def _check_ratio(self, more: int) -> None:
        self._unpacked += more
        allowed = max(_FREELY_UNPACKED, MOST_UNPACKED * self._packed.tell())
        if self._unpacked > allowed:
            raise DnapairError(
                f"{self._path} unpacks to more than {MOST_UNPACKED} times its size, as a file does that is "
                f"made to fill a disk. If you trust it, unpack it yourself ({unpack_command(self._path)} > "
                f"{plain_name(self._path)}) and give the plain file."
            )


class _Xz:
    """Streams of xz, one after the other; Python's own reader sets no bound to their memory."""

    def __init__(self, packed: BinaryIO) -> None:
        self._packed = packed
        self._stream: lzma.LZMADecompressor | None = None

    def read(self, most: int) -> bytes:
        content = b""
        while not content:
            stream = self._stream
            if stream is None or stream.eof:
                # zeros may stand between
                more = stream.unused_data.lstrip(b"\0") if stream else b""
                while not more:
                    if not (chunk := self._packed.read(_CHUNK)):
                        return b""
                    more = chunk.lstrip(b"\0")
                stream = self._stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, _XZ_MEMORY)
            else:
                more = self._packed.read(_CHUNK) if stream.needs_input else b""
                if stream.needs_input and not more:
                    raise EOFError("it ends in the middle")
            content = stream.decompress(more, most)
        return content


class _Frugal:
    """What a zip is read through, so that a list of millions of names is not."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, most: int = -1) -> bytes:
        if most > _ZIP_LIST:
            raise zipfile.BadZipFile(f"its list of files has more than {_ZIP_LIST:,} bytes")
        return self._file.read(most)


def _open_zip(path: Path, packed: BinaryIO) -> tuple[zipfile.ZipFile, zipfile.ZipInfo]:
    archive = zipfile.ZipFile(cast(Any, _Frugal(packed)))
    names = archive.namelist()
    if said := foreign_zip(path, names):
        raise DnapairError(said)
    # what a Mac puts beside every file
    files = [
        one
        for one in archive.infolist()
        if not one.is_dir() and not re.search(r"(^|/)(__MACOSX/|\.[^/]*$)", one.filename)
    ]
    quoted = shlex.quote(str(path))
    if len(files) != 1:
        shown = ", ".join(one.filename for one in files[:5]) + (", ..." if len(files) > 5 else "")
        raise DnapairError(
            f"{path} holds {len(files)} files{': ' if files else ''}{shown}. dnapair reads a zip of one "
            f"file. Unpack it (unzip {quoted}) and give the file, or a folder of files."
        )
    if files[0].flag_bits & 1:
        raise DnapairError(f"{path} is locked with a password. Unpack it: unzip {quoted}")
    if files[0].compress_type not in _ZIP_METHODS:
        raise DnapairError(f"{path} is packed in a rare way of zip. Unpack it: 7z x {quoted}")
    return archive, files[0]


def _unpack_gz(path: Path, packed: BinaryIO) -> Read:
    return gzip.GzipFile(fileobj=packed).read


def _unpack_bz2(path: Path, packed: BinaryIO) -> Read:
    return bz2.BZ2File(packed).read


def _unpack_xz(path: Path, packed: BinaryIO) -> Read:
    return _Xz(packed).read


def _unpack_zst(path: Path, packed: BinaryIO) -> Read:
    import pyarrow as pa

    read: Read = pa.CompressedInputStream(pa.PythonFile(packed, mode="r"), "zstd").read
    return read


def _unpack_zip(path: Path, packed: BinaryIO) -> Read:
    archive, member = _open_zip(path, packed)
    return archive.open(member).read


def _packing(path: Path, start: bytes) -> _Packing | None:
    found = next((packing for packing in _PACKINGS if packing.start.match(start)), None)
    named = _PACKED_NAME.search(path.name)
    # a browser may have unpacked it on the way: then it is text
    if found or not named or not _BINARY.search(start):
        return found
    return next(packing for packing in _PACKINGS if packing.name == named[1].lower().replace("bgz", "gz"))


_PACKINGS = (
    _Packing("gz", re.compile(re.escape(GZIP_MAGIC)), _unpack_gz, "gzip -dc"),
    _Packing("bz2", re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"), _unpack_bz2, "bzip2 -dc"),
    _Packing("xz", re.compile(rb"\xfd7zXZ\x00"), _unpack_xz, "xz -dc"),
    # pzstd's begin with a frame to be skipped
    _Packing("zst", re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"), _unpack_zst, "zstd -dc"),
    _Packing("zip", re.compile(rb"PK(\x03\x04|\x05\x06|\x07\x08)"), _unpack_zip, "unzip -p"),
)
_PACKED_NAME = re.compile(r"\.(gz|bgz|bz2|xz|zst|zip)$", re.IGNORECASE)
_DAMAGE = (
    EOFError,
    OSError,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    # Python's reader of zip, at a damaged list of files
    struct.error,
    ValueError,
    LookupError,
    OverflowError,
    NotImplementedError,
)
