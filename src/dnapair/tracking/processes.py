"""Which process a run belongs to: stages of one `dvc repro` go together, a dead process's runs are ended."""

import os
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil

from dnapair.tracking.tags import COMMIT_TAG, DVC_VARIABLE, OLD_PROCESS_TAG, PARENT_TAG, PROCESS_TAG

_SAME_START = 2.0
"""Seconds by which two looks at one process's start may differ, where a clock is set meanwhile."""


class _Process(NamedTuple):
    """A process among those of all machines and containers, of which several may have one host name.

    Attributes
    ----------
    host, pid : str
        As people know it.
    start : str
        In seconds since the machine's start: numbers are used again.
    boot, numbers : str
        The machine's start, and the namespace of process numbers: each container has one of its own. Empty
        where the system does not say.
    """

    host: str
    pid: str
    start: str = ""
    boot: str = ""
    numbers: str = ""

    @classmethod
    def of(cls, process: psutil.Process) -> "_Process":
        boot, numbers = "", ""
        with suppress(OSError):
            boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
            numbers = str(Path("/proc/self/ns/pid").stat().st_ino)
        return cls(socket.gethostname(), str(process.pid), f"{_start(process):.2f}", boot, numbers)

    def is_no_more(self) -> bool:
        """Tell whether it has surely ended, which only a process beside it can see."""
        here = _Process.of(psutil.Process())
        if self.host != here.host or (self.start and self[3:] != here[3:]):
            return False
        try:
            now = _start(psutil.Process(int(self.pid)))
        except psutil.Error:
            # another user's process may be hidden
            return not psutil.pid_exists(int(self.pid))
        return bool(self.start) and abs(now - float(self.start)) > _SAME_START


def this_process() -> str:
    """Name this process among those of all machines and containers."""
    return ":".join(_Process.of(psutil.Process()))


def source_tags(process: str) -> dict[str, str]:
    """Return the tags of what makes a run: its process, and the code's commit in a git repository."""
    tags = {PROCESS_TAG: process}
    # git may be missing
    with suppress(OSError):
        commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
        if commit.returncode == 0:
            tags[COMMIT_TAG] = commit.stdout.strip()
    return tags


def dvc_process() -> psutil.Process | None:
    """Find the `dvc` process that started this stage."""
    if number := os.environ.get(DVC_VARIABLE):
        with suppress(psutil.Error):
            return psutil.Process(int(number))
    for process in psutil.Process().parents():
        try:
            if any(Path(word).name == "dvc" for word in process.cmdline()[:3]):
                return process
        except psutil.Error:
            return None
    return None


def name_process(process: psutil.Process) -> str:
    """Name a process among those of all machines and containers, in one word."""
    return "-".join(_Process.of(process))


def end_killed_runs(experiment: str, ended: str | None = None) -> None:
    """Mark runs as KILLED that say RUNNING, but whose process has surely ended.

    That is known of processes of this machine or container since its start, not of others of the same name.

    Parameters
    ----------
    experiment
        Where they are.
    ended
        A process that is known to have ended, wherever it was: its runs, and the pipelines they are part of.
    """
    import mlflow

    client = mlflow.MlflowClient()
    running = "attributes.status = 'RUNNING' and tags"
    for tag in (PROCESS_TAG, OLD_PROCESS_TAG):
        for run in client.search_runs([experiment], f"{running}.`{tag}` LIKE '{socket.gethostname()}:%'"):
            if _Process(*run.data.tags[tag].split(":")).is_no_more():
                client.set_terminated(run.info.run_id, "KILLED")
    left = client.search_runs([experiment], f"{running}.`{PROCESS_TAG}` = '{ended}'") if ended else []
    for run in left:
        client.set_terminated(run.info.run_id, "KILLED")
    for pipeline in {run.data.tags[PARENT_TAG] for run in left if PARENT_TAG in run.data.tags}:
        if client.get_run(pipeline).info.status == "RUNNING":
            client.set_terminated(pipeline, "KILLED")


class OpenStage:
    """A file by which a stage that was killed is known to have ended, to whoever has its lock next.

    That may be after the machine's restart, or on another one that has the folder.

    Parameters
    ----------
    path
        The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def last(self) -> str | None:
        """Return the process that began last and did not end, by :func:`this_process`."""
        with suppress(OSError, ValueError):
            file, process = self._path.read_text(encoding="utf-8").split()
            # in a copy of the folder it says nothing of the original, where that process may be at work
            return process if file == self._file() else None
        return None

    def begin(self) -> None:
        """Note that this process is at work."""
        # a disk that takes no note is no reason to refuse the work
        with suppress(OSError):
            self._path.touch()
            self._path.write_text(f"{self._file()} {this_process()}", encoding="utf-8")

    def end(self) -> None:
        """Note that it has ended."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _file(self) -> str:
        return str(self._path.stat().st_ino)


def _start(process: psutil.Process) -> float:
    # since the machine's start: the same for all stages whatever becomes of its clock meanwhile
    return process.create_time() - psutil.boot_time()
