"""How fast `dnapair serve` answers, beside the bare MLflow server; writes serving.md beside this file.

    python benchmarks/serving.py
    python benchmarks/serving.py --seconds 20 --rounds 3     # steadier
    python benchmarks/serving.py --minutes 30                # then half an hour of mixed load, memory watched
    python benchmarks/serving.py --json serving.json         # the figures, under flat keys

The model is the shipped encoder, scalers fitted on some of datasets/same_genome, and a network of the
default widths on embeddings and interactions, whose weights are drawn: speed does not depend on them. Pairs
are drawn from that data set's fragments of 500 bases, none twice in a request. Both servers run as commands,
with one process that scores, and take turns under the same clients; a client keeps its connection and asks
again when it has its answer. The clients need some of the same cores. `dnapair predict` is timed on a file,
its start taken off by timing a short one.
"""

import argparse
import http.client
import itertools
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import mlflow
import numpy as np
import pandas as pd
import psutil
from machine import describe_machine

from dnapair.commands import predict
from dnapair.data.sequences import fasta_records
from dnapair.embedding.checkpoint import load_encoder
from dnapair.embedding.embedder import Embedder
from dnapair.embedding.scaling import Scaler
from dnapair.interactions.layout import fit_layout
from dnapair.interactions.rows import describe_pairs
from dnapair.interactions.scaling import InteractionScaling
from dnapair.machine.environment import ENVIRONMENT
from dnapair.networks.spec import NetworkSpec
from dnapair.networks.weights import initial_weights, save_weights
from dnapair.params import load_params
from dnapair.registry.lifecycle import Lifecycle
from dnapair.registry.version_tags import ENCODER_TAG
from dnapair.registry.versions import log_pair_model
from dnapair.scoring.bundle import Settings, write_bundle
from dnapair.storage.files import write_json

ROOT = Path(__file__).parents[1]
CLIENTS = (1, 8, 32)
BATCH = 256
MODEL = "models:/dnapair@champion"
FITTED = 300
PREDICTED, SHORT, LENGTH = 4096, 64, 500
CACHE_MB = 500
START_SECONDS = 600
HEADERS = {"Content-Type": "application/json"}
SERVERS = {
    "dnapair serve": ("dnapair", "serve", "--model", MODEL, "--port"),
    "mlflow models serve": ("mlflow", "models", "serve", "-m", MODEL, "--env-manager", "local", "-p"),
}
Pair = tuple[str, str]


class Running(NamedTuple):
    """A server that is up: its port and its processes."""

    port: int
    process: psutil.Process

    def megabytes(self) -> float:
        """Return the resident memory of the process and its children."""
        processes = [self.process, *self.process.children(recursive=True)]
        return sum(process.memory_info().rss for process in processes) / 10**6


class Load(NamedTuple):
    """What clients saw: the seconds of each answer, pairs answered a second, and what was not a 200."""

    seconds: list[float]
    pairs_per_s: float
    errors: list[str]

    def percentile(self, share: float) -> float:
        """Return a percentile of the latency in ms."""
        return float(np.percentile(self.seconds, share)) * 1000


def main() -> None:
    """Measure, print, write serving.md."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--seconds", type=float, default=8, help="of load, for each variant in a round")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=0.5, help="of mixed load at the end")
    parser.add_argument("--no-table", action="store_true", help="the mixed load alone")
    arguments = parser.parse_args()
    os.environ.update({name: os.environ.get(name, value) for name, value in ENVIRONMENT.items()})
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        sequences = read_sequences()
        register(folder, sequences)
        figures: dict[str, float | str] = {"serve.machine": describe_machine()}
        lines = ["# How fast the model is served", "", f"On {figures['serve.machine']}. Made by:", ""]
        lines += ["```bash", " ".join(["python benchmarks/serving.py", *sys.argv[1:]]), "```", ""]
        if not arguments.no_table:
            lines += table(folder, sequences, arguments.seconds, arguments.rounds, figures)
        lines += soak(folder, sequences, arguments.minutes, figures)
    text = "\n".join([*lines, ""])
    Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)
    if arguments.json:
        write_json(arguments.json, figures)


def read_sequences() -> list[str]:
    """Read the fragments of the bundled data set."""
    return [text for _, _, text in fasta_records(ROOT / "datasets" / "same_genome" / "sequences.fasta.gz")]


def register(folder: Path, sequences: Sequence[str]) -> None:
    """Register a model as champion."""
    params = load_params(ROOT / "params.yaml")
    settings = params.encoder
    encoder = load_encoder(str(ROOT / settings.source))
    embedder = Embedder(encoder, settings.pooling, settings.strand, settings.normalize)
    fitted = sequences[:FITTED]
    scaler = Scaler(encoder.dimensions, params.scale.mode)
    scaler.partial_fit(embedder.embed(fitted))
    scaler.save(folder / "scaler.safetensors")
    lengths = np.array([len(sequence) for sequence in fitted[1:]])
    layout = fit_layout(lengths, lengths, params.interactions.bins, symmetric=True)
    rows = Scaler(layout.width, "dimension")
    first = np.arange(len(fitted) - 1)
    rows.partial_fit(describe_pairs(fitted, first, first + 1, layout).astype(np.float16))
    interactions = InteractionScaling.of(layout, rows)
    interactions.save(folder)
    spec = NetworkSpec.from_json(
        {
            **params.network.model_dump(exclude={"inputs"}),
            "dimensions": encoder.dimensions,
            "symmetric": True,
            "interactions": interactions.columns.size,
        }
    )
    write_json(folder / "network.json", spec.to_json())
    save_weights(folder / "weights.safetensors", initial_weights(spec, 1))
    bundle = folder / "bundle"
    bundle.mkdir()
    identity = write_bundle(
        bundle,
        encoder,
        folder,
        folder,
        Settings(settings.pooling, settings.strand, settings.normalize, "auto", "error", 0.5),
    )
    example = pd.DataFrame({"seq1": sequences[:2], "seq2": sequences[2:4]})
    mlflow.create_experiment("serving", (folder / "artifacts").as_uri())
    mlflow.set_experiment("serving")
    with mlflow.start_run():
        registered = log_pair_model(
            "dnapair", bundle, identity, example, {ENCODER_TAG: encoder.name}, "For a benchmark."
        )
    Lifecycle("dnapair", "champion", "challenger").promote(registered.version, "the only one")


@contextmanager
def running(folder: Path, name: str) -> Iterator[Running]:
    """Start a server as a command, wait until it is ready, end it after the block."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = folder / f"{name}.log"
    with log.open("wb") as written:
        process = subprocess.Popen(
            [*SERVERS[name], str(port)],
            cwd=folder,
            stdout=written,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + START_SECONDS
    try:
        while not is_ready(port):
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"{name} did not start (exit code {process.poll()}):\n{log.read_text()}")
            time.sleep(0.2)
        yield Running(port, psutil.Process(process.pid))
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


def is_ready(port: int) -> bool:
    """Ask whether a server is ready."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def body(pairs: Sequence[Pair]) -> bytes:
    """Write a request."""
    return json.dumps({"dataframe_records": [{"seq1": seq1, "seq2": seq2} for seq1, seq2 in pairs]}).encode()


def requests(sequences: Sequence[str], size: int, seed: int) -> Iterator[tuple[bytes, int]]:
    """Give requests of so many pairs without end, some of them made beforehand."""
    draw = random.Random(seed)  # noqa: S311
    made = []
    for _ in range(max(2, 256 // size)):
        chosen = draw.sample(sequences, 2 * size)
        made.append((body(list(zip(chosen[:size], chosen[size:], strict=True))), size))
    return itertools.cycle(made)


def load(port: int, streams: Sequence[Iterator[tuple[bytes, int]]], seconds: float) -> Load:
    """Let as many clients as streams ask for so many seconds."""
    answered: list[tuple[float, int]] = []
    errors: list[str] = []
    end = time.perf_counter() + seconds

    def client(stream: Iterator[tuple[bytes, int]]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
        while time.perf_counter() < end:
            content, pairs = next(stream)
            started = time.perf_counter()
            try:
                connection.request("POST", "/invocations", content, HEADERS)
                answer = connection.getresponse()
                text = answer.read()
            except OSError as error:
                errors.append(repr(error))
                connection.close()
                continue
            if answer.status == 200 and len(json.loads(text)["predictions"]) == pairs:
                answered.append((time.perf_counter() - started, pairs))
            else:
                errors.append(f"{answer.status} {text[:200]!r}")
        connection.close()

    threads = [threading.Thread(target=client, args=(stream,)) for stream in streams]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - started
    return Load([each for each, _ in answered], sum(pairs for _, pairs in answered) / took, errors)


def table(
    folder: Path, sequences: Sequence[str], seconds: float, rounds: int, figures: dict[str, float | str]
) -> list[str]:
    """Measure both servers, and `dnapair predict`, in turn."""
    cells = [(name, size, clients) for size in (1, BATCH) for clients in CLIENTS for name in SERVERS]
    found: dict[tuple[str, int, int], list[Load]] = {cell: [] for cell in cells}
    predicted, shares = [], []
    with running(folder, "dnapair serve") as ours, running(folder, "mlflow models serve") as theirs:
        ports = {"dnapair serve": ours.port, "mlflow models serve": theirs.port}
        for name, size in itertools.product(SERVERS, (1, BATCH)):
            load(ports[name], [requests(sequences, size, 0)], 2)
        for turn in range(rounds):
            for name, size, clients in cells:
                streams = [requests(sequences, size, 1000 * turn + client) for client in range(clients)]
                found[name, size, clients].append(load(ports[name], streams, seconds))
            predicted.append(predict_rate(folder, sequences))
            batches = load(ours.port, [requests(sequences, BATCH, turn)] * 1, seconds)
            shares.append(batches.pairs_per_s / predicted[-1])
    lines = [
        "| | pairs a request | clients | p50, ms | p95, ms | p99, ms | pairs/s | errors |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (name, size, clients), loads in found.items():
        both = Load(
            [each for one in loads for each in one.seconds],
            statistics.median(one.pairs_per_s for one in loads),
            [error for one in loads for error in one.errors],
        )
        p50, p95, p99 = (both.percentile(share) for share in (50, 95, 99))
        lines.append(
            f"| {name} | {size} | {clients} | {p50:.1f} | {p95:.1f} | {p99:.1f} | "
            f"{both.pairs_per_s:,.0f} | {len(both.errors)} |"
        )
        key = f"serve.{name.split()[0]}.{size}.{clients}"
        figures |= {f"{key}.p50_ms": p50, f"{key}.p95_ms": p95, f"{key}.p99_ms": p99}
        figures |= {f"{key}.pairs_per_s": both.pairs_per_s, f"{key}.errors": float(len(both.errors))}
        for error in sorted(set(both.errors))[:3]:
            print(f"{name}, {size} pairs, {clients} clients: {error}")
    rate, share = statistics.median(predicted), statistics.median(shares)
    figures |= {"serve.predict_pairs_per_s": rate, "serve.share_of_predict": share}
    return [
        *lines,
        "",
        f"`dnapair predict`: {rate:,.0f} pairs/s; one client with requests of {BATCH} pairs gets {share:.0%} "
        f"of that from `dnapair serve` (median of {rounds} rounds, one right after the other).",
        "",
    ]


def predict_rate(folder: Path, sequences: Sequence[str]) -> float:
    """Return the pairs a second of `dnapair predict`, without its start."""
    draw = random.Random(1)  # noqa: S311
    # none twice: predict remembers embeddings, and a server does not
    genome = "".join(sequences)
    seconds = []
    for count in (SHORT, SHORT + PREDICTED):
        starts = iter(draw.sample(range(len(genome) - LENGTH), 2 * count))
        chosen = [
            [genome[start : start + LENGTH] for start in itertools.islice(starts, count)] for _ in range(2)
        ]
        file = folder / "pairs.csv"
        pd.DataFrame(dict(zip(("seq1", "seq2"), chosen, strict=True))).to_csv(file, index=False)
        started = time.perf_counter()
        predict.predict_file(file, folder / "scored.csv", MODEL, 4096, CACHE_MB)
        seconds.append(time.perf_counter() - started)
    return PREDICTED / (seconds[1] - seconds[0])


def mixed(sequences: Sequence[str], seed: int) -> Iterator[tuple[bytes, int]]:
    """Give requests without end: most of one pair, some of many, of all lengths."""
    draw = random.Random(seed)  # noqa: S311
    long = "".join(sequences[:100])
    while True:
        size = draw.choices((1, 16, BATCH), weights=(90, 8, 2))[0]
        pairs = []
        for _ in range(size):
            longest = draw.choices((500, 2000, 40_000 if size == 1 else 500), weights=(90, 8, 2))[0]
            length = draw.randint(min(50, longest), longest)
            start = draw.randrange(len(long) - length)
            pairs.append((long[start : start + length], draw.choice(sequences)))
        yield body(pairs), size


def soak(
    folder: Path, sequences: Sequence[str], minutes: float, figures: dict[str, float | str]
) -> list[str]:
    """Keep 8 clients asking for so many minutes, and watch the server's memory."""
    parts = 10
    memory, errors, seconds, rates = [], [], [], []
    with running(folder, "dnapair serve") as server:
        streams = [mixed(sequences, client) for client in range(8)]
        memory.append(server.megabytes())
        for part in range(parts):
            found = load(server.port, streams, 60 * minutes / parts)
            memory.append(server.megabytes())
            errors += found.errors
            seconds += found.seconds
            rates.append(found.pairs_per_s)
            print(
                f"{(part + 1) * minutes / parts:.1f} min: {len(seconds)} answers, {len(errors)} errors, "
                f"{memory[-1]:.0f} MB",
                flush=True,
            )
    for error in sorted(set(errors))[:3]:
        print(error)
    p50, p99 = (Load(seconds, 0, []).percentile(share) for share in (50, 99))
    figures |= {
        "serve.soak.minutes": minutes,
        "serve.soak.answers": float(len(seconds)),
        "serve.soak.errors": float(len(errors)),
        "serve.soak.megabytes_start": memory[0],
        "serve.soak.megabytes_half": memory[parts // 2],
        "serve.soak.megabytes_end": memory[-1],
    }
    return [
        f"{minutes:g} minutes of 8 clients with requests of 1, 16 and {BATCH} pairs, of 50 to 40,000 bases: "
        f"{len(seconds):,} answers, {statistics.mean(rates):,.0f} pairs/s, p50 {p50:.0f} ms, "
        f"p99 {p99:.0f} ms, {len(errors)} errors. Resident memory: {memory[0]:.0f} MB when ready, "
        f"{memory[parts // 2]:.0f} MB at half-time, {memory[-1]:.0f} MB at the end.",
    ]


if __name__ == "__main__":
    main()
