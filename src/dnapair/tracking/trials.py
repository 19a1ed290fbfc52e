"""The runs of a search's trials, and of other parts of a stage, below the stage's run."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import mlflow
from mlflow.tracking.context.registry import resolve_tags

from dnapair.errors import DnapairError
from dnapair.tracking.open_run import StageRun
from dnapair.tracking.outbox import UNSENT, Outbox, now, patience
from dnapair.tracking.processes import this_process
from dnapair.tracking.store import all_experiments, check_store, newest_runs, store_address
from dnapair.tracking.tags import PROCESS_TAG, STUDY_TAG, TRIAL_TAG


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
