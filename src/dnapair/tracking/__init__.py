"""The record in MLflow: a run for a pipeline, below it one for each stage that did work, and for each trial.

What a run did stands in its description. ``native_models`` has its own door: it needs the networks, which
most stages do not. What needs MLflow in this process is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dnapair.tracking.client import load_ahead
from dnapair.tracking.open_run import Split, StageRun, metric_name
from dnapair.tracking.stages import join_search, stage_run, trial_run
from dnapair.tracking.tags import PARENT_VARIABLE, TESTED_TAG
from dnapair.tracking.wording import StoreError, reason

if TYPE_CHECKING:
    from dnapair.tracking.evaluations import Evaluation, find_evaluations
    from dnapair.tracking.pipelines import link_stages, pipeline_run, run_page
    from dnapair.tracking.store import check_store, store_address

_SLOW = {
    "Evaluation": "evaluations",
    "find_evaluations": "evaluations",
    "link_stages": "pipelines",
    "pipeline_run": "pipelines",
    "run_page": "pipelines",
    "check_store": "store",
    "store_address": "store",
}

__all__ = [
    "PARENT_VARIABLE",
    "TESTED_TAG",
    "Evaluation",
    "Split",
    "StageRun",
    "StoreError",
    "check_store",
    "find_evaluations",
    "join_search",
    "link_stages",
    "load_ahead",
    "metric_name",
    "pipeline_run",
    "reason",
    "run_page",
    "stage_run",
    "store_address",
    "trial_run",
]


def __getattr__(name: str) -> Any:
    if name not in _SLOW:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_SLOW[name]}"), name)
