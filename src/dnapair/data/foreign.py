"""Formats that are not read: known by their first bytes, and what turns them into one that is."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

_SPREADSHEET = "Open it, choose File, Save As, and `CSV UTF-8`: one file for each sheet."
_TO_PARQUET = (
    "python -c 'import sys, pyarrow.ipc as i, pyarrow.parquet as p; "
    "p.write_table(i.%s(sys.argv[1]).read_all(), sys.argv[2])' {file} {new}.parquet"
)
_R = "Rscript -e 'to <- commandArgs(TRUE); write.csv(%s, to[2], row.names = FALSE)' {file} {new}.csv"
_SQLITE = 'sqlite3 -header -csv {file} "SELECT * FROM ..." > {new}.csv'
_JSON = (
    "python -c 'import sys, pandas; "
    "pandas.read_json(sys.argv[1]%s, dtype=False).to_csv(sys.argv[2], index=False)' {file} {new}.csv"
)
_FLAT_FILE = "seqret -sequence {file} -outseq fasta::{new}.fasta"
_PLACES = (
    "It holds places in a genome, no sequences. Their sequences: "
    "bedtools getfasta -fi GENOME -bed {file} > {new}.fasta"
)
_VARIANTS = (
    "It holds variants of a genome, no sequences. The genome with them: bgzip -c {file} > {new}.vcf.gz && "
    "bcftools index {new}.vcf.gz && bcftools consensus -f GENOME {new}.vcf.gz > {new}.fasta"
)
_PAGE = "Download the file itself, not the page that shows it."
_OWN = "Write it as CSV or Parquet with the program that made it."
_MADE = {"", ".csv", ".fasta", ".parquet"}


class _Format(NamedTuple):
    start: re.Pattern[bytes]
    name: str
    remedy: str
    packs_itself: bool = False


def _format(start: bytes, name: str, remedy: str, *, packs_itself: bool = False) -> _Format:
    return _Format(re.compile(start, re.DOTALL), name, remedy, packs_itself)


_FORMATS = (
    _format(rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook (.xls)", _SPREADSHEET),
    _format(rb"ARROW1\x00", "a Feather or Arrow file", _TO_PARQUET % "open_file"),
    _format(rb"\xff\xff\xff\xff", "a stream of Arrow", _TO_PARQUET % "open_stream"),
    _format(rb"FEA1\x00", "an old Feather file", _OWN),
    _format(rb"\x89HDF\r\n\x1a\n", "an HDF5 file", f"{_OWN} In pandas: read_hdf(...).to_csv(...)"),
    _format(rb"X\n\x00\x00\x00[\x02\x03]", "R's .rds", _R % "readRDS(to[1])", packs_itself=True),
    _format(rb"RD[XA][23]\n", "R's .RData", _R % "get(load(to[1])[1])", packs_itself=True),
    _format(rb"SQLite format 3\x00", "an SQLite database", _SQLITE),
    _format(rb"\x80[\x02-\x05]", "a pickle, which could run code", f"{_OWN} dnapair reads none."),
    _format(rb"\x93NUMPY", "a NumPy array", _OWN),
    _format(rb"Rar!\x1a\x07", "a .rar archive", "unrar x {file}"),
    _format(rb"7z\xbc\xaf\x27\x1c", "a .7z archive", "7z x {file}"),
    _format(rb".{257}ustar", "a .tar archive", "tar -xf {file}", packs_itself=True),
    _format(rb"\x1f\x9d", "a .Z file", "gunzip -c < {file} > {new}"),
    _format(rb"\x04\x22\x4d\x18", "an .lz4 file", "lz4 -dc {file} > {new}"),
    _format(rb"\x5d\x00\x00", "an .lzma file", "xz -dc --format=lzma {file} > {new}"),
    _format(rb"LZIP\x01", "an .lz file", "lzip -dc {file} > {new}"),
    _format(rb"BAM\x01", "a BAM file", "samtools fasta {file} > {new}.fasta", packs_itself=True),
    _format(rb"CRAM[\x01-\x03]", "a CRAM file", "samtools fasta {file} > {new}.fasta"),
    _format(rb"\x43\x27\x41\x1a|\x1a\x41\x27\x43", "a .2bit file", "twoBitToFa {file} {new}.fasta"),
    _format(rb"@(HD|SQ|RG|PG|CO)\t", "a SAM file", "samtools fasta {file} > {new}.fasta"),
    _format(rb"##fileformat=VCF", "VCF", _VARIANTS),
    _format(rb"##gff-version", "GFF", _PLACES),
    _format(rb"LOCUS {2}", "a GenBank file", _FLAT_FILE),
    _format(rb"ID   ", "an EMBL file", _FLAT_FILE),
    _format(rb'\s*\{\s*"[^"]*"\s*:\s*["0-9nft-]', "JSON, an object a line", _JSON % ", lines=True"),
    _format(rb'\s*[\[{]\s*["\[{]', "JSON", _JSON % ""),
    _format(rb"%PDF-", "a PDF", "Copy its table into a spreadsheet and save that as CSV."),
    _format(rb"\xff\xfe|\xfe\xff", "text in UTF-16", "iconv -f utf-16 -t utf-8 {file} > {new}.utf8.txt"),
    _format(rb"\s*<(?i:!doctype|html|\?xml)", "a web page or XML", _PAGE),
    _format(rb"version https://git-lfs", "Git LFS's word for a file that is not here", "git lfs pull"),
)  # fmt: skip


def foreign(path: Path, start: bytes, *, packed: bool) -> str | None:
    """Say what a file is, if it is of a format that is known and not read.

    Parameters
    ----------
    path
        The file.
    start
        Its first bytes, unpacked.
    packed
        Whether it is packed.

    Returns
    -------
    str or None
        The message, with what makes a readable file of it.
    """
    found = next((one for one in _FORMATS if one.start.match(start)), None)
    if not found:
        return None
    remedy = found.remedy.format(file=shlex.quote(str(path)), new=new_stem(path))
    first = "" if found.packs_itself or not packed else "Unpack it. Then: "
    return _say(path, found.name, first + remedy)


def new_stem(path: Path) -> str:
    """Return a name, quoted, for what is made of a file: not the file's own, which a shell empties first."""
    return shlex.quote(f"new_{path.stem}" if path.suffix in _MADE else path.stem)


def foreign_zip(path: Path, names: Sequence[str]) -> str | None:
    """Say what a zip is, by the names in it, if it is a document or arrays; see :func:`foreign`."""
    if any(name.startswith("xl/") for name in names):
        return _say(path, "an Excel workbook (.xlsx)", _SPREADSHEET)
    if "mimetype" in names and "content.xml" in names:
        return _say(path, "an OpenDocument file (.ods)", _SPREADSHEET)
    if "word/document.xml" in names:
        return _say(path, "a Word document", "Copy its table into a spreadsheet and save that as CSV.")
    if names and all(name.endswith(".npy") for name in names):
        return _say(path, "NumPy arrays (.npz)", _OWN)
    return None


def _say(path: Path, name: str, remedy: str) -> str:
    return f"{path} is {name}, which dnapair does not read. {remedy}"
