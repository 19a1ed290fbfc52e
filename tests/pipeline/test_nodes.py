"""Machines that are Linux namespaces: Ray's nodes, the tuner's chief and worker; containers of one name."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import mlflow
import pytest

from dnapair.tracking.tags import PARENT_TAG, PROCESS_TAG, STAGE_TAG, TRIAL_TAG
from tests.namespaces import Machine, join, machine
from tests.pipeline import backend
from tests.pipeline.conftest import BIN, Project, copy_project, write_small_data
from tests.pipeline.test_ray import DRIVER, FREE, NICE, SHARDS, contents, finish, start, work
from tests.pipeline.test_tuning_workers import TUNE
from tests.waiting import PATIENCE, Gate, wait_for

# MLflow itself runs in these tests: what it warns of in its own code is not ours to mend
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]
HEAD = "10.77.0.1:6399"
SETTINGS = {"embed.engine": "ray", "embed.ray.address": HEAD, "embed.ray.actors": 2}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that is about to search."""
    project = copy_project(tmp_path_factory.mktemp("nodes") / "project")
    write_small_data(project.root / "data")
    for stage in ("prepare", "finetune", "embed", "interact", "scale"):
        project.run("dnapair", stage)
    return project


def copy_of(project: Project, root: Path) -> Project:
    copy = Project(shutil.copytree(project.root, root, symlinks=True))
    copy.env["MLFLOW_TRACKING_URI"] = copy.tracking_uri
    return copy


class Cluster:
    """Ray with a token, on machines with one CPU each, of which the first has the head."""

    def __init__(self, head: Machine, home: Path, source: Path) -> None:
        self.head = head
        own = {"HOME": str(home), "RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0"}
        self.env = os.environ | NICE | own | {"PYTHONPATH": str(source)}
        self.said = home / "said"
        subprocess.run([BIN / "ray", "get-auth-token", "--generate"], env=self.env, check=True)

    def start(self, node: Machine, *words: str, fails: bool = False, **env: str) -> str:
        """Start Ray on a machine; it gives itself 30 seconds, and may try again."""
        ray = [f"--node-ip-address={node.address}", "--num-cpus=1", *words]
        while True:
            # no pipe: the daemons keep it
            with self.said.open("w") as said:
                code = self._run(node, said, "start", *ray, **env).returncode
            if (code != 0) == fails:
                return self.said.read_text()
            assert "timed out" in self.said.read_text(), self.said.read_text()
            self._run(node, subprocess.DEVNULL, "stop", "--force")

    def _run(self, node: Machine, output: object, *words: str, **env: str) -> subprocess.CompletedProcess:
        command = node.command(BIN / "ray", *words)
        return subprocess.run(command, env=self.env | env, stdout=output, stderr=output, check=False)


@pytest.fixture(scope="module")
def cluster(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with machine("first", HEAD.split(":")[0]) as head:
        cluster = Cluster(head, tmp_path_factory.mktemp("home"), project.root / "src")
        cluster.start(head, "--head", "--port=6399", "--include-dashboard=false")
        yield cluster


@pytest.fixture
def embedding(project: Project, cluster: Cluster, tmp_path: Path) -> Project:
    """A copy whose embeddings are still to be made, by two actors with a CPU each, so on two nodes."""
    copy = copy_of(project, tmp_path / "project")
    copy.set(SETTINGS)
    shutil.rmtree(copy.root / "artifacts" / "embeddings")
    copy.env |= {name: cluster.env[name] for name in ("HOME", "RAY_AUTH_MODE")}
    return copy


def test_two_nodes_write_the_bytes_of_one_machine_and_one_node_may_go_down(
    project: Project, embedding: Project, cluster: Cluster, tmp_path: Path
):
    expected = tmp_path / "expected"
    finish(expected, start(expected, "local"))
    with machine("second", "10.77.0.2") as node:
        join(cluster.head, node)
        cluster.start(node, f"--address={HEAD}")
        command = cluster.head.command("dvc", "repro", "--single-item", "embed", folder=embedding.root)
        printed = embedding.run(*command)
        assert not [line for line in printed.splitlines() if "raylet" in line], printed
        made, once = (one.root / "artifacts" / "embeddings" for one in (embedding, project))
        assert contents(made) == contents(once)

        folder = tmp_path / "embeddings"
        command = [sys.executable, DRIVER, folder, "ray", FREE, SHARDS, "auto", 1]
        with folder.with_suffix(".err").open("w") as errors:
            driver = subprocess.Popen(cluster.head.command(*command), stderr=errors, env=cluster.env)
        # both are at a shard that waits
        wait_for(lambda: FREE < len(work(folder)) == len(list(folder.glob("shard-*.npy"))) + 2, driver)
        begun = {path: path.stat().st_mtime_ns for path in folder.glob("shard-*.npy")}
        node.end()
    folder.with_suffix(".go").touch()
    finish(folder, driver)
    assert contents(folder) == contents(expected)
    assert {path: path.stat().st_mtime_ns for path in begun} == begun
    # of the two that were at work, one's shard was made again, unless it had just been handed in
    assert len({sequence for _, sequence in work(folder)}) == SHARDS
    assert len(work(folder)) - SHARDS in {0, 1}


def test_a_node_with_another_version_is_named(embedding: Project, cluster: Cluster, tmp_path: Path):
    other = shutil.copytree(embedding.root / "src", tmp_path / "other")
    with (other / "dnapair" / "embedding" / "kmers.py").open("a") as code:
        code.write("# changed\n")
    with machine("stranger", "10.77.0.3") as node:
        join(cluster.head, node)
        # so that there is room for the actor nowhere else
        cluster.start(node, f"--address={HEAD}", "--num-cpus=2", PYTHONPATH=str(other))
        embedding.set({"embed.ray.actors": 1, "embed.ray.num_cpus": 2})
        command = cluster.head.command(BIN / "dnapair", "embed", folder=embedding.root)
        printed = embedding.run(*command, fails=True)
    assert "The node stranger has another version of dnapair" in printed
    assert "Traceback" not in printed


def test_who_has_no_token_is_refused(embedding: Project, cluster: Cluster, tmp_path: Path):
    home = tmp_path / "home"
    home.mkdir()
    with machine("thief", "10.77.0.4") as node:
        join(cluster.head, node)
        wrong = {"HOME": str(home), "RAY_AUTH_TOKEN": "0" * 64}
        assert "InvalidAuthToken" in cluster.start(node, f"--address={HEAD}", fails=True, **wrong)
    command = cluster.head.command(BIN / "dnapair", "embed", folder=embedding.root)
    embedding.env["HOME"] = str(home)
    for mode in ("disabled", "token"):
        embedding.env["RAY_AUTH_MODE"] = mode
        printed = embedding.run(*command, fails=True)
        assert "Copy ~/.ray/auth_token of the head" in printed
        assert "Traceback" not in printed
    # what it says to do lets in, to where there is no room
    embedding.set({"embed.ray.actors": 9})
    shutil.copytree(Path(cluster.env["HOME"]) / ".ray", home / ".ray")
    assert "9 actor(s)" in embedding.run(*command, fails=True)


def test_chief_and_worker_on_two_machines(project: Project, tmp_path: Path):
    log, port = tmp_path / "server.log", "5000"

    def ready() -> None:
        if "startup complete" not in log.read_text():
            raise OSError

    with (
        machine("chief", "10.77.0.1") as chief,
        machine("worker", "10.77.0.2") as worker,
        ExitStack() as stack,
    ):
        join(chief, worker)
        options = ["--backend-store-uri", f"sqlite:///{tmp_path}/mlflow.db", "--workers", "1", "--port", port]
        server = ["-m", "mlflow", "server", "--host", chief.address, *options]
        settings = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "PYTHONWARNINGS": "ignore"}
        command = chief.command(sys.executable, *server, folder=tmp_path)
        stack.enter_context(backend.started(command, ready, log, env=settings))
        copies = [copy_of(project, tmp_path / name) for name in ("chief", "worker0")]
        processes = []
        for copy, there in zip(copies, (chief, worker), strict=True):
            copy.set({"tune.trials": 3, "tune.epochs": 1, "tune.method": "random"})
            copy.env |= {
                "MLFLOW_TRACKING_URI": f"http://{chief.address}:{port}",
                "KERASTUNER_ORACLE_IP": str(chief.address),
                "KERASTUNER_ORACLE_PORT": "8000",
                "KERASTUNER_TUNER_ID": copy.root.name,
            }
            command = there.command(BIN / "dnapair", "tune", folder=copy.root)
            processes.append(subprocess.Popen(command, env=copy.env))
        assert [process.wait(PATIENCE) for process in processes] == [0, 0]
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    (led,) = client.search_runs(["1"], f"tags.`{STAGE_TAG}` = 'tune'")
    trials = client.search_runs(["1"], f"tags.`{PARENT_TAG}` = '{led.info.run_id}'")
    assert {run.info.status for run in (led, *trials)} == {"FINISHED"}
    ran = {run.data.tags[TRIAL_TAG].split("/")[1]: run.data.tags[PROCESS_TAG].split(":")[0] for run in trials}
    # the chief tries the given values with each of the inputs, and hands out the others
    assert ran == {"1": "chief", "2": "chief", "3": "chief", "4": "worker", "5": "worker"}
    best, absent = (copy.root / "reports" / "best_hyperparameters.json" for copy in copies)
    assert len(json.loads(best.read_text())["trials"]) == len(ran)
    assert not absent.exists()


def test_containers_of_one_name_leave_each_others_runs_alone(project: Project, tmp_path: Path):
    store = f"sqlite:///{tmp_path}/mlflow.db"
    with (
        backend.mlflow_server(store, tmp_path, tmp_path / "server.log") as uri,
        machine("container") as one,
        machine("container") as other,
    ):
        client = mlflow.MlflowClient(store)
        copies = [copy_of(project, tmp_path / name) for name in ("one", "other")]
        for copy in copies:
            copy.env["MLFLOW_TRACKING_URI"] = uri
            # one trial, of the same name in both
            copy.set({"network.inputs": "both", "tune.trials": 1})

        def statuses() -> dict[str, str]:
            return {run.info.run_id: run.info.status for run in client.search_runs(["1"])}

        def stop_at_a_trial(name: str) -> tuple[Gate, subprocess.Popen, set[str]]:
            """Let the one stand in a trial; return its open runs."""
            gate, before = Gate(tmp_path / name, "dnapair.trial", ""), set(statuses())
            command = one.command(sys.executable, "-c", TUNE, folder=copies[0].root)
            process = subprocess.Popen(command, env=gate.put_into(copies[0].env))
            gate.wait(process)
            wait_for(lambda: len(set(statuses()) - before) == 2, process)
            return gate, process, set(statuses()) - before

        def tune(folder: Path) -> None:
            copies[1].run(*other.command(BIN / "dnapair", "tune", folder=folder))

        gate, process, runs = stop_at_a_trial("first")
        tune(copies[1].root)
        found = statuses()
        assert {found.pop(run) for run in runs} == {"RUNNING"}
        assert set(found.values()) == {"FINISHED"}
        gate.open()
        assert process.wait(PATIENCE) == 0
        assert set(statuses().values()) == {"FINISHED"}

        # one goes down, and its folder is taken up by another
        _, process, runs = stop_at_a_trial("second")
        one.end()
        assert process.wait(PATIENCE) != 0
        tune(copies[0].root)
        found = statuses()
        assert {found.pop(run) for run in runs} == {"KILLED"}
        assert set(found.values()) == {"FINISHED"}
