"""The whole pipeline on data sets of other people, beside what was published on them. Writes docs/results.md.

    python benchmarks/pairs.py --data same_genome=datasets/same_genome \
        --data "clash2013=data/clash2013 --split.column null --data.columns.seq1 miRNA ..." \
        --scores clash2013=clash2013_dnabert.tsv.gz:dnabert --work scratch --output docs/results.md

Each data set is a clone of this project in the work folder, `dnapair use` and `dvc repro`: default settings,
but for those that are named, which say what the columns are. A clone whose pipeline has ended is not run
again. --scores names a table of sequences in two columns and a score, on the same test pairs: the difference
to it is paired, over what pairs have in common. --encoders NAME runs two more pipelines of a data set, with
encoders that learn from its pairs, as far as the reports.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from dnapair.data.groups import group_columns
from dnapair.evaluation.outcome import compare_scores
from dnapair.evaluation.resampling import Difference, find_units
from dnapair.evaluation.verdict import spell_gain
from dnapair.params import load_params
from dnapair.stages import paths
from dnapair.stages.groups import read_groups
from dnapair.storage.files import atomic_file, read_json
from dnapair.storage.numeric_columns import column_names, read_numbers
from dnapair.storage.sequence_file import SequenceFile

ROOT = Path(__file__).parents[1]
ENDED = "pipeline_seconds.json"
"""Written when a clone's pipeline has ended."""
TAKES = {"both": "embeddings and interactions", "interactions": "interactions", "embeddings": "embeddings"}

ENCODERS = {
    "fine-tuned": ["--finetune.method", "full"],
    "untrained, fine-tuned": ["--finetune.method", "full", "--encoder.source", "untrained"],
}

PUBLISHED: dict[str, list[tuple[str, float | None, float, str]]] = {
    "mirbench": [
        ("best model by people", None, 0.86, "miRBench, Zenodo 14501607"),
        ("CNN on a 20 x 50 grid, trained on 2.5 M pairs", None, 0.842, "the same"),
        ("CNN, trained on these pairs", None, 0.827, "the same"),
    ],
    "clash2013": [
        ("DNABERT, fine-tuned", 0.929, 0.927, "miRBind, github.com/ML-Bioinfo-CEITEC/miRBind"),
        ("ResNet on a 20 x 50 grid", 0.964, 0.969, "the same"),
    ],
    "crispr_hek293t": [
        (
            "on a random split, every guide in both (another question)",
            0.986,
            0.605,
            "github.com/akhtarsayed/EHNN-CRISPR-OffTarget-Prediction",
        )
    ],
    "same_genome": [("the original scripts, on unpublished pairs", 0.850, 0.774, "their own report")],
}


class Result(NamedTuple):
    """What `dvc repro` says of a data set."""

    verdict: dict[str, Any]
    metrics: dict[str, float]
    intervals: dict[str, list[float]]
    baselines: dict[str, dict[str, Any]]
    inputs: str
    published: Difference | None


def main() -> None:
    """Run what is missing, and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", action="append", required=True, metavar="NAME=PATH [SETTINGS]")
    parser.add_argument("--scores", action="append", default=[], metavar="NAME=TABLE:COLUMN")
    parser.add_argument("--encoders", action="append", default=[], metavar="NAME")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    scores = dict(entry.split("=", 1) for entry in given.scores)
    output = given.output and given.output.resolve()
    results = {}
    encoders: dict[str, list[str]] = {}
    for entry in given.data:
        name, words = entry.split("=", 1)
        source, *settings = shlex.split(words)
        project = given.work.resolve() / name
        run_pipeline(project, Path(source).resolve(), settings)
        table = str(Path(scores[name].rsplit(":", 1)[0]).resolve()) if name in scores else None
        home = Path.cwd()
        os.chdir(project)
        results[name] = read_result(table, scores[name].rsplit(":", 1)[1] if table else None)
        os.chdir(home)
        if name in given.encoders:
            projects = [project, *(project.with_name(f"{name}, {kind}") for kind in ENCODERS)]
            for learnt, words in zip(projects[1:], ENCODERS.values(), strict=True):
                run_pipeline(learnt, Path(source).resolve(), [*settings, *words], "evaluate")
            encoders[name] = [read_torch(learnt) for learnt in projects]
    text = tell(results, encoders)
    print(text)
    if output:
        with atomic_file(output) as temporary:
            temporary.write_text(text, encoding="utf-8")


def run_pipeline(project: Path, source: Path, settings: list[str], *targets: str) -> None:
    """Clone this project, use the data, and run all stages, or those that lead to some."""
    if (project / ENDED).is_file():
        return
    if not project.is_dir():
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(project)], check=True)
    bundled = project / "datasets" / source.name
    place = f"datasets/{source.name}" if bundled.is_dir() else str(source)
    environment = os.environ | {"PYTHONPATH": str(project / "src")}
    program = [sys.executable, "-m", "dnapair"]
    subprocess.run([*program, "use", place, *settings], cwd=project, env=environment, check=True)
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "dvc", "repro", *targets], cwd=project, env=environment, check=True)
    (project / ENDED).write_text(json.dumps(round(time.perf_counter() - start)))


def read_result(table: str | None, column: str | None) -> Result:
    """Read the reports of the network that was registered, in its project's folder."""
    registration = read_json(paths.REGISTRATION)
    folder = paths.report_folder(registration["framework"])
    best = read_json(paths.BEST_HYPERPARAMETERS)
    verdict = read_json(folder / "verdict.json")
    own = pd.read_csv(folder / "predictions.csv")
    return Result(
        verdict,
        read_json(folder / "metrics.json"),
        read_json(folder / "intervals.json"),
        read_json(folder / "comparison.json"),
        TAKES[best["network"]["inputs"]]
        + (", symmetric" if best["network"]["symmetric"] else ", order kept"),
        compare(own, table, column) if table and column else None,
    )


def read_torch(project: Path) -> str:
    """Read PR-AUC of PyTorch's network from a project, with its interval."""
    folder = project / paths.report_folder("torch")
    return interval(read_json(folder / "metrics.json"), read_json(folder / "intervals.json"), "pr_auc")


def compare(own: pd.DataFrame, table: str, column: str) -> Difference:
    """Compare PR-AUC with published scores of the same pairs, found by their sequences."""
    other = pd.read_csv(table, sep=None, engine="python")
    first, second, *_ = [str(name) for name in other.columns if name not in ("label", column)]
    known = dict(zip(zip(other[first], other[second], strict=True), other[column].tolist(), strict=True))
    row1, row2 = read_numbers(paths.PAIRS, ["row1", "row2"])
    sequences = SequenceFile(paths.SEQUENCES)
    rows = own["row"].to_numpy()
    pairs = zip(sequences.take(row1[rows]), sequences.take(row2[rows]), strict=True)
    theirs = np.array([known[pair] for pair in pairs])
    settings = load_params()
    columns = group_columns(settings.evaluate.groups, settings.split.groups, column_names(paths.PAIRS))
    units = find_units(read_groups(columns, settings.split)[rows])
    return compare_scores(
        own["label"].to_numpy(),
        own["probability"].to_numpy(),
        theirs,
        units,
        settings.evaluate.bootstrap,
        settings.evaluate.seed,
    )


def tell(results: dict[str, Result], encoders: dict[str, list[str]]) -> str:
    """Write the page."""
    lines = [
        "# Results on other people's questions",
        "",
        "What `dvc repro` gives with default settings, but for those that say what the columns and splits "
        "are; test pairs, 95 % interval. `benchmarks/pairs.py` makes this page.",
        "",
        "| data | test pairs | ROC-AUC | PR-AUC | best baseline | its PR-AUC | the network's is greater by |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, result in results.items():
        best = result.verdict["best_baseline"]
        rival = result.baselines[best]
        cells = [
            name,
            f"{result.metrics['n']:,}",
            interval(result.metrics, result.intervals, "roc_auc"),
            interval(result.metrics, result.intervals, "pr_auc"),
            best,
            f"{rival['metrics']['pr_auc']:.3f}",
            spell_gain(Difference(**rival["gains"]["pr_auc"])),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    if encoders:
        lines += [
            "",
            "## The encoder learns from the pairs",
            "",
            "PR-AUC of PyTorch's network with the encoder as it is, which is the default, and with one that "
            "learnt (`finetune.method: full`, [finetuning.md](finetuning.md)):",
            "",
            f"| data | as it is | {' | '.join(ENCODERS)} |",
            "|---|---|---|---|",
            *(f"| {name} | {' | '.join(figures)} |" for name, figures in encoders.items()),
        ]
    for name, result in results.items():
        lines += ["", f"## {name}", "", result.verdict["headline"], ""]
        lines += [f"- {words}" for words in result.verdict["details"]]
        lines += [
            f"- The network takes {result.inputs}.",
            "",
            "| on the same test pairs | ROC-AUC | PR-AUC |",
            "|---|---|---|",
        ]
        lines.append(f"| **dnapair** | {result.metrics['roc_auc']:.3f} | {result.metrics['pr_auc']:.3f} |")
        lines += [
            f"| {baseline} | {facts['metrics']['roc_auc']:.3f} | {facts['metrics']['pr_auc']:.3f} |"
            for baseline, facts in result.baselines.items()
        ]
        lines += [
            f"| published: {what} ({source}) | {'' if roc is None else f'{roc:.3f}'} | {pr:.3f} |"
            for what, roc, pr, source in PUBLISHED.get(name, [])
        ]
        if result.published is not None:
            lines += [
                "",
                f"PR-AUC against the published scores, pair by pair: {spell_gain(result.published)}.",
            ]
    return "\n".join(lines) + "\n"


def interval(metrics: dict[str, float], intervals: dict[str, list[float]], metric: str) -> str:
    """Write a metric with its interval."""
    low, high = intervals[metric]
    return f"{metrics[metric]:.3f} ({low:.3f} to {high:.3f})"


if __name__ == "__main__":
    main()
