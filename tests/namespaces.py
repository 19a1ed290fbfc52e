"""Machines and containers within this machine: Linux namespaces, which end with all that runs in them."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.waiting import wait_for

KINDS = ("--pid", "--uts", "--ipc", "--mount")
# Ray keeps in it what other machines don't see; `cat` ends with the tests, however they end
SET_UP = 'hostname "$0" && mkdir -p /tmp/ray && mount -t tmpfs ray /tmp/ray && $1 && echo ready && exec cat'


class Machine:
    """A host name, process numbers and a /tmp/ray of its own; with an address, a network too.

    Parameters
    ----------
    process
        The ``unshare`` that keeps it: when it ends, the kernel kills all that runs there.
    address
        The only one it has besides 127.0.0.1, or None for the network of the tests.
    """

    def __init__(self, process: subprocess.Popen, address: str | None) -> None:
        self._process = process
        self.address = address
        (first,) = psutil.Process(process.pid).children()
        self.first = str(first.pid)

    def command(self, *words: object, folder: Path = Path("/")) -> list[str]:
        """Return what runs a command there, in a folder: all machines see the same files."""
        kinds = [*KINDS, "--net"] if self.address else KINDS
        return ["nsenter", "--target", self.first, *kinds, "env", f"--chdir={folder}", *map(str, words)]

    def end(self) -> None:
        """Stop it at once, as a power cut does."""
        self._process.kill()
        wait_for(lambda: not psutil.pid_exists(int(self.first)))


@contextmanager
def machine(name: str, address: str | None = None) -> Iterator[Machine]:
    """Start a machine of this host name, and stop it in the end; skip the test where that can't be done."""
    if shutil.which("unshare") is None or (address and shutil.which("ip") is None):
        pytest.skip("`unshare` and `ip` are not installed (Debian: apt install util-linux iproute2)")
    kinds = [*KINDS, "--net"] if address else KINDS
    network = f"ip link set lo up && ip address add {address} dev lo" if address else "true"
    command = ["unshare", *kinds, "--fork", "--kill-child", "--mount-proc", "sh", "-c"]
    set_up = SET_UP.replace("$1", network)
    with subprocess.Popen([*command, set_up, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            if process.stdout is None or process.stdout.readline() != b"ready\n":
                pytest.skip("no namespaces can be made here: only root may, and not in every container")
            yield Machine(process, address)
        finally:
            process.kill()


def join(one: Machine, other: Machine) -> None:
    """Lay a cable between two machines with addresses; nobody else is on it."""
    ends = f"to-{other.address}", f"to-{one.address}"
    cable = ["link", "add", ends[0], "netns", one.first, "type", "veth"]
    peer = ["peer", "name", ends[1], "netns", other.first]
    if subprocess.run(["ip", *cable, *peer], capture_output=True, check=False).returncode:
        pytest.skip("the kernel makes no veth pairs")
    for here, end, there in ((one, ends[0], other), (other, ends[1], one)):
        for words in (
            ["link", "set", end, "up"],
            ["route", "add", there.address, "dev", end, "src", here.address],
        ):
            subprocess.run(here.command("ip", *words), check=True)
