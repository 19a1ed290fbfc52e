import gzip
import io
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dnapair.data import tables
from dnapair.data.columns import ColumnNames
from dnapair.data.dataset import Reading, read_dataset
from dnapair.data.raw_files import find_files
from dnapair.errors import DnapairError

FASTA = ">a\nACGT\n>b\nGGGG\n>c\nTTTT\n>d\nCCCC\n"
TABLE = "id1,id2,label\na,b,1\nb,c,0\n"


def read(folder, reading=Reading(), tables=None, fastas=None, **files):  # noqa: B008 # it is immutable
    """Write files, whose names have __ for the dot, and read them."""
    for name, content in files.items():
        data = content if isinstance(content, bytes) else content.encode()
        (folder / name.replace("__", ".")).write_bytes(data)
    return read_dataset(find_files(folder, tables, fastas), reading)


def as_read(dataset):
    """Write each pair as sequence, sequence, label."""
    return [
        (dataset.sequences[row1], dataset.sequences[row2], label)
        for row1, row2, label in dataset.pairs.itertuples(index=False)
    ]


def extra(dataset, name):
    return dataset.extra_columns([name], "", "")[name].tolist()


def message_of(folder, *arguments, **files):
    with pytest.raises(DnapairError) as caught:
        read(folder, *arguments, **files)
    return str(caught.value).replace(f"{folder}/", "")


# what is read


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


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.text("ACGT", min_size=1, max_size=3), st.text("ACGT", min_size=1, max_size=3))),
)
def test_nothing_is_lost_without_being_counted(tmp_path, given_pairs):
    pairs = [("AAAA", "CCCC"), ("GGGG", "TTTT"), *given_pairs]
    text = "".join(f"{one},{two},{len(one + two) % 2}\n" for one, two in pairs)
    dataset = read(tmp_path, pairs__csv=f"seq1,seq2,label\nAAAAA,C,1\n{text}AAAA,C,1\n")
    unique = dict.fromkeys([("AAAAA", "C"), *pairs, ("AAAA", "C")])
    assert [pair[:2] for pair in as_read(dataset)] != []
    assert len(dataset.pairs) == dataset.counts["pairs"]["kept"]
    counts = dataset.counts["pairs"]
    assert counts["read"] == len(pairs) + 2 == counts["kept"] + counts["dropped_duplicate"]
    assert [pair[:2] for pair in as_read(dataset)] == list(unique)
    assert list(dataset.sequences) == list(dict.fromkeys(sequence for pair in unique for sequence in pair))


TEXT = st.text("acgtu", min_size=1, max_size=9)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(TEXT, TEXT, st.sampled_from("01"), st.sampled_from(["x", "y", ""])), max_size=40),
    st.integers(1, 200),
    st.booleans(),
)
def test_the_dataset_does_not_depend_on_the_size_of_batches(tmp_path, monkeypatch, given_rows, size, ids):
    rows = [("aaaa", "cc", "1", "x"), ("gg", "aaaa", "0", "y"), *given_rows]
    texts = list(dict.fromkeys(text for row in rows for text in row[:2]))
    names = {text: f"r{number}" for number, text in enumerate(reversed(texts))}
    head = "id1,id2" if ids else "seq1,seq2"
    lines = [f"{names[a]},{names[b]},{y},{kind}" if ids else f"{a},{b},{y},{kind}" for a, b, y, kind in rows]
    files = {
        "pairs__csv": "\n".join([f"{head},label,kind", *lines]),
        "more__csv": f"{head},label\n{lines[0][:-2]}\n",
    }
    if ids:
        files["s__fa"] = "".join(f">{name}\n{text}\n" for text, name in names.items())
    found = []
    for block in (2**20, size):
        with monkeypatch.context() as patch:
            patch.setattr(tables, "_BLOCK_BYTES", block)
            dataset = read(tmp_path, Reading(contradictory="drop"), **files)
        split = np.array(["train", "val"], object)[dataset.pairs["row1"] % 2]
        table = pa.Table.from_batches(dataset.pair_batches(split))
        found.append((list(dataset.ids), list(dataset.sequences), table.to_pydict(), dataset.counts))
    assert found[0] == found[1]
    # and it is what reading by hand gives
    plain = [(a.upper().replace("U", "T"), b.upper().replace("U", "T"), int(y)) for a, b, y, _ in rows]
    labels = {}
    for first, second, label in [plain[0], *plain]:
        labels.setdefault((first, second), set()).add(label)
    kept = [(*pair, *values) for pair, values in labels.items() if len(values) == 1]
    assert as_read(dataset) == kept
    assert list(dataset.sequences) == list(dict.fromkeys(text for pair in kept for text in pair[:2]))


# what is dropped and counted


def test_a_pair_that_is_there_twice_is_kept_once(tmp_path):
    text = "id1,id2,label,kind\na,b,1,x\nb,a,1,y\nc,d,0,x\na,b,1,z\n"
    dataset = read(tmp_path, s__fa=FASTA, pairs__csv=text)
    assert extra(dataset, "kind") == ["x", "y", "x"]
    assert dataset.counts["pairs"]["dropped_duplicate"] == 1


def test_pairs_and_the_sequences_of_them_alone_can_be_left_out(tmp_path):
    text = "seq1,seq2,label,genome\nAAA,CCC,1,x\nGGG,AAA,0,y\nTTT,CCC,0,z\nTTT,GGG,1,u\n"
    left = read(tmp_path, **{"pairs.csv": text}).select(np.array([False, True, False, True]))
    assert list(left.sequences) == ["GGG", "AAA", "TTT"]
    assert list(left.ids) == ["sequence3", "sequence1", "sequence4"]
    assert left.rows.tolist() == [[0, 1], [2, 0]]
    assert extra(left, "genome") == ["y", "u"]
    assert left.places([1]) == [f"{tmp_path / 'pairs.csv'}, line 5"]
    written = pa.Table.from_batches(left.pair_batches(np.array(["train", "test"], object)))
    assert written["row1"].to_pylist() == [0, 2]
    assert written["genome"].to_pylist() == ["y", "u"]
    assert left.counts["pairs"]["kept"] == 2
    assert left.counts["sequences"] | {"read": 8} == {
        "read": 8,
        "identical_to_another": 4,
        "unused": 1,
        "kept": 3,
        "ambiguous": 0,
    }


def test_repeats_name_the_row_that_was_kept(tmp_path):
    text = "id1,id2,label,kind\na,b,1,x\nc,d,0,y\na,b,1,z\nb,a,1,z\nc,d,0,x\na,b,1,w\n"
    dataset = read(tmp_path, s__fa=FASTA, pairs__csv=text)
    assert dataset.repeats.tolist() == [[2, 0], [4, 1], [5, 0]]
    kinds = dataset.extra_columns(["kind"], "", "", pd.Index(dataset.repeats.ravel()))["kind"]
    assert kinds.tolist() == ["z", "x", "x", "y", "w", "x"]


def test_rows_of_a_pair_with_both_labels_are_no_repeats(tmp_path):
    text = "id1,id2,label\na,b,1\na,b,0\na,b,1\nc,d,0\nd,c,1\n"
    dataset = read(tmp_path, Reading(contradictory="drop"), s__fa=FASTA, pairs__csv=text)
    assert dataset.repeats.shape == (0, 2)


def test_two_ids_with_one_sequence_share_a_row(tmp_path):
    fasta = ">a\nACGT\n>b\nGGGG\n>also_a\nacgu\n>also_unused\nacgu\n"
    dataset = read(tmp_path, s__fa=fasta, pairs__csv="id1,id2,label\nalso_a,b,1\na,b,1\nb,a,0\n")
    assert list(dataset.ids) == ["a", "b"]
    assert dataset.counts["pairs"]["dropped_duplicate"] == 1
    assert dataset.counts["sequences"] == {
        "read": 4,
        "identical_to_another": 2,
        "unused": 0,
        "kept": 2,
        "ambiguous": 0,
    }


def test_contradictory_pairs_are_dropped_whole_where_the_settings_say_so(tmp_path):
    text = "id1,id2,label\na,b,1\nc,d,0\na,b,0\na,b,1\nb,a,1\n"
    dataset = read(tmp_path, Reading(contradictory="drop"), s__fa=FASTA, pairs__csv=text)
    assert as_read(dataset) == [("TTTT", "CCCC", 0), ("GGGG", "ACGT", 1)]
    assert dataset.counts["pairs"]["dropped_contradictory"] == 3


AMBIGUOUS = {
    "s__fa": ">a\nACGTNNR\n>b\nGGGG\n>c\nTTTT\n>unused\nNNN\n",
    "pairs__csv": "id1,id2,label\na,b,1\nb,c,0\nc,b,1\n",
}


def test_ambiguous_drop_leaves_out_the_pairs(tmp_path):
    dataset = read(tmp_path, Reading(ambiguous="drop"), **AMBIGUOUS)
    assert as_read(dataset) == [("GGGG", "TTTT", 0), ("TTTT", "GGGG", 1)]
    assert dataset.counts["pairs"]["dropped_ambiguous"] == 1
    assert dataset.counts["sequences"]["ambiguous"] == 1


def test_ambiguous_keep_keeps_the_letters(tmp_path):
    dataset = read(tmp_path, Reading(ambiguous="keep"), **AMBIGUOUS)
    assert dataset.sequences[0] == "ACGTNNR"
    assert dataset.counts["sequences"]["ambiguous"] == 1


# labels


@pytest.mark.parametrize(
    ("values", "positive", "labels"),
    [
        (["1", "0"], None, [1, 0]),
        (["No", "YES"], None, [0, 1]),
        (["same", "different"], None, [1, 0]),
        (["1", "TRUE", "0", "false"], None, [1, 1, 0, 0]),
        (["binds", "free"], "binds", [1, 0]),
        (["1", "0"], 0, [0, 1]),
        (["TRUE", "FALSE"], False, [0, 1]),
        (["1.0", "0.0"], None, [1, 0]),
    ],
)
def test_labels(tmp_path, values, positive, labels):
    text = "".join(f"{'ACGT' * (n + 1)},GGGG,{value}\n" for n, value in enumerate(values))
    dataset = read(tmp_path, Reading(positive_label=positive), pairs__csv=f"seq1,seq2,label\n{text}")
    assert dataset.pairs["label"].tolist() == labels


@pytest.mark.parametrize(
    ("values", "positive", "parts"),
    [
        (
            "112",
            None,
            ["2 different value(s)", "'1': 2 pair(s), the first at pairs.csv, line 2", "'2': 1 pair(s)"],
        ),
        ("10x", None, ["3 different value(s)", "'x': 1 pair(s), the first at pairs.csv, line 4"]),
        ("10x", 1, ["3 different value(s)", "'x': 1 pair(s), the first at pairs.csv, line 4"]),
        ("111", None, ["1 different value(s)", "'1': 3 pair(s), the first at pairs.csv, line 2"]),
        ("ab", "c", ["'a': 1 pair(s)", "None of them is 'c'"]),
        (["1", "0", ""], None, ["'': 1 pair(s), the first at pairs.csv, line 4"]),
    ],
)
def test_labels_that_are_not_two_are_listed_with_their_counts(tmp_path, values, positive, parts):
    text = "".join(f"{'ACGT' * (n + 1)},GGGG,{value}\n" for n, value in enumerate(values))
    message = message_of(tmp_path, Reading(positive_label=positive), pairs__csv=f"seq1,seq2,label\n{text}")
    assert all(part in message for part in [*parts, "data.positive_label"])


# what is wrong


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
    "data", [b"no gz at all", packed_table()[:-300], packed_table()[:300] + bytes(40) + packed_table()[340:]]
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


def test_the_record_with_ambiguous_letters_is_named(tmp_path):
    message = message_of(tmp_path, **AMBIGUOUS)
    assert "1 sequence(s) have letters other than A, C, G and T, 3 in all" in message
    assert "s.fa, record a: 'N' at position 5, 3 such letter(s)" in message


def test_nothing_left_after_dropping(tmp_path):
    text = "seq1,seq2,label\nAN,C,1\nAN,G,0\n"
    assert "None of 2 pairs is left: 2 have" in message_of(
        tmp_path, Reading(ambiguous="drop"), pairs__csv=text
    )


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


# the table that is written


def test_pair_table_keeps_every_column_and_its_own_names(tmp_path):
    text = "seq1,seq2,label,fold,split,row1\nACGT,GGGG,1,train,x,9\nTTTT,GGGG,0,test,y,8\n"
    dataset = read(tmp_path, pairs__csv=text)
    batches = dataset.pair_batches(np.array(["train", "test"]), without="fold")
    table = pa.Table.from_batches(batches).to_pandas()
    assert table.columns.tolist() == ["row1", "row2", "label", "split", "input_split", "input_row1"]
    assert table["split"].tolist() == ["train", "test"]
    assert table["input_split"].tolist() == ["x", "y"]


def test_a_missing_extra_column_is_named_with_those_there(tmp_path):
    dataset = read(tmp_path, pairs__csv="seq1,seq2,label,fold\nACGT,GGGG,1,x\nTTTT,GGGG,0,y\n")
    with pytest.raises(DnapairError, match=r"no column 'split', but split\.column .* are: fold\. Mend it"):
        dataset.extra_columns(["split"], "split.column", "Mend it")


GROWTH = """
import resource, sys
from pathlib import Path
import numpy as np
from dnapair.data.dataset import Reading, read_dataset
from dnapair.data.raw_files import find_files
from dnapair.data.splits import predefined_split
folder, count = Path(sys.argv[1]), int(sys.argv[2])
rng = np.random.default_rng(0)
with (folder / "s.fa").open("w") as fasta:
    for row in range(count // 2):
        fasta.write(f">s{row}\\n{''.join(rng.choice(list('ACGT'), 200))}\\n")
with (folder / "pairs.csv").open("w") as table:
    table.write("id1,id2,label,split\\n")
    for row, (first, second) in enumerate(rng.integers(0, count // 2, (count, 2))):
        table.write(f"s{first},s{second},{row % 2},{('train', 'test')[row % 3 == 0]}\\n")
dataset = read_dataset(find_files(folder), Reading(contradictory="drop"))
names = dataset.extra_columns(["split"], "", "")["split"]
split = predefined_split(names, dataset.pairs["label"].to_numpy(), 0.1, 1, dataset.places).split
for batch in dataset.pair_batches(split):
    pass
assert sum(map(len, dataset.sequences)) == 200 * len(dataset.sequences)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.slow
def test_memory_grows_by_compact_arrays_alone(tmp_path):
    peaks = []
    for count in (20_000, 200_000):
        folder = tmp_path / str(count)
        folder.mkdir()
        command = [sys.executable, "-c", GROWTH, str(folder), str(count)]
        peaks.append(int(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    # strings and frames took more than 800 bytes a pair
    assert (peaks[1] - peaks[0]) / 180_000 < 400
