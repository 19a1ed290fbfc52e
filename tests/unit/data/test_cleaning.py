import pandas as pd
import pytest

from dnapair.data.dataset import Reading
from tests.unit.data.reading import FASTA, as_read, extra, message_of, read


def test_a_pair_that_is_there_twice_is_kept_once(tmp_path):
    text = "id1,id2,label,kind\na,b,1,x\nb,a,1,y\nc,d,0,x\na,b,1,z\n"
    dataset = read(tmp_path, s__fa=FASTA, pairs__csv=text)
    assert extra(dataset, "kind") == ["x", "y", "x"]
    assert dataset.counts["pairs"]["dropped_duplicate"] == 1


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


def test_the_record_with_ambiguous_letters_is_named(tmp_path):
    message = message_of(tmp_path, **AMBIGUOUS)
    assert "1 sequence(s) have letters other than A, C, G and T, 3 in all" in message
    assert "s.fa, record a: 'N' at position 5, 3 such letter(s)" in message


def test_nothing_left_after_dropping(tmp_path):
    text = "seq1,seq2,label\nAN,C,1\nAN,G,0\n"
    assert "None of 2 pairs is left: 2 have" in message_of(
        tmp_path, Reading(ambiguous="drop"), pairs__csv=text
    )
