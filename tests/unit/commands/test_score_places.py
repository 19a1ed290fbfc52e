"""Tables of places, with their genome, through the commands that score."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dnapair.commands import drift
from dnapair.commands.explain import explain_row
from dnapair.commands.predict import predict_file
from dnapair.data.bedpe import BEDPE
from dnapair.data.sequences import reverse_complement
from dnapair.errors import DnapairError
from dnapair.scoring.scorer import PairScorer
from tests.small_models import save_model
from tests.unit.data.genome_writing import write_2bit, write_fasta

# MLflow itself runs in these tests: what it warns of in its own code is not ours to mend
pytestmark = pytest.mark.filterwarnings("default")

WIDTH, PAIRS = 40, 30
RNG = np.random.default_rng(1)
CHROMOSOMES = {name: "".join(RNG.choice(list("ACGT"), 2000)) for name in ("chr1", "chr2")}
STARTS = RNG.integers(100, 1800, (PAIRS, 2)).tolist()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_model(tmp_path_factory.mktemp("model"), width=WIDTH)


@pytest.fixture(scope="module")
def genome(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fasta(tmp_path_factory.mktemp("genome") / "g.fa", CHROMOSOMES)


def expected(model: str, width: int) -> np.ndarray:
    """Score what the places are, without any code that reads places."""
    first = [CHROMOSOMES["chr1"][a + 5 - width // 2 : a + 5 + width // 2] for a, _ in STARTS]
    second = [
        reverse_complement(CHROMOSOMES["chr2"][b + 5 - width // 2 : b + 5 + width // 2]) for _, b in STARTS
    ]
    return PairScorer(Path(model).parent / "bundle").score(first, second).probability


def bedpe(path: Path, *, header: bool = True) -> Path:
    rows = [
        ("1", a, a + 10, "2", b, b + 10, f"p{n}", 0.5, "+", "-", n % 2) for n, (a, b) in enumerate(STARTS)
    ]
    pd.DataFrame(rows, columns=[*BEDPE, "label"]).to_csv(path, sep="\t", index=False, header=header)
    return path


def regions(path: Path) -> Path:
    rows = [(n, f"chr1:{a}-{a + 10}", f"chr2:{b}-{b + 10}(-)") for n, (a, b) in enumerate(STARTS)]
    pd.DataFrame(rows, columns=["number", "left", "right"]).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("kind", ["BEDPE", "BEDPE without names", "regions", "2bit", "Parquet"])
def test_the_file_that_was_trained_on_is_scored_with_the_width_of_training(
    model: str, genome: Path, tmp_path: Path, kind: str
):
    if kind == "2bit":
        genome = write_2bit(tmp_path / "g.2bit", CHROMOSOMES)
    table = regions(tmp_path / "in.csv") if kind == "regions" else bedpe(tmp_path / "in.bedpe")
    given = pd.read_csv(table, sep="," if kind == "regions" else "\t", dtype={"chrom1": str, "chrom2": str})
    if kind == "Parquet":
        table = tmp_path / "in.parquet"
        given.to_parquet(table)
    if kind == "BEDPE without names":
        bedpe(table, header=False)
    predict_file(table, tmp_path / "out.parquet", model, 7, 1, genome=genome)
    scored = pd.read_parquet(tmp_path / "out.parquet")
    np.testing.assert_array_equal(scored["probability"], expected(model, WIDTH))
    kept = scored.iloc[:, :-2].rename(columns={"input_label": "label"})
    pd.testing.assert_frame_equal(
        kept.astype(str), given.astype(str), check_dtype=False, check_column_type=False
    )

    assert isinstance(drift.run(table, model, tmp_path / "out.html", genome=genome), bool)
    watched = json.loads((tmp_path / "out.json").read_text())
    assert (watched["pairs"], watched["refused_sequences"]) == (PAIRS, 0)

    explain_row(table, 3, tmp_path / "out.png", model, 20, genome=genome)
    explained = pd.read_csv(tmp_path / "out.csv").groupby("sequence")["base"].sum()
    start = STARTS[2][0] + 5 - WIDTH // 2
    assert explained["seq1"] == CHROMOSOMES["chr1"][start : start + WIDTH]


def test_a_width_that_is_given_goes_before_that_of_training(
    model: str, genome: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    predict_file(bedpe(tmp_path / "in.bedpe"), tmp_path / "out.csv", model, 7, 1, genome=genome, width=60)
    assert "than the pair table: taken are chr1 for 1, chr2 for 2." in capsys.readouterr().out
    scored = pd.read_csv(tmp_path / "out.csv")
    np.testing.assert_allclose(scored["probability"], expected(model, 60), rtol=1e-6)


@pytest.mark.parametrize("write", [bedpe, regions])
def test_places_without_a_genome_ask_for_it(model: str, tmp_path: Path, write):
    table = write(tmp_path / "in.csv")
    with pytest.raises(DnapairError, match=r"in\.csv has places in place of sequences: .*--genome GENOME"):
        predict_file(table, tmp_path / "out.csv", model, 7, 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv"]


def test_a_fault_is_told_with_its_line_and_nothing_is_left(model: str, genome: Path, tmp_path: Path):
    table = bedpe(tmp_path / "in.bedpe")
    lines = table.read_text().splitlines()
    lines[4] = lines[4].replace("2\t", "7\t", 1) if lines[4].startswith("2") else "7" + lines[4][1:]
    table.write_text("\n".join(lines) + "\n")
    with pytest.raises(DnapairError, match=r"in\.bedpe, line 5, place 1: 7:.* no chromosome '7'"):
        predict_file(table, tmp_path / "out.csv", model, PAIRS, 1, genome=genome)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.bedpe"]


def test_options_that_do_not_go_together(model: str, genome: Path, tmp_path: Path):
    table = bedpe(tmp_path / "in.bedpe")
    with pytest.raises(DnapairError, match="give the one that the table needs"):
        predict_file(table, tmp_path / "out.csv", model, 7, 1, sequences=genome, genome=genome)
    with pytest.raises(DnapairError, match="give their --genome too"):
        predict_file(table, tmp_path / "out.csv", model, 7, 1, width=9)
    pd.DataFrame({"seq1": ["ACGTACGT"], "seq2": ["ACGTACGT"]}).to_csv(table, index=False)
    with pytest.raises(DnapairError, match="has no places, but a genome is named"):
        predict_file(table, tmp_path / "out.csv", model, 7, 1, genome=genome)


def test_sequences_beside_places_are_scored_without_a_genome(model: str, tmp_path: Path):
    table = bedpe(tmp_path / "in.bedpe")
    given = pd.read_csv(table, sep="\t")
    given.assign(seq1="ACGTACGTAC", seq2="GGGTTTACCA").to_csv(table, sep="\t", index=False)
    predict_file(table, tmp_path / "out.csv", model, 7, 1)
    assert len(pd.read_csv(tmp_path / "out.csv")) == PAIRS
