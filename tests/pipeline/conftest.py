"""A copy of the project with small data in it, and the commands that users type."""

import atexit
import contextlib
import functools
import json
import multiprocessing
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import warnings
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from filelock import FileLock

from dnapair.params.overrides import write_settings
from tests.waiting import PATIENCE, Gate

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
SMALL = {
    "encoder.source": "untrained",
    "encoder.untrained.k": 4,
    "encoder.untrained.layers": 1,
    "encoder.untrained.hidden": 16,
    "encoder.untrained.heads": 2,
    "embed.shard_rows": 64,
    "checks.max_clipped_share": 0.1,
    "network.inputs": "auto",
    "network.widths": [32, 16],
    "train.epochs": 3,
    "train.batch_size": 32,
    "train.learning_rate": 0.01,
    "tune.trials": 2,
    "tune.epochs": 1,
    "tune.space.widths": [[32, 16], [16]],
    "tune.space.batch_size": [32],
    "tune.space.learning_rate": {"low": 0.003, "high": 0.03},
    "evaluate.bootstrap": 1000,
    "evaluate.map_pairs": 40,
    "train.repeats": 2,
    # auto draws none, as the order of these pairs does not matter
    "train.random_negatives": 0.5,
    # an untrained encoder may be no better than 4-mers
    "register.baseline": "ignore",
}


COMPILED = {".pyc", ".nbc", ".nbi"}

# most of a command's time is one core importing: these are forked from a process that has
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.pipeline.preload"])


def dnapair(words: tuple[str, ...], root: Path, env: dict[str, str], output: str) -> None:
    """Be the command line in a process of its own."""
    written = os.open(output, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(written, stream)
    os.chdir(root)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["dnapair", *words]
    from dnapair.cli import command

    command()


class Project:
    """A git and DVC repository as a user has it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        dropped = {"MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME"}
        self.env = {key: value for key, value in os.environ.items() if key not in dropped}
        self.env |= {
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(root / "src"),
            "PYTHONWARNINGS": "ignore",
            "CUDA_VISIBLE_DEVICES": "",
        }
        if "PIP_FIND_LINKS" in os.environ:
            # uv does not read pip's settings
            self.env["UV_FIND_LINKS"] = os.environ["PIP_FIND_LINKS"]

    @property
    def tracking_uri(self) -> str:
        return f"sqlite:///{self.root}/mlflow.db"

    def run(self, *command: str, fails: bool = False) -> str:
        """Run a command in the project; give back all it printed."""
        with tempfile.NamedTemporaryFile("r", encoding="utf-8", errors="replace") as output:
            if command[0] == "dnapair":
                process = FORKS.Process(target=dnapair, args=(command[1:], self.root, self.env, output.name))
                process.start()
                process.join(PATIENCE)
                code = process.exitcode
                process.kill()
            else:
                with Path(output.name).open("w") as written:
                    code = subprocess.run(
                        command,
                        cwd=self.root,
                        env=self.env,
                        stdout=written,
                        stderr=written,
                        timeout=PATIENCE,
                        check=False,
                    ).returncode
            printed = output.read()
        assert code is not None, f"{' '.join(command)} did not end:\n{printed}"
        assert (code != 0) == fails, f"{' '.join(command)} ended with {code}:\n{printed}"
        return printed

    def kill_at(self, gate: Gate, *command: str) -> None:
        """Run a command in the project, and kill it where it stands at a gate."""
        with subprocess.Popen(
            command,
            cwd=self.root,
            env=gate.put_into(self.env),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            gate.wait(process)
            process.kill()

    def train_anew(self) -> str:
        """Run every stage from the search on, without DVC, which would start a process for each.

        Give back what ``register`` printed.
        """
        self.run("dnapair", "tune")
        for words in (["train", "torch"], ["train", "tensorflow"], ["score"], ["evaluate"]):
            self.run("dnapair", *words)
        return self.run("dnapair", "register")

    def set(self, settings: dict) -> None:
        """Change settings in params.yaml, as somebody does who leaves the rest of it alone."""
        with contextlib.chdir(self.root):
            write_settings({key: json.dumps(value) for key, value in settings.items()})

    def commit(self, message: str) -> None:
        self.run("git", "add", "-A")
        self.run("git", "commit", "-q", "--allow-empty", "-m", message)


@functools.cache
def empty_store() -> Path:
    """An MLflow store without runs: making its tables takes far longer than copying them."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = Path(folder, "mlflow.db")
    subprocess.run([BIN / "mlflow", "db", "upgrade", f"sqlite:///{path}"], check=True, capture_output=True)
    return path


def copy_project(root: Path) -> Project:
    """Copy what git tracks or would track, without the bundled data and results."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.splitlines():
        if (
            name.split("/")[0] in {"datasets", "reports", "docs", "data.dvc", "dvc.lock"}
            or not (ROOT / name).is_file()
        ):
            continue
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)
    # to compile kernels and modules takes far longer than to copy them
    for compiled in ROOT.glob("src/**/__pycache__/*.*"):
        if compiled.suffix not in COMPILED:
            continue
        target = root / compiled.relative_to(ROOT)
        target.parent.mkdir(exist_ok=True)
        shutil.copy2(compiled, target)
    shutil.copy2(empty_store(), root / "mlflow.db")
    project = Project(root)
    project.set(SMALL)
    project.run("git", "init", "-q")
    project.run("git", "config", "user.name", "A user")
    project.run("git", "config", "user.email", "user@example.org")
    return project


def write_small_data(folder: Path, genomes: int = 40, fragments: int = 6, length: int = 120) -> None:
    """Write fragments of genomes that differ in their bases, and pairs of one genome or of two."""
    rng = np.random.default_rng(1)
    folder.mkdir(parents=True)
    records, names = [], []
    for genome in range(genomes):
        bases = rng.dirichlet([2, 2, 2, 2])
        for fragment in range(fragments):
            names.append((f"g{genome}f{fragment}", f"g{genome}"))
            records.append(
                f">{names[-1][0]} genome=g{genome}\n{''.join(rng.choice(list('ACGT'), length, p=bases))}\n"
            )
    (folder / "sequences.fasta").write_text("".join(records))
    splits = {
        f"g{genome}": "train" if genome < genomes * 0.6 else "val" if genome < genomes * 0.8 else "test"
        for genome in range(genomes)
    }
    lines = {"id1,id2,label,genome1,genome2,split"}
    while len(lines) <= genomes * fragments * 3:
        (id1, genome1), (id2, genome2) = (names[place] for place in rng.choice(len(names), 2, replace=False))
        if splits[genome1] == splits[genome2] and (genome1 == genome2 or rng.random() < 0.1):
            lines.add(f"{id1},{id2},{int(genome1 == genome2)},{genome1},{genome2},{splits[genome1]}")
    (folder / "pairs.csv").write_text(
        "\n".join(sorted(lines, key=lambda line: (not line.startswith("id1,"), line)))
    )


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Project:
    """A project whose pipeline ran once, committed. Tests that change it must put it back.

    It is made once for all workers, and each has a copy. ``first_version`` is what that run registered, as it
    left it: a later run that comes to the very same model describes the version anew, with its own card.
    """
    root = tmp_path_factory.mktemp("finished") / "project"
    base = tmp_path_factory.getbasetemp()
    original = (base if worker_id == "master" else base.parent) / "finished-original"
    with FileLock(original.with_suffix(".lock")):
        if not original.exists():
            _finish(original)
    shutil.copytree(original, root, symlinks=True)
    _move_record(root / "mlflow.db", original, root)
    project = Project(root)
    project.first_output = (original.parent / "first-output.txt").read_text()
    project.first_version = _champion(project)
    return project


def _finish(root: Path) -> None:
    """Make the project elsewhere, then rename it: one that failed is not taken for finished."""
    project = copy_project(root.with_name("unfinished") / "project")
    write_small_data(project.root / "datasets" / "small")
    project.commit("Small data")
    project.run("dnapair", "use", "datasets/small")
    project.run("git", "add", "-A")
    project.run("git", "commit", "-q", "--amend", "--no-edit")
    (root.parent / "first-output.txt").write_text(project.run("dnapair", "run"))
    project.commit("First results")
    _move_record(project.root / "mlflow.db", project.root, root)
    project.root.rename(root)


def _move_record(database: Path, old: Path, new: Path) -> None:
    """Have MLflow find the artifacts of a project that was moved: it knows them by their whole paths."""
    columns = (
        "SELECT tables.name, columns.name FROM sqlite_master AS tables, "
        "pragma_table_info(tables.name) AS columns WHERE tables.type = 'table'"
    )
    with closing(sqlite3.connect(database)) as connection, connection:
        for table, column in connection.execute(columns).fetchall():
            connection.execute(
                f'UPDATE "{table}" SET "{column}" = replace("{column}", :old, :new) '  # noqa: S608 - MLflow's own names
                f'WHERE instr("{column}", :old)',
                {"old": str(old), "new": str(new)},
            )


def _champion(project: Project) -> "ModelVersion":
    with warnings.catch_warnings():
        # of MLflow's own code
        warnings.simplefilter("default")
        from mlflow import MlflowClient

        client = MlflowClient(project.tracking_uri, project.tracking_uri)
        return client.get_model_version_by_alias("dnapair", "champion")
