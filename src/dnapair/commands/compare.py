"""`dnapair compare`: two recorded runs on the same test pairs, difference by difference."""

import numpy as np
import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Column, Table

from dnapair import tracking
from dnapair.errors import DnapairError
from dnapair.evaluation.metrics import METRICS, WeightedMetrics
from dnapair.evaluation.resampling import Units, difference, resample
from dnapair.evaluation.verdict import NAMES, spell_gain

DRAWS = 1000
SEED = 1


def run(first: str, second: str) -> None:
    """Print what the second run has gained on the first, with 95 % intervals.

    Parameters
    ----------
    first, second
        A run's id, the first letters of one, or a run's name: of a pipeline, or of one evaluation.

    Raises
    ------
    DnapairError
        If there is no such run, or the two were not tested on the same pairs.
    """
    found = [tracking.find_evaluations(words) for words in (first, second)]
    stages = [stage for stage in found[0] if stage in found[1]]
    if not stages:
        if len(found[0]) > 1 or len(found[1]) > 1:
            raise DnapairError(f"{first} and {second} have no evaluation of the same framework.")
        stages = ["evaluation"]
        found = [dict(zip(stages, one.values(), strict=True)) for one in found]
    console = Console(width=100, highlight=False)
    for stage in stages:
        console.print(_table(*(one[stage] for one in found)))


def _table(a: tracking.Evaluation, b: tracking.Evaluation) -> Table:
    old, new = (pd.read_csv(one.predictions()) for one in (a, b))
    shared = [str(name) for name in old if name != "probability"]
    known = set(shared) <= set(new)
    if a.tested != b.tested or not (known and old[shared].equals(new[shared])):
        raise DnapairError(
            f"{a.name} and {b.name} were not tested on the same pairs with the same groups, so their metrics "
            "can't be compared pair by pair. Run both with the same data, split and evaluate.groups."
        )
    labels = old["label"].to_numpy()
    codes = old[[name for name in shared if name.startswith("unit")]].to_numpy(np.int64)
    units = Units(codes, int(codes.max()) + 1, connected=False)
    both = {
        "a": WeightedMetrics(labels, old["probability"].to_numpy(), a.threshold),
        "b": WeightedMetrics(labels, new["probability"].to_numpy(), b.threshold),
    }
    drawn = resample(labels, units, both, DRAWS, SEED)
    whole = {name: one.measure(np.ones((labels.size, 1))) for name, one in both.items()}
    table = Table(
        Column("metric", no_wrap=True),
        Column(a.name, justify="right"),
        Column(b.name, justify="right"),
        Column("difference (95 % interval)", justify="right", no_wrap=True),
        Column("greater in", justify="right", no_wrap=True),
        title=f"{b.name} against {a.name}: {labels.size:,} test pairs",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    for metric in METRICS:
        before, after = (float(whole[name][metric][0]) for name in "ab")
        gain = difference(after - before, drawn["b"][metric], drawn["a"][metric])
        cells = (NAMES[metric], f"{before:.3f}", f"{after:.3f}", spell_gain(gain), f"{gain.certainty:.0%}")
        table.add_row(*cells)
    return table
