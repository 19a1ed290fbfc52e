"""The run of a whole pipeline: of `dnapair run`, `mlflow run`, or a bare `dvc repro`."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import mlflow
import yaml

from dnapair.tracking.open_run import StageRun
from dnapair.tracking.outbox import UNSENT, send_kept
from dnapair.tracking.processes import dvc_process, source_tags
from dnapair.tracking.raw_data import log_dataset
from dnapair.tracking.store import TROUBLE, asking, select_experiment
from dnapair.tracking.tags import PARENT_VARIABLE, PIPELINE_TAG, PROCESS_TAG, SOURCE_TAG

_NAME_LETTERS = 120
# MLflow's own, such as bold-shrew-123
_MADE_UP_NAME = re.compile(r"[a-z]+-[a-z]+-\d+")


@contextmanager
def pipeline_run(words: Sequence[str], settings: Mapping[str, Any]) -> Iterator[str]:
    """Open the parent run of a whole pipeline: the `mlflow run`'s own, where that started us.

    Parameters
    ----------
    words
        What tells this pipeline from others: the stages asked for, and the settings changed.
    settings
        The content of params.yaml with these changes.

    Yields
    ------
    str
        The run's id, for the environment variable :data:`PARENT_VARIABLE` of the stages.

    Raises
    ------
    DnapairError
        If the tracking store does not answer.
    """
    given = os.environ.get("MLFLOW_RUN_ID")
    with asking():
        client = mlflow.MlflowClient()
        if given:
            StageRun(given, None).set_tags(source_tags())
            if _MADE_UP_NAME.fullmatch(client.get_run(given).info.run_name or ""):
                client.update_run(given, name=_name(words))
            active = mlflow.start_run(run_id=given)
        else:
            select_experiment()
            active = mlflow.start_run(run_name=_name(words), tags=source_tags())
        parent = str(active.info.run_id)
        send_kept(UNSENT)
        _log_settings(parent, settings)
        log_dataset()
    try:
        yield parent
    except BaseException:
        # the reason is what is to be told
        with suppress(*TROUBLE):
            mlflow.end_run("FAILED")
        raise
    with asking():
        client.delete_tag(parent, PROCESS_TAG)
        mlflow.end_run("FINISHED")


def find_pipeline(experiment: str) -> str | None:
    """Return the run of the pipeline that started this stage; None for a stage that was started by hand.

    That of a bare `dvc repro` is made by the first of its stages.
    """
    given = os.environ.get(PARENT_VARIABLE)
    if given:
        return given
    pipeline = dvc_process()
    if pipeline is None:
        return None
    client = mlflow.MlflowClient()
    found = client.search_runs([experiment], f"tags.`{PIPELINE_TAG}` = '{pipeline}'", max_results=1)
    if found:
        return str(found[0].info.run_id)
    tags = {PIPELINE_TAG: pipeline, SOURCE_TAG: "dvc", **source_tags()}
    run = str(client.create_run(experiment, run_name=_name([]), tags=tags).info.run_id)
    _log_settings(run, yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8")))
    return run


def _name(words: Sequence[str]) -> str:
    # what differs comes first: a narrow column shows no more
    return f"{' '.join(words)[:_NAME_LETTERS] or 'pipeline'} {datetime.now():%m-%d %H:%M}"


def _log_settings(run: str, settings: Mapping[str, Any]) -> None:
    """Log params.yaml on a pipeline's run, so that pipelines are told apart by what was set."""
    # `mlflow run` logs what it was given as it was written, and nothing may be logged twice
    known = mlflow.MlflowClient().get_run(run).data.params
    # neither pretraining nor serving is a part of the pipeline
    flat = _flatten({name: own for name, own in settings.items() if name not in ("pretrain", "serve")})
    StageRun(run, None).log_params({key: value for key, value in flat.items() if key not in known})


def _flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= _flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return flat
