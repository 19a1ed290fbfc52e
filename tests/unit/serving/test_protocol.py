import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnapair.serving.protocol import Limits, RefusedError, read_pairs, write_scores

LIMITS = Limits(max_pairs=3, max_bases=20, max_comparisons=800, max_bytes=10_000)
ONE = {"seq1": "ACGTACGT", "seq2": "ACGTTT"}


def read(content: object, content_type: str | None = "application/json") -> tuple[list[str], list[str]]:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return read_pairs(body, content_type, LIMITS)[:2]


@pytest.mark.parametrize(
    "content",
    [
        {"dataframe_records": [ONE]},
        {"dataframe_records": [{"other": 1, **ONE}], "params": {}, "messages": []},
        {"dataframe_split": {"columns": ["seq2", "x", "seq1"], "data": [["ACGTTT", 1, "ACGTACGT"]]}},
        {"dataframe_split": {"columns": ["seq1", "seq2"], "index": [7], "data": [["ACGTACGT", "ACGTTT"]]}},
        {"instances": [ONE]},
        {"inputs": [ONE]},
        {"inputs": {"seq1": ["ACGTACGT"], "seq2": ["ACGTTT"]}},
        {"inputs": ONE},
    ],
)
def test_every_form_of_json_is_read(content: dict):
    assert read(content) == (["ACGTACGT"], ["ACGTTT"])


@pytest.mark.parametrize(
    "text",
    [
        "seq1,seq2\nACGTACGT,ACGTTT\n",
        "seq2,note,seq1\r\nACGTTT,x,ACGTACGT\r\n\r\n",
        '\ufeff"seq1","seq2"\n"ACGTACGT","ACGTTT"',
    ],
)
def test_every_form_of_csv_is_read(text: str):
    for content_type in ("text/csv", "Text/CSV; charset=UTF-8"):
        assert read(text.encode(), content_type) == (["ACGTACGT"], ["ACGTTT"])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not UTF-8 (byte 1)"),
        (b"[" * 100_000, "nested too deep"),
        (b'{"inputs": ' + b"9" * 5000 + b"}", "not JSON"),
        (7, "exactly one of: dataframe_records, dataframe_split, instances, inputs"),
        ([ONE], "exactly one of"),
        ({"messages": [ONE]}, "exactly one of"),
        ({"instances": [ONE], "inputs": [ONE]}, "exactly one of"),
        ({"dataframe_records": ONE}, "must be a list of objects"),
        ({"dataframe_records": [[ONE]]}, "pair 1 is [{'seq1'"),
        ({"dataframe_records": [ONE, {"seq1": "ACGT"}]}, "pair 2 has no seq2"),
        ({"dataframe_records": [{**ONE, "seq1": None}]}, "seq1 of pair 1 is None, not a sequence"),
        ({"dataframe_records": [{**ONE, "seq1": 7}]}, "seq1 of pair 1 is 7"),
        ({"dataframe_records": [{**ONE, "seq2": True}]}, "seq2 of pair 1 is True"),
        ({"dataframe_records": [{**ONE, "seq2": ["ACGT"]}]}, "seq2 of pair 1 is ['ACGT']"),
        ({"dataframe_records": [ONE, {**ONE, "seq2": " \n"}]}, "seq2 of pair 2 is ' \\n'"),
        ({"dataframe_records": [{**ONE, "seq1": "ACGT\u00e9"}]}, "the character '\\xe9'"),
        ({"dataframe_records": [{**ONE, "seq1": "ACGT\ud800"}]}, "the character '\\ud800'"),
        ({"dataframe_records": [ONE] * 4}, "Pair 4 is one too many: a request may have 3 (serve.max_pairs)"),
        ({"instances": [ONE] * 4}, "serve.max_pairs"),
        ({"inputs": [ONE] * 4}, "serve.max_pairs"),
        ({"inputs": {"seq1": ["A"] * 4, "seq2": ["A"] * 4}}, "serve.max_pairs"),
        ({"inputs": {"seq1": ["A"], "seq2": ["A", "A"]}}, "seq1 has 1 sequences and seq2 has 2"),
        ({"inputs": {"seq1": ["A"]}}, "inputs has no seq2"),
        ({"dataframe_split": [ONE]}, "the lists columns and data"),
        ({"dataframe_split": {"data": [["A", "A"]]}}, "the lists columns and data"),
        (
            {"dataframe_split": {"columns": ["seq1", "seq1", "seq2"], "data": [["A", "A", "A"]]}},
            "There are 2 columns seq1",
        ),
        ({"dataframe_split": {"columns": ["seq1", {}], "data": []}}, "There are 0 columns seq2"),
        ({"dataframe_split": {"columns": ["seq1", "seq2"], "data": ["AC"]}}, "pair 1 is not a list of 2"),
        ({"dataframe_split": {"columns": ["seq1", "seq2"], "data": [["A", "A"]] * 4}}, "serve.max_pairs"),
        (
            {"dataframe_records": [ONE, {**ONE, "seq2": "A" * 21}]},
            "seq2 of pair 2 has 21 bases; the most is 20 (serve.max_bases)",
        ),
        (
            {"dataframe_records": [{"seq1": "A" * 17, "seq2": "A" * 16}] * 3},
            "lay 816 bases beside each other, and 800 are let through (serve.max_comparisons)",
        ),
        ({"dataframe_records": [{**ONE, "seq2": "ACG CGT GTT TTA TCC T"}]}, "seq2 of pair 1: "),
    ],
)
def test_wrong_json_is_refused_in_one_sentence(content: object, words: str):
    with pytest.raises(RefusedError) as refused:
        read(content)
    assert words in str(refused.value)
    assert refused.value.status == 400
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "The body is empty"),
        ("\n\n", "The body is empty"),
        ("seq1,other\nA,A\n", "There are 0 columns seq2"),
        ("seq1,seq2,seq1\nA,A,A\n", "There are 2 columns seq1"),
        ("seq1,seq2\nACGT\n", "pair 1 has 1 values, and the header has 2"),
        ("seq1,seq2\nACGT,\n", "seq2 of pair 1 is '', not a sequence"),
        ('seq1,seq2\n"ACGT,ACGT\n', "not CSV"),
        ("seq1,seq2\n" + "ACGT,ACGT\n" * 4, "serve.max_pairs"),
        ("seq1,seq2\n" + "A" * 21 + ",ACGT\n", "serve.max_bases"),
        (",".join(map(str, range(1000))), "There are 0 columns seq1"),
    ],
)
def test_wrong_csv_is_refused_in_one_sentence(text: str, words: str):
    with pytest.raises(RefusedError) as refused:
        read(text.encode(), "text/csv")
    assert words in str(refused.value)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "application/vnd.apache.parquet",
        "application/json; charset=latin-1",
        "application/json; x=1",
        "x" * 10_000,
    ],
)
def test_another_content_type_is_refused(content_type: str | None):
    with pytest.raises(RefusedError, match="The content type is") as refused:
        read({"instances": [ONE]}, content_type)
    assert refused.value.status == 415
    assert len(str(refused.value)) < 300


def test_as_many_comparisons_as_are_let_through_are_scored():
    kmers = " ".join(["AAA"] * 18)
    for sequence in ("A" * 20, kmers):
        first, second = read({"dataframe_records": [{"seq1": sequence, "seq2": "A" * 20}] * 2})
        assert (first, second) == ([sequence] * 2, ["A" * 20] * 2)


def test_kmers_with_spaces_count_as_their_bases():
    sequence = "ACGTTGCAAGTCACGTTGCA"
    kmers = " ".join(sequence[place : place + 6] for place in range(len(sequence) - 5))
    assert len(kmers) > LIMITS.max_bases == len(sequence)
    assert read({"instances": [{"seq1": kmers, "seq2": "ACGTTT"}]}) == ([kmers], ["ACGTTT"])


def test_scores_are_written_as_json():
    written = write_scores(np.float32([0.25, 1]), np.array([0, 1]))
    assert json.loads(written) == {
        "predictions": [{"probability": 0.25, "label": 0}, {"probability": 1.0, "label": 1}]
    }


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.text("ACGT", min_size=1),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.sampled_from(["seq1", "seq2", "columns", "data", "index"]) | st.text(), inner)
    ),
    max_leaves=20,
)
forms = st.sampled_from(["dataframe_records", "dataframe_split", "instances", "inputs", "params"])


def read_or_refuse(body: bytes, content_type: str) -> tuple[list[str], list[str]] | int:
    try:
        return read_pairs(body, content_type, LIMITS)[:2]
    except RefusedError as error:
        return error.status


@given(st.dictionaries(forms, values, max_size=2) | values)
def test_any_json_is_read_or_refused(content: object):
    outcome = read_or_refuse(json.dumps(content).encode(), "application/json")
    if outcome != 400:
        seq1, seq2 = outcome
        assert len(seq1) == len(seq2) <= LIMITS.max_pairs
        assert all(0 < len(sequence) <= LIMITS.max_bases for sequence in (*seq1, *seq2))


@given(
    st.binary() | st.text().map(lambda text: f"seq1,seq2\n{text}".encode()),
    st.sampled_from(["application/json", "text/csv"]),
)
def test_any_bytes_are_read_or_refused(body: bytes, content_type: str):
    outcome = read_or_refuse(body, content_type)
    if outcome != 400:
        seq1, seq2 = outcome
        assert len(seq1) == len(seq2) <= LIMITS.max_pairs
