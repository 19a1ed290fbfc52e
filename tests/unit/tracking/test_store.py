"""What is said of the tracking store."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from click.testing import CliRunner
from mlflow.exceptions import MlflowException
from mlflow.experiments import commands as experiments
from mlflow.protos.databricks_pb2 import BAD_REQUEST, TEMPORARILY_UNAVAILABLE

from dnapair import tracking
from dnapair.errors import DnapairError
from dnapair.tracking.store import check_store, make_row, select_experiment
from tests.unit.tracking.test_stages import client, template

__all__ = ["client", "template"]

# MLflow uses what SQLAlchemy is about to drop
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")


def test_passwords_in_addresses_are_not_told():
    error = RuntimeError("can't reach postgresql://user:secret@db/mlflow\nmore")
    assert tracking.reason(error) == "can't reach postgresql://db/mlflow."


def test_a_store_that_does_not_answer_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri("http://ada:secret@127.0.0.1:9")
    try:
        assert tracking.store_address() == "http://127.0.0.1:9"
        with pytest.raises(DnapairError, match=r"store http://127\.0\.0\.1:9 does not answer") as said:
            tracking.check_store()
    finally:
        mlflow.set_tracking_uri(before)
    assert "secret" not in str(said.value)


@pytest.mark.parametrize("proxy", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_a_proxy_in_the_way_is_named_and_the_remedy_goes_past_it(monkeypatch: pytest.MonkeyPatch, proxy: str):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv(proxy, "http://ada:secret@127.0.0.1:9")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri("http://127.0.0.1:10")
    try:
        with pytest.raises(DnapairError, match=r"through the proxy http://127\.0\.0\.1:9\.") as said:
            tracking.check_store()
        assert "secret" not in str(said.value)
        assert "export no_proxy=$no_proxy,127.0.0.1 " in str(said.value)
        monkeypatch.setenv("no_proxy", ",127.0.0.1")
        with pytest.raises(DnapairError, match="Check MLFLOW_TRACKING_URI"):
            tracking.check_store()
    finally:
        mlflow.set_tracking_uri(before)


@pytest.mark.parametrize("named", ["", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID"])
def test_a_deleted_experiment_is_named_and_comes_back_by_the_remedy(
    client: mlflow.MlflowClient, monkeypatch: pytest.MonkeyPatch, named: str
):
    number = select_experiment() if not named else client.create_experiment("mine")
    if named:
        monkeypatch.setenv(named, "mine" if named.endswith("NAME") else number)
    client.delete_experiment(number)
    with pytest.raises(DnapairError, match="was deleted in the MLflow tracking store sqlite:") as said:
        select_experiment()
    words = str(said.value).split("mlflow experiments ")[1].split()
    done = CliRunner().invoke(experiments, words)
    assert done.exit_code == 0, done.output
    assert select_experiment() == number


@pytest.fixture
def no_address(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder where nobody said where the store is."""
    # MLflow sets it, for whatever comes later in this process
    monkeypatch.delenv("MLFLOW_EXPERIMENT_ID", raising=False)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(None)
    yield tmp_path
    mlflow.set_tracking_uri(before)


@pytest.mark.parametrize("name", ["both ' and \"", "per%20cent", b"latin\xe9"])
def test_a_folder_that_leads_mlflow_astray_is_refused(
    no_address: Path, monkeypatch: pytest.MonkeyPatch, name: str | bytes
):
    folder = no_address / (name if isinstance(name, str) else name.decode(errors="surrogateescape"))
    folder.mkdir()
    monkeypatch.chdir(folder)
    for ask in (check_store, select_experiment):
        with pytest.raises(DnapairError, match="Give the folder another name"):
            ask()
    assert list(folder.iterdir()) == []


def test_a_copy_that_dvc_will_delete_is_no_place_for_records(
    no_address: Path, template: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = no_address / ".dvc" / "tmp" / "exps" / "tmpabc"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    with pytest.raises(DnapairError, match="--temp or --queue works in a copy"):
        select_experiment()
    # a store elsewhere is what it asks for
    mlflow.set_tracking_uri(f"sqlite:///{shutil.copy(template, no_address / 'mlflow.db')}")
    select_experiment()


def test_an_old_folder_of_records_is_named_and_the_remedy_works(
    no_address: Path, template: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(no_address)
    shutil.copy(template, no_address / "mlflow.db")
    old = no_address / "mlruns" / "0" / "meta.yaml"
    old.parent.mkdir(parents=True)
    old.write_text("experiment_id: '0'\nname: Default\nlifecycle_stage: active\nartifact_location: x\n")
    with pytest.raises(DnapairError, match="mlruns holds records of an earlier MLflow") as said:
        check_store()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(said.value).split("MLFLOW_TRACKING_URI=")[1].split()[0])
    check_store()


def test_an_experiment_opens_on_the_pages_for_training_unless_it_says_otherwise(client) -> None:
    number = select_experiment()
    kind = "mlflow.experimentKind"
    assert client.get_experiment(number).tags[kind] == "custom_model_development"
    client.set_experiment_tag(number, kind, "genai_development")
    assert select_experiment() == number
    assert client.get_experiment(number).tags[kind] == "genai_development"


def test_what_somebody_else_made_at_once_is_found_when_asked_again_and_other_trouble_is_told() -> None:
    def made_by(*answers: int | None) -> list[int | None]:
        left = list(answers)

        def make() -> None:
            code = left.pop(0)
            if code is not None:
                raise MlflowException("duplicate key value", code)

        make_row(make)
        return left

    assert made_by(BAD_REQUEST, None) == []
    assert made_by(None, None) == [None]
    with pytest.raises(MlflowException):
        made_by(BAD_REQUEST, BAD_REQUEST)
    with pytest.raises(MlflowException):
        made_by(TEMPORARILY_UNAVAILABLE, None)
