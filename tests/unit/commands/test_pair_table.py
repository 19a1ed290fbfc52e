"""Tables with the columns of training, with others, and with ids, through the commands that score."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dnapair.commands import drift
from dnapair.commands.explain import explain_row
from dnapair.commands.predict import predict_file
from dnapair.data.pair_columns import PairColumns
from dnapair.errors import DnapairError
from dnapair.scoring.scorer import PairScorer
from tests.small_models import SEQUENCES, save_model

# MLflow itself runs in these tests: what it warns of in its own code is not ours to mend
pytestmark = pytest.mark.filterwarnings("default")

PAIRS = 40
SEQ1, SEQ2 = SEQUENCES[:PAIRS], SEQUENCES[PAIRS : 2 * PAIRS]
TRAINED = (
    PairColumns("miRNA", "gene"),
    PairColumns("guide", "site", by_id=True),
    PairColumns("column2", "column3", named=False),
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_model(tmp_path_factory.mktemp("model"), columns=TRAINED)


@pytest.fixture(scope="module")
def expected(model: str) -> np.ndarray:
    return PairScorer(Path(model).parent / "bundle").score(SEQ1, SEQ2).probability


@pytest.fixture
def fasta(tmp_path: Path) -> Path:
    path = tmp_path / "records.fa"
    path.write_text("".join(f">f{row} of {row}\n{text}\n" for row, text in enumerate(SEQUENCES)))
    return path


def write(folder: Path, *, header: bool = True, **columns: list[str]) -> Path:
    path = folder / "pairs.csv"
    pd.DataFrame(columns).to_csv(path, index=False, header=header)
    return path


IDS1, IDS2 = ([f"f{row}" for row in rows] for rows in (range(PAIRS), range(PAIRS, 2 * PAIRS)))
NOTES = [str(row) for row in range(PAIRS)]


@pytest.mark.parametrize(
    ("columns", "header", "option", "by_id"),
    [
        ({"gene": SEQ2, "label": NOTES, "miRNA": SEQ1}, True, None, False),
        ({"seq1": SEQ1, "seq2": SEQ2}, True, None, False),
        ({"a,b": SEQ1, "c": SEQ2, "miRNA": NOTES, "gene": NOTES}, True, '"a,b",c', False),
        ({"a": NOTES, "b": SEQ1, "c": SEQ2}, False, None, False),
        ({"a": SEQ2, "b": SEQ1}, False, "column2,column1", False),
        ({"site": IDS2, "guide": IDS1}, True, None, True),
        ({"id1": IDS1, "id2": IDS2, "seq1": SEQ2, "seq2": SEQ2}, True, None, True),
        ({"a": IDS2, "b": IDS1}, True, "b,a", True),
        ({"a": IDS1, "b": IDS2, "c": NOTES}, False, "column1,column2", True),
    ],
)
def test_every_table_with_the_pairs_gets_the_same_scores(
    model: str,
    expected: np.ndarray,
    fasta: Path,
    tmp_path: Path,
    columns: dict,
    header: bool,
    option: str | None,
    by_id: bool,
):
    table = write(tmp_path, header=header, **columns)
    sequences = fasta if by_id else None
    predict_file(table, tmp_path / "out.parquet", model, 16, 1, option, sequences)
    scored = pd.read_parquet(tmp_path / "out.parquet")
    np.testing.assert_array_equal(scored["probability"], expected)
    kept = list(scored)[: len(columns)]
    assert [scored[name].tolist() for name in kept] == list(columns.values())

    explain_row(table, 3, tmp_path / "out.png", model, 20, option, sequences)
    explained = pd.read_csv(tmp_path / "out.csv").groupby("sequence")["base"].sum()
    assert explained.to_dict() == {"seq1": SEQ1[2], "seq2": SEQ2[2]}

    drift.run(table, model, tmp_path / "out.html", option, sequences)
    watched = json.loads((tmp_path / "out.json").read_text())
    assert (watched["pairs"], watched["refused_sequences"]) == (PAIRS, 0)


def test_columns_of_training_win_and_the_others_are_named(
    model: str, expected: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    table = write(tmp_path, seq1=SEQ2, seq2=SEQ2, miRNA=SEQ1, gene=SEQ2)
    predict_file(table, tmp_path / "out.parquet", model, 16, 1)
    np.testing.assert_array_equal(pd.read_parquet(tmp_path / "out.parquet")["probability"], expected)
    said = "The pairs are miRNA and gene, as in training. seq1 and seq2 are there too: "
    assert f"{said}--columns seq1,seq2 takes these." in capsys.readouterr().out
    predict_file(table, tmp_path / "out.parquet", model, 16, 1, "seq1,seq2")
    assert "there too" not in capsys.readouterr().out
    other = pd.read_parquet(tmp_path / "out.parquet")["probability"].to_numpy()
    assert not np.array_equal(other, expected)


def test_faults_name_the_columns_of_the_table(model: str, fasta: Path, tmp_path: Path):
    output = tmp_path / "out.csv"
    table = write(tmp_path, miRNA=SEQ1[:2], gene=["ACGTACGT", "ACGTN"])
    with pytest.raises(DnapairError, match=r"gene of pair 2: letter 'N'"):
        predict_file(table, output, model, 16, 1)
    with pytest.raises(DnapairError, match=r"gene of pair 2: letter 'N'"):
        explain_row(table, 2, tmp_path / "out.png", model, 1)
    with pytest.raises(DnapairError, match=r"--columns: .*no column 'x'\. Its columns are: miRNA, gene\."):
        predict_file(table, output, model, 16, 1, "x,gene")

    table = write(tmp_path, guide=IDS1, site=[*IDS2[:-1], "nobody"])
    with pytest.raises(DnapairError, match=r"It has ids in guide and site: .* --sequences FILE$"):
        predict_file(table, output, model, 16, 1)
    with pytest.raises(DnapairError, match=r"(?s)1 id\(s\) .*, line 41, column site: 'nobody'.*records\.fa"):
        predict_file(table, output, model, PAIRS, 1, None, fasta)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pairs.csv", "records.fa"]


def test_scores_kept_go_with_the_sequences_and_not_with_their_ids(
    model: str, expected: np.ndarray, fasta: Path, tmp_path: Path
):
    output = tmp_path / "out.parquet"
    table = write(tmp_path, guide=IDS1, site=[*IDS2[:-1], "nobody"])
    with pytest.raises(DnapairError, match=r"What was scored before is kept"):
        predict_file(table, output, model, 16, 1, None, fasta)
    # f0 and f1 change places in the FASTA: the first part is made again
    write(tmp_path, guide=IDS1, site=IDS2)
    swapped = fasta.read_text().replace(">f0 ", ">f- ").replace(">f1 ", ">f0 ").replace(">f- ", ">f1 ")
    fasta.write_text(swapped)
    predict_file(table, output, model, 16, 1, None, fasta)
    scored = pd.read_parquet(output)["probability"].to_numpy()
    np.testing.assert_array_equal(scored[2:], expected[2:])
    assert not np.array_equal(scored[:2], expected[:2])
