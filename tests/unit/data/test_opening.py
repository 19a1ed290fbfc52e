import io
import lzma
import os
import shlex
import socket
import sqlite3
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnapair.data.columns import has_names
from dnapair.data.dataset import Reading, read_dataset
from dnapair.data.opening import open_raw
from dnapair.data.raw_files import fasta_files, find_files, stem
from dnapair.data.tables import open_table
from dnapair.errors import DnapairError
from tests.packing import PACKERS, zipped

TABLE = b"seq1,seq2,label\nACGTACGT,ACGTACGA,1\nACGTACGC,ACGTACGA,0\n"
FASTA = b">a x\nACGTACGT\n>b\nTTGACCAT\n"
SKIPPED = b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"
every_packing = pytest.mark.parametrize("suffix", PACKERS)


def content(path: Path) -> bytes:
    with open_raw(path) as file:
        return file.read()


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(DnapairError) as refused:
        content(path)
    return str(refused.value)


@every_packing
def test_a_data_set_of_packed_files_is_read_like_a_plain_one(tmp_path: Path, suffix: str) -> None:
    for name in ("train", "val", "test"):
        write(tmp_path / f"{name}.csv{suffix}", PACKERS[suffix](b"id1,id2,label\na,b,1\nb,a,0\n"))
    write(tmp_path / f"records.fa{suffix}", PACKERS[suffix](FASTA))
    files = find_files(tmp_path)
    assert [stem(path) for path in files.tables] == ["test", "train", "val"]
    dataset = read_dataset(files, Reading(contradictory="drop"))
    assert list(dataset.sequences) == ["ACGTACGT", "TTGACCAT"]
    assert fasta_files(tmp_path, "x") == files.fastas


@every_packing
@settings(max_examples=20)
@given(text=st.binary(max_size=5000).map(lambda text: text.replace(b"\r", b"\n")))
def test_what_was_packed_comes_out(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, text: bytes
) -> None:
    # no format begins so
    text = b"," + text
    folder = tmp_path_factory.mktemp("packed")
    assert content(write(folder / f"a{suffix}", PACKERS[suffix](text))) == text
    assert content(write(folder / "no suffix", PACKERS[suffix](text))) == text


@every_packing
def test_a_packed_parquet_is_read(tmp_path: Path, suffix: str) -> None:
    file = io.BytesIO()
    pq.write_table(pa.table({"seq1": ["ACGT"], "seq2": ["ACGA"]}), file)
    path = write(tmp_path / f"a.parquet{suffix}", PACKERS[suffix](file.getvalue()))
    assert [batch.num_rows for batch in open_table(path, has_names).batches()] == [1]


@every_packing
@pytest.mark.parametrize("harm", ["cut", "changed", "garbage"])
def test_a_truncated_or_damaged_file_is_one_clear_error(tmp_path: Path, suffix: str, harm: str) -> None:
    rng = np.random.default_rng(1)
    rows = b"".join(
        b"%s,%s,1\n" % tuple(rng.choice(list("ACGT"), (2, 60)).astype("S1").tobytes()[i::2] for i in (0, 1))
        for _ in range(300)
    )
    packed = PACKERS[suffix](b"seq1,seq2,label\n" + rows)
    half = len(packed) // 2
    harmed = {
        "cut": packed[:half],
        "changed": packed[:half] + bytes(30) + packed[half + 30 :],
        "garbage": packed[:20] + b"\x07" * 50,
    }[harm]
    path = write(tmp_path / f"pairs.csv{suffix}", harmed)
    with pytest.raises(
        DnapairError, match=rf"pairs\.csv{suffix} is damaged {suffix[1:]} data: .*Copy or download"
    ):
        read_dataset(find_files(tmp_path), Reading())
    assert path.name in refusal(path)


def test_parts_one_after_the_other_are_read_as_one(tmp_path: Path) -> None:
    for suffix in (".gz", ".bz2", ".xz", ".zst"):
        two = PACKERS[suffix](TABLE) + PACKERS[suffix](TABLE)
        assert content(write(tmp_path / f"a{suffix}", two)) == 2 * TABLE
    padded = lzma.compress(TABLE) + bytes(8) + lzma.compress(TABLE) + bytes(2**18)
    assert content(write(tmp_path / "a.xz", padded)) == 2 * TABLE
    pzstd = SKIPPED + PACKERS[".zst"](TABLE) + SKIPPED
    assert content(write(tmp_path / "a", pzstd)) == TABLE


def test_an_xz_that_asks_for_gigabytes_of_memory_is_refused(tmp_path: Path) -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 2**30}]
    path = write(tmp_path / "a.xz", lzma.compress(TABLE, filters=filters))
    assert "a.xz is damaged xz data: Memory usage limit exceeded" in refusal(path)
    # xz -9 is no such file
    assert content(write(tmp_path / "b.xz", lzma.compress(TABLE, preset=9 | lzma.PRESET_EXTREME))) == TABLE


def make_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


def test_a_zip_goes_by_the_name_of_the_file_in_it(tmp_path: Path) -> None:
    make_zip(tmp_path / "train.zip", {"in/": b"", "in/pairs.csv": TABLE, "__MACOSX/in/._pairs.csv": b"x"})
    make_zip(tmp_path / "genes.zip", {"genes.fna": FASTA, ".DS_Store": b"x"})
    make_zip(tmp_path / "notes.zip", {"notes.doc": b"x"})
    files = find_files(tmp_path)
    assert [path.name for path in files.tables] == ["train.zip"]
    assert [path.name for path in files.fastas] == ["genes.zip"]
    assert len(read_dataset(files, Reading()).pairs) == 2


def test_a_zip_of_several_files_is_refused_with_their_names(tmp_path: Path) -> None:
    make_zip(tmp_path / "my data.zip", {"train.tsv": TABLE, "test.tsv": TABLE})
    with pytest.raises(
        DnapairError,
        match=r"no pair table.*\n.*holds 2 files: train.tsv, test.tsv\. .*unzip '.*my data.zip'\)",
    ):
        find_files(tmp_path)
    assert "holds 0 files. " in refusal(make_zip(tmp_path / "empty.zip", {}))


def test_a_zip_with_a_password_or_a_rare_method_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.csv", TABLE)
    assert "packed in a rare way of zip. Unpack it: 7z x" in refusal(tmp_path / "a.zip")
    locked = bytearray(zipped(TABLE))
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        locked[locked.index(mark) + place] |= 1
    assert "locked with a password" in refusal(write(tmp_path / "b.zip", bytes(locked)))


def test_a_zip_whose_list_leads_to_before_its_beginning_is_damaged(tmp_path: Path) -> None:
    packed = bytearray(zipped(TABLE))
    # how far the list of files lies from the start
    place = packed.rindex(b"PK\x05\x06") + 12
    packed[place : place + 4] = (2**20).to_bytes(4, "little")
    assert "is damaged zip data" in refusal(write(tmp_path / "a.zip", bytes(packed)))
    listed = bytearray(zipped(TABLE))
    place = listed.index(b"PK\x01\x02") + 42
    listed[place : place + 4] = (2**31).to_bytes(4, "little")
    assert "is damaged zip data" in refusal(write(tmp_path / "b.zip", bytes(listed)))


def test_a_zip_of_a_million_names_is_refused_before_they_are_read(tmp_path: Path) -> None:
    make_zip(tmp_path / "a.zip", {f"{number:0200d}": b"" for number in range(6000)})
    assert "its list of files has more than 1,048,576 bytes" in refusal(tmp_path / "a.zip")


def test_a_file_that_was_unpacked_on_the_way_and_kept_its_name_is_read(tmp_path: Path) -> None:
    for suffix in PACKERS:
        assert content(write(tmp_path / f"a.csv{suffix}", TABLE)) == TABLE


@every_packing
def test_a_byte_order_mark_and_an_old_macs_line_ends(tmp_path: Path, suffix: str) -> None:
    old = b"\xef\xbb\xbf" + TABLE.replace(b"\n", b"\r")
    assert content(write(tmp_path / "a", old)) == TABLE
    assert content(write(tmp_path / f"a{suffix}", PACKERS[suffix](old))) == TABLE


def test_a_long_table_of_an_old_mac_names_its_lines(tmp_path: Path) -> None:
    rows = b"ACGTACGT,ACGTACGA,1\r" * 100_000 + b"ACGTACGT,1\r"
    path = write(tmp_path / "a.csv", b"seq1,seq2,label\r" + rows)
    with pytest.raises(DnapairError, match=r"a\.csv, line 100002: 2 fields"):
        sum(batch.num_rows for batch in open_table(path, has_names).batches())


def workbook(path: Path) -> None:
    make_zip(path, {"[Content_Types].xml": b"<x/>", "xl/workbook.xml": b"<x/>"})


def tar(path: Path, mode: str = "w") -> None:
    with tarfile.open(path, mode) as archive:
        archive.add(__file__, "x.csv")


def arrow(path: Path) -> None:
    table = pa.Table.from_pandas(pd.read_csv(io.BytesIO(TABLE)))
    with pa.ipc.new_file(path, table.schema) as file:
        file.write_table(table)


def stream(path: Path) -> None:
    table = pa.Table.from_pandas(pd.read_csv(io.BytesIO(TABLE)))
    with pa.ipc.new_stream(path, table.schema) as file:
        file.write_table(table)


def database(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE pairs (seq1, seq2)")
    connection.commit()
    connection.close()


FOREIGN = {
    "a.xlsx": (workbook, "an Excel workbook (.xlsx)", "CSV UTF-8"),
    "a.xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook", "CSV UTF-8"),
    "a.ods": (lambda path: make_zip(path, {"mimetype": b"x", "content.xml": b"x"}), "OpenDocument", "CSV"),
    "a.docx": (lambda path: make_zip(path, {"word/document.xml": b"x"}), "a Word document", "CSV"),
    "a.npz": (lambda path: np.savez(path, a=np.ones(3)), "NumPy arrays (.npz)", "CSV or Parquet"),
    "a.npy": (lambda path: np.save(path, np.ones(3)), "a NumPy array", "CSV or Parquet"),
    "a.feather": (arrow, "a Feather or Arrow file", "python -c"),
    "a.h5": (b"\x89HDF\r\n\x1a\n", "an HDF5 file", "read_hdf"),
    "a.rds": (PACKERS[".gz"](b"X\n\x00\x00\x00\x03\x00"), "R's .rds", "readRDS"),
    "a.RData": (PACKERS[".xz"](b"RDX3\nX\n\x00\x00\x00\x03"), "R's .RData", "load"),
    "a.db": (database, "an SQLite database", "sqlite3"),
    "a.pkl": (lambda path: pd.to_pickle([1], path), "a pickle", "CSV or Parquet"),
    "a.rar": (b"Rar!\x1a\x07\x01\x00", "a .rar archive", "unrar x"),
    "a.7z": (b"7z\xbc\xaf\x27\x1c", "a .7z archive", "7z x"),
    "a.tar": (tar, "a .tar archive", "tar -xf"),
    "a.tgz": (lambda path: tar(path, "w:gz"), "a .tar archive", "tar -xf"),
    "a.tar.xz": (lambda path: tar(path, "w:xz"), "a .tar archive", "tar -xf"),
    "a.Z": (b"\x1f\x9d\x90", "a .Z file", "gunzip"),
    "a.arrows": (stream, "a stream of Arrow", "open_stream"),
    "a.lz4": (b"\x04\x22\x4d\x18\x60", "an .lz4 file", "lz4 -d"),
    "a.lzma": (lzma.compress(TABLE, lzma.FORMAT_ALONE), "an .lzma file", "xz -dc --format=lzma"),
    "a.bam": (PACKERS[".gz"](b"BAM\x01"), "a BAM file", "samtools fasta"),
    "a.2bit": (b"\x43\x27\x41\x1a", "a .2bit file", "twoBitToFa"),
    "a.sam": (b"@HD\tVN:1.6\n@SQ\tSN:1\tLN:9\n", "a SAM file", "samtools fasta"),
    "a.vcf": (b"##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\n", "VCF", "bcftools consensus"),
    "a.gff": (b"##gff-version 3\nc\tx\tgene\t1\t9\t.\t+\t.\tID=g\n", "GFF", "bedtools getfasta"),
    "a.gb": (b"LOCUS       AB1 9 bp DNA\n", "a GenBank file", "seqret"),
    "a.embl": (b"ID   AB1; SV 1; linear; DNA; 9 BP.\n", "an EMBL file", "seqret"),
    "a.json": (b'[\n {"seq1": "ACGT", "seq2": "ACGT"}\n]', "JSON", "read_json"),
    "a.jsonl": (b'{"seq1": "ACGT", "seq2": "ACGT"}\n', "JSON, an object a line", "lines=True"),
    "a.pdf": (b"%PDF-1.4", "a PDF", "CSV"),
    "a.txt": ("seq1\tseq2\tlabel\n".encode("utf-16"), "text in UTF-16", "iconv -f utf-16"),
    "a.csv": (b"\n<!DOCTYPE html><html>", "a web page", "Download the file itself"),
    "a.tsv": (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS", "git lfs pull"),
}  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN)
def test_another_format_is_named_with_what_converts_it(tmp_path: Path, name: str) -> None:
    made, said, remedy = FOREIGN[name]
    path = tmp_path / name
    if isinstance(made, bytes):
        path.write_bytes(made)
    else:
        made(path)
    message = refusal(path)
    assert said in message
    assert remedy in message
    with pytest.raises(DnapairError) as refused:
        read_dataset(find_files(tmp_path), Reading())
    assert message in str(refused.value)
    # as DVC brings one file
    with pytest.raises(DnapairError, match="which dnapair does not read"):
        read_dataset(find_files(path.rename(tmp_path / "data")), Reading())


def follow(message: str, before: str) -> None:
    """Run the command that a message ends with, in the folder of its file."""
    command = message[message.index(before) :].rstrip(".")
    subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        check=True,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )


@pytest.mark.parametrize("suffix", ["", *PACKERS])
def test_the_command_for_latin1_makes_utf8_of_plain_and_packed_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    monkeypatch.chdir(tmp_path)
    text = b"seq1,seq2,note\nACGTACGT,ACGTACGA,a\nACGTACGT,ACGTACGA,M\xfcller\n"
    path = write(Path(f"my pairs.csv{suffix}"), PACKERS[suffix](text) if suffix else text)
    with pytest.raises(DnapairError, match=r"line 3: these bytes are not UTF-8") as refused:
        list(open_table(path, has_names).batches())
    command = str(refused.value).partition("Latin-1: ")[2]
    if not _have(shlex.split(command)[0]):
        pytest.skip(f"{shlex.split(command)[0]} is not installed here")
    follow(command, "")
    (made,) = set(Path().iterdir()) - {path}
    assert [row for batch in open_table(made, has_names).batches() for row in batch["note"].to_pylist()] == [
        "a",
        "Müller",
    ]


def _have(program: str) -> bool:
    return subprocess.run(["which", program], capture_output=True, check=False).returncode == 0


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        for path, what in (
            (tmp_path / "none", "is not there"),
            (tmp_path, "is a folder"),
            (tmp_path / "pipe", "is a pipe"),
            (tmp_path / "socket", "is a socket"),
            (Path("/dev/null"), "is a device"),
        ):
            assert what in refusal(path)
            if what != "is a folder":
                with pytest.raises(DnapairError, match=what):
                    fasta_files(path, "pretrain.fasta")


def test_a_table_that_is_fasta_is_called_so(tmp_path: Path) -> None:
    write(tmp_path / "records.txt", FASTA)
    with pytest.raises(DnapairError, match=r"records\.txt is FASTA.* name it in data\.sequences"):
        read_dataset(find_files(tmp_path), Reading())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"@r1 x\nACGT\n+\n!!!!\n", "is FASTQ, and here goes a table"),
        (b"@r1\nACGT\n+r1\n!!!!\n", "is FASTQ, and here goes a table"),
        (b"seq1,seq2\n\xff\x01\n", "is no text, and of no format"),
    ],
)
def test_a_table_that_is_something_else_is_called_so(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(DnapairError, match=rf"a\.csv {said}"):
        open_table(write(tmp_path / "a.csv", content), has_names)


@pytest.mark.parametrize("delimiter", ["|", " "])
def test_bars_and_spaces_part_columns_where_nothing_else_does(tmp_path: Path, delimiter: str) -> None:
    path = write(tmp_path / "a.txt", TABLE.replace(b",", delimiter.encode()))
    assert open_table(path, has_names).names == open_table(write(tmp_path / "a.csv", TABLE), has_names).names


def test_a_column_that_is_called_as_a_genbank_file_begins_is_none(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", b"LOCUS tag,seq1,seq2\nx,ACGT,ACGA\n")
    assert open_table(path, has_names).names == ["LOCUS tag", "seq1", "seq2"]
