"""Which process a run belongs to: stages of one `dvc repro` go together, a dead process's runs are ended."""

import os
import socket
import subprocess
from pathlib import Path

import mlflow
import psutil

from dnapair.tracking.tags import COMMIT_TAG, PROCESS_TAG


def this_process() -> str:
    """Name this process among those of all machines."""
    return f"{socket.gethostname()}:{os.getpid()}"


def source_tags() -> dict[str, str]:
    """Return the tags of what makes a run: this process, and the code's commit in a git repository."""
    tags = {PROCESS_TAG: this_process()}
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return tags | ({COMMIT_TAG: commit.stdout.strip()} if commit.returncode == 0 else {})


def dvc_process() -> str | None:
    """Name the `dvc` process that started this stage, the same for all stages it starts."""
    for process in psutil.Process().parents():
        try:
            if any(Path(word).name == "dvc" for word in process.cmdline()[:3]):
                # since the machine's start: the same for all stages whatever becomes of its clock meanwhile
                age = process.create_time() - psutil.boot_time()
                return f"{socket.gethostname()}-{process.pid}-{age:.2f}"
        except psutil.Error:
            return None
    return None


def end_killed_runs(experiment: str) -> None:
    """Mark runs as KILLED that say RUNNING, but whose process on this machine is no more."""
    client = mlflow.MlflowClient()
    host = f"{socket.gethostname()}:"
    running = f"attributes.status = 'RUNNING' and tags.`{PROCESS_TAG}` LIKE '{host}%'"
    for run in client.search_runs([experiment], running):
        if not psutil.pid_exists(int(run.data.tags[PROCESS_TAG].removeprefix(host))):
            client.set_terminated(run.info.run_id, "KILLED")
