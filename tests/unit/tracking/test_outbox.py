import shutil
import sqlite3
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest

from dnapair.errors import DnapairError
from dnapair.tracking import outbox as module
from dnapair.tracking.outbox import Outbox, deliver, now, send_kept
from tests.waiting import PATIENCE

# MLflow uses what SQLAlchemy is about to drop
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with its tables made, which takes seconds."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def store(template: Path, tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "mlflow.db"
    shutil.copy(template, path)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{path}")
    yield path
    mlflow.set_tracking_uri(before)


@pytest.fixture
def experiment(store: Path, tmp_path: Path) -> str:
    return mlflow.MlflowClient().create_experiment("test", f"file://{tmp_path}/files")


def log(outbox: Outbox, run: str, step: int) -> None:
    outbox.put("log", run, metrics={"loss": step / 2}, params={}, tags={}, step=step, time=now())


def take_away(store: Path) -> Path:
    """Leave something in the store's place that is none."""
    aside = store.rename(store.with_suffix(".aside"))
    store.write_text("no database")
    return aside


def close_in_vain(outbox: Outbox, patience: float) -> None:
    """Close it while its store is away; after this its thread sends nothing any more."""
    assert not outbox.close(patience)
    for thread in threading.enumerate():
        if thread.name == "outbox":
            thread.join(PATIENCE)


def only_run(experiment: str, name: str):
    (run,) = mlflow.MlflowClient().search_runs([experiment], f"attributes.run_name = '{name}'")
    return run


def losses(run_id: str) -> list[float]:
    history = mlflow.MlflowClient().get_metric_history(run_id, "loss")
    return [metric.value for metric in sorted(history, key=lambda metric: metric.step)]


def test_calls_arrive_in_order_with_runs_below_runs(experiment: str, tmp_path: Path):
    parent = mlflow.MlflowClient().create_run(experiment).info.run_id
    outbox = Outbox(tmp_path / "unsent")
    run = outbox.start(experiment, "trial 1", {"kind": "trial"}, parent)
    for step in range(5):
        log(outbox, run, step)
    (tmp_path / "a.txt").write_text("x")
    outbox.put("files", run, path=str(tmp_path / "a.txt"), folder="texts")
    outbox.put("end", run, status="FINISHED", time=now())
    assert outbox.close(PATIENCE)
    found = only_run(experiment, "trial 1")
    assert found.info.status == "FINISHED"
    assert found.data.tags["mlflow.parentRunId"] == parent
    assert losses(found.info.run_id) == [0, 0.5, 1, 1.5, 2]
    assert mlflow.MlflowClient().list_artifacts(found.info.run_id, "texts")[0].path == "texts/a.txt"
    assert not (tmp_path / "unsent").exists()


def test_store_that_is_locked_for_a_while_makes_nobody_wait(
    store: Path, experiment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run = mlflow.MlflowClient().create_run(experiment).info.run_id
    begun, senders, sent = threading.Event(), set(), []

    def watched(*call) -> None:
        senders.add(threading.current_thread())
        begun.set()
        deliver(*call)
        sent.append(call)

    monkeypatch.setattr(module, "deliver", watched)
    outbox = Outbox(tmp_path / "unsent")
    with sqlite3.connect(store, isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        for step in range(100):
            log(outbox, run, step)
        # all are put, and the first is still on its way
        assert begun.wait(PATIENCE)
        assert not sent
        other.execute("COMMIT")
    other.close()
    assert outbox.close(PATIENCE)
    assert len(sent) == 100
    assert threading.current_thread() not in senders
    assert losses(run) == [step / 2 for step in range(100)]


def test_a_refusal_interrupts_the_block_that_counts_on_it_and_nothing_after(tmp_path: Path):
    allowed = threading.Event()

    def refuse() -> dict[str, str]:
        assert allowed.wait(PATIENCE)
        raise DnapairError("it can't begin")

    late = Outbox(tmp_path / "unsent", refuse)
    with late.interrupting():
        assert late.refusal is None
    allowed.set()
    assert late.close(PATIENCE)
    with pytest.raises(DnapairError, match="can't begin"):
        late.begun()
    for given_up in (late, Outbox(tmp_path / "unsent", refuse)):
        with pytest.raises(KeyboardInterrupt), given_up.interrupting():
            threading.Event().wait(PATIENCE)
        assert "can't begin" in str(given_up.refusal)


def test_a_refusal_that_strikes_where_python_forgets_it_comes_again(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    reached = threading.Event()

    class Finalized:
        def __del__(self) -> None:
            reached.set()
            threading.Event().wait(PATIENCE)

    def refuse() -> dict[str, str]:
        assert reached.wait(PATIENCE)
        raise DnapairError("it can't begin")

    hook = sys.unraisablehook
    outbox = Outbox(tmp_path / "unsent", refuse)

    def work() -> None:
        Finalized()
        threading.Event().wait(PATIENCE)

    with pytest.raises(KeyboardInterrupt), outbox.interrupting():
        work()
    assert sys.unraisablehook is hook
    assert outbox.close(PATIENCE)
    assert "Traceback" not in capfd.readouterr().err


def test_what_a_lost_store_missed_is_kept_told_and_sent_later(
    store: Path, experiment: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    run = mlflow.MlflowClient().create_run(experiment).info.run_id
    outbox = Outbox(tmp_path / "unsent")
    aside = take_away(store)
    below = outbox.start(experiment, "repeat 2", {}, run)
    log(outbox, below, 1)
    log(outbox, run, 1)
    folder = tmp_path / "model_folder"
    folder.mkdir()
    (folder / "weights").write_text("w")
    outbox.put("files", run, path=str(folder), folder="model")
    outbox.put("end", run, status="FINISHED", time=now())
    close_in_vain(outbox, 0.5)
    said = capfd.readouterr().err
    assert "can't be sent" in said
    assert "5 calls of this run's record could not be sent" in said
    assert "Traceback" not in said
    # the outputs may be gone by the time the store is back
    shutil.rmtree(folder)
    aside.rename(store)
    send_kept(tmp_path / "unsent")
    assert "is sent" in capfd.readouterr().err
    client = mlflow.MlflowClient()
    assert client.get_run(run).info.status == "FINISHED"
    assert losses(run) == losses(only_run(experiment, "repeat 2").info.run_id) == [0.5]
    assert client.list_artifacts(run, "model")[0].path == "model/weights"
    assert not list((tmp_path / "unsent").iterdir())
    send_kept(tmp_path / "unsent")
    assert losses(run) == [0.5]


def test_what_is_kept_for_another_store_waits_for_it(
    store: Path, experiment: str, template: Path, tmp_path: Path
):
    run = mlflow.MlflowClient().create_run(experiment).info.run_id
    outbox = Outbox(tmp_path / "unsent")
    aside = take_away(store)
    log(outbox, run, 1)
    close_in_vain(outbox, 0)
    aside.rename(store)
    here = mlflow.get_tracking_uri()
    shutil.copy(template, tmp_path / "other.db")
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/other.db")
    send_kept(tmp_path / "unsent")
    mlflow.set_tracking_uri(here)
    assert losses(run) == []
    send_kept(tmp_path / "unsent")
    assert losses(run) == [0.5]


def test_kept_record_that_the_store_refuses_is_told_and_stops_nothing(
    store: Path, experiment: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    client = mlflow.MlflowClient()
    gone, run = (client.create_run(experiment).info.run_id for _ in range(2))
    for one in (gone, run):
        outbox = Outbox(tmp_path / "unsent")
        aside = take_away(store)
        log(outbox, one, 1)
        close_in_vain(outbox, 0)
        aside.rename(store)
    client.delete_run(gone)
    capfd.readouterr()
    send_kept(tmp_path / "unsent")
    assert "Delete it to forget it" in capfd.readouterr().err
    assert losses(run) == [0.5]
    assert len(list((tmp_path / "unsent").iterdir())) == 1
