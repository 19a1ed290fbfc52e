"""What is asked of MLflow: by name, with values that JSON holds, so that another process may ask for it."""

import hashlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import LoggedModelOutput, Metric, Param, RunTag
from mlflow.models import Model
from mlflow.tracking.context.registry import resolve_tags

from dnapair.tracking.model_files import bring_model
from dnapair.tracking.open_run import Split
from dnapair.tracking.pipelines import find_pipeline, link_stages
from dnapair.tracking.processes import end_killed_runs, source_tags
from dnapair.tracking.raw_data import dataset_name, describe_data, log_dataset, log_split
from dnapair.tracking.store import TROUBLE, asking, select_experiment
from dnapair.tracking.system_metrics import PREFIX, end_measuring, measure
from dnapair.tracking.tags import OUTPUT_TAG, PARENT_TAG

_BATCH = 100
"""Params, metrics and tags that a request of MLflow's may hold in any store."""
_SHA256_LETTERS = 64


def call(do: str, values: Mapping[str, Any]) -> Any:
    """Do one of :data:`_CALLS`; return what it returns."""
    return _CALLS[do](**values)


def _store() -> str:
    # a hash: its address may hold a password
    return hashlib.sha256(mlflow.get_tracking_uri().encode()).hexdigest()


def _open(parent: str | None) -> str:
    with asking():
        return select_experiment(parent)


def _begin(
    experiment: str,
    name: str,
    tags: dict[str, str],
    process: str,
    parent: str | None,
    pipeline: str | None,
    time: int,
    ended: str | None = None,
) -> dict[str, str | None]:
    dataset = describe_data()
    with asking():
        end_killed_runs(experiment, ended)
        parent = parent or find_pipeline(experiment, pipeline, process)
        made_by = tags | source_tags(process) | ({PARENT_TAG: parent} if parent else {})
        client = mlflow.MlflowClient()
        run = str(client.create_run(experiment, time, resolve_tags(made_by), name).info.run_id)
        log_dataset(run, dataset)
        measure(run)
    return {"run": run, "parent": parent}


def _link(parent: str, outputs: dict[str, str], end: bool) -> None:
    # it is done anew at the end of each stage
    with suppress(*TROUBLE):
        link_stages(parent, {stage: Path(path) for stage, path in outputs.items()})
    if end:
        _end_pipeline(parent, "FINISHED")


def _end_pipeline(parent: str, status: str) -> None:
    with suppress(*TROUBLE):
        mlflow.MlflowClient().set_terminated(parent, status)


def _start(experiment: str, name: str, tags: dict[str, str], parent: str, time: int) -> str:
    made = mlflow.MlflowClient().create_run(experiment, time, resolve_tags(tags | {PARENT_TAG: parent}), name)
    return str(made.info.run_id)


def _log(
    run: str,
    metrics: dict[str, float],
    params: dict[str, str],
    tags: dict[str, str],
    step: int,
    time: int,
    split: dict[str, Any] | None = None,
    model: str | None = None,
) -> None:
    client = mlflow.MlflowClient()
    own = _of(split)
    model_id = _find_model(run, model) if model else None
    if model_id:
        own |= {"model_id": model_id, "run_id": run}
    numbers = [Metric(key, value, time, step, **own) for key, value in metrics.items()]
    settings = [Param(key, value) for key, value in params.items()]
    marks = [RunTag(key, value) for key, value in tags.items()]
    for start in range(0, max(len(numbers), len(settings), len(marks)), _BATCH):
        part = slice(start, start + _BATCH)
        client.log_batch(run, metrics=numbers[part], params=settings[part], tags=marks[part])


def _of(split: dict[str, Any] | None) -> dict[str, str]:
    """Return what a metric says of the pairs that it was measured on."""
    if split is None:
        return {}
    pairs = Split(**split)
    return {"dataset_name": dataset_name(pairs, describe_data()), "dataset_digest": pairs.digest}


def _find_model(run: str, model: str) -> str | None:
    """Return the id of a model, given by it or by the tag of the run that logged it; None if it is gone."""
    if len(model) != _SHA256_LETTERS:
        return model
    client = mlflow.MlflowClient()
    made_by = [client.get_run(run).info.experiment_id], f"tags.`{OUTPUT_TAG}` = '{model}'"
    for found in client.search_runs(*made_by, order_by=["attributes.start_time DESC"]):
        if found.outputs and found.outputs.model_outputs:
            return str(found.outputs.model_outputs[-1].model_id)
    return None


def _log_split(run: str, split: dict[str, Any]) -> None:
    log_split(run, Split(**split))


def _files(run: str, path: str, folder: str | None) -> None:
    client = mlflow.MlflowClient()
    (client.log_artifacts if Path(path).is_dir() else client.log_artifact)(run, path, folder)


def _make_model(run: str, name: str) -> str:
    client = mlflow.MlflowClient()
    found = client.get_run(run)
    made = client.create_logged_model(
        found.info.experiment_id, name, source_run_id=run, params=found.data.params
    )
    return str(made.model_id)


def _fill_model(run: str, path: str, model: str, val: dict[str, Any] | None) -> None:
    client = mlflow.MlflowClient()
    found, made = client.get_run(run), client.get_logged_model(model)
    client.log_outputs(run, [LoggedModelOutput(model, step=0)])
    # those of the model that are no epoch's, as MLflow's own log_model has them
    names = [name for name in found.data.metrics if not name.startswith(PREFIX)]
    logged = [one for name in names for one in client.get_metric_history(run, name)]
    own = {"model_id": model, "run_id": run}
    measured = own | _of(val)
    client.log_batch(
        run,
        metrics=[
            Metric(one.key, one.value, one.timestamp, 0, **measured if one.key.startswith("val_") else own)
            for one in logged
            if not one.step
        ],
    )
    description = Model.load(path)
    description.run_id, description.model_id, description.model_uuid = run, model, model
    description.artifact_path = made.artifact_location
    description.save(str(Path(path, "MLmodel")))
    client.log_model_artifacts(model, path)
    client.finalize_logged_model(model, "READY")


def _end(run: str, status: str, time: int, drop: str | None = None) -> None:
    end_measuring(run)
    client = mlflow.MlflowClient()
    client.set_terminated(run, status, time)
    if drop in client.get_run(run).data.tags:
        client.delete_tag(run, drop)


def _end_trial(run: str, experiment: str, tag: str, trial: str) -> None:
    client = mlflow.MlflowClient()
    left_open = f"tags.`{tag}` = '{trial}' and attributes.status = 'RUNNING'"
    for found in client.search_runs([experiment], left_open):
        search = found.data.tags[PARENT_TAG]
        # two may search by the same settings at once, each under a run of its own
        if search == run or client.get_run(search).info.status != "RUNNING":
            client.set_terminated(found.info.run_id, "KILLED")


_CALLS: dict[str, Callable[..., Any]] = {
    "store": _store,
    "open": _open,
    "begin": _begin,
    "bring model": bring_model,
    "link": _link,
    "end pipeline": _end_pipeline,
    "start": _start,
    "log": _log,
    "split": _log_split,
    "files": _files,
    "make model": _make_model,
    "fill model": _fill_model,
    "end": _end,
    "end trial": _end_trial,
}
