import pytest

from dnapair.data.columns import ColumnNames, find_roles, is_header
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


def roles_in(folder, text, columns=ColumnNames(), ids=None):  # noqa: B008 # it is not changed
    (folder / "pairs.csv").write_text(text)
    table = open_table(folder / "pairs.csv", lambda fields: is_header(fields, columns))
    known = None if ids is None else lambda values: [value in ids for value in values]
    return find_roles(table, columns, known)


@pytest.mark.parametrize(
    ("text", "roles"),
    [
        # columns of other names, among others
        ("gene,miRNA,chr,label\nACGTTTA,GGGGGG,7,1\n", ("gene", "miRNA", "label")),
        # an index as pandas writes it, without a name
        (
            ",on,off,binds\n0,ACGTTTA,GGGGGG,1\n1,ACGTTTA,GGGGGC,0\n2,ACGTTTA,GGGGCC,0\n",
            ("on", "off", "binds"),
        ),
        # `target` is a usual name of a label, and here holds DNA
        ("guide,target,cuts\nACGTTTA,GGGGGG,yes\nACGTTTA,GGGGGC,no\n", ("guide", "target", "cuts")),
        # one by its name, one by what it holds
        ("seq1,other,label\nACGTTTA,GGGGGG,1\n", ("seq1", "other", "label")),
        # lower case, RNA, k-mers with spaces, ambiguous letters and a faulty row
        (
            "a,b,label\n" + "acguuua,GGG GGC GCN,1\n" * 39 + "acguuua,?,1\n",
            ("a", "b", "label"),
        ),
        # no names: places, unless what stands there speaks against it
        ("ACGTTTA,GGGGGG,1\n", ("column1", "column2", "column3")),
        ("p1,ACGTTTA,GGGGGG,1\np2,ACGTTTA,GGGGGC,0\n", ("column2", "column3", "column4")),
        ("1,ACGTTTA,GGGGGG\n0,ACGTTTA,GGGGGC\n", ("column2", "column3", "column1")),
        ("ACGTTTA,GGGGGG,1,TTTTTTT\n", ("column1", "column2", "column3")),
        ("ACG,GGG,1\n", ("column1", "column2", "column3")),
    ],
)
def test_columns_are_found_by_what_they_hold(tmp_path, text, roles):
    assert roles_in(tmp_path, text) == (*roles, False)


def test_a_label_that_comes_late_is_found(tmp_path):
    related = "ACGTTTA,GGGGGG,7,1\n" * 20_000
    found = roles_in(tmp_path, f"a,b,batch,bound\n{related}ACGTTTA,GGGGGC,7,0\n")
    assert found.label == "bound"


@pytest.mark.parametrize(
    ("text", "roles"),
    [
        ("left,right,label\nf1,f2,1\n", ("left", "right", "label")),
        ("x,left,right,bound\n1,f1,f2,yes\n2,f2,f1,no\n", ("left", "right", "bound")),
        ("f1,f2,1\n", ("column1", "column2", "column3")),
    ],
)
def test_ids_are_found_by_the_records_that_there_are(tmp_path, text, roles):
    assert roles_in(tmp_path, text, ids={"f1", "f2"}) == (*roles, True)


def test_ids_that_look_like_dna_are_ids_where_records_are_called_so(tmp_path):
    text = "left,right,label\nACGTTTA,GGGGGG,1\n"
    assert roles_in(tmp_path, text, ids={"ACGTTTA", "GGGGGG"}).by_id
    assert not roles_in(tmp_path, text, ids={"f1"}).by_id
    assert not roles_in(tmp_path, text).by_id
    sequences = ColumnNames(seq1="left", seq2="right")
    assert not roles_in(tmp_path, text, sequences, ids={"ACGTTTA", "GGGGGG"}).by_id


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a,b,barcode,label\nACGTTTA,GGGGGG,CCCCCCC,1\n",
            "3 columns hold DNA, and 2 can be of the pair: a, b, barcode. Name the right ones in "
            "data.columns.seq1, data.columns.seq2.",
        ),
        (
            "seq1,b,barcode,label\nACGTTTA,GGGGGG,CCCCCCC,1\n",
            "2 columns hold DNA, and 1 can be of the pair: b, barcode. Name the right ones in "
            "data.columns.seq2.",
        ),
        (
            "a,b,bound,plus\nACGTTTA,GGGGGG,1,1\nACGTTTA,GGGGGC,0,0\n",
            "2 columns hold two labels, and one can be the label: bound, plus. Name the right one in "
            "data.columns.label.",
        ),
        ("a,b,bound\nACGTTTA,GGGGGG,1\nACGTTTA,GGGGGC,1\n", "no column for label"),
        ("a,b,label\nMKVLA,GGGGGG,1\n", "no column for seq1"),
        ("a,b,label\nMKVLAARRNDKK,GGGGGG,1\n", "no column for seq1"),
    ],
)
def test_what_columns_hold_may_leave_it_open(tmp_path, text, message):
    with pytest.raises(DnapairError) as caught:
        roles_in(tmp_path, text)
    assert message in str(caught.value)


def test_the_setting_that_a_message_names_settles_it(tmp_path):
    text = "a,b,barcode,bound,plus\nACGTTTA,GGGGGG,CCCCCCC,1,1\nACGTTTA,GGGGGC,CCCCCCC,0,0\n"
    named = ColumnNames(seq1="a", seq2="b", label="bound")
    assert roles_in(tmp_path, text, named) == ("a", "b", "bound", False)
