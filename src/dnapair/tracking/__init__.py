"""The record in MLflow: a run for a pipeline, below it one for each stage that did work, and for each trial.

What a run did stands in its description. ``native_models`` has its own door: it needs the networks, which
most stages do not.
"""

from dnapair.tracking.evaluations import Evaluation, find_evaluations
from dnapair.tracking.open_run import StageRun, metric_name
from dnapair.tracking.pipelines import link_stages, pipeline_run, run_page
from dnapair.tracking.stages import join_search, stage_run, trial_run
from dnapair.tracking.store import check_store, reason, store_address
from dnapair.tracking.tags import PARENT_VARIABLE, TESTED_TAG

__all__ = [
    "PARENT_VARIABLE",
    "TESTED_TAG",
    "Evaluation",
    "StageRun",
    "check_store",
    "find_evaluations",
    "join_search",
    "link_stages",
    "metric_name",
    "pipeline_run",
    "reason",
    "run_page",
    "stage_run",
    "store_address",
    "trial_run",
]
