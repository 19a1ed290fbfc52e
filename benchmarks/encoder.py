"""What each part of pretraining is worth, on validation pairs; writes encoder.md beside this file.

Needs artifacts/dataset (dvc repro prepare) and artifacts/genes (encoders/fetch_genes.sh):

    python benchmarks/encoder.py
    python benchmarks/encoder.py --other mirna_target=FOLDER   # another prepared artifacts/dataset beside it

Each variant is pretrained by `dnapair pretrain` in a folder of its own under artifacts/ablation, for the same
number of BERT steps, and kept: a second run goes on where the first was stopped. Test pairs are never read.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
import torch
import yaml
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler
from tqdm import tqdm

from dnapair.embedding.checkpoint import load_encoder
from dnapair.embedding.embedder import Embedder, Strand
from dnapair.embedding.encoder import Encoder, build_untrained
from dnapair.embedding.kmers import complement_codes, kmer_codes
from dnapair.embedding.pooling import Pooling
from dnapair.embedding.scaling import Scaler
from dnapair.evaluation.baselines import cosines, count_kmers, fit_kmers
from dnapair.networks.spec import NetworkSpec
from dnapair.params import Params, check_params
from dnapair.storage.files import write_json
from dnapair.training.frameworks import make_learner
from dnapair.training.learner import LearnerSettings
from dnapair.training.loop import LoopSettings, Matrices, Pairs, fit, positive_weight

ROOT = Path(__file__).parents[1]
WORK = ROOT / "artifacts" / "ablation"
SHIPPED = ROOT / "encoders" / "dnabert6-mini"
SEEDS = (1,)
STEPS = 15
VARIANTS: dict[str, dict[str, Any]] = {
    "masked k-mers alone": {
        "warm_start.steps": 0,
        "contrastive.weight": 0.0,
        "masked.weight": 1.0,
        "masked.fragments": 512,
    },
    "contrastive alone": {"warm_start.steps": 0, "masked.weight": 0.0},
    "both": {"warm_start.steps": 0},
}


class Data(NamedTuple):
    """A prepared dataset without its test pairs."""

    sequences: list[str]
    train: Pairs
    val: Pairs


DATA: dict[str, Data] = {}
ENCODERS: dict[str, Encoder] = {}


class Row(NamedTuple):
    """A line of the table; a measure is (ROC-AUC, PR-AUC), or None where it was not taken."""

    name: str
    cosine: tuple[float, float] | None
    network: tuple[float, float] | None


def main() -> None:
    """Pretrain what is missing, measure everything, write encoder.md."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--other", help="NAME=FOLDER of another prepared dataset")
    parser.add_argument("--steps", type=int, default=STEPS, help="BERT steps of each variant")
    arguments = parser.parse_args()
    settings = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params = check_params(settings, "params.yaml")
    DATA["same_genome"] = read(ROOT / "artifacts" / "dataset")
    minutes = {}
    ENCODERS["untrained"] = build_untrained(**params.encoder.untrained.model_dump())
    for name, changes in VARIANTS.items():
        folder, minutes[name] = pretrain(name, changes, settings, arguments.steps)
        ENCODERS[name] = load_encoder(str(folder))
    ENCODERS["shipped"] = load_encoder(str(SHIPPED))
    rows = [
        *kmer_rows("same_genome"),
        *(measure(name, name, "same_genome", params, network=False) for name in ENCODERS),
    ]
    usual: dict[str, Any] = {"pooling": "mean", "strand": "both", "normalize": True}
    kinds: dict[str, dict[str, Any]] = {
        "mean, both strands, normalised, symmetric features": {},
        "features [a, b, a-b, a*b]": {"symmetric": False},
        "one range for all dimensions": {"mode": "global"},
        "not normalised": {"normalize": False},
        "forward strand": {"strand": "forward"},
        "CLS, forward strand": {"pooling": "cls", "strand": "forward", "network": False},
    }
    shipped = [
        measure(name, "shipped", "same_genome", params, **(usual | change)) for name, change in kinds.items()
    ]
    sections = [("Objectives", rows), ("Pooling, strands, scaling, features: the shipped encoder", shipped)]
    if arguments.other:
        other, _, folder = arguments.other.partition("=")
        DATA[other] = read(Path(folder))
        pair = [measure(name, name, other, params) for name in ("untrained", "shipped")]
        sections.append((f"Another question: {other}", [*kmer_rows(other), *pair]))
    target = Path(__file__).with_suffix(".md")
    target.write_text(report(sections, minutes, arguments.steps, bool(arguments.other)), encoding="utf-8")
    print(target.read_text(encoding="utf-8"))


def read(folder: Path) -> Data:
    """Read the train and validation pairs of a prepared dataset, and the sequences they use."""
    table = pq.read_table(folder / "pairs.parquet", columns=["row1", "row2", "label", "split"]).to_pandas()
    table = table[table["split"].isin(["train", "val"])]
    rows, places = np.unique(table[["row1", "row2"]].to_numpy(), return_inverse=True)
    places = places.reshape(-1, 2)
    sequences = pq.read_table(folder / "sequences.parquet")["sequence"].take(rows).to_pylist()
    labels = table["label"].to_numpy(np.float32)
    train, val = (
        Pairs(places[chosen, 0], places[chosen, 1], labels[chosen])
        for chosen in (table["split"].to_numpy() == split for split in ("train", "val"))
    )
    return Data(sequences, train, val)


def pretrain(
    name: str, changes: Mapping[str, Any], settings: Mapping[str, Any], steps: int
) -> tuple[Path, float]:
    """Pretrain a variant, if it is not there yet; give its folder and the minutes it took."""
    project = WORK / name.replace(" ", "_").replace(",", "")
    encoder, timing = project / "encoder", project / "minutes.json"
    if not encoder.exists():
        project.mkdir(parents=True, exist_ok=True)
        content = json.loads(json.dumps(settings))
        for key, value in {**changes, "output": "encoder", "steps": steps}.items():
            *path, last = key.split(".")
            section = content["pretrain"]
            for part in path:
                section = section[part]
            section[last] = value
        (project / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        (project / "artifacts").mkdir(exist_ok=True)
        for needed in ("dataset", "genes"):
            link = project / "artifacts" / needed
            if not link.exists():
                link.symlink_to(ROOT / "artifacts" / needed)
        started = time.monotonic()
        subprocess.run(
            [sys.executable, "-m", "dnapair", "pretrain"],
            cwd=project,
            env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
            check=True,
        )
        write_json(timing, (time.monotonic() - started) / 60)
    return encoder, json.loads(timing.read_text(encoding="utf-8"))


@cache
def embed(encoder: str, data: str, pooling: Pooling, strand: Strand, split: str) -> np.ndarray:
    """Embed the sequences of a split's pairs, once for all rows that need them; others stay NaN."""
    embedder = Embedder(ENCODERS[encoder], pooling, strand, normalize=False)
    sequences = DATA[data].sequences
    pairs = getattr(DATA[data], split)
    rows = np.unique([pairs.rows1, pairs.rows2])
    embeddings = np.full((len(sequences), ENCODERS[encoder].dimensions), np.nan, np.float32)
    for block in tqdm(np.array_split(rows, 1 + len(rows) // 512), desc=f"{encoder}, {split}, {strand}"):
        embeddings[block] = embedder.embed([sequences[row] for row in block])
    return embeddings


def measure(
    name: str,
    encoder: str,
    data_name: str,
    params: Params,
    pooling: str = "mean",
    strand: str = "forward",
    normalize: bool = True,
    mode: str = "dimension",
    symmetric: bool = True,
    network: bool = True,
) -> Row:
    """Measure the cosine and, where asked, the frozen embeddings' network on the validation pairs."""
    data = DATA[data_name]
    embeddings = embed(encoder, data_name, pooling, strand, "val")
    cosine = score(data.val, cosines(embeddings, data.val))
    if not network:
        return Row(name, cosine, None)
    train = embed(encoder, data_name, pooling, strand, "train")
    embeddings = np.where(np.isnan(train), embeddings, train)
    if normalize:
        embeddings = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    scaler = Scaler(embeddings.shape[1], mode)
    scaler.partial_fit(embeddings[np.unique([data.train.rows1, data.train.rows2])])
    matrix = scaler.transform(embeddings)
    spec = NetworkSpec.from_json(
        {
            **params.network.model_dump(exclude={"inputs"}),
            "dimensions": matrix.shape[1],
            "symmetric": symmetric,
        }
    )
    fields = params.train.model_dump()
    fields["positive_weight"] = positive_weight(params.train.positive_weight, data.train.labels)
    figures = []
    for seed in SEEDS:
        fields["seed"] = seed
        learner = LearnerSettings.of(fields)
        loop = LoopSettings.of(fields)
        result = fit(make_learner("torch", spec, learner), Matrices(matrix), data.train, data.val, loop)
        figures.append(score(data.val, result.val_logits))
    roc_auc, pr_auc = np.mean(figures, axis=0)
    return Row(name, cosine, (float(roc_auc), float(pr_auc)))


def kmer_rows(data_name: str) -> list[Row]:
    """Measure logistic regressions on absolute differences of 4-mer and of 6-mer shares."""
    data = DATA[data_name]
    four = fit_kmers(count_kmers(data.sequences), data.train, seed=1)(data.val)
    six = six_mers(data.sequences)
    model = make_pipeline(MaxAbsScaler(), LogisticRegression(max_iter=300))
    model.fit(np.abs(six[data.train.rows1] - six[data.train.rows2]), data.train.labels)
    scores = model.predict_proba(np.abs(six[data.val.rows1] - six[data.val.rows2]))[:, 1]
    return [
        Row("4-mers, logistic regression", None, score(data.val, four)),
        Row("6-mers, logistic regression", None, score(data.val, scores)),
    ]


def six_mers(sequences: list[str]) -> np.ndarray:
    """Return the share of every 6-mer, a reverse complement counted as the same."""
    either = np.unique(np.minimum(np.arange(4**6), complement_codes(6)), return_inverse=True)[1]
    shares = np.zeros((len(sequences), either.max() + 1), np.float32)
    for row, sequence in enumerate(sequences):
        codes = kmer_codes(sequence, 6)
        counts = np.bincount(either[codes[codes >= 0]], minlength=shares.shape[1])
        shares[row] = counts / max(1, counts.sum())
    return shares


def score(pairs: Pairs, scores: np.ndarray) -> tuple[float, float]:
    """Return ROC-AUC and PR-AUC."""
    return float(roc_auc_score(pairs.labels, scores)), float(average_precision_score(pairs.labels, scores))


def report(sections: list[tuple[str, list[Row]]], minutes: dict[str, float], steps: int, other: bool) -> str:
    """Return encoder.md."""
    lines = [
        "# What each part of pretraining is worth",
        "",
        "Validation pairs, ROC-AUC / PR-AUC; the frozen network is the mean of "
        f"{len(SEEDS)} seed(s). Test pairs were not read. Made by:",
        "",
        "```bash",
        "dvc repro prepare && encoders/fetch_genes.sh",
        f"python benchmarks/encoder.py --steps {steps}" + (" --other NAME=FOLDER" if other else ""),
        "```",
        "",
        f"Variants had {steps} steps of the BERT each, on {torch.get_num_threads()} CPU cores: "
        + ", ".join(f"{name} {value:.0f} min" for name, value in minutes.items())
        + ". The shipped encoder's own budget is on [its card](../encoders/dnabert6-mini/README.md). Where "
        "nothing else is said: mean pooling, forward strand, normalised, symmetric features.",
    ]
    for title, rows in sections:
        lines += ["", f"## {title}", "", "| | cosine | frozen network |", "|---|---|---|"]
        lines += [f"| {row.name} | {_figure(row.cosine)} | {_figure(row.network)} |" for row in rows]
    return "\n".join([*lines, ""])


def _figure(measured: tuple[float, float] | None) -> str:
    return f"{measured[0]:.3f} / {measured[1]:.3f}" if measured else ""


if __name__ == "__main__":
    torch.set_num_threads(os.cpu_count() or 1)
    main()
