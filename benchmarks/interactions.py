"""What each group of a pair's interactions is worth, and how fast they are made; writes two tables.

    python benchmarks/interactions.py PROJECT [PROJECT ...] --output benchmarks/interactions.md

A project is a clone with data of its own in which `dvc repro scale` has run. A gradient boosting, the
baseline of the reports, is fitted on at most 10,000 pairs of train with one group of the interactions at a
time, and measured on validation; test is not looked at. Speed is of one thread, on drawn pairs of each
length, compiled beforehand.
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from machine import describe_machine
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import average_precision_score, roc_auc_score

from dnapair.evaluation.baselines import DEPTH, TREES, draw
from dnapair.interactions.layout import fit_layout
from dnapair.interactions.rows import describe_pairs
from dnapair.interactions.scaling import InteractionScaling
from dnapair.stages import paths
from dnapair.storage.files import atomic_file
from dnapair.storage.matrix import MatrixFile
from dnapair.training.loop import Matrices, read_pairs

GROUPS: dict[str, Callable[[str], bool]] = {
    "all": lambda name: True,
    "exact runs": lambda name: "run" in name,
    "local alignment": lambda name: "alignment" in name,
    "alignment, no profile": lambda name: "alignment" in name and "alignment at" not in name,
    "duplexes": lambda name: "duplex" in name,
    "duplexes, no profile": lambda name: "greatest energy" in name,
    "all but duplexes": lambda name: "duplex" not in name,
    "all but profiles": lambda name: not name.split(" at ")[-1].isdigit(),
    "forward alone": lambda name: "forward" in name,
    "reverse complement alone": lambda name: "reverse complement" in name,
    "shared k-mers": lambda name: "shared" in name,
    "same offset": lambda name: "equal" in name,
}
LENGTHS = ((22, 50), (23, 23), (150, 150), (500, 500), (2_000, 2_000), (20_000, 20_000))
SECONDS = 2.0
PAIRS = 10_000
"""Of train that are fitted on at most."""


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("projects", nargs="*", type=Path)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    home = Path.cwd()
    worth = {}
    for project in given.projects:
        os.chdir(project)
        worth[project.resolve().name] = measure_groups()
        os.chdir(home)
    title = "# What the interactions of a pair are worth, and how fast they are made"
    parts = [[title], tell_worth(worth) if worth else [], tell_speed()]
    text = "\n\n".join("\n".join(part) for part in parts if part) + "\n"
    print(text)
    if given.output:
        with atomic_file(given.output) as temporary:
            temporary.write_text(text, encoding="utf-8")


def measure_groups() -> dict[str, tuple[int, float, float]]:
    """Return for each group its numbers, and ROC-AUC and PR-AUC on validation."""
    matrix, names = MatrixFile(paths.SCALED_INTERACTIONS), InteractionScaling.load(paths.NORMALIZED).names()
    train, val = (read_pairs(paths.split_file(split)) for split in ("train", "val"))
    train = draw(train, PAIRS, 1)
    fitted, held = (Matrices(None, matrix).read(pairs)[0] for pairs in (train, val))
    found = {}
    for group, belongs in GROUPS.items():
        columns = [place for place, name in enumerate(names) if belongs(name)]
        if not columns:
            continue
        model = HistGradientBoostingClassifier(
            max_iter=round(TREES * train.labels.size**0.5),
            max_depth=DEPTH,
            max_features=0.3,
            early_stopping=False,
            random_state=1,
        ).fit(fitted[:, columns], train.labels)
        scores = model.predict_proba(held[:, columns])[:, 1]
        found[group] = (
            len(columns),
            float(roc_auc_score(val.labels, scores)),
            float(average_precision_score(val.labels, scores)),
        )
        print(f"{Path.cwd().name}: {group}: {found[group]}", flush=True)
    return found


def tell_worth(worth: dict[str, dict[str, tuple[int, float, float]]]) -> list[str]:
    """Write the table of groups, a column for each project."""
    lines = [
        f"Gradient boosting on one group of the interactions at a time, fitted on at most {PAIRS:,} pairs of "
        "train; ROC-AUC / PR-AUC on validation, and how many numbers the group has.",
        "",
        "| group | " + " | ".join(worth) + " |",
        "|---|" + "---|" * len(worth),
    ]
    for group in GROUPS:
        cells = []
        for found in worth.values():
            numbers, roc, pr = found.get(group, (0, 0.0, 0.0))
            cells.append(f"{roc:.3f} / {pr:.3f} ({numbers})" if numbers else "")
        lines.append(f"| {group} | " + " | ".join(cells) + " |")
    return lines


def tell_speed() -> list[str]:
    """Measure pairs by length, and write the table."""
    rng = np.random.default_rng(1)
    lines = [
        f"One thread, drawn pairs, on {describe_machine()}:",
        "",
        "| bases | pairs/s | ns for each base beside each other |",
        "|---|---|---|",
    ]
    for first, second in LENGTHS:
        pairs = max(1, min(1000, 200_000_000 // (first * second) // 10))
        sequences = ["".join(rng.choice(list("ACGT"), n)) for n in [first] * pairs + [second] * pairs]
        rows = np.arange(pairs)
        layout = fit_layout(np.full(pairs, first), np.full(pairs, second), 64, symmetric=False)
        describe_pairs(sequences, rows[:1], rows[:1] + pairs, layout)
        done, start = 0, time.perf_counter()
        while time.perf_counter() - start < SECONDS:
            describe_pairs(sequences, rows, rows + pairs, layout)
            done += pairs
        rate = done / (time.perf_counter() - start)
        lines.append(f"| {first:,} and {second:,} | {rate:,.1f} | {1e9 / rate / first / second:.2f} |")
    return lines


if __name__ == "__main__":
    main()
