"""`dnapair doctor`: whether this machine and this folder have all that the pipeline needs."""

import getpass
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from importlib.util import cache_from_source, find_spec
from pathlib import Path

import psutil
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from rich.console import Console
from rich.markup import escape

from dnapair.commands.repository import check_repository
from dnapair.errors import DnapairError
from dnapair.machine.user import missing_variables
from dnapair.stages.imported import DATA, POINTER, check_present
from dnapair.storage.files import lock

GIGABYTE = 1e9
_DVC = "install it: pip install -r requirements.txt -c constraints.txt"
_GIT = (
    "install it. Without it the pipeline runs all the same, but its record lacks the code's commit, and data "
    "in git are copied, not followed."
)
_LEAST_DISK = 2 * GIGABYTE
_LEAST_MEMORY = 4 * GIGABYTE


def run() -> bool:
    """Print one line for each thing that was looked at.

    Returns
    -------
    bool
        Whether everything can run.
    """
    console = Console(highlight=False, soft_wrap=True)
    healthy = True
    for check in (
        _python,
        _packages,
        _bytecode,
        _user,
        _tools,
        _repository,
        _locks,
        _settings,
        _data,
        _encoder,
        _tracking,
        _disk,
        _memory,
        _accelerator,
    ):
        try:
            for line in check():
                console.print(f"[green]ok[/green]       {escape(line)}")
        except DnapairError as error:
            healthy = False
            console.print(f"[red]problem[/red]  {escape(str(error))}")
    console.print("Everything is here." if healthy else "Mend what is marked as a problem, then ask again.")
    return healthy


def _python() -> Iterator[str]:
    here, wanted = platform.python_version(), metadata("dnapair")["Requires-Python"]
    if here not in SpecifierSet(wanted):
        raise DnapairError(f"Python {here}: dnapair runs on Python {wanted}.")
    yield f"Python {here}, {platform.system()} {platform.machine()}"


def _packages() -> Iterator[str]:
    wanted = [Requirement(line) for line in requires("dnapair") or [] if "extra ==" not in line]
    wrong = []
    for requirement in wanted:
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            wrong.append(f"{requirement.name} is missing")
            continue
        if not requirement.specifier.contains(found):
            wrong.append(f"{requirement.name} is {found}, not {requirement.specifier}")
    if wrong:
        raise DnapairError(
            f"Packages: {'; '.join(wrong)}. Run: pip install -r requirements.txt -c constraints.txt"
        )
    yield f"{len(wanted)} packages as pinned in requirements.txt"


def _bytecode() -> Iterator[str]:
    torch = find_spec("torch")
    if torch and torch.origin and not Path(cache_from_source(torch.origin)).exists():
        if sys.dont_write_bytecode:
            raise DnapairError(
                "The packages have no bytecode, and PYTHONDONTWRITEBYTECODE keeps Python from writing it: "
                "every command compiles all that it imports, which doubles its time. Run: unset "
                "PYTHONDONTWRITEBYTECODE"
            )
        yield "packages without bytecode: Python writes it with their first import"


def _tools() -> Iterator[str]:
    wanted = (([sys.executable, "-m", "dvc", "--version"], "dvc", _DVC), (["git", "--version"], "git", _GIT))
    for command, need, remedy in wanted:
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            raise DnapairError(f"{need} can't be run: {remedy}") from None
        yield f"{need} {done.stdout.strip().removeprefix('git version ')}"


def _user() -> Iterator[str]:
    missing = missing_variables()
    if missing:
        exports = " ".join(f"{name}={value}" for name, value in missing.items())
        lacking = "no name on this machine" if "USER" in missing else "no home to write to"
        raise DnapairError(
            f"This user ({os.getuid()}) has {lacking}. Commands of dnapair do without; those of dvc and "
            f"mlflow that you type yourself may not, before: export {exports}"
        )
    yield f"user {getpass.getuser()}, at home in {Path.home()}"


def _repository() -> Iterator[str]:
    check_repository()
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
        )
    except OSError:
        return
    if "dubious ownership" in commit.stderr:
        raise DnapairError(
            "This folder belongs to another user, so git does not read it. If you trust it: "
            f"git config --global --add safe.directory '{Path.cwd()}'"
        )
    if commit.returncode:
        raise DnapairError(
            "This folder is not in a git repository with a commit: `dvc exp run` needs one. Make it: "
            "git init; git add -A; git commit -m 'First'"
        )
    yield f"this folder is in git, its commit is {commit.stdout.strip()}"


def _locks() -> Iterator[str]:
    try:
        with lock(Path("artifacts/locks/doctor.lock"), "looking at this folder") as everywhere:
            pass
    except OSError as error:
        raise DnapairError(
            f"This folder can't be written to: {error.strerror} ({error.filename}). Take a copy of your own: "
            "git clone it to where you may write."
        ) from None
    if not everywhere:
        raise DnapairError(
            "The file system of this folder has no locks, which dvc needs. Have it use links in their place: "
            "rm -f .dvc/tmp/lock .dvc/tmp/rwlock*; dvc config --local core.hardlink_lock true. If MLflow "
            "can't lock its database either, put that on another disk: export "
            "MLFLOW_TRACKING_URI=sqlite:////another/folder/mlflow.db"
        )
    yield "locks: the file system has them"


def _settings() -> Iterator[str]:
    from dnapair.params import load_params

    load_params()
    yield "params.yaml: every setting is known and possible"


def _data() -> Iterator[str]:
    if not POINTER.is_file():
        raise DnapairError("data.dvc is missing: bring data with `dnapair use PATH`.")
    check_present(DATA)
    yield "data.dvc" + ("" if DATA.exists() else " (data itself is brought by the first `dvc repro`)")


def _encoder() -> Iterator[str]:
    from dnapair.params import load_params
    from dnapair.stages.encoders import open_source

    encoder = open_source(load_params().encoder)
    parameters = sum(values.size for values in encoder.weights.values())
    yield f"encoder {encoder.name}: {encoder.dimensions} dimensions, {parameters:,} weights"


def _tracking() -> Iterator[str]:
    from dnapair import tracking

    tracking.check_store()
    yield f"MLflow's tracking store answers: {tracking.store_address()}"


def _disk() -> Iterator[str]:
    free = shutil.disk_usage(".").free
    if free < _LEAST_DISK:
        raise DnapairError(
            f"Disk: {free / GIGABYTE:.1f} GB free here, the pipeline wants {_LEAST_DISK / GIGABYTE:.0f}."
        )
    yield f"disk: {free / GIGABYTE:.0f} GB free"


def _memory() -> Iterator[str]:
    available = psutil.virtual_memory().available
    if available < _LEAST_MEMORY:
        raise DnapairError(
            f"Memory: {available / GIGABYTE:.1f} GB free, the pipeline wants {_LEAST_MEMORY / GIGABYTE:.0f}."
        )
    yield f"memory: {available / GIGABYTE:.0f} GB available, {psutil.cpu_count()} CPUs"


def _accelerator() -> Iterator[str]:
    import torch

    from dnapair.machine.processor import has_bfloat16

    if torch.cuda.is_available():
        yield f"GPU: {torch.cuda.get_device_name()}"
    else:
        units = "which multiplies bfloat16" if has_bfloat16() else "in float32: it has no units for bfloat16"
        yield f"GPU: none, the CPU does the work, {units}"
