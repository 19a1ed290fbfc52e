"""How long a user waits for a result, and for what: each stage, and each command. Prints tables, writes JSON.

    python benchmarks/time_to_result.py --json time.json
    python benchmarks/time_to_result.py --data /data/mirbench --use "--split.method predefined" \
        --against /path/to/another/checkout --rounds 3 --json time.json

The pipeline is a bare `dvc repro` in a new clone of this checkout's last commit, with its own store, on the
bundled data or on --data, which `dnapair use` brings with the words of --use. Of each stage's time,

- start-up is what passes until it begins to work, and what it imports later on;
- work is what it computes, reads and writes;
- record is what passes until its process has ended: the record that is still to be sent;
- DVC is what passes between stages, for hashes and locks, before the stage and after the last; and until the
  process that has the imports ready has forked for the stage.

With --against, clones of both take turns, each with its own checkout's .venv, and the table has ratios too.
Commands are measured with the model that the pipeline registered, all caches warm, each --repeats times.
Figures are medians.
"""

import argparse
import http.client
import json
import os
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAIR = f"seq1,seq2\n{'ACGTTGCATCCGATTACAGG' * 5},{'TTGACCATGGCAATCCGATT' * 5}\n"
PARTS = ("startup", "work", "record", "dvc")
COMMANDS = {
    "--help": ["--help"],
    "predict": ["predict", "pair.csv", "--output", "scored.csv"],
    "models": ["models"],
    "doctor": ["doctor"],
}
WATCH = '''
import builtins, json, os, sys, threading, time

START = time.time()
TIMES = {"start": START, "imports": 0.0}
main, depth, plain = threading.main_thread(), 0, builtins.__import__


def timed(*words, **named):
    """Add what the outermost import of the main thread takes while a stage is at work."""
    global depth
    if threading.current_thread() is not main or "begin" not in TIMES or "end" in TIMES:
        return plain(*words, **named)
    depth, began = depth + 1, time.time()
    try:
        return plain(*words, **named)
    finally:
        depth -= 1
        if not depth:
            TIMES["imports"] += time.time() - began


class Watched:
    """The run of a stage, with the moments at which its work begins and ends."""

    def __init__(self, run):
        self.run = run

    def __enter__(self):
        value = self.run.__enter__()
        # a stage may have more runs than one
        TIMES.setdefault("begin", time.time())
        return value

    def __exit__(self, *error):
        TIMES["end"] = time.time()
        return self.run.__exit__(*error)


class Finder:
    """Puts Watched around the runs of stages once their module is there."""

    def find_spec(self, name, path=None, target=None):
        if name != "dnapair.tracking.stages":
            return None
        from importlib.machinery import PathFinder

        spec = PathFinder.find_spec(name, path)
        run = spec.loader.exec_module

        def execute(module):
            run(module)
            opened = module.stage_run
            module.stage_run = lambda *words, **named: Watched(opened(*words, **named))

        spec.loader.exec_module = execute
        return spec


if {"dnapair", "dnapair.commands.warm"} & set(sys.orig_argv):
    import atexit

    sys.meta_path.insert(0, Finder())
    builtins.__import__ = timed
    # a stage that was handed over begins with the fork
    os.register_at_fork(after_in_child=lambda: TIMES.update(start=time.time(), imports=0.0))

    def keep():
        # who hands a stage over, or forks for it, does no work
        if not sys.argv[0].endswith("__main__.py") or "dnapair.cli" not in sys.modules:
            return
        TIMES.update(stage=" ".join(sys.argv[1:]), stop=time.time())
        with open(os.path.join(os.environ["STAGE_TIMES"], f"{os.getpid()}.json"), "w") as file:
            json.dump(TIMES, file)

    atexit.register(keep)
'''
"""As `sitecustomize`, has each stage of any checkout leave its times."""


class Clone:
    """A clone of a checkout, with a store and data of its own.

    Parameters
    ----------
    checkout
        A git repository of dnapair.
    folder
        Where it goes.
    """

    def __init__(self, checkout: Path, folder: Path) -> None:
        self.root, self.watch, self.times = folder / "clone", folder / "watch", folder / "times"
        # versions of other times have other packages
        own = checkout / ".venv" / "bin" / "python"
        self.python = str(own) if own.exists() else sys.executable
        subprocess.run(["git", "clone", "--quiet", checkout, self.root], check=True)
        # what is compiled is compiled by the first run of all
        for cached in checkout.glob("src/**/__pycache__/*.nb?"):
            target = self.root / cached.relative_to(checkout)
            target.parent.mkdir(exist_ok=True)
            shutil.copy2(cached, target)
        self.watch.mkdir()
        (self.watch / "sitecustomize.py").write_text(WATCH, encoding="utf-8")
        self.env = {
            name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "DNAPAIR_"))
        }
        self.env |= {
            "PATH": f"{Path(self.python).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.root / "src"),
            "PYTHONWARNINGS": "ignore",
        }

    def run(self, *command: str, **env: str) -> float:
        """Run a command in the clone; return its seconds."""
        start = time.perf_counter()
        done = subprocess.run(
            command, cwd=self.root, env=self.env | env, capture_output=True, text=True, check=False
        )
        seconds = time.perf_counter() - start
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed in {self.root}:\n{done.stdout}{done.stderr}")
        return seconds

    def dnapair(self, *words: str) -> float:
        """Run a command of dnapair; return its seconds."""
        return self.run(self.python, "-m", "dnapair", *words)

    def pipeline(self) -> dict[str, float]:
        """Run every stage; return their times under flat names."""
        shutil.rmtree(self.root / "artifacts", ignore_errors=True)
        shutil.rmtree(self.root / ".dvc" / "cache" / "runs", ignore_errors=True)
        shutil.rmtree(self.times, ignore_errors=True)
        self.times.mkdir()
        paths = os.pathsep.join([str(self.watch), self.env["PYTHONPATH"]])
        began = time.time()
        self.run(self.python, "-m", "dvc", "repro", "--force", PYTHONPATH=paths, STAGE_TIMES=str(self.times))
        ended = time.time()
        left = [json.loads(path.read_text(encoding="utf-8")) for path in self.times.glob("*.json")]
        return split_times(sorted(left, key=lambda one: float(one["start"])), began, ended)

    @contextmanager
    def server(self) -> Iterator[float]:
        """Serve the champion; give the seconds until it answers."""
        start = time.perf_counter()
        with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
            server = subprocess.Popen(
                [self.python, "-m", "dnapair", "serve", "--port", "0"],
                cwd=self.root,
                env=self.env,
                stdout=said,
                stderr=subprocess.STDOUT,
                text=True,
            )
            try:
                yield wait_until_ready(server, said) - start
            finally:
                server.terminate()
                server.wait()

    def commands(self, repeats: int) -> dict[str, list[float]]:
        """Return the seconds of each command, measured again and again."""
        (self.root / "pair.csv").write_text(PAIR, encoding="utf-8")
        seconds = {}
        for name, words in COMMANDS.items():
            # the first one warms the caches
            seconds[name] = [self.dnapair(*words) for _ in range(repeats + 1)][1:]
        seconds["serve"] = []
        for _ in range(repeats):
            with self.server() as ready:
                seconds["serve"].append(ready)
        seconds["dvc repro, nothing to do"] = [
            self.run(self.python, "-m", "dvc", "repro") for _ in range(repeats)
        ]
        return seconds


def split_times(stages: Sequence[Mapping[str, Any]], began: float, ended: float) -> dict[str, float]:
    """Split the time of a pipeline by stages and parts, in seconds, under names such as ``tune/work``."""
    found: dict[str, float] = {}
    last = began
    for stage in stages:
        begin = float(stage.get("begin", stage["stop"]))
        end = float(stage.get("end", begin))
        parts = (
            begin - stage["start"] + stage["imports"],
            end - begin - stage["imports"],
            stage["stop"] - end,
            stage["start"] - last,
        )
        found |= {f"{stage['stage']}/{part}": value for part, value in zip(PARTS, parts, strict=True)}
        found[f"{stage['stage']}/total"] = sum(parts)
        last = float(stage["stop"])
    found["pipeline/dvc_after"] = ended - last
    found["pipeline/total"] = ended - began
    for part in PARTS:
        found[f"pipeline/{part}"] = sum(
            value for name, value in found.items() if name.endswith(f"/{part}") and "pipeline" not in name
        )
    found["pipeline/dvc"] += found["pipeline/dvc_after"]
    return found


def wait_until_ready(server: "subprocess.Popen[str]", said: Any) -> float:
    """Return the moment at which a server that prints its address answers there."""
    while server.poll() is None:
        said.seek(0)
        found = re.search(r"http://127\.0\.0\.1:(\d+)", said.read())
        if found:
            connection = http.client.HTTPConnection("127.0.0.1", int(found[1]))
            try:
                connection.request("GET", "/ping")
                if connection.getresponse().status == 200:
                    return time.perf_counter()
            except OSError:
                pass
            finally:
                connection.close()
        time.sleep(0.02)
    said.seek(0)
    raise SystemExit(f"The server ended before it answered:\n{said.read()}")


def medians(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the median of each figure over the rounds."""
    return {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}


def measure(
    checkouts: Mapping[str, Path], data: Path | None, words: Sequence[str], rounds: int, repeats: int
) -> dict[str, dict[str, float]]:
    """Measure checkouts in turn; return figures by checkout."""
    with tempfile.TemporaryDirectory(prefix="time-to-result-") as temporary:
        clones = {name: Clone(path, Path(temporary, name)) for name, path in checkouts.items()}
        for clone in clones.values():
            if data is not None:
                clone.dnapair("use", str(data.resolve()), *words)
        pipelines: dict[str, list[dict[str, float]]] = {name: [] for name in clones}
        for number in range(rounds):
            for name, clone in clones.items():
                print(f"round {number + 1} of {rounds}: {name}", file=sys.stderr, flush=True)
                pipelines[name].append(clone.pipeline())
        found = {name: medians(each) for name, each in pipelines.items()}
        for name, clone in clones.items():
            for command, seconds in clone.commands(repeats).items():
                found[name][f"command {command}"] = statistics.median(seconds)
    return found


def table(found: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """Give both tables in Markdown: of the first checkout, beside the total of the second."""
    here, *others = found.values()
    there = others[0] if others else None
    ratio: Callable[[str], str] = (
        (lambda name: f" {there[name]:.1f} | {here[name] / there[name]:.2f} |" if name in there else " | |")
        if there
        else (lambda name: "")
    )
    more = " before | ratio |" if there else ""
    yield f"| stage | start-up, s | work, s | record, s | DVC, s | all, s |{more}"
    yield "|---" * (6 + 2 * bool(there)) + "|"
    stages = [name.removesuffix("/total") for name in here if name.endswith("/total")]
    for stage in [*(one for one in stages if one != "pipeline"), "pipeline"]:
        parts = " | ".join(f"{here[f'{stage}/{part}']:.1f}" for part in (*PARTS, "total"))
        name = "**pipeline**" if stage == "pipeline" else f"`{stage}`"
        yield f"| {name} | {parts} |{ratio(f'{stage}/total')}"
    yield ""
    yield f"| command | s |{more}"
    yield "|---" * (2 + 2 * bool(there)) + "|"
    for name in (name for name in here if name.startswith("command ")):
        yield f"| `{name.removeprefix('command ')}` | {here[name]:.2f} |{ratio(name)}"


def flat(found: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Return all figures under flat keys: ``total_s``, ``tune_work_s``, ``against_total_s``, and so on."""
    here, *others = found.values()
    content: dict[str, float] = {}
    for prefix, figures in (("", here), *(("against_", other) for other in others)):
        for name, value in figures.items():
            content[f"{prefix}{_key(name)}_s"] = value
        content[f"{prefix}startup_share"] = figures["pipeline/startup"] / figures["pipeline/total"]
    for other in others:
        content |= {f"ratio_{_key(name)}": here[name] / other[name] for name in here if other.get(name)}
    return content


def _key(name: str) -> str:
    words = name.removeprefix("pipeline/").replace("--", "")
    return "_".join(word for word in words.replace("/", " ").replace(",", " ").split())


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="a data set; the bundled one by default")
    parser.add_argument("--use", default="", help="settings for `dnapair use`, in one word")
    parser.add_argument("--against", type=Path, help="another checkout, measured in turn")
    parser.add_argument("--rounds", type=int, default=1, help="pipelines of each checkout")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each command")
    parser.add_argument("--json", type=Path, help="where the figures go")
    asked = parser.parse_args()
    checkouts = {"here": ROOT} | ({"before": asked.against.resolve()} if asked.against else {})
    found = measure(checkouts, asked.data, shlex.split(asked.use), asked.rounds, asked.repeats)
    print("\n".join(table(found)))
    if asked.json:
        asked.json.write_text(json.dumps(flat(found), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
