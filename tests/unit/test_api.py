"""What Python code gets that imports dnapair."""

import doctest
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import dnapair
from dnapair import DnapairError, api
from dnapair.data.pair_columns import PairColumns
from tests.small_models import SEQUENCES, save_model

# MLflow itself runs in these tests: what it warns of in its own code is not ours to mend
pytestmark = pytest.mark.filterwarnings("default")

SEQ1, SEQ2 = SEQUENCES[:6], SEQUENCES[6:12]
TABLE = "seq1,seq2,label,family\nacgttgca,TTGCAACG,1,let-7\nACGTTGCA,CCCCGGGG,0,miR-21\n"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_model(tmp_path_factory.mktemp("model"), columns=(PairColumns("miRNA", "gene"),))


@pytest.fixture(scope="module")
def model(address: str) -> api.Model:
    return dnapair.load_model(address)


def test_the_examples_of_the_docstrings_are_true(address: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    table = tmp_path / "pairs.csv"
    table.write_text(TABLE)
    given = {
        "address": address,
        "encoder": Path(address).parent / "bundle" / "encoder",
        "table": table,
    }
    found = doctest.testmod(api, extraglobs=given, optionflags=doctest.ELLIPSIS)
    assert found.attempted > 6
    assert not found.failed


def test_importing_it_brings_nothing_that_is_slow() -> None:
    slow = "{'numpy', 'pandas', 'pydantic', 'torch'}"
    code = f"import dnapair, sys; dnapair.__version__; print(sorted({slow} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"
    assert {"load_model", "embed", "read_pairs", "DnapairError"} <= set(dir(dnapair))
    with pytest.raises(AttributeError):
        dnapair.nothing  # noqa: B018


@pytest.mark.parametrize(
    "give",
    [
        lambda: (SEQ1, SEQ2),
        lambda: (np.array(SEQ1), tuple(SEQ2)),
        lambda: (pa.array(SEQ1), (text.lower() for text in SEQ2)),
        lambda: ({"seq1": SEQ1, "seq2": SEQ2},),
        lambda: (pd.DataFrame({"gene": SEQ2, "miRNA": SEQ1, "score": 1.0}),),
        lambda: (pa.table({"miRNA": SEQ1, "gene": SEQ2}),),
        lambda: (pa.chunked_array([SEQ1[:2], SEQ1[2:]]), pd.Series(SEQ2)),
    ],
)
def test_pairs_have_the_same_scores_however_they_are_given(model: api.Model, give) -> None:
    expected = model._scorer.score(SEQ1, SEQ2)
    scores = model.score(*give())
    np.testing.assert_array_equal(scores["probability"], expected.probability)
    np.testing.assert_array_equal(scores["label"], expected.label)


def test_a_model_that_remembers_no_columns_names_the_one_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DnapairError, match="There is no column 'seq2': the model takes seq1 and seq2"):
        dnapair.load_model(save_model(tmp_path)).score({"seq1": SEQ1, "other": SEQ2})


def test_a_data_frame_keeps_its_index(model: api.Model) -> None:
    frame = pd.DataFrame({"seq1": SEQ1, "seq2": SEQ2}, index=list("fedcba"))
    assert frame.join(model.score(frame)).notna().all(axis=None)
    assert model.score(frame["seq1"], frame["seq2"]).index.tolist() == list("fedcba")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (([], []), "There are no pairs"),
        ((pd.DataFrame({"seq1": [], "seq2": []}),), "There are no pairs"),
        ((SEQ1, SEQ2[:2]), "seq1 has 6 sequences and seq2 2"),
        ((["ACGTACGT", None], SEQ2[:2]), "seq1 of pair 2 is None, not a sequence"),
        ((SEQ1[:2], pd.Series(["ACGTACGT", np.nan])), "seq2 of pair 2 is nan, not a sequence"),
        ((pa.table({"miRNA": SEQ1[:2], "gene": ["ACGTACGT", None]}),), "gene of pair 2 is None"),
        ((["ACGTACGT", " "], SEQ2[:2]), "seq1 of pair 2 is ' '"),
        (("ACGTACGT", "ACGTACGT"), "give a list of sequences"),
        ((SEQ1,), "A list is no table of pairs"),
        ((7,), "A int is no table of pairs"),
        ((pd.DataFrame({"a": SEQ1, "b": SEQ2}),), "neither miRNA and gene, as the columns were called"),
        ((["ACGTXCGT"], ["ACGTACGT"]), "seq1 of pair 1: letter 'X' at position 5"),
    ],
)
def test_what_can_not_be_scored_is_told(model: api.Model, given, words: str) -> None:
    with pytest.raises(DnapairError, match=words):
        model.score(*given)


def between(probability: pd.Series) -> float:
    """A threshold in the middle that no pair lies on."""
    values = np.unique(probability)
    return float(values[values.size // 2 - 1 : values.size // 2 + 1].mean(dtype=np.float64))


def test_a_threshold_turns_labels_and_no_probability(model: api.Model) -> None:
    own = model.score(SEQ1, SEQ2)
    middle = between(own["probability"])
    turned = model.score(SEQ1, SEQ2, threshold=middle)
    assert turned["probability"].equals(own["probability"])
    assert turned["label"].tolist() == (own["probability"] >= middle).astype(int).tolist()
    assert set(turned["label"]) == {0, 1}
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(DnapairError, match="a probability is from 0 to 1"):
            model.score(SEQ1, SEQ2, threshold=wrong)


def test_an_explanation_is_a_frame_a_figure_and_a_picture(model: api.Model) -> None:
    found = model.explain(SEQ1[0], SEQ2[0], window=5)
    frame = found.frame()
    assert frame.groupby("sequence")["base"].sum().to_dict() == {"seq1": SEQ1[0], "seq2": SEQ2[0]}
    assert found.probability == pytest.approx(model.score([SEQ1[0]], [SEQ2[0]])["probability"][0])
    assert len(found.figure().axes) == 3
    assert found._repr_png_().startswith(b"\x89PNG")
    assert "meet" in str(found)
    with pytest.raises(DnapairError, match="seq2 of pair 1 is None"):
        model.explain(SEQ1[0], None)
    with pytest.raises(DnapairError, match="window is 0"):
        model.explain(SEQ1[0], SEQ2[0], window=0)


def test_embeddings_are_those_of_the_command_line(address: str) -> None:
    encoder = Path(address).parent / "bundle" / "encoder"
    rows = dnapair.embed(SEQ1, encoder, strand="forward")
    assert rows.dtype == np.float32
    np.testing.assert_allclose(dnapair.embed(SEQ1[::-1], encoder, strand="forward")[::-1], rows, atol=1e-5)
    unit = dnapair.embed(SEQ1, encoder, strand="forward", normalize=True)
    np.testing.assert_allclose(unit, rows / np.linalg.norm(rows, axis=1, keepdims=True), atol=1e-6)
    assert dnapair.embed([], encoder).shape == (0, rows.shape[1])
    for given, words in (
        (["ACGTACGT", "AC"], r"sequence 2 \(2 letters\)"),
        ([None], "sequence 1 is None"),
        ("ACGTACGT", "give a list"),
    ):
        with pytest.raises(DnapairError, match=words):
            dnapair.embed(given, encoder)
    with pytest.raises(DnapairError, match="nowhere"):
        dnapair.embed(SEQ1, "/nowhere/at all")


def test_pairs_are_read_as_prepare_reads_them(tmp_path: Path) -> None:
    rows = [
        "guide\tsite\tprobability\tlabel",
        "ACGUACGUAC\tacgtacgtac\t5\tyes",
        "AAAACAAAAC\tCCCCACCCCA\t6\tno",
    ]
    (tmp_path / "pairs.tsv").write_text("\n".join(rows))
    pairs = dnapair.read_pairs(tmp_path)
    assert pairs.to_dict("list") == {
        "seq1": ["ACGTACGTAC", "AAAACAAAAC"],
        "seq2": ["ACGTACGTAC", "CCCCACCCCA"],
        "label": [1, 0],
        "probability": ["5", "6"],
    }
    with pytest.raises(DnapairError, match="'miRNA'"):
        dnapair.read_pairs(tmp_path, columns={"seq1": "miRNA", "seq2": "site"})
    with pytest.raises(DnapairError, match=r"columns has 'miRNA'; there are id1"):
        dnapair.read_pairs(tmp_path, columns={"miRNA": "seq1"})
    with pytest.raises(DnapairError, match="is not there"):
        dnapair.read_pairs(tmp_path / "none")
