"""A container without an engine: an environment made anew, and commands in it that see little else.

They run as nobody, in a mount and a network namespace of their own: the machine's programs, the environment
and what is mounted can be read, /tmp be written to, and only what runs in there be reached.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.pipeline.conftest import BIN
from tests.waiting import PATIENCE, wait_for

_ENTER = """
set -e
root=$1 && shift
ip link set lo up
mount -t tmpfs tmpfs "$root"
bind() {
    mkdir -p "$root$2"
    mount --rbind "$1" "$root$2"
}
for place in /usr /bin /lib /lib64 /etc /dev /proc; do
    if [ -e "$place" ]; then bind "$place" "$place"; fi
done
while [ "$1" != -- ]; do
    bind "$1" "$2"
    if [ "$2" != /tmp ]; then mount -o remount,bind,ro "$root$2"; fi
    shift 2
done
shift
mount -o remount,ro "$root"
exec "$@"
"""


def make_environment(folder: Path, *installs: Sequence[str | Path], cwd: Path) -> Path:
    """Make a virtual environment of what ``pip install`` is given, one install after the other."""
    settings = dict(os.environ)
    if "PIP_FIND_LINKS" in settings:
        # uv does not read pip's settings
        settings["UV_FIND_LINKS"] = settings["PIP_FIND_LINKS"]
    settings.pop("PYTHONPATH", None)
    commands = [["venv", "--quiet", "--python", sys.executable, folder]]
    install = ["pip", "install", "--quiet", "--python", folder / "bin" / "python"]
    commands += [[*install, *words] for words in installs]
    for command in commands:
        done = subprocess.run(
            [BIN / "uv", *command], cwd=cwd, env=settings, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    return folder


class Container(NamedTuple):
    """Where commands run.

    Attributes
    ----------
    folder
        A new one, for the container's own files; ``tmp`` in it is its /tmp.
    environment
        By :func:`make_environment`.
    mounts
        Folders, and the places they have in the container.
    variables
        All that is set there, beside PATH.
    """

    folder: Path
    environment: Path
    mounts: Mapping[Path, str]
    variables: Mapping[str, str]

    @contextmanager
    def started(self, *command: str, ready: Sequence[str]) -> Iterator[subprocess.Popen]:
        """Start a server, wait until another command in the container ends well, and stop it in the end."""
        log = self.folder / "log"
        with log.open("w") as written, self._start(command, stdout=written, stderr=written) as process:
            try:
                wait_for(lambda: self.run(process, *ready).returncode == 0, process, every=0.5)
                yield process
            except AssertionError as error:
                raise AssertionError(f"{error}:\n{log.read_text()}") from None
            finally:
                process.terminate()
                process.wait(PATIENCE)

    def alone(self, *command: str) -> subprocess.CompletedProcess:
        """Run a command in a container of its own."""
        with self._start(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace"
        ) as process:
            output, errors = process.communicate(timeout=PATIENCE)
        return subprocess.CompletedProcess(command, process.returncode, output, errors)

    def run(self, process: subprocess.Popen, *command: str) -> subprocess.CompletedProcess:
        """Run a command beside a server that was started."""
        beside = ["nsenter", f"--target={process.pid}", "--net", "--mount", *self._inside(command)]
        return subprocess.run(beside, capture_output=True, text=True, timeout=PATIENCE, check=False)

    def _start(self, command: Sequence[str], **options: object) -> subprocess.Popen:
        for name in ("root", "tmp"):
            (self.folder / name).mkdir(exist_ok=True)
        (self.folder / "tmp").chmod(0o1777)
        python = Path(os.path.realpath(sys.base_prefix))
        # /tmp first, as the environment may lie in it
        places = {self.folder / "tmp": "/tmp", python: str(python), self.environment: str(self.environment)}  # noqa: S108
        mounts = [str(word) for mount in (places | dict(self.mounts)).items() for word in mount]
        words = ["unshare", "--mount", "--net", "sh", "-c", _ENTER, "sh", self.folder / "root", *mounts, "--"]
        return subprocess.Popen([*words, *self._inside(command)], **options)

    def _inside(self, command: Sequence[str]) -> list[str]:
        path = f"PATH={self.environment / 'bin'}:/usr/bin:/bin"
        variables = [f"{name}={value}" for name, value in self.variables.items()]
        root = str(self.folder / "root")
        return ["chroot", "--userspec=65534:65534", root, "env", "-i", path, *variables, *command]


def skip_where_none_can_be() -> None:
    """Skip the test where there can be no such container."""
    if os.geteuid() != 0 or sys.platform != "linux":
        pytest.skip("namespaces and another user are to be had by root on Linux")
    lacking = [name for name in ("unshare", "nsenter", "ip", "curl") if shutil.which(name) is None]
    if lacking:
        pytest.skip(f"not installed: {', '.join(lacking)} (Debian: apt install util-linux iproute2 curl)")
    if subprocess.run(["unshare", "--mount", "--net", "true"], capture_output=True, check=False).returncode:
        pytest.skip("the kernel makes no namespaces here")
