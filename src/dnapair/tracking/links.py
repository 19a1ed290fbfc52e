"""Links between runs: from a pipeline to the runs that made what lies in the workspace; and a run's page."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import mlflow
from mlflow.entities import RunInfo

from dnapair.storage.files import sha256
from dnapair.tracking.open_run import StageRun
from dnapair.tracking.store import all_experiments, newest_runs, store_address
from dnapair.tracking.tags import NOTE_TAG, OUTPUT_TAG, PARENT_TAG, STAGE_TAG, STAGES_TAG

_LINE_LETTERS = 300


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
        if not path.is_file():
            continue
        wrote_it = f"tags.`{STAGE_TAG}` = '{stage}' and tags.`{OUTPUT_TAG}` = '{sha256(path)}'"
        runs = newest_runs(experiments, f"{wrote_it} and attributes.status = 'FINISHED'", 10)
        if runs:
            # of the same output in two workspaces, this one's: others may use the same server
            run = next((run for run in runs if run.data.tags.get(PARENT_TAG) == parent), runs[0])
            links[stage] = str(run.info.run_id)
            did = run.data.tags.get(NOTE_TAG, "").partition("\n")[0]
            lines.append(f"- [{stage.replace('@', ' ')}]({_page(run.info)}): {did[:_LINE_LETTERS]}")
    # what came out stands first: pages show the beginning only
    note = "\n".join(
        [*reversed(lines), "", "These runs made what lies in the workspace, those of skipped stages too."]
    )
    StageRun(parent, None).set_tags({STAGES_TAG: json.dumps(links), NOTE_TAG: note})


def run_page(run_id: str) -> str:
    """Say where a run is looked at: its page on the server, or how to start one for the store."""
    page = _page(mlflow.MlflowClient().get_run(run_id).info)
    address = store_address().rstrip("/")
    if address.startswith("http"):
        return f"{address}/{page}"
    return f"`make server`, then http://127.0.0.1:{os.environ.get('MLFLOW_PORT', '5000')}/{page}"


def _page(info: RunInfo) -> str:
    """Return a run's page, from the root of MLflow's pages."""
    return f"#/experiments/{info.experiment_id}/runs/{info.run_id}"
