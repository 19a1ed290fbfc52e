"""A tracking server that dies or hangs while a network is trained: nothing stops, nothing is lost."""

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest

from tests.pipeline.conftest import Project
from tests.waiting import PATIENCE, Gate, reserved_port, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]
LOGGED = "select count(*) from params join runs using (run_uuid) where name = 'train torch'"


class Server:
    """An MLflow server on SQLite."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.address = f"http://127.0.0.1:{port}"
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port", str(self.port)]
        places = ["--backend-store-uri", "sqlite:///mlflow.db", "--artifacts-destination", "./files"]
        self.process = subprocess.Popen(
            [*command, *places],
            cwd=self.folder,
            env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "PYTHONWARNINGS": "ignore"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_for(self.answers, self.process)
        # its first look into the store is slow, and is none of training's
        mlflow.MlflowClient(self.address).search_experiments()

    def answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def asked(self, question: str) -> int:
        with sqlite3.connect(f"file:{self.folder}/mlflow.db?mode=ro", uri=True) as store:
            return store.execute(question).fetchone()[0]

    def signal(self, number: int) -> None:
        assert self.process
        os.killpg(self.process.pid, number)

    def end(self) -> None:
        self.signal(signal.SIGKILL)
        assert self.process
        self.process.wait()


@pytest.fixture
def server(finished: Project, tmp_path: Path) -> Iterator[Server]:
    # its tables are there
    folder = tmp_path / "server"
    folder.mkdir()
    shutil.copy(finished.root / "mlflow.db", folder)
    with sqlite3.connect(folder / "mlflow.db") as store:
        store.execute("update runs set name = 'before'")
    with reserved_port() as port:
        server = Server(folder, port)
        server.start()
        yield server
        server.end()


@pytest.mark.parametrize("trouble", ["dies", "hangs"])
def test_training_outlives_its_server_and_its_record_comes_later(
    finished: Project, server: Server, tmp_path: Path, trouble: str
):
    root = tmp_path / "project"
    shutil.copytree(finished.root, root, symlinks=True)
    project = Project(root)
    project.env["MLFLOW_TRACKING_URI"] = server.address
    patient = dict(project.env)
    # as long as a request to a server that hangs takes, and far longer than one to a server that works
    project.env |= {
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "DNAPAIR_TRACKING_PATIENCE": "1",
    }
    model = root / "artifacts/models/torch"
    before = {path.name: path.read_bytes() for path in model.rglob("*") if path.is_file()}
    shutil.rmtree(model)
    # its run is begun, the network is not
    gate = Gate(tmp_path / "gate", "open", r"normalized/embeddings\.npy")
    training = subprocess.Popen(
        ["dnapair", "train", "torch"],
        cwd=root,
        env=gate.put_into(project.env),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    gate.wait(training)
    wait_for(lambda: server.asked(LOGGED) > 0, training)
    if trouble == "dies":
        server.end()
    else:
        server.signal(signal.SIGSTOP)
    gate.open()
    said, _ = training.communicate(timeout=PATIENCE)
    assert training.returncode == 0, said
    assert "Traceback" not in said
    assert "can't be sent" in said
    assert "The work goes on." in said
    assert "kept in artifacts/unsent/" in said
    assert {path.name: path.read_bytes() for path in model.rglob("*") if path.is_file()} == before
    # the next stage says so, and starts nothing that it could not record
    message = project.run("dnapair", "score", fails=True)
    assert "does not answer" in message
    assert "Traceback" not in message
    if trouble == "dies":
        server.start()
    else:
        server.signal(signal.SIGCONT)
    project.env = patient
    assert "is sent" in project.run("dnapair", "score")
    assert not list((root / "artifacts/unsent").iterdir())
    client = mlflow.MlflowClient(server.address)
    experiments = [one.experiment_id for one in client.search_experiments()]
    named, newest = "attributes.run_name = 'train torch'", ["attributes.start_time DESC"]
    (run,) = client.search_runs(experiments, named, order_by=newest, max_results=1)
    (repeat,) = client.search_runs(experiments, f"tags.`mlflow.parentRunId` = '{run.info.run_id}'")
    for one in (run, repeat):
        assert one.info.status == "FINISHED"
        history = client.get_metric_history(one.info.run_id, "epoch/val_pr_auc")
        assert [metric.step for metric in history] == [1, 2, 3]
    assert run.data.params["train.epochs"] == "3"
    assert run.data.tags["dnapair.output_sha256"]
    files = {file.path for file in client.list_artifacts(run.info.run_id, "model_folder")}
    assert "model_folder/weights.safetensors" in files
    (output,) = run.outputs.model_outputs
    assert client.get_logged_model(output.model_id).status == "READY"
