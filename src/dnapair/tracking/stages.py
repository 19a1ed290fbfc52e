"""The run of a stage, below the run of its pipeline; and below it those of its trials.

A stage that DVC skipped made no run of its own this time. Its earlier run is found by what it wrote: each
stage's run is tagged with the SHA-256 of one file that stands for all its outputs.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import mlflow
from mlflow.tracking.context.registry import resolve_tags

from dnapair.errors import DnapairError
from dnapair.storage.files import lock, sha256
from dnapair.tracking.open_run import StageRun
from dnapair.tracking.outbox import UNSENT, Outbox, now, patience, send_kept
from dnapair.tracking.pipelines import find_pipeline, link_stages
from dnapair.tracking.processes import end_killed_runs, source_tags, this_process
from dnapair.tracking.raw_data import log_dataset
from dnapair.tracking.store import (
    TROUBLE,
    all_experiments,
    asking,
    check_store,
    newest_runs,
    select_experiment,
    store_address,
)
from dnapair.tracking.tags import (
    OUTPUT_TAG,
    PARENT_VARIABLE,
    PROCESS_TAG,
    SOURCE_TAG,
    STAGE_TAG,
    STUDY_TAG,
    TRIAL_TAG,
)

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


@contextmanager
def trial_run(
    stage: StageRun, study: str, number: int, params: Mapping[str, Any], kind: str = "trial"
) -> Iterator[StageRun]:
    """Open the run of a tuning trial, or of another part of a stage, under its stage's run.

    Parameters
    ----------
    stage
        The open run of the stage.
    study
        Name of the search: a run of the same trial that a killed search left open is marked KILLED.
    number
        The trial's number in the search, from 1.
    params
        What it tries.
    kind
        What its name begins with.

    Yields
    ------
    StageRun
        The run.
    """
    outbox = stage.outbox or Outbox(UNSENT)
    trial = f"{study}/{number}"
    stage.put("end trial", experiment=stage.experiment, tag=TRIAL_TAG, trial=trial)
    tags = resolve_tags({TRIAL_TAG: trial, PROCESS_TAG: this_process()})
    run = StageRun(
        outbox.start(stage.experiment, f"{kind} {number}", tags, stage.run_id), stage.run_id, outbox
    )
    run.log_params(params)
    status = "FAILED"
    try:
        yield run
        status = "FINISHED"
    finally:
        run.put("end", status=status, time=now())
        if stage.outbox is None:
            outbox.close(patience())
        else:
            outbox.settle()


def join_search(study: str) -> StageRun:
    """Find the open run of the stage that leads a search, so that trials can be put under it.

    Parameters
    ----------
    study
        Name of the search, as :meth:`StageRun.lead_search` got it.

    Returns
    -------
    StageRun
        The run. Its experiment is the current one from here on.

    Raises
    ------
    DnapairError
        If there is none.
    """
    check_store()
    led = f"tags.`{STUDY_TAG}` = '{study}' and attributes.status = 'RUNNING'"
    found = newest_runs(all_experiments(), led, 1)
    if not found:
        raise DnapairError(
            f"The MLflow tracking store {store_address()} has no chief that searches with these "
            "settings and data. A worker needs the chief's MLFLOW_TRACKING_URI, params.yaml and "
            "artifacts/normalized."
        )
    info = found[0].info
    mlflow.set_experiment(experiment_id=info.experiment_id)
    return StageRun(str(info.run_id), None, experiment=str(info.experiment_id))


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
