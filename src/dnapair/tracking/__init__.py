"""The record in MLflow: a run for a pipeline, below it one for each stage that did work, and for each trial.

What a run did stands in its description. ``native_models`` has its own door: it needs the networks, which
most stages do not. Each name is imported when it is first used: MLflow where this process needs it, nothing
where a stage only asks for DVC's process.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dnapair.tracking.client import load_ahead
    from dnapair.tracking.evaluations import Evaluation, find_evaluations
    from dnapair.tracking.open_run import Split, StageRun, metric_name
    from dnapair.tracking.pipelines import link_stages, pipeline_run, run_page
    from dnapair.tracking.stages import join_search, stage_run, trial_run
    from dnapair.tracking.store import check_store, store_address
    from dnapair.tracking.tags import PARENT_VARIABLE, TESTED_TAG
    from dnapair.tracking.wording import StoreError, reason

_HOMES = {
    "PARENT_VARIABLE": "tags",
    "TESTED_TAG": "tags",
    "Evaluation": "evaluations",
    "Split": "open_run",
    "StageRun": "open_run",
    "StoreError": "wording",
    "check_store": "store",
    "find_evaluations": "evaluations",
    "join_search": "stages",
    "link_stages": "pipelines",
    "load_ahead": "client",
    "metric_name": "open_run",
    "pipeline_run": "pipelines",
    "reason": "wording",
    "run_page": "pipelines",
    "stage_run": "stages",
    "store_address": "store",
    "trial_run": "stages",
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
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
