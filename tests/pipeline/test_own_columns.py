"""Data with an index and columns of other names: trained with, then scored as they are, by every way in."""

import json
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from tests.pipeline.conftest import Project, copy_project, write_small_data

# MLflow itself runs in these tests: what it warns of in its own code is not ours to mend
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

MODEL = "models:/guides/1"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Path]:
    """A project with a registered model that the gate refused, and the file it was trained with."""
    project = copy_project(tmp_path_factory.mktemp("columns") / "project")
    small = tmp_path_factory.mktemp("small") / "data"
    write_small_data(small)
    records = (record.split("\n") for record in (small / "sequences.fasta").read_text()[1:].split("\n>"))
    sequences = {header.split()[0]: text for header, text, *_ in records}
    pairs = pd.read_csv(small / "pairs.csv")
    table = project.root / "data"
    pd.DataFrame(
        {
            "Unnamed: 0": pairs["id1"],
            "on_seq": pairs["id1"].map(sequences),
            "off_seq": pairs["id2"].map(sequences),
            **pairs.drop(columns=["id1", "id2"]),
        }
    ).to_csv(table, index=False)
    project.set(
        {
            "register.name": "guides",
            "register.alias": "best",
            "register.baseline": "certain",
            "split.method": "predefined",
            "split.column": "split",
        }
    )
    for stage in (
        "prepare",
        "finetune",
        "embed",
        "interact",
        "scale",
        "validate",
        "baselines",
        "crossvalidate",
    ):
        project.run("dnapair", stage)
    assert "does not become best" in project.train_anew()
    return project, table


def test_the_very_file_is_scored_after_a_refusal_that_says_how(trained: tuple[Project, Path], tmp_path: Path):
    project, table = trained
    command = ("dnapair", "predict", str(table), "--output", str(tmp_path / "out.csv"))
    words = project.run(*command, fails=True)
    assert "version 1: the gate refused it: " in words
    assert f"Use one as it is: --model {MODEL}" in words
    project.run(*command, "--model", MODEL)
    scored = pd.read_csv(tmp_path / "out.csv")
    test = scored[scored["split"] == "test"]["probability"].to_numpy()
    framework = json.loads((project.root / "reports/registration.json").read_text())["framework"]
    predicted = pd.read_csv(project.root / f"reports/{framework}/predictions.csv")["probability"]
    np.testing.assert_allclose(np.sort(test), np.sort(predicted), atol=1e-4)


def test_the_frame_is_scored_by_the_registered_model(trained: tuple[Project, Path]):
    project, table = trained
    mlflow.set_tracking_uri(project.tracking_uri)
    model = mlflow.pyfunc.load_model(MODEL)
    pairs = pd.read_csv(table)
    scored = model.predict(pairs)["probability"]
    usual = model.predict(pairs.rename(columns={"on_seq": "seq1", "off_seq": "seq2"}))["probability"]
    assert scored.tolist() == usual.tolist()
    assert model.input_example is not None
    assert list(model.input_example) == ["on_seq", "off_seq"]
