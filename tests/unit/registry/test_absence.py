"""A model that is asked for and not there: what is said, and where the advice leads."""

import shlex
import shutil
import sys
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from dnapair import cli
from dnapair.errors import DnapairError
from dnapair.evaluation.gate import Decision
from dnapair.registry.lifecycle import Lifecycle
from dnapair.registry.loading import load_scorer
from dnapair.registry.versions import log_pair_model
from tests.small_models import SEQUENCES, make_bundle

# MLflow itself runs in these tests: what it warns of in its own code is not ours to mend
pytestmark = pytest.mark.filterwarnings("default")

PARAMS = Path(__file__).parents[3] / "params.yaml"
NAME, ALIAS = "small RNAs", "best"
ADDRESS = f"models:/{NAME}@{ALIAS}"
PAIRS = pd.DataFrame({"seq1": SEQUENCES[:4], "seq2": SEQUENCES[4:8]})


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with a model of two versions, the first of which is whole."""
    folder = tmp_path_factory.mktemp("registry")
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    mlflow.create_experiment("tests", artifact_location=str(folder / "artifacts"))
    mlflow.set_experiment("tests")
    with mlflow.start_run():
        log_pair_model(NAME, make_bundle(folder / "made"), "abc", PAIRS.head(2), {}, "")
    mlflow.MlflowClient().create_model_version(NAME, str(folder / "nothing"))
    return folder / "mlflow.db"


@pytest.fixture
def life(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lifecycle:
    shutil.copy(template, tmp_path / "mlflow.db")
    text = PARAMS.read_text().replace("name: dnapair", f"name: {NAME}")
    (tmp_path / "params.yaml").write_text(text.replace("alias: champion", f"alias: {ALIAS}"))
    PAIRS.to_csv(tmp_path / "pairs.csv", index=False)
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    mlflow.set_tracking_uri(uri)
    return Lifecycle(NAME, ALIAS, "challenger")


def said(*command: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run the command line; return the message that it ends with, if any."""
    monkeypatch.setattr(sys, "argv", ["dnapair", *command])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return str(ended.value.code or "")


VERBS = {
    "predict": ("predict", "pairs.csv", "--output", "out.csv"),
    "drift": ("drift", "pairs.csv"),
    "explain": ("explain", "pairs.csv", "--window", "40"),
    "serve": ("serve", "--port", "0"),
}


@pytest.mark.parametrize("verb", VERBS)
def test_after_a_refusal_every_verb_says_why_and_how_to_go_on(
    life: Lifecycle, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    life.challenge("2", "")
    life.archive("2", "trained on drafts")
    life.decide("1", lambda champion: Decision(False, "it is not better than 4-mers"))
    words = said(*VERBS[verb], monkeypatch=monkeypatch)
    assert f"The model {ADDRESS} can't be had: no version of {NAME} in sqlite:" in words
    assert f"is {ALIAS}.\n  version 2: archived: trained on drafts\n" in words
    assert "\n  version 1: the gate refused it: it is not better than 4-mers\n" in words
    assert "dnapair run" not in words
    assert not Path("out.csv").exists()


def test_both_ways_on_lead_on(life: Lifecycle, monkeypatch: pytest.MonkeyPatch) -> None:
    life.decide("1", lambda champion: Decision(False, "it is not better than 4-mers"))
    life.archive("2", "")
    lines = said(*VERBS["predict"], monkeypatch=monkeypatch).splitlines()
    option = next(line for line in lines if line.startswith("Use one as it is: "))
    assert said(*VERBS["predict"], *shlex.split(option)[5:], monkeypatch=monkeypatch) == ""
    scored = Path("out.csv").read_text()
    assert len(scored.splitlines()) == 1 + len(PAIRS)
    assert said(*shlex.split(lines[-1])[1:], monkeypatch=monkeypatch) == ""
    assert said(*VERBS["predict"], monkeypatch=monkeypatch) == ""
    assert Path("out.csv").read_text() == scored


def test_of_archived_versions_one_is_taken_out_first(
    life: Lifecycle, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in "12":
        life.archive(number, "old")
    last = said(*VERBS["drift"], monkeypatch=monkeypatch).splitlines()[-1]
    for command in last.split("&&"):
        assert said(*shlex.split(command)[1:], monkeypatch=monkeypatch) == ""
    assert mlflow.MlflowClient().get_model_version_by_alias(NAME, ALIAS)


def test_each_version_says_what_keeps_the_alias_from_it(life: Lifecycle) -> None:
    life.decide("1", lambda champion: Decision(True, "there is none yet"))
    life.promote("2", "")
    life.roll_back("it was slow")
    mlflow.MlflowClient().delete_registered_model_alias(NAME, ALIAS)
    with pytest.raises(DnapairError) as raised:
        load_scorer(ADDRESS)
    assert "version 2: taken back: it was slow\n" in str(raised.value)
    assert "version 1: the gate let it through (there is none yet), and the alias was" in str(raised.value)
    with pytest.raises(DnapairError) as raised:
        load_scorer(f"models:/{NAME}@other")
    assert "version 2: taken back: it was slow\n" in str(raised.value)
    assert "version 1: the gate was not asked whether it becomes other\n" in str(raised.value)
    life.promote("1", "")
    with pytest.raises(DnapairError, match=rf"version 1 \(@{ALIAS}\): the gate was not asked"):
        load_scorer(f"models:/{NAME}@other")


@pytest.mark.usefixtures("life")
def test_what_there_is_is_listed() -> None:
    with pytest.raises(DnapairError, match=rf"has no model 'nobody': .*\. There are: {NAME}\.$"):
        load_scorer("models:/nobody@champion")
    with pytest.raises(DnapairError, match=r"has no version 7\. There are: 2, 1\.$"):
        load_scorer(f"models:/{NAME}/7")


def test_a_version_whose_files_are_gone_is_not_said_to_be_missing(life: Lifecycle) -> None:
    life.promote("2", "")
    for address in (ADDRESS, f"models:/{NAME}/2"):
        with pytest.raises(DnapairError, match=r"can't be had from sqlite:.*: ") as raised:
            load_scorer(address)
        assert "dnapair run" not in str(raised.value)


@pytest.mark.parametrize("given", ["best", "1", f"{NAME}/1", "models:/", "http://127.0.0.1/model"])
def test_what_is_no_address_of_a_model_is_told_how_one_looks(
    life: Lifecycle, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    message = said("predict", "pairs.csv", "--output", "x.csv", "--model", given, monkeypatch=monkeypatch)
    assert "models:/NAME@ALIAS: `dnapair models` lists them" in message
