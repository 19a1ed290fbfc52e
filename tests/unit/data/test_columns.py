import pytest

from dnapair.data.columns import ColumnNames, find_sequences, has_names, is_header
from dnapair.data.tables import open_table
from dnapair.errors import DnapairError


@pytest.mark.parametrize(
    ("fields", "header"),
    [
        (["seq1", "seq2", "label"], True),
        (["Sequence_A", "Sequence_B", "kind"], True),
        (["left", "right", "bound"], True),
        (["seq1", "seq2", "related"], True),
        (["ACGTAC CGTACG", "GGGGGG", "related"], False),
        (["acguacgu", "GGGGGG", "bound"], False),
        (["f1", "f2", "0"], False),
        (["f1", "f2", "TRUE", "more"], False),
    ],
)
def test_a_header_is_told_from_a_pair(fields, header):
    assert is_header(fields, ColumnNames()) is header


def test_names_from_the_settings_make_a_header():
    fields = ["left", "right", "same"]
    assert not is_header(fields, ColumnNames())
    assert is_header(fields, ColumnNames(seq1="left", seq2="right", label="same"))


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("note,Seq 1,Seq 2\nx,ACGT,GGGG\n", ("Seq 1", "Seq 2")),
        ("ACGTAC\tGGGGGG\n", ("column1", "column2")),
    ],
)
def test_sequences_are_found_without_a_label(tmp_path, text, columns):
    (tmp_path / "pairs.csv").write_text(text)
    assert find_sequences(open_table(tmp_path / "pairs.csv", has_names)) == columns


def test_sequences_that_are_missing_are_an_error_that_lists_the_columns(tmp_path):
    (tmp_path / "pairs.csv").write_text("seq1,other\nACGT,GGGG\n")
    with pytest.raises(DnapairError, match=r"pairs\.csv has no column for seq2 .* are: seq1, other\."):
        find_sequences(open_table(tmp_path / "pairs.csv", has_names))
