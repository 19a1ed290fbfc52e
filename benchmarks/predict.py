"""What `dnapair predict` does in a second, and the memory it takes. Prints a table, writes JSON.

    python benchmarks/predict.py --pairs 10000 --pairs 100000 --json predict.json
    python benchmarks/predict.py --pairs 1000000 --format parquet

Pairs are drawn at random from the sequences of a data set's FASTA (--sequences), so each is in many pairs;
with --distinct every pair has two sequences of its own, drawn at random, 500 bases each. The model has the
encoder of params.yaml and a network of drawn weights. Every command is a process of its own, start and
imports included; the forms and the sizes of the cache are measured in turn, as many rounds as asked for.
Memory is measured as `benchmarks/pipeline.py` does.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import yaml

import dnapair
from dnapair.data.sequences import read_fasta
from dnapair.embedding.checkpoint import load_encoder
from dnapair.embedding.scaling import Scaler
from dnapair.networks.spec import NetworkSpec
from dnapair.networks.weights import initial_weights, save_weights
from dnapair.scoring.bundle import Settings, write_bundle
from dnapair.storage.files import write_json
from pipeline import ROOT, measure

LENGTH = 500
BLOCK = 50_000


def main() -> None:
    """Measure every variant, print the table, write the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sequences", type=Path, default=ROOT / "datasets" / "same_genome")
    parser.add_argument("--distinct", action="store_true", help="two sequences of its own for each pair")
    parser.add_argument("--pairs", action="append", type=int, default=[], help="how many; repeat it")
    parser.add_argument("--format", action="append", default=[], choices=["parquet", "csv"], help="repeat it")
    parser.add_argument("--cache-mb", action="append", type=int, default=[], help="repeat it")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", type=Path, default=None, help="where the figures go")
    arguments = parser.parse_args()
    sequences = None if arguments.distinct else read_sequences(arguments.sequences)
    variants = [
        (pairs, form, cache)
        for pairs in arguments.pairs or [10_000]
        for form in arguments.format or ["parquet", "csv"]
        for cache in arguments.cache_mb or [500]
    ]
    found: dict[tuple[int, str, int], list[tuple[float, float]]] = {variant: [] for variant in variants}
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        model = save_model(work / "model")
        for pairs in arguments.pairs or [10_000]:
            for form in arguments.format or ["parquet", "csv"]:
                write_pairs(work / f"{pairs}.{form}", pairs, sequences)
        for _ in range(arguments.rounds):
            for pairs, form, cache in variants:
                command = [
                    *(sys.executable, "-m", "dnapair", "predict", str(work / f"{pairs}.{form}")),
                    *("--output", str(work / f"scored.{form}"), "--model", model, "--cache-mb", str(cache)),
                ]
                measured = measure(command, work)
                found[pairs, form, cache].append((measured.seconds, measured.peak_gb))
                print(pairs, form, cache, measured, file=sys.stderr)
    figures = {}
    print("| pairs | format | cache, MB | s | pairs/s | peak, GB |\n|---|---|---|---|---|---|")
    for (pairs, form, cache), runs in found.items():
        seconds = statistics.median(run[0] for run in runs)
        peak = max(run[1] for run in runs)
        print(f"| {pairs:,} | {form} | {cache} | {seconds:.0f} | {pairs / seconds:.0f} | {peak:.2f} |")
        key = f"predict.{pairs}.{form}.cache_{cache}"
        figures[f"{key}.s"] = round(seconds, 1)
        figures[f"{key}.peak_gb"] = round(peak, 3)
    if arguments.json:
        write_json(arguments.json, figures)


def read_sequences(folder: Path) -> np.ndarray:
    """Read all sequences of a folder's FASTA."""
    found = read_fasta([path for path in sorted(folder.iterdir()) if ".fa" in path.name])
    return np.array([found.sequences[place] for place in range(len(found.sequences))], dtype=object)


def save_model(folder: Path) -> str:
    """Save a pair model with the encoder of params.yaml, as the registry has it; return its address."""
    settings = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    encoder = load_encoder(str(ROOT / settings["encoder"]["source"]))
    parts, bundle = folder / "parts", folder / "bundle"
    parts.mkdir(parents=True)
    bundle.mkdir()
    widths = tuple(settings["network"]["widths"])
    spec = NetworkSpec(encoder.dimensions, widths, 1, 0.0, "layer", "relu", symmetric=True)
    write_json(parts / "network.json", spec.to_json())
    save_weights(parts / "weights.safetensors", initial_weights(spec, 1))
    scaler = Scaler(encoder.dimensions, "dimension")
    scaler.partial_fit(np.array([[-0.3], [0.3]], np.float32).repeat(encoder.dimensions, axis=1))
    scaler.save(parts / "scaler.safetensors")
    write_bundle(
        bundle,
        encoder,
        parts,
        parts,
        Settings("mean", settings["encoder"]["strand"], True, settings["embed"]["precision"], "keep", 0.5),
    )
    mlflow.pyfunc.save_model(
        folder / "model",
        python_model=str(Path(dnapair.__file__).parent / "scoring" / "pyfunc.py"),
        artifacts={"bundle": str(bundle)},
        pip_requirements=["mlflow"],
    )
    return str(folder / "model")


def write_pairs(path: Path, pairs: int, sequences: np.ndarray | None) -> None:
    """Write a table of pairs, a block at a time: a million do not fit into every memory."""
    schema = pa.schema([("seq1", pa.string()), ("seq2", pa.string())])
    writer = pq.ParquetWriter(path, schema) if path.suffix == ".parquet" else pa_csv.CSVWriter(path, schema)
    with writer:
        for block in draw_pairs(pairs, sequences):
            writer.write_table(pa.table(list(block), schema=schema))


def draw_pairs(pairs: int, sequences: np.ndarray | None) -> Iterator[tuple[pa.Array, pa.Array]]:
    """Yield both sides of the pairs, block by block."""
    rng = np.random.default_rng(1)
    for start in range(0, pairs, BLOCK):
        count = min(BLOCK, pairs - start)
        if sequences is None:
            letters = np.frombuffer(b"ACGT", np.uint8)[rng.integers(0, 4, (2, count, LENGTH), np.uint8)]
            first, second = ([row.tobytes().decode() for row in side] for side in letters)
        else:
            first, second = sequences[rng.integers(0, len(sequences), (2, count))]
        yield pa.array(first, pa.string()), pa.array(second, pa.string())


if __name__ == "__main__":
    main()
