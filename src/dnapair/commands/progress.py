"""What a run of DVC shows: a line for each stage, not DVC's log; and why it failed, where it did."""

import codecs
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import yaml
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from dnapair.errors import DnapairError, printable

_BEGINS = re.compile(r"Running stage '(.+)':$|Importing '.+' -> '(.+)'$")
_UNCHANGED = re.compile(
    r"(?:Stage )?'(.+?)(?:\.dvc)?' didn't change, skipping$"
    r"|Stage '(.+)' is cached - skipping run, checking out outputs$"
)
_EXPERIMENT = re.compile(r"Ran experiment\(s\): (.+)$")
_BAR = re.compile(r"\[\d+:\d\d[<,]")
"""How tqdm ends: [00:12<00:04, 9.2 it/s], or [00:12, 9.2 it/s]."""
_ENDS = ("Generating lock file ", "Updating lock file ", "To track the changes with git", "Use `dvc push` ")
_COMMAND = "> "
_FAILED = "ERROR: "
_OWN = "dnapair: "
_CHATTER = re.compile(r"Successfully registered model|Created version '|Registered model '.+' already exists")
"""Of MLflow: `register` says it better."""
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_NAME_WIDTH = 20
_MOST_LINES = 40
_TICK_S = 0.5


def watch(command: Sequence[str], environment: Mapping[str, str], stages: Sequence[str] = ()) -> None:
    """Run DVC and show a line for each stage.

    In a terminal a line with the stage's own progress, and one of what is to come, stand below; elsewhere the
    lines are plain.

    Parameters
    ----------
    command
        How DVC is called.
    environment
        Of the process.
    stages
        Those that are expected, in their order.

    Raises
    ------
    DnapairError
        If it fails; the message is the stage's own, or else DVC's.
    """
    console = Console(highlight=False, soft_wrap=True)
    lines = _Lines(console, stages)
    if console.is_terminal:
        with Live(console=console, auto_refresh=False, transient=True) as live:
            code = _feed(lines, command, environment, live)
    else:
        code = _feed(lines, command, environment, None)
    lines.close()
    if code:
        raise DnapairError(lines.reason(" ".join(command)))


def pipeline_stages() -> list[str]:
    """Return the names of dvc.yaml's stages, in their order.

    Raises
    ------
    DnapairError
        If it is not in this folder.
    """
    try:
        content = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DnapairError("dvc.yaml is not here. Run dnapair in the project's top folder.") from None
    names = ["data"]
    for name, stage in content["stages"].items():
        matrix = stage.get("matrix", {})
        names += [f"{name}@{value}" for values in matrix.values() for value in values] or [name]
    return names


def _feed(lines: "_Lines", command: Sequence[str], environment: Mapping[str, str], live: Live | None) -> int:
    """Give what the process prints to ``lines`` as it comes; return its exit code."""
    # stages draw their bars for a terminal only
    ours, theirs = pty.openpty() if live else os.pipe()
    if live:
        size = struct.pack("HHHH", 24, max(20, live.console.width - _NAME_WIDTH - 12), 0, 0)
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, size)
    with subprocess.Popen(command, env=environment, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        rest = ""
        for content in _chunks(ours):
            *whole, rest = (rest + decoder.decode(content)).replace("\r\n", "\n").split("\n")
            for line in whole:
                lines.take(line)
            if _BAR.search(rest):
                lines.take(rest)
            if live:
                live.update(lines.running(), refresh=True)
        if rest:
            lines.take(rest)
    os.close(ours)
    return process.returncode


def _chunks(descriptor: int) -> Iterator[bytes]:
    """Yield what can be read, and nothing now and then, until the other end is closed."""
    while True:
        if not select.select([descriptor], [], [], _TICK_S)[0]:
            yield b""
            continue
        try:
            content = os.read(descriptor, 2**16)
        except OSError:
            # so Linux says that nobody has a pseudo-terminal open any more
            return
        if not content:
            return
        yield content


class _Lines:
    """DVC's log in, a line for each stage out."""

    def __init__(self, console: Console, stages: Sequence[str]) -> None:
        self.bar = ""
        self._console = console
        self._to_come = list(stages)
        self._stage = ""
        self._began = 0.0
        self._said: list[str] = []
        self._unchanged: list[str] = []
        self._dvc_failed: list[str] = []

    def take(self, line: str) -> None:
        """Take a whole line."""
        # what a bar drew before, on the same line
        line = _ESCAPES.sub("", line.rpartition("\r")[2]).rstrip()
        if _BAR.search(line):
            self.bar = line
            return
        if not line:
            return
        if found := _BEGINS.match(line):
            self._end()
            self._begin(found[1] or found[2])
        elif found := _UNCHANGED.match(line):
            self._end()
            self._unchanged.append(self._come(found[1] or found[2]))
        elif line.startswith(_FAILED):
            self._end("failed")
            self._dvc_failed.append(line.removeprefix(_FAILED))
        elif self._dvc_failed:
            self._dvc_failed.append(line)
        elif line.startswith(_ENDS):
            self._end()
        elif found := _EXPERIMENT.match(line):
            self._print(f"experiment {found[1]}: dvc exp show")
        elif self._stage and not line.startswith(_COMMAND) and not _CHATTER.match(line):
            self._said.append(line)

    def running(self) -> Group:
        """Return what stands below the lines now."""
        if not self._stage:
            return Group()
        seconds = f"{time.monotonic() - self._began:.0f} s"
        bar = _ESCAPES.sub("", self.bar)
        now = Text(f"{self._stage:<{_NAME_WIDTH}}{seconds:>7}  {bar}", no_wrap=True, overflow="crop")
        to_come = f"to come: {', '.join(self._to_come)}" if self._to_come else ""
        return Group(now, Text(to_come, style="dim", no_wrap=True, overflow="ellipsis"))

    def close(self) -> None:
        """End what is still open."""
        self._end()
        self._print_unchanged()

    def reason(self, command: str) -> str:
        """Say why the run failed."""
        # a traceback after a warning is no message
        own = [place for place, line in enumerate(self._said) if line.startswith((_OWN, "Traceback "))]
        if own and self._said[own[-1]].startswith(_OWN):
            return "\n".join(self._said[own[-1] :]).removeprefix(_OWN)
        for line in self._said[-_MOST_LINES:]:
            self._print(line)
        return "\n".join(self._dvc_failed) or f"`{command}` failed: what it printed stands above."

    def _begin(self, name: str) -> None:
        self._print_unchanged()
        self._stage, self._began, self.bar, self._said = self._come(name), time.monotonic(), "", []
        if not self._console.is_terminal:
            # on the line that its seconds will end
            self._print(f"{self._stage:<{_NAME_WIDTH}}", end="")

    def _end(self, word: str = "") -> None:
        if not self._stage:
            return
        result = word or f"{time.monotonic() - self._began:.0f} s"
        start = f"{self._stage:<{_NAME_WIDTH}}" if self._console.is_terminal else ""
        self._print(f"{start}{result:>7}")
        self._stage = ""
        if not word:
            for line in self._said:
                self._print(f"  {line}")
            self._said = []

    def _come(self, name: str) -> str:
        if name in self._to_come:
            self._to_come.remove(name)
        return name

    def _print_unchanged(self) -> None:
        if self._unchanged:
            self._print(f"unchanged: {', '.join(self._unchanged)}")
        self._unchanged = []

    def _print(self, line: str, end: str = "\n") -> None:
        self._console.print(Text(printable(line)), end=end)
