"""`dnapair compare`: two recorded runs on the same test pairs, difference by difference."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from mlflow.entities import Run
from rich import box
from rich.console import Console
from rich.table import Table

from dnapair import tracking
from dnapair.errors import DnapairError
from dnapair.evaluation.metrics import METRICS, WeightedMetrics
from dnapair.evaluation.resampling import Units, difference, resample
from dnapair.evaluation.verdict import NAMES, spell_gain

DRAWS = 1000
SEED = 1


class Recorded(NamedTuple):
    """An evaluation in the tracking store."""

    run: Run
    predictions: pd.DataFrame

    @property
    def name(self) -> str:
        """The run's name, and enough of its id to tell it from others."""
        return f"{self.run.info.run_name} {self.run.info.run_id[:8]}"


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
    tracking.check_store()
    found = [_evaluations(words) for words in (first, second)]
    stages = [stage for stage in found[0] if stage in found[1]]
    if not stages:
        if len(found[0]) > 1 or len(found[1]) > 1:
            raise DnapairError(f"{first} and {second} have no evaluation of the same framework.")
        stages = ["evaluation"]
        found = [dict(zip(stages, one.values(), strict=True)) for one in found]
    console = Console(width=100, highlight=False)
    for stage in stages:
        a, b = (_read(one[stage]) for one in found)
        console.print(_table(a, b))


def _evaluations(words: str) -> dict[str, Run]:
    """Find the evaluations of a run, by their stage's name."""
    run = tracking.find_run(words)
    stage = run.data.tags.get(tracking.STAGE_TAG, "")
    if stage.startswith("evaluate@"):
        return {stage: run}
    linked = tracking.linked_runs(run, "evaluate@")
    if not linked:
        raise DnapairError(
            f"The run {run.info.run_name} ({run.info.run_id}) is no evaluation, and no pipeline that has one."
        )
    return linked


def _read(run: Run) -> Recorded:
    path = tracking.download(run, "reports/predictions.csv")
    return Recorded(run, pd.read_csv(path))


def _table(a: Recorded, b: Recorded) -> Table:
    shared = [str(name) for name in a.predictions if name != "probability"]
    known = set(shared) <= set(b.predictions)
    tested = [one.run.data.tags.get(tracking.TESTED_TAG) for one in (a, b)]
    if tested[0] != tested[1] or not (known and a.predictions[shared].equals(b.predictions[shared])):
        raise DnapairError(
            f"{a.name} and {b.name} were not tested on the same pairs with the same groups, so their metrics "
            "can't be compared pair by pair. Run both with the same data, split and evaluate.groups."
        )
    labels = a.predictions["label"].to_numpy()
    codes = a.predictions[[name for name in shared if name.startswith("unit")]].to_numpy(np.int64)
    units = Units(codes, int(codes.max()) + 1, connected=False)
    both = {
        name: WeightedMetrics(
            labels, one.predictions["probability"].to_numpy(), one.run.data.metrics["test/threshold"]
        )
        for name, one in (("a", a), ("b", b))
    }
    drawn = resample(labels, units, both, DRAWS, SEED)
    whole = {name: one.measure(np.ones((1, labels.size))) for name, one in both.items()}
    table = Table(
        title=f"{b.name} against {a.name}: {labels.size:,} test pairs",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("metric", no_wrap=True)
    for heading in (a.name, b.name):
        table.add_column(heading, justify="right")
    for heading in ("difference (95 % interval)", "greater in"):
        table.add_column(heading, justify="right", no_wrap=True)
    for metric in METRICS:
        old, new = (float(whole[name][metric][0]) for name in "ab")
        gain = difference(new - old, drawn["b"][metric], drawn["a"][metric])
        table.add_row(NAMES[metric], f"{old:.3f}", f"{new:.3f}", spell_gain(gain), f"{gain.certainty:.0%}")
    return table
