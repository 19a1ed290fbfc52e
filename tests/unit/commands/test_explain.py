from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dnapair.commands.explain import explain_row, read_pair
from dnapair.commands.pair_table import PairTable
from dnapair.errors import DnapairError

MODEL = "models:/nobody@champion"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.csv"
    path.write_text("note,seq2,seq1\na,CCCCCCC,AAAAAAA\nb,GGGGGGG,TTTTTTT\n")
    return path


def found(path: Path) -> PairTable:
    table = PairTable(path)
    table.find(())
    return table


def test_a_pair_is_found_by_its_number_and_the_names_of_its_columns(table: Path):
    assert read_pair(found(table), 1) == ("AAAAAAA", "CCCCCCC")
    assert read_pair(found(table), 2) == ("TTTTTTT", "GGGGGGG")


def test_a_pair_beyond_the_first_batches_is_found(tmp_path: Path):
    rows = 20_000
    path = tmp_path / "pairs.parquet"
    pq.write_table(
        pa.table({"seq1": [f"A{n}" for n in range(rows)], "seq2": [f"C{n}" for n in range(rows)]}), path
    )
    assert read_pair(found(path), 1) == ("A0", "C0")
    assert read_pair(found(path), 17_001) == ("A17000", "C17000")
    assert read_pair(found(path), rows) == ("A19999", "C19999")


def test_a_pair_that_is_not_there_is_refused(table: Path):
    with pytest.raises(DnapairError, match=r"--pair 3: .*pairs\.csv has 2 pair\(s\)\."):
        read_pair(found(table), 3)


def test_a_wrong_name_of_the_picture_is_refused(table: Path):
    with pytest.raises(DnapairError, match=r"must end in \.png"):
        explain_row(table, 1, table.with_name("out.pdf"), MODEL, 1)
    assert [path.name for path in table.parent.iterdir()] == ["pairs.csv"]


def test_the_table_is_never_written_over(table: Path):
    with pytest.raises(
        DnapairError, match=r"the numbers would be written to .*pairs\.csv.*Choose another name"
    ):
        explain_row(table, 1, table.with_suffix(".png"), MODEL, 1)
    assert table.read_text().startswith("note,")


def test_what_is_wrong_in_a_pipe_is_said_with_its_name(table: Path):
    table.write_text(">a\nACGTACGT\n")
    with table.open("rb") as file, pytest.raises(DnapairError, match=r"^/dev/fd/\d+ is FASTA"):
        explain_row(Path(f"/dev/fd/{file.fileno()}"), 1, table.with_name("out.png"), MODEL, 1)
    assert [path.name for path in table.parent.iterdir()] == ["pairs.csv"]
