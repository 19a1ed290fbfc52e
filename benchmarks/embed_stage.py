"""The whole embed stage beside the original's way: a part of pipeline.py."""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import yaml
from machine import describe_machine
from transformers import AutoTokenizer, BertModel

from dnapair.embedding.checkpoint import load_encoder
from dnapair.embedding.embedder import Embedder
from dnapair.embedding.encoder import Encoder, build_untrained
from dnapair.embedding.local_engine import embed_here
from dnapair.embedding.store import write_store
from dnapair.stages import paths
from dnapair.storage.numeric_columns import read_numbers
from dnapair.storage.sequence_file import SequenceFile

ROOT = Path(__file__).parents[1]
ORIGINAL_BATCH = 32


def embed_stages(datasets: list[str], work: Path, rounds: int) -> dict[str, float]:
    """Measure the embed stage of data sets beside the original's way, print the table, return the figures."""
    shipped = load_encoder(str(ROOT / "encoders" / "dnabert6-mini"))
    # pairs and sequences that are measured: None for all of them
    encoders = {
        "": (shipped, 512, None),
        "_base": (build_untrained(6, 12, 768, 12, seed=1), 16, 64),
    }
    figures: dict[str, float] = {}
    print(f"\n## Embedding a data set once, one strand\n\n{describe_machine()}\n")
    print("| data | encoder | the original's way, s | ours, s | x |\n|---|---|---|---|---|")
    for dataset in datasets:
        name, _, folder = dataset.partition("=")
        project = work / f"embed_{name}"
        prepare(Path(folder).resolve(), project)
        rows = np.stack(read_numbers(project / paths.PAIRS, ["row1", "row2"]), axis=1)
        sequences = list(SequenceFile(project / paths.SEQUENCES))
        for suffix, (encoder, pairs, part) in encoders.items():
            rng = np.random.default_rng(1)
            theirs, ours = [], []
            for _ in range(rounds):
                chosen = rng.permutation(len(rows))[:pairs]
                theirs.append(original(encoder, [sequences[row] for row in rows[chosen].ravel()]))
                theirs[-1] *= len(rows) / len(chosen)
                some = rng.permutation(len(sequences))[:part].tolist()
                ours.append(stage(encoder, [sequences[row] for row in some], work / "store"))
                ours[-1] *= len(sequences) / len(some)
            ratio = statistics.median(a / b for a, b in zip(theirs, ours, strict=True))
            title = "12 x 768" if suffix else "dnabert6-mini"
            seconds = (statistics.median(theirs), statistics.median(ours))
            print(f"| {name} | {title} | {seconds[0]:,.1f} | {seconds[1]:,.1f} | {ratio:.1f} |")
            figures[f"stage.{name}{suffix}.x_original"] = round(ratio, 1)
    return figures


def prepare(data: Path, project: Path) -> None:
    """Run the prepare stage on a data set in a scratch project."""
    project.mkdir(parents=True, exist_ok=True)
    settings = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    settings["data"]["path"] = str(data)
    settings["split"]["method"] = "random"
    (project / "params.yaml").write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    subprocess.run([sys.executable, "-m", "dnapair", "prepare"], cwd=project, env=environment, check=True)


@torch.inference_mode()
def original(encoder: Encoder, sequences: list[str]) -> float:
    """Return the seconds that the original's way takes for these sequences."""
    with tempfile.TemporaryDirectory() as folder:
        encoder.save(Path(folder))
        tokenizer = AutoTokenizer.from_pretrained(folder)
        bert = BertModel.from_pretrained(folder, add_pooling_layer=False).eval()
    k = encoder.vocabulary.k
    started = time.perf_counter()
    for first in range(0, len(sequences), ORIGINAL_BATCH):
        texts = [
            " ".join(sequence[place : place + k] for place in range(len(sequence) - k + 1))
            for sequence in sequences[first : first + ORIGINAL_BATCH]
        ]
        inputs = tokenizer(texts, padding="max_length", max_length=512, truncation=True, return_tensors="pt")
        bert(**inputs).last_hidden_state.mean(1).numpy()
    return time.perf_counter() - started


def stage(encoder: Encoder, sequences: list[str], folder: Path) -> float:
    """Return the seconds that the stage takes for these sequences, shards written."""
    shutil.rmtree(folder, ignore_errors=True)
    started = time.perf_counter()
    embedder = Embedder(encoder, "mean", "forward", normalize=True)
    write_store(
        folder,
        {"encoder": encoder.name, "trained": encoder.trained},
        len(sequences),
        1024,
        lambda shards: embed_here(shards, lambda start, stop: sequences[start:stop], lambda: embedder),
    )
    return time.perf_counter() - started
