"""The embed stage beside the original's way; memory and time of every stage. Prints tables, writes JSON.

    python benchmarks/pipeline.py --embed same_genome=datasets/same_genome --json embed.json
    dnapair make-pairs genes.fasta --output /tmp/pairs_100k --pairs 100000
    python benchmarks/pipeline.py --data /tmp/pairs_10k --data /tmp/pairs_100k --json pipeline.json

With --embed, both ways embed one strand of a data set's sequences, in turn in one process. The original's
takes both sequences of every pair, padded to 512 tokens, in batches through Hugging Face in float32; it is
measured on pairs drawn from all. Ours is the whole stage but for loading the encoder: unique sequences,
shards written. With the shape of DNABERT-6 (seeded weights) both are measured on a part and scaled.

With --data, whose folders are as `dnapair make-pairs` writes them, each stage is a process of its own in a
scratch project, with the settings of params.yaml but one epoch and no tuning. Its memory is the greatest
resident set of the process (file-backed pages included, as the kernel counts it), plus what its children
have for themselves. With --embed-limit an embed stage that takes longer is stopped, and random embeddings
stand in for the rest: the later stages do the same work on them, but register.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
import yaml

from dnapair.embedding.store import write_store
from dnapair.stages import paths
from dnapair.storage.files import write_json
from dnapair.storage.sequence_file import SequenceFile
from dnapair.storage.shards import Shard, Values

ROOT = Path(__file__).parents[1]
STAGES = (
    "prepare",
    "interact",
    "finetune",
    "embed",
    "scale",
    "validate",
    "tune",
    "train torch",
    "train tensorflow",
    "score",
    "baselines",
    "crossvalidate",
    "evaluate",
    "register",
)
STAND_IN_DIMENSIONS = 128
SAMPLE_SECONDS = 0.2


class Measured(NamedTuple):
    """What a command took.

    Attributes
    ----------
    seconds : float
        By the wall.
    peak_gb : float
        Greatest memory, in 10^9 bytes.
    stopped : bool
        Whether it was stopped at the limit.
    """

    seconds: float
    peak_gb: float
    stopped: bool


def main() -> None:
    """Run every part, print its table, write all figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", action="append", type=Path, default=[], help="a data set; repeat it")
    parser.add_argument("--embed", action="append", default=[], metavar="NAME=FOLDER", help="repeat it")
    parser.add_argument("--rounds", type=int, default=5, help="of --embed")
    parser.add_argument("--embed-limit", type=float, default=None, help="seconds for an embed stage")
    parser.add_argument("--work", type=Path, default=None, help="folder of the scratch projects; kept")
    parser.add_argument("--json", type=Path, default=None, help="where the figures go")
    arguments = parser.parse_args()
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        if arguments.embed:
            # loaded late: the peak of a stage's process starts at what its parent holds
            from embed_stage import embed_stages

            figures |= embed_stages(arguments.embed, work, arguments.rounds)
        if arguments.data:
            figures |= stages(arguments.data, work, arguments.embed_limit)
    if arguments.json:
        write_json(arguments.json, figures)


def stages(datasets: list[Path], work: Path, embed_limit: float | None) -> dict[str, float]:
    """Measure every stage on every data set, print the table, return the figures."""
    measured = {data.name: run_stages(data.resolve(), work / data.name, embed_limit) for data in datasets}
    print("\n## Memory (GB) and time (s) of each stage\n")
    print("| stage |", " | ".join(f"{name} GB | {name} s" for name in measured), "|")
    print("|---|" + "---|" * (2 * len(measured)))
    for stage in STAGES:
        print(f"| {stage} |", " | ".join(cells(found.get(stage)) for found in measured.values()), "|")
    if any(found["embed"].stopped for found in measured.values()):
        print(f"\n* stopped after {embed_limit:.0f} s; random embeddings stood in for the rest.")
    return {key: value for name, found in measured.items() for key, value in flat(name, found).items()}


def cells(found: Measured | None) -> str:
    """Return memory and time as cells of the table, empty where a stage was not run."""
    if found is None:
        return " | "
    return f"{found.peak_gb:.2f} | {found.seconds:.0f}{'*' if found.stopped else ''}"


def flat(name: str, found: Mapping[str, Measured]) -> dict[str, float]:
    """Name the figures of a data set; the time of a stopped stage is no figure."""
    figures = {f"memory.{name}.peak_gb": round(max(one.peak_gb for one in found.values()), 3)}
    for stage, one in found.items():
        key = f"{name}.{stage.replace(' ', '_')}"
        figures[f"memory.{key}.peak_gb"] = round(one.peak_gb, 3)
        if not one.stopped:
            figures[f"time.{key}.s"] = round(one.seconds, 1)
    return figures


def run_stages(data: Path, project: Path, embed_limit: float | None) -> dict[str, Measured]:
    """Run the stages on a data set, one after the other."""
    project.mkdir(parents=True, exist_ok=True)
    settings = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    settings["data"]["path"] = str(data)
    settings["encoder"]["source"] = str(ROOT / settings["encoder"]["source"])
    settings["train"]["epochs"] = 1
    settings["tune"]["trials"] = 0
    found: dict[str, Measured] = {}
    for stage in STAGES:
        if stage == "register" and found["embed"].stopped:
            # it would find that the encoder did not make these embeddings
            continue
        (project / "params.yaml").write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
        command = [sys.executable, "-m", "dnapair", *stage.split()]
        found[stage] = measure(command, project, embed_limit if stage == "embed" else None)
        if found[stage].stopped:
            stand_in(project)
            # random values of the other splits lie outside the range of train more often than real ones
            settings["checks"]["max_clipped_share"] = 1.0
        print(f"{data.name} {stage}: {found[stage]}", file=sys.stderr)
    return found


def measure(command: list[str], folder: Path, limit: float | None = None) -> Measured:
    """Run a command in a folder and measure it; what it prints is shown if it fails."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    environment["PYTHONPATH"] = str(ROOT / "src")
    started = time.monotonic()
    stopped = False
    peak = 0
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        # a session of its own, so that children are stopped with it
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        watched = psutil.Process(process.pid)
        while True:
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
            if ended:
                break
            peak = max(peak, memory(watched))
            if limit is not None and not stopped and time.monotonic() - started > limit:
                os.killpg(process.pid, signal.SIGTERM)
                stopped = True
            time.sleep(SAMPLE_SECONDS)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode and not stopped:
            output.seek(0)
            raise SystemExit(f"{' '.join(command)} failed:\n{output.read()[-4000:]}")
    # the kernel knows the process's own greatest value, which samples may miss
    return Measured(time.monotonic() - started, max(peak, usage.ru_maxrss * 1024) / 1e9, stopped)


def memory(process: psutil.Process) -> int:
    """Return the bytes that a process has in memory, and its children for themselves."""
    try:
        total = int(process.memory_info().rss)
        children = process.children(recursive=True)
    except psutil.Error:
        return 0
    for child in children:
        try:
            total += int(child.memory_full_info().uss)
        except psutil.Error:
            continue
    return total


def draw(shards: Sequence[Shard]) -> Values:
    """Yield random embeddings of each shard."""
    for shard in shards:
        rng = np.random.default_rng(shard.number)
        values = rng.normal(0, 0.1, (shard.stop - shard.start, STAND_IN_DIMENSIONS))
        yield shard.number, values.astype(np.float32)


def stand_in(project: Path) -> None:
    """Fill a project's store with random embeddings."""
    made_by: dict[str, Any] = {"encoder": "random values", "trained": False, "k": 6}
    rows = len(SequenceFile(project / paths.SEQUENCES))
    write_store(project / paths.EMBEDDINGS, made_by, rows, 8192, draw, window=510)


if __name__ == "__main__":
    main()
