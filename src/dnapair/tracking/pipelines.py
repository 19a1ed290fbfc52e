"""The run of a whole pipeline, by `dnapair run`, `mlflow run` or a bare `dvc repro`; links to its stages."""

import json
import os
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import mlflow
import yaml
from mlflow.entities import Run, RunInfo

from dnapair.storage.files import sha256
from dnapair.tracking.open_run import StageRun
from dnapair.tracking.outbox import UNSENT, send_kept
from dnapair.tracking.processes import source_tags, this_process
from dnapair.tracking.raw_data import describe_data, log_dataset
from dnapair.tracking.store import (
    TROUBLE,
    all_experiments,
    asking,
    newest_runs,
    select_experiment,
    store_address,
)
from dnapair.tracking.tags import (
    NOTE_TAG,
    OUTPUT_TAG,
    PARENT_TAG,
    PIPELINE_TAG,
    PROCESS_TAG,
    SOURCE_TAG,
    STAGE_TAG,
    STAGES_TAG,
)

_NAME_LETTERS = 120
_LINE_LETTERS = 300
# MLflow's own, such as bold-shrew-123
_MADE_UP_NAME = re.compile(r"[a-z]+-[a-z]+-\d+")
_makers: dict[tuple[str, str, str], Run] = {}
"""By pipeline, stage and output, runs of this pipeline: all are linked anew at the end of each stage."""


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
            StageRun(given, None).set_tags(source_tags(this_process()))
            if _MADE_UP_NAME.fullmatch(client.get_run(given).info.run_name or ""):
                client.update_run(given, name=_name(words))
            active = mlflow.start_run(run_id=given)
        else:
            select_experiment()
            active = mlflow.start_run(run_name=_name(words), tags=source_tags(this_process()))
        parent = str(active.info.run_id)
        send_kept(UNSENT)
        _log_settings(parent, settings)
        log_dataset(parent, describe_data())
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


def find_pipeline(experiment: str, pipeline: str | None, process: str) -> str | None:
    """Return the run of the `dvc repro` that started a stage; None for a stage that was started by hand.

    That of a bare `dvc repro` is made by the first of its stages.

    Parameters
    ----------
    experiment
        Where it is.
    pipeline
        The process of `dvc`, by :func:`dnapair.tracking.processes.name_process`; None if there is none.
    process
        The stage's, by :func:`dnapair.tracking.processes.this_process`.
    """
    if pipeline is None:
        return None
    client = mlflow.MlflowClient()
    found = client.search_runs([experiment], f"tags.`{PIPELINE_TAG}` = '{pipeline}'", max_results=1)
    if found:
        return str(found[0].info.run_id)
    tags = {PIPELINE_TAG: pipeline, SOURCE_TAG: "dvc", **source_tags(process)}
    run = str(client.create_run(experiment, run_name=_name([]), tags=tags).info.run_id)
    _log_settings(run, yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8")))
    return run


def link_stages(parent: str, identities: Mapping[str, Path]) -> None:
    """Tag the parent with the run that made each output in the workspace, run now or earlier.

    Parameters
    ----------
    parent
        The pipeline's run.
    identities
        For every stage the file that stands for its outputs; missing files are passed over.
    """
    experiments = all_experiments()
    links = {}
    lines = []
    for stage, path in identities.items():
        run = _find_maker(experiments, parent, stage, sha256(path)) if path.is_file() else None
        if run is not None:
            links[stage] = str(run.info.run_id)
            did = run.data.tags.get(NOTE_TAG, "").partition("\n")[0]
            shown = textwrap.shorten(did, _LINE_LETTERS, placeholder=" ...")
            lines.append(f"- [{stage.replace('@', ' ')}]({_page(run.info)}): {shown}")
    # what came out stands first: pages show the beginning only
    note = "\n".join(
        [*reversed(lines), "", "These runs made what lies in the workspace, those of skipped stages too."]
    )
    StageRun(parent, None).set_tags({STAGES_TAG: json.dumps(links), NOTE_TAG: note})


def _find_maker(experiments: Sequence[str], parent: str, stage: str, output: str) -> Run | None:
    """Return the newest run of a stage that made an output; of several, this pipeline's own."""
    made = parent, stage, output
    if made not in _makers:
        wrote_it = f"tags.`{STAGE_TAG}` = '{stage}' and tags.`{OUTPUT_TAG}` = '{output}'"
        runs = newest_runs(experiments, f"{wrote_it} and attributes.status = 'FINISHED'", 10)
        # of the same output in two workspaces, this one's: others may use the same server
        own = next((run for run in runs if run.data.tags.get(PARENT_TAG) == parent), None)
        if own is None:
            return runs[0] if runs else None
        _makers[made] = own
    return _makers[made]


def run_page(run_id: str) -> str:
    """Say where a run is looked at: its page on the server, or how to start one for the store."""
    page = _page(mlflow.MlflowClient().get_run(run_id).info)
    address = store_address().rstrip("/")
    if address.startswith("http"):
        return f"{address}/{page}"
    return f"`make server`, then http://127.0.0.1:{os.environ.get('MLFLOW_PORT', '5000')}/{page}"


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


def _page(info: RunInfo) -> str:
    """Return a run's page, from the root of MLflow's pages."""
    return f"#/experiments/{info.experiment_id}/runs/{info.run_id}"
