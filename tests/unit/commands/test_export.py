"""A model that is taken away scores elsewhere as it did in the registry."""

import subprocess
import sys
from pathlib import Path

import mlflow
import pandas as pd
import pytest

import dnapair
from dnapair.commands.export import export_model
from dnapair.errors import DnapairError
from dnapair.registry.versions import log_pair_model
from tests.small_models import SEQUENCES, make_bundle

# MLflow itself runs in these tests: what it warns of in its own code is not ours to mend
pytestmark = pytest.mark.filterwarnings("default")

PAIRS = pd.DataFrame({"seq1": SEQUENCES[:4], "seq2": SEQUENCES[4:8]})
ELSEWHERE = """
import sys
import mlflow
import pandas as pd
mlflow.pyfunc.load_model(sys.argv[1]).predict(pd.read_csv(sys.argv[2])).to_csv(sys.argv[3], index=False)
"""


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "registry"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    mlflow.create_experiment("tests", artifact_location=str(folder / "artifacts"))
    mlflow.set_experiment("tests")
    with mlflow.start_run():
        log_pair_model("dnapair", make_bundle(folder / "made"), "abc", PAIRS.head(2), {}, "")
    return folder


def test_a_model_that_was_taken_away_needs_no_registry(registry: Path, tmp_path: Path) -> None:
    expected = dnapair.load_model("models:/dnapair/1").score(PAIRS)
    taken, elsewhere = tmp_path / "taken", tmp_path / "elsewhere"
    elsewhere.mkdir()
    export_model("models:/dnapair/1", taken)
    registry.rename(tmp_path / "gone")
    pd.testing.assert_frame_equal(dnapair.load_model(taken).score(PAIRS), expected)

    PAIRS.to_csv(elsewhere / "pairs.csv", index=False)
    command = [sys.executable, "-c", ELSEWHERE, str(taken), "pairs.csv", "scored.csv"]
    subprocess.run(command, cwd=elsewhere, check=True, capture_output=True)
    # which has compiled there, and that stays behind
    assert list(taken.rglob("__pycache__"))
    export_model(str(taken), tmp_path / "again")
    assert not list((tmp_path / "again").rglob("__pycache__"))
    scored = pd.read_csv(elsewhere / "scored.csv")
    pd.testing.assert_frame_equal(scored.astype({"probability": "float32"}), expected)


def test_a_folder_without_a_model_is_told_how_one_is_made(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DnapairError, match=r"no model in the folder .*dnapair export --format model"):
            dnapair.load_model(folder)


@pytest.mark.usefixtures("registry")
def test_what_is_in_a_folder_stays_there(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(DnapairError, match=r"mine holds something already"):
        export_model("models:/dnapair/1", tmp_path / "mine")
    with pytest.raises(DnapairError, match="no version 7"):
        export_model("models:/dnapair/7", tmp_path / "other")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "registry"]
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]
