import gzip
import io

import numpy as np
import pandas as pd
import pytest

from dnapair.data.columns import ColumnNames
from dnapair.data.dataset import Reading, read_dataset
from dnapair.data.raw_files import find_files
from dnapair.errors import DnapairError
from tests.unit.data.reading import FASTA, TABLE, as_read, extra, message_of, read


def test_pairs_by_id(tmp_path):
    dataset = read(tmp_path, s__fa=FASTA, pairs__csv=TABLE)
    assert list(dataset.ids) == ["a", "b", "c"]
    assert list(dataset.sequences) == ["ACGT", "GGGG", "TTTT"]
    assert dataset.pairs.to_dict("list") == {"row1": [0, 1], "row2": [1, 2], "label": [1, 0]}
    assert dataset.pairs.dtypes.astype(str).to_dict() == {"row1": "int64", "row2": "int64", "label": "int8"}
    assert dataset.counts["sequences"] == {
        "read": 4,
        "identical_to_another": 0,
        "unused": 1,
        "kept": 3,
        "ambiguous": 0,
    }


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("packed", [False, True])
def test_text_tables_in_every_dress(tmp_path, delimiter, ends, mark, packed):
    rows = [["seq1", "seq2", "label"], ["acgu", "GGGG", "1"], [], ["TTTT", "ACGT", "0"]]
    text = (mark + ends.join(delimiter.join(row) for row in rows) + ends).encode()
    name = "pairs__csv__gz" if packed else "pairs__csv"
    dataset = read(tmp_path, **{name: gzip.compress(text) if packed else text})
    assert as_read(dataset) == [("ACGT", "GGGG", 1), ("TTTT", "ACGT", 0)]
    assert list(dataset.ids) == ["sequence1", "sequence2", "sequence3"]


@pytest.mark.parametrize("packed", [False, True])
def test_parquet_with_numbers_booleans_and_nulls(tmp_path, packed):
    table = pd.DataFrame({"Seq_1": ["ACGT", "GGGG"], "Seq_2": ["TTTT", "CCCC"], "label": [True, False]})
    buffer = io.BytesIO()
    table.assign(score=[0.5, None]).to_parquet(buffer)
    data = gzip.compress(buffer.getvalue()) if packed else buffer.getvalue()
    dataset = read(tmp_path, **{"pairs__parquet__gz" if packed else "pairs__parquet": data})
    assert as_read(dataset) == [("ACGT", "TTTT", 1), ("GGGG", "CCCC", 0)]
    assert extra(dataset, "score") == ["0.5", ""]


@pytest.mark.parametrize("labels", [("0", "1"), ("FALSE", "TRUE")])
def test_the_original_scripts_file_has_no_header_and_6_mers(tmp_path, labels):
    kmers = "ACGTAC CGTACG GTACGT"
    text = f"{kmers}\tGGGGGGTT\t{labels[0]}\nTTTTTTT\t{kmers}\t{labels[1]}\n"
    dataset = read(tmp_path, pairs__txt=text)
    assert as_read(dataset) == [("ACGTACGT", "GGGGGGTT", 0), ("TTTTTTT", "ACGTACGT", 1)]


def test_a_table_of_ids_without_a_header(tmp_path):
    dataset = read(tmp_path, s__fa=FASTA, pairs__tsv="a\tb\t1\tx\nb\tc\t0\ty\n")
    assert as_read(dataset) == [("ACGT", "GGGG", 1), ("GGGG", "TTTT", 0)]
    assert extra(dataset, "column4") == ["x", "y"]


def test_columns_of_other_names_and_order_are_named_by_the_settings(tmp_path):
    text = "bound,left,right,seq1\nyes,ACGT,GGGG,junk\nno,TTTT,GGGG,junk\n"
    columns = ColumnNames(seq1="left", seq2="right", label="bound")
    dataset = read(tmp_path, Reading(columns=columns), pairs__csv=text)
    assert as_read(dataset) == [("ACGT", "GGGG", 1), ("TTTT", "GGGG", 0)]
    assert extra(dataset, "seq1") == ["junk", "junk"]


def test_a_column_has_one_side_in_all_tables_whatever_its_place(tmp_path):
    first, second = (
        "site,guide,cuts\nAACGTT,GGGGGG,yes\nAACGTA,GGGGGC,no\n",
        "guide,site,cuts\nCCCCCC,AATTTT,no\nCCCCCC,AATTTA,yes\n",
    )
    dataset = read(tmp_path, a__csv=first, b__csv=second)
    assert as_read(dataset) == [
        ("AACGTT", "GGGGGG", 1),
        ("AACGTA", "GGGGGC", 0),
        ("AATTTT", "CCCCCC", 0),
        ("AATTTA", "CCCCCC", 1),
    ]


def test_columns_without_names_can_be_named_by_position(tmp_path):
    columns = ColumnNames(seq1="column2", seq2="column3", label="column1")
    reading = Reading(header=False, columns=columns)
    dataset = read(tmp_path, reading, pairs__csv="1,ACGT,GGGG\n0,TTTT,GGGG\n")
    assert as_read(dataset) == [("ACGT", "GGGG", 1), ("TTTT", "GGGG", 0)]


def test_a_field_with_newline_comma_and_quotes(tmp_path):
    text = 'seq1,seq2,label,note\nACGT,GGGG,1,"two\nlines, ""quoted"""\nTTTT,GGGG,0,5" end\n'
    dataset = read(tmp_path, pairs__csv=text)
    assert extra(dataset, "note") == ['two\nlines, "quoted"', '5" end']
    assert dataset.sources.places([1, 0]) == [
        f"{tmp_path}/pairs.csv, line 4",
        f"{tmp_path}/pairs.csv, line 2",
    ]


def test_several_tables_are_read_as_one(tmp_path):
    dataset = read(
        tmp_path,
        test__tsv="seq1\tseq2\tlabel\nACGT\tGGGG\t1\n",
        train__tsv__gz=gzip.compress(b"sequence_a\tsequence_b\ty\tkind\nACGT\tTTTT\tFALSE\tx\n"),
    )
    assert as_read(dataset) == [("ACGT", "GGGG", 1), ("ACGT", "TTTT", 0)]
    assert dataset.sources.stems(dataset.pairs.index).tolist() == ["test", "train"]
    assert extra(dataset, "kind") == ["", "x"]
    assert dataset.counts["files_read"]["pairs"] == {"test.tsv": 1, "train.tsv.gz": 1}


def test_read_me_files_hidden_files_and_other_kinds_are_named_as_not_read(tmp_path):
    (tmp_path / ".hidden.csv").write_text("x")
    dataset = read(tmp_path, s__fna=FASTA, p__csv=TABLE, README__txt="x", card__json="{}")
    assert dataset.counts["files_read"]["not_read"] == ["README.txt", "card.json"]


def test_settings_choose_the_files(tmp_path):
    files = {"a__csv": TABLE, "b__csv": "junk\n", "s__fa": FASTA, "t__fa": "junk"}
    dataset = read(tmp_path, Reading(), ["a.csv"], ["s.fa"], **files)
    assert dataset.counts["files_read"]["not_read"] == ["b.csv", "t.fa"]


def test_one_file_without_a_suffix(tmp_path):
    (tmp_path / "data").write_bytes(gzip.compress(b"seq1,seq2,label\nACGT,GGGG,1\nTTTT,GGGG,0\n"))
    dataset = read_dataset(find_files(tmp_path / "data"), Reading())
    assert len(dataset.pairs) == 2


def test_a_100000_bp_sequence_and_its_kmers_are_read(tmp_path):
    long = "".join(np.random.default_rng(1).choice(list("ACGT"), 100_000))
    kmers = " ".join(long[start : start + 6] for start in range(len(long) - 5))
    dataset = read(tmp_path, pairs__tsv=f"{long}\tACGTAC\t1\nACGTAC\t{kmers}\t0\n")
    assert as_read(dataset) == [(long, "ACGTAC", 1), ("ACGTAC", long, 0)]
    assert dataset.sources.places([1])[0].endswith("line 2")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["pairs.csv is empty"]),
        ("\n\n", ["pairs.csv is empty"]),
        ("seq1,seq2,label\n", ["pairs.csv has a line of column names, but no pairs"]),
        ("seq1,other,label\nA,C,1\n", ["no column for seq2", "seq1, other, label", "data.columns.seq2"]),
        ("left,right,bound\nA,C,1\n", ["no column for seq1", "left, right, bound", "data.header: false"]),
        ("id1,id2,label\na,b,1\n", ["has ids (id1, id2)", "no FASTA file", "data.sequences"]),
        ("seq1,seq2,label,seq1\nA,C,1,A\n", ["line 1", "more than one column is called 'seq1'"]),
        ("seq1,seq2,label\nA,C,1\n\nA,C\nA,C,1,1\n", ["2 row(s)", "line 4: 2 fields", "line 5: 4 fields"]),
        ('seq1,seq2,label\nA,C,"x\ny"\nA,C\n', ["1 row(s)", "line 4: 2 fields"]),
        ('seq1,seq2,label\nA,C,1\nA,C,"0\nA,G,0\n', ["line 3", "quote"]),
        ('seq1,seq2,label,note\nA,C,1,x\nA,G,0,"y\nA,T,0,z\n', ["line 3", "quote"]),
        ("seq1,seq2,label\nA,C,1\nA,,0\n", ["1 sequence(s)", "line 3, column seq2: the sequence is empty"]),
        ("seq1,seq2,label\nA,C,1\nACG TTT,C,0\n", ["line 3, column seq1: k-mer 2 (TTT) does not go on"]),
        (b"seq1,seq2,label\nA,C,1\nA,C\xe9,0\n", ["pairs.csv, line 3", "not UTF-8"]),
        (b"seq1,seq2,caf\xe9\nA,C,1\n", ["pairs.csv, line 1", "not UTF-8"]),
        (
            "seq1,seq2,label\nA,C,1\nAXC,NN,0\n",
            [
                "2 sequence(s)",
                "3 in all",
                "line 3, first sequence: 'X' at position 2, 1 such",
                "data.ambiguous",
            ],
        ),
        (
            "seq1,seq2,label\nA,C,1\nA,G,0\nA,C,0\n",
            [
                "1 pair(s) have both labels",
                "line 4 says unrelated, pairs.csv, line 2 says",
                "data.contradictory",
            ],
        ),
    ],
)
def test_bad_tables_are_one_clear_error(tmp_path, text, parts):
    message = message_of(tmp_path, pairs__csv=text)
    assert "pairs.csv" in message
    assert all(part in message for part in parts), message


def packed_table():
    rows = "".join(f"{'ACGT' * (n % 40 + 1)},GG{'A' * (n % 50)},{n % 2}\n" for n in range(5000))
    return gzip.compress(f"seq1,seq2,label\n{rows}".encode())


@pytest.mark.parametrize(
    "data",
    [b"no gz \x00 at all", packed_table()[:-300], packed_table()[:300] + bytes(40) + packed_table()[340:]],
)
def test_damaged_gz(tmp_path, data):
    assert "pairs.csv.gz is damaged gz data" in message_of(tmp_path, pairs__csv__gz=data)


def test_damaged_parquet(tmp_path):
    buffer = io.BytesIO()
    pd.DataFrame({"seq1": ["A"], "seq2": ["C"], "label": [1]}).to_parquet(buffer)
    assert "pairs.parquet is damaged" in message_of(tmp_path, pairs__parquet=buffer.getvalue()[:-20])


def test_parquet_names_row_and_unreadable_columns(tmp_path):
    rows = {"seq1": ["A", None], "seq2": ["C", "G"], "label": [1, 0]}
    pd.DataFrame(rows).to_parquet(tmp_path / "pairs.parquet")
    assert "pairs.parquet, row 2, column seq1: the sequence is empty" in message_of(tmp_path)
    pd.DataFrame(rows | {"note": [[1], [2]]}).to_parquet(tmp_path / "pairs.parquet")
    assert "column 'note' holds list" in message_of(tmp_path)
    pd.DataFrame(rows).iloc[:0].to_parquet(tmp_path / "pairs.parquet")
    assert "pairs.parquet has columns, but no pairs" in message_of(tmp_path)


def test_unknown_ids_are_counted_and_the_first_five_shown(tmp_path):
    rows = "".join(f"a,x{n},0\n" for n in range(7))
    message = message_of(tmp_path, s__fa=FASTA, pairs__csv=f"id1,id2,label\na,b,1\n{rows}")
    assert message.startswith("7 id(s)")
    assert "pairs.csv, line 3, column id2: 'x0'" in message
    assert "line 7, column id2: 'x4'\n  ... and 2 more" in message
    assert "s.fa" in message


@pytest.mark.parametrize(
    ("columns", "part"),
    [
        (
            ColumnNames(seq1="nope"),
            "no column 'nope' (data.columns.seq1). Its columns are: seq1, seq2, label",
        ),
        (ColumnNames(label="seq1"), "must be three columns"),
        (ColumnNames(id1="seq1", seq1="seq1"), "set just one of the two kinds"),
        (ColumnNames(id1="seq1", id2="seq2"), "no FASTA file"),
    ],
)
def test_settings_that_do_not_fit_the_columns(tmp_path, columns, part):
    assert part in message_of(tmp_path, Reading(columns=columns), pairs__csv="seq1,seq2,label\nA,C,1\n")


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(DnapairError, match=r"data\.path"):
        find_files(tmp_path / "nowhere")
    (tmp_path / "notes.md").write_text("x")
    with pytest.raises(DnapairError, match=r"no pair table.*There is: notes\.md"):
        find_files(tmp_path)
    with pytest.raises(DnapairError, match=r"pairs\.csv is not there, but data\.pairs names it"):
        find_files(tmp_path, ["pairs.csv"])
    (tmp_path / "lone").write_text(FASTA)
    with pytest.raises(DnapairError, match="no pair table"):
        find_files(tmp_path / "lone")
