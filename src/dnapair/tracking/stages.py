"""The run of a stage, below the run of its pipeline.

A stage that DVC skipped made no run of its own this time. Its earlier run is found by what it wrote: each
stage's run is tagged with the SHA-256 of one file that stands for all its outputs.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import mlflow

from dnapair.errors import DnapairError
from dnapair.storage.files import lock, sha256
from dnapair.tracking.links import link_stages
from dnapair.tracking.open_run import StageRun
from dnapair.tracking.outbox import UNSENT, Outbox, now, patience, send_kept
from dnapair.tracking.pipelines import find_pipeline
from dnapair.tracking.processes import end_killed_runs, source_tags
from dnapair.tracking.raw_data import log_dataset
from dnapair.tracking.store import TROUBLE, asking, select_experiment
from dnapair.tracking.tags import OUTPUT_TAG, PARENT_VARIABLE, PROCESS_TAG, SOURCE_TAG, STAGE_TAG

_LOCKS = Path("artifacts/locks")


@contextmanager
def stage_run(stage: str, params: Mapping[str, Any], identities: Mapping[str, Path]) -> Iterator[StageRun]:
    """Open the run of a stage, and close it with what became of it.

    Parameters
    ----------
    stage
        The stage's name in dvc.yaml, for example ``"train@torch"``.
    params
        The settings the stage read, by their names in params.yaml.
    identities
        For every stage the file that stands for its outputs.

    Yields
    ------
    StageRun
        The run: FINISHED and tagged with its output's hash if the block ends well, else FAILED.

    Raises
    ------
    DnapairError
        If the tracking store does not answer, or another process is at work on this stage.
    """
    name = stage.replace("@", " ")
    with lock(_LOCKS / f"{stage}.lock", f"at work on the stage {stage} in this folder"):
        with asking():
            experiment = select_experiment()
            send_kept(UNSENT)
            end_killed_runs(experiment)
            parent = find_pipeline(experiment)
            tags = {STAGE_TAG: stage, SOURCE_TAG: f"dnapair {name}", **source_tags()}
            # a parent's id in the environment would be taken for this stage's own run
            os.environ.pop("MLFLOW_RUN_ID", None)
            active = mlflow.start_run(run_name=name, parent_run_id=parent, tags=tags)
            log_dataset()
        outbox = Outbox(UNSENT)
        run = StageRun(active.info.run_id, parent, outbox, experiment)
        run.log_params(params)
        try:
            yield run
            run.set_tags({OUTPUT_TAG: sha256(identities[stage])})
        except BaseException as error:
            run.describe(f"Failed: {error}" if isinstance(error, DnapairError) else "Failed.")
            _end(run, outbox, "FAILED", 0.0)
            _end_own_parent(parent, "FAILED")
            raise
        if _end(run, outbox, "FINISHED", patience()) and parent:
            # it is done anew at the end of each stage
            with suppress(*TROUBLE):
                link_stages(parent, identities)
            _end_own_parent(parent, "FINISHED")


def _end(run: StageRun, outbox: Outbox, status: str, seconds: float) -> bool:
    """Send or keep all that was logged, and the end of the run; return whether it was sent."""
    run.put("end", status=status, time=now(), drop=PROCESS_TAG)
    sent = outbox.close(seconds)
    if not sent:
        # nothing that matters is asked of the store any more, so no wait for its answer
        os.environ |= {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "1"}
    # takes it off MLflow's list of open runs too
    with suppress(*TROUBLE):
        mlflow.end_run(status)
    return sent


def _end_own_parent(parent: str | None, status: str) -> None:
    """End the parent of a bare `dvc repro`, whose stages each do so: none knows whether it is the last."""
    if parent and PARENT_VARIABLE not in os.environ:
        with suppress(*TROUBLE):
            mlflow.MlflowClient().set_terminated(parent, status)
