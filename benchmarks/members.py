"""What the mean of several networks is worth beside one alone, on train pairs that were set aside.

    python benchmarks/members.py PROJECT [PROJECT=COLUMN,COLUMN ...] --output benchmarks/members.md
    python benchmarks/members.py PROJECT --network normalization=layer,activation=relu --network ...

A project is a clone with data of its own in which `dvc repro validate` has run. A fifth of its train pairs is
set aside: drawn by the groups of the columns where some are named, so that no group of it is trained on, else
at random. Networks of params.yaml, or of each --network in turn, learn from the others, in PyTorch, and from
those pairs that `interact` drew of their sequences, and stop by validation. Test is not looked at.
"""

import argparse
import contextlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from machine import describe_machine

from dnapair.evaluation.folds import draw_folds
from dnapair.params import load_params
from dnapair.stages import paths
from dnapair.stages.groups import read_groups
from dnapair.stages.inputs import open_matrices, specify
from dnapair.stages.tune import settle_symmetric
from dnapair.storage.files import atomic_file
from dnapair.training.frameworks import load_framework, make_learner
from dnapair.training.learner import LearnerSettings
from dnapair.training.loop import LoopSettings, positive_weight, predict, read_pairs
from dnapair.training.members import fit_members
from dnapair.training.ranking import average_precision

COUNTS = (2, 3, 5)
"""How many networks the mean is taken of."""
FOLDS = 5


class Worth(NamedTuple):
    """PR-AUC on the pairs that were set aside.

    Attributes
    ----------
    pairs, related
        How many these are.
    alone
        Of each network, in the order of the seeds.
    means
        Of the mean of the first of them, by their number.
    """

    pairs: int
    related: int
    alone: list[float]
    means: dict[int, float]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("projects", nargs="+", metavar="PROJECT[=COLUMN,...]")
    parser.add_argument("--network", action="append", default=[], metavar="SETTING=VALUE,...")
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    output = given.output and given.output.resolve()
    # forks of later projects would wait for ever for threads that this process began
    load_framework("torch").use_threads(1)
    found = {}
    for entry in given.projects:
        project, _, columns = entry.partition("=")
        for network in given.network or [""]:
            changes = dict(change.split("=") for change in network.split(",") if change)
            with contextlib.chdir(project):
                worth = measure(columns.split(",") if columns else [], changes)
            found[" ".join([Path(project).name, *changes.values()])] = worth
    text = table(found)
    print(text)
    if output:
        with atomic_file(output) as temporary:
            temporary.write_text(text, encoding="utf-8")


def measure(columns: list[str], changes: dict[str, Any]) -> Worth:
    """Train on four fifths of train and score the last one, in the project that this process is in."""
    params = load_params()
    pairs, val = (read_pairs(paths.split_file(split)) for split in ("train", "val"))
    if columns:
        groups = read_groups(columns, params.split)[pairs.rows]
        homes = draw_folds(groups, pairs.labels.astype(np.int8), FOLDS, params.evaluate.seed)
        hits = homes[groups] == 0
        inside, outside = hits.all(axis=1), ~hits.any(axis=1)
    else:
        inside = np.random.default_rng(params.evaluate.seed).random(pairs.labels.size) < 1 / FOLDS
        outside = ~inside
    train, aside = (pairs.take(np.flatnonzero(chosen)) for chosen in (outside, inside))
    drawn = read_pairs(paths.NEGATIVES)
    left = np.isin(drawn.rows1, train.rows1) & np.isin(drawn.rows2, train.rows2)
    negatives = drawn.take(np.flatnonzero(left))
    network = params.network.model_dump() | {"symmetric": settle_symmetric(params)} | changes
    spec = specify(network)
    matrices = open_matrices(spec)
    weight = positive_weight(params.train.positive_weight, train.labels)
    learner = LearnerSettings.of(params.train.model_dump() | {"positive_weight": weight})
    loop = LoopSettings.of(params.train.model_dump())
    trained = fit_members(
        "torch",
        spec,
        learner,
        loop,
        matrices,
        train,
        val,
        max(COUNTS),
        lambda *told: None,
        Path.cwd().name,
        negatives,
    )
    scorer = make_learner("torch", spec, learner)
    logits = []
    for member in trained:
        scorer.set_weights(member.weights)
        logits.append(predict(scorer, matrices, aside).astype(np.float64))
    return Worth(
        aside.labels.size,
        int(aside.labels.sum()),
        [average_precision(aside.labels, own) for own in logits],
        {count: average_precision(aside.labels, np.mean(logits[:count], axis=0)) for count in COUNTS},
    )


def table(found: dict[str, Worth]) -> str:
    """Return the table, in Markdown."""
    lines = [
        "# What the mean of several networks is worth",
        "",
        "PR-AUC on a fifth of the train pairs that was set aside. Test was not looked at.",
        "",
        f"| data | set aside (related) | one network: mean, least to greatest of {max(COUNTS)} | "
        + " | ".join(f"mean of {count}" for count in COUNTS)
        + " |",
        "|---" * (3 + len(COUNTS)) + "|",
    ]
    for name, worth in found.items():
        one = f"{np.mean(worth.alone):.4f}, {min(worth.alone):.4f} to {max(worth.alone):.4f}"
        cells = [f"{worth.means[count]:.4f}" for count in COUNTS]
        lines.append(f"| {' | '.join([name, f'{worth.pairs:,} ({worth.related:,})', one, *cells])} |")
    return "\n".join([*lines, "", f"On {describe_machine()}.", ""])


if __name__ == "__main__":
    main()
