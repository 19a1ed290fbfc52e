import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnapair.data.columns import has_names
from dnapair.data.pair_columns import USUAL_PAIR, PairColumns, choose_pair, request_pairs
from dnapair.data.scored_columns import find_sequences, read_names, write_names
from dnapair.data.tables import open_table
from dnapair.errors import DnapairError

TRAINED = (PairColumns("miRNA", "gene"), PairColumns("id1", "id2", by_id=True))
PLACES = (PairColumns("column2", "column3", named=False),)


def find(folder: Path, text: str, remembered=(), *, by_id: bool = False) -> list[tuple[str, str]]:
    (folder / "pairs.csv").write_text(text)
    return find_sequences(open_table(folder / "pairs.csv", has_names), remembered, by_id=by_id)


@pytest.mark.parametrize(
    ("text", "remembered", "columns"),
    [
        ("note,Seq 1,Seq 2\nx,ACGT,GGGG\n", (), [("Seq 1", "Seq 2")]),
        ("gene,label,miRNA\nACGT,1,GGGG\n", TRAINED, [("miRNA", "gene")]),
        ("Seq_A,Seq_B\nACGT,GGGG\n", TRAINED, [("Seq_A", "Seq_B")]),
        # the user's own names go before the usual ones
        ("seq1,seq2,gene,miRNA\nA,C,ACGT,GGGG\n", TRAINED, [("miRNA", "gene"), ("seq1", "seq2")]),
        # the same two are one pair, however they were called in training
        ("seq1,seq2\nACGT,GGGG\n", (PairColumns("seq2", "seq1"),), [("seq2", "seq1")]),
        ("id1,id2,seq1,seq2\nf,g,ACGT,GGGG\n", TRAINED, [("seq1", "seq2")]),
        # without a header: as in training, by what they hold, by their place
        ("7,ACGTAC,GGGGGG\n", PLACES, [("column2", "column3")]),
        ("ACGTAC,GGGGGG,TTTTTT\n", PLACES, [("column2", "column3")]),
        ("7,ACGTAC,GGGGGG\n", TRAINED, [("column2", "column3")]),
        ("ACGTAC,GGGGGG,TTTTTT\n", TRAINED, [("column1", "column2")]),
        # a name that is like a place is none
        ("column2,column3,seq1,seq2\nx,y,ACGT,GGGG\n", PLACES, [("seq1", "seq2")]),
    ],
)
def test_columns_of_training_go_before_usual_names(tmp_path: Path, text: str, remembered, columns):
    assert find(tmp_path, text, remembered) == columns


def test_ids_are_looked_for_where_there_is_fasta(tmp_path: Path):
    text = "gene,miRNA,id1,id2,guide,site\nA,C,f,g,h,i\n"
    assert find(tmp_path, text, TRAINED, by_id=True) == [("id1", "id2")]
    trained = (PairColumns("guide", "site", by_id=True),)
    assert find(tmp_path, text, trained, by_id=True) == [("guide", "site"), ("id1", "id2")]


@pytest.mark.parametrize(
    ("text", "remembered", "by_id", "words"),
    [
        (
            "seq1,other\nACGT,GGGG\n",
            (),
            False,
            r"has no columns of sequences: no seq1 \(also known as .*\) and seq2 .* are: seq1, other\. .*"
            r"--columns FIRST,SECOND\. If its first line is a pair .* with seq1 and seq2\.$",
        ),
        (
            "a,b\nACGT,GGGG\n",
            TRAINED[:1],
            False,
            r"neither miRNA and gene, as in training, nor seq1 \(also .*--columns FIRST,SECOND",
        ),
        ("a,b\nACGT,GGGG\n", (TRAINED[1],), False, r"as in training: --sequences FILE\. Name the two"),
        ("x,guide,site\n1,ACGTAC,GGGGGG\n", (), False, r"DNA is in: guide, site\. .*--columns guide,site\."),
        ("x,a b,c\n1,ACGTAC,GGGGGG\n", (), False, r"--columns 'a b,c'\."),
        ("Name1,Name2\nf,g\n", (), False, r"It has ids in Name1 and Name2: .* --sequences FILE$"),
        (
            "a,b\nf,g\n",
            (PairColumns("a", "b", by_id=True),),
            False,
            r"It has ids in a and b: .* --sequences FILE$",
        ),
        ("seq1,seq2\nACGT,GGGG\n", (), True, r"no columns of ids: .*seq1 and seq2: leave out --sequences\.$"),
        ("a,b\nACGT,GGGG\n", (), True, r"no columns of ids: no id1 .* with id1 and id2\.$"),
        ("ACGTACGT\nACGTAC\n", (), False, r"no columns of sequences: "),
    ],
)
def test_columns_that_are_missing_are_an_error_with_a_remedy(tmp_path: Path, text, remembered, by_id, words):
    with pytest.raises(DnapairError, match=words) as raised:
        find(tmp_path, text, remembered, by_id=by_id)
    # nothing that scores reads params.yaml
    assert "data.columns" not in str(raised.value)


names = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1)


@given(names, names)
def test_names_that_a_message_gives_are_read_as_they_were(first: str, second: str):
    if first != second:
        assert read_names(*shlex.split(write_names([first, second]))) == (first, second)


@pytest.mark.parametrize("text", ["", "a", "a,", "a,a", "a,b,c", ",b", '"a,b"'])
def test_columns_that_are_not_two_are_refused(text: str):
    with pytest.raises(DnapairError, match=r"^--columns .*: give the names of two columns"):
        read_names(text)


def test_a_request_may_use_the_names_of_training_or_the_usual_ones():
    assert request_pairs((*TRAINED, *PLACES, PairColumns(*USUAL_PAIR))) == [("miRNA", "gene")]
    for trained in ((), TRAINED, PLACES):
        assert choose_pair(["label", "seq2", "seq1"], trained) == USUAL_PAIR
        assert choose_pair(["gene", "miRNA"], TRAINED) == ("miRNA", "gene")
    # whoever asks for them says that they are not there
    assert choose_pair(["gene"], ()) == choose_pair(["gene"], PLACES) == USUAL_PAIR
    with pytest.raises(DnapairError, match=r"neither miRNA and gene, .* nor seq1 and seq2"):
        choose_pair(["gene", "seq1", "id1", "id2"], TRAINED)
    with pytest.raises(DnapairError, match="miRNA and gene, and also seq1 and seq2: send one"):
        choose_pair(["gene", "miRNA", "seq1", "seq2"], TRAINED)
