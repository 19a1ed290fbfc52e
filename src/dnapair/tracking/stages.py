"""The run of a stage, below the run of its pipeline; and below it those of its trials.

A stage that DVC skipped made no run of its own this time. Its earlier run is found by what it wrote: each
stage's run is tagged with the SHA-256 of one file that stands for all its outputs.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dnapair.errors import DnapairError
from dnapair.storage.files import lock, sha256
from dnapair.tracking.client import ask
from dnapair.tracking.open_run import StageRun
from dnapair.tracking.outbox import (
    EXPERIMENT,
    PIPELINE,
    RUN,
    UNSENT,
    Outbox,
    now,
    patience,
    send_kept,
)
from dnapair.tracking.processes import OpenStage, dvc_process, name_process, this_process
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
        The stage's name in dvc.yaml, and a framework where it makes a run for each: ``"train@torch"``.
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
    started = now()
    task = f"at work on the stage {stage.replace('@', ' ')} in this folder"
    with lock(_LOCKS / f"{stage}.lock", task) as alone:
        note = OpenStage(_LOCKS / f"{stage}.open") if alone else None
        # a parent's id in the environment would be taken for this stage's own run
        os.environ.pop("MLFLOW_RUN_ID", None)
        # the work does not wait for it
        outbox = Outbox(UNSENT, lambda: _begin(stage, started, note))
        run = StageRun(RUN, PIPELINE, outbox, EXPERIMENT)
        run.log_params(params)
        try:
            with outbox.interrupting():
                yield run
                run.set_tags({OUTPUT_TAG: sha256(identities[stage])})
                outbox.begun()
        except BaseException as error:
            if outbox.refusal:
                raise outbox.refusal from None
            run.describe(f"Failed: {error}" if isinstance(error, DnapairError) else "Failed.")
            if _end(run, outbox, note, "FAILED", 0.0) and _has_own_parent(run):
                ask("end pipeline", parent=run.parent_id, status="FAILED")
            raise
        if _end(run, outbox, note, "FINISHED", patience()) and run.parent_id:
            outputs = {name: str(path) for name, path in identities.items()}
            ask("link", parent=run.parent_id, outputs=outputs, end=_has_own_parent(run))


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
    stage.put("end trial", experiment=stage.group, tag=TRIAL_TAG, trial=trial)
    tags = {TRIAL_TAG: trial, PROCESS_TAG: this_process()}
    run = StageRun(outbox.start(stage.group, f"{kind} {number}", tags, stage.run), stage.run, outbox)
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
    import mlflow

    from dnapair.tracking.store import all_experiments, check_store, newest_runs, store_address

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
    return StageRun(str(info.run_id), None, group=str(info.experiment_id))


def _begin(stage: str, started: int, note: OpenStage | None) -> dict[str, str]:
    """Open the stage's run; return its id, its pipeline's and its experiment's."""
    parent = os.environ.get(PARENT_VARIABLE)
    experiment = ask("open", parent=parent)
    send_kept(UNSENT)
    name = stage.replace("@", " ")
    pipeline = dvc_process()
    made = ask(
        "begin",
        experiment=experiment,
        name=name,
        tags={STAGE_TAG: stage, SOURCE_TAG: f"dnapair {name}"},
        process=this_process(),
        parent=parent,
        pipeline=name_process(pipeline) if pipeline else None,
        time=started,
        ended=note and note.last(),
    )
    if note:
        note.begin()
    return {EXPERIMENT: experiment, RUN: made["run"], PIPELINE: made["parent"] or ""}


def _end(run: StageRun, outbox: Outbox, note: OpenStage | None, status: str, seconds: float) -> bool:
    """Send or keep all that was logged, and the end of the run; return whether it was sent."""
    run.put("end", status=status, time=now(), drop=PROCESS_TAG)
    sent = outbox.close(seconds)
    if note:
        note.end()
    return sent


def _has_own_parent(run: StageRun) -> bool:
    """Say whether it ends its pipeline: each stage of a bare `dvc repro` does, as none knows the last."""
    return run.parent_id is not None and PARENT_VARIABLE not in os.environ
