"""Models in a registry of sqlite: of this dnapair, of an older one, and damaged ones."""

import shutil
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from dnapair.errors import DnapairError
from dnapair.registry import load_scorer, log_pair_model
from dnapair.scoring import PairScorer
from tests.unit.bundles import SEQUENCES, as_version_0_1_0_wrote_it, make_bundle

# MLflow itself runs in these tests: what it warns of in its own code is not ours to mend
pytestmark = pytest.mark.filterwarnings("default")

OLD_MODEL = Path(__file__).parent / "old_models" / "serving_0_1_0.py"
PAIRS = pd.DataFrame({"seq1": SEQUENCES[:20], "seq2": SEQUENCES[20:40]})


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with version 1 as dnapair 0.1.0 registered it, and version 2 as this one does."""
    folder = tmp_path_factory.mktemp("registry")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    mlflow.set_tracking_uri(uri)
    mlflow.create_experiment("tests", artifact_location=str(folder / "artifacts"))
    mlflow.set_experiment("tests")
    with mlflow.start_run():
        (folder / "old").mkdir()
        old = make_bundle(folder / "old")
        as_version_0_1_0_wrote_it(old)
        mlflow.pyfunc.log_model(
            name="model",
            python_model=str(OLD_MODEL),
            artifacts={"bundle": str(old)},
            pip_requirements=["numpy"],
            registered_model_name="dnapair",
        )
        (folder / "new").mkdir()
        new = log_pair_model(
            "dnapair", make_bundle(folder / "new"), "abc", PAIRS.head(2), {"a": "b"}, "first"
        )
        assert (new.version, new.created) == ("2", True)
    return folder


def test_a_model_of_dnapair_0_1_0_loads_and_answers_as_this_ones_does(registry: Path) -> None:
    mlflow.set_tracking_uri(f"sqlite:///{registry / 'mlflow.db'}")
    old, new = (mlflow.pyfunc.load_model(f"models:/dnapair/{version}").predict(PAIRS) for version in (1, 2))
    pd.testing.assert_frame_equal(old, new)
    scorer = load_scorer("models:/dnapair/1")
    assert scorer.reference is None
    assert scorer.score(*(PAIRS[name].tolist() for name in PAIRS)).label.tolist() == new["label"].tolist()


def test_a_known_model_gets_the_tags_and_the_description_of_its_last_run(registry: Path) -> None:
    mlflow.set_tracking_uri(f"sqlite:///{registry / 'mlflow.db'}")
    with mlflow.start_run():
        again = log_pair_model("dnapair", registry / "new" / "bundle", "abc", PAIRS, {"a": "c"}, "second")
    assert (again.version, again.created) == ("2", False)
    version = mlflow.MlflowClient().get_model_version("dnapair", "2")
    assert (version.tags["a"], version.description) == ("c", "second")


def test_a_damaged_file_is_named_by_what_loads_the_model(registry: Path, tmp_path: Path) -> None:
    mlflow.set_tracking_uri(f"sqlite:///{registry / 'mlflow.db'}")
    (kept,) = (path for path in (registry / "artifacts").rglob("manifest.json"))
    weights = kept.parent / "weights.safetensors"
    shutil.copy(weights, tmp_path / "weights")
    weights.write_bytes(weights.read_bytes()[:-1])
    try:
        with pytest.raises(DnapairError, match=r"weights\.safetensors is changed or truncated"):
            load_scorer("models:/dnapair/2")
    finally:
        shutil.copy(tmp_path / "weights", weights)
    assert isinstance(load_scorer("models:/dnapair/2"), PairScorer)
