"""Stages that record through another process, which loads MLflow for them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import mlflow
import psutil
import pytest

from dnapair.tracking.tags import OUTPUT_TAG, PARENT_TAG
from tests.waiting import PATIENCE, wait_for

# MLflow uses what SQLAlchemy is about to drop
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")]

STAGE = """
import json, os, sys
from pathlib import Path
import psutil
from dnapair import cli, tracking
from dnapair.errors import DnapairError

def work():
    name = sys.argv[1]
    output = Path(f"{name}.txt")
    with tracking.stage_run(name, {"train.epochs": 3}, {name: output}) as run:
        if "refused" in sys.argv:
            while True:
                os.sched_yield()
        run.log_metrics({"loss": 0.5}, step=1)
        if "kill" in sys.argv:
            print(run.run_id)
            children = psutil.Process().children()
            (recorder,) = [one for one in children if "dnapair.tracking.recorder" in one.cmdline()]
            recorder.kill()
            recorder.wait()
        with tracking.trial_run(run, "study", 1, {"seed": 2}, "repeat") as below:
            below.log_metrics({"loss": 0.25})
        output.write_text("x")
        run.log_file(output, "outputs")
        run.describe("It is done.")
    print(json.dumps([run.run_id, sorted({"mlflow", "pandas", "sqlalchemy"} & set(sys.modules))]))

cli.app = work
cli.main()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db").search_experiments()
    (tmp_path / "stage.py").write_text(STAGE)
    return tmp_path


def start(folder: Path, *words: str, **environment: str) -> subprocess.Popen:
    dropped = {name for name in os.environ if name.startswith(("MLFLOW_", "DNAPAIR_"))}
    return subprocess.Popen(
        [sys.executable, "stage.py", *words],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name not in dropped} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended_well(process: subprocess.Popen) -> str:
    said, trouble = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, trouble
    return said


def recorders() -> set[int]:
    found = set()
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "dnapair.tracking.recorder" in words:
            found.add(process.pid)
    return found


def check_record(folder: Path, run_id: str, stage: str) -> None:
    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    run = client.get_run(run_id)
    assert (run.info.run_name, run.info.status) == (stage, "FINISHED")
    assert run.data.params == {"train.epochs": "3"}
    assert run.data.metrics == {"loss": 0.5}
    assert run.data.tags["mlflow.note.content"] == "It is done."
    assert len(run.data.tags[OUTPUT_TAG]) == 64
    assert client.list_artifacts(run_id, "outputs")[0].path == f"outputs/{stage}.txt"
    (below,) = client.search_runs([run.info.experiment_id], f"tags.`{PARENT_TAG}` = '{run_id}'")
    assert (below.info.run_name, below.data.metrics) == ("repeat 1", {"loss": 0.25})
    assert below.info.status == "FINISHED"


def test_a_stage_records_without_mlflow_in_its_process_and_leaves_none_behind(folder: Path) -> None:
    before = recorders()
    run_id, imported = json.loads(ended_well(start(folder, "embed")))
    assert imported == []
    check_record(folder, run_id, "embed")
    wait_for(lambda: recorders() <= before, every=0.1)


def test_a_recorder_that_is_killed_loses_nothing(folder: Path) -> None:
    run_id = json.loads(ended_well(start(folder, "embed", "kill")).splitlines()[-1])[0]
    check_record(folder, run_id, "embed")


def test_work_stops_where_the_store_does_not_answer(folder: Path) -> None:
    process = start(
        folder,
        "embed",
        "refused",
        MLFLOW_TRACKING_URI="http://ada:secret@127.0.0.1:9",
        MLFLOW_HTTP_REQUEST_MAX_RETRIES="0",
    )
    said, trouble = process.communicate(timeout=PATIENCE)
    assert (process.returncode, said) == (1, "")
    assert trouble.startswith("dnapair: The MLflow tracking store http://127.0.0.1:9 does not answer")
    assert "secret" not in trouble
    assert "Traceback" not in trouble
    assert not (folder / "embed.txt").exists()


def test_stages_of_one_dvc_share_one_recorder_that_ends_with_it(folder: Path) -> None:
    # a process that is called as `dvc` is, and starts what it is given
    dvc = folder / "dvc"
    dvc.write_text(
        "import subprocess, sys, psutil, json\n"
        "ahead = ['-c', 'from dnapair import tracking; tracking.load_ahead()']\n"
        "for words in (ahead, ['stage.py', 'embed'], ['stage.py', 'scale']):\n"
        "    subprocess.run([sys.executable, *words], check=True)\n"
        "    print(json.dumps(sorted(p.pid for p in psutil.process_iter(['cmdline', 'environ']) if "
        "'dnapair.tracking.recorder' in (p.info['cmdline'] or []) and "
        "(p.info['environ'] or {}).get('PWD_OF_TEST') == sys.argv[1])), flush=True)\n"
    )
    shutil.copy(Path(__file__).parents[3] / "params.yaml", folder)
    dropped = ("MLFLOW_", "DNAPAIR_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    said = subprocess.run(
        [sys.executable, "dvc", str(folder)],
        cwd=folder,
        env=environment | {"PWD_OF_TEST": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    begun, first, used, second, used_again = map(json.loads, said.splitlines())
    # a stage that records nothing has it begin
    assert begun == used == used_again
    (recorder,) = used
    wait_for(lambda: not psutil.pid_exists(recorder), every=0.1)
    for (run_id, _), stage in ((first, "embed"), (second, "scale")):
        check_record(folder, run_id, stage)
    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    parents = {client.get_run(run_id).data.tags[PARENT_TAG] for run_id, _ in (first, second)}
    assert len(parents) == 1
    pipeline = client.get_run(parents.pop())
    assert pipeline.info.status == "FINISHED"
    assert json.loads(pipeline.data.tags["dnapair.stages"]) == {"scale": second[0]}
