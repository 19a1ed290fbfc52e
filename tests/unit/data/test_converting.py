"""Files of formats that are not read, and what makes one that is: the commands of the messages, followed."""

import io
import lzma
import shutil
import sqlite3
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from dnapair.data.columns import has_names
from dnapair.data.sequences import fasta_records, read_fasta
from dnapair.data.tables import open_table
from dnapair.errors import DnapairError
from tests.packing import PACKERS
from tests.unit.data.test_opening import TABLE, arrow, follow, refusal, stream, write


def by_command(*words: str) -> Callable[[Path], None]:
    """Make a file of the table by a program, which reads and writes the standard streams."""

    def make(path: Path) -> None:
        path.write_bytes(subprocess.run(words, input=TABLE, capture_output=True, check=True).stdout)

    return make


def in_r(call: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        code = f"d <- read.csv(file('stdin')); p <- commandArgs(TRUE); {call}"
        subprocess.run(["Rscript", "-e", code, path], input=TABLE, check=True)

    return make


def archive(path: Path, write_it: Callable[[Path], object]) -> None:
    write(Path("pairs.csv"), TABLE)
    write_it(path)
    Path("pairs.csv").unlink()


def as_tar(path: Path) -> None:
    with tarfile.open(path, "w") as file:
        file.add("pairs.csv")


def as_7z(path: Path) -> None:
    subprocess.run(["7z", "a", path, "pairs.csv"], check=True, capture_output=True)


def as_sqlite(path: Path) -> None:
    connection = sqlite3.connect(path)
    pd.read_csv(io.BytesIO(TABLE)).to_sql("pairs", connection, index=False)
    connection.close()


def as_json(**form: Any) -> Callable[[Path], None]:
    return lambda path: pd.read_csv(io.BytesIO(TABLE)).to_json(path, **form)


# by what the command needs; a file's name may say another format, and the command makes one of that name
CONVERTED: dict[str, tuple[str, Callable[[Path], object]]] = {
    "my pairs.feather": ("python", arrow),
    "my pairs.parquet": ("python", arrow),
    "pairs.arrows": ("python", stream),
    "my pairs.json": ("python", as_json()),
    "pairs.records.json": ("python", as_json(orient="records", indent=2)),
    "pairs.jsonl": ("python", as_json(orient="records", lines=True)),
    "my pairs.tar": ("tar", lambda path: archive(path, as_tar)),
    "my pairs.7z": ("7z", lambda path: archive(path, as_7z)),
    "my pairs.txt": ("iconv", lambda path: write(path, TABLE.decode().encode("utf-16"))),
    "my pairs.csv.lzma": ("xz", lambda path: write(path, lzma.compress(TABLE, lzma.FORMAT_ALONE))),
    "pairs": ("xz", lambda path: write(path, lzma.compress(TABLE, lzma.FORMAT_ALONE))),
    "pairs.csv.lz": ("lzip", by_command("lzip", "-c")),
    "pairs.csv.lz4": ("lz4", by_command("lz4", "-c")),
    "pairs.csv.Z": ("compress", by_command("compress", "-c")),
    "my pairs.rds": ("Rscript", in_r("saveRDS(d, p[1])")),
    "pairs.csv": ("Rscript", in_r("save(d, file = p[1])")),
    "pairs.db": ("sqlite3", as_sqlite),
}


@pytest.mark.parametrize("name", CONVERTED)
def test_the_command_that_a_message_gives_makes_a_readable_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    tool, make = CONVERTED[name]
    if shutil.which(tool) is None and tool != "python":
        pytest.skip(f"{tool} is not installed")
    monkeypatch.chdir(tmp_path)
    path = Path(name)
    make(path)
    before = path.read_bytes()
    message = refusal(path).replace("SELECT * FROM ...", "SELECT * FROM pairs")
    follow(message, message.partition("does not read. ")[2])
    (made,) = set(Path().iterdir()) - {path}
    assert sum(batch.num_rows for batch in open_table(made, has_names).batches()) == 2
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["reads.fasta", "reads.fastq.gz"])
def test_fastq_becomes_fasta_by_the_command_that_the_message_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    fastq = b"@r1 x\nACGT\n+\n!!!!\n@r2\nAC\n+\n!!\n"
    path = write(Path(name), PACKERS[".gz"](fastq) if name.endswith("gz") else fastq)
    with pytest.raises(DnapairError) as refused:
        read_fasta([path])
    follow(str(refused.value), str(refused.value).partition("makes FASTA: ")[2])
    (made,) = set(Path().iterdir()) - {path}
    assert [header for _, header, _ in fasta_records(made)] == ["r1 x", "r2"]
    assert path.stat().st_size
