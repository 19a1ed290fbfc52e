"""Two members of a lab at once: one MLflow server on PostgreSQL and a bucket, one DVC remote."""

import json
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mlflow
import pytest
from mlflow.entities import Run

from dnapair.registry.history import read_history
from dnapair.registry.version_tags import REGISTRATION_TAG
from dnapair.stages import paths
from dnapair.storage.files import sha256
from dnapair.tracking.tags import OUTPUT_TAG, STAGE_TAG, STAGES_TAG
from tests.pipeline import backend
from tests.pipeline.conftest import Project

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]
FRAMEWORKS = ("torch", "tensorflow")
RAN = {"register"} | {
    f"{stage}@{framework}" for stage in ("train", "score", "evaluate") for framework in FRAMEWORKS
}
"""What other settings of training make stale, but the cross-validation: it has no folds, and so no run."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[backend.Backend]:
    programs = backend.postgres_programs()
    if programs is None:
        pytest.skip("PostgreSQL's server is not installed (Debian: apt install postgresql)")
    with backend.team(programs, tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture(scope="module")
def shared(finished: Project, lab: backend.Backend, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """What the members clone: a finished project, with the bucket as its DVC remote and the files in it."""
    shared = clone_of(finished, tmp_path_factory.mktemp("shared") / "project", lab)
    shared.run("dvc", "cache", "dir", "--local", str(finished.root / ".dvc" / "cache"))
    shared.run("dvc", "remote", "add", "-d", "lab", f"s3://{backend.BUCKET}/dvc")
    shared.set({"train.repeats": 1})
    shared.run("dvc", "push")
    shared.commit("The lab's bucket")
    return shared


def clone_of(project: Project, root: Path, lab: backend.Backend) -> Project:
    subprocess.run(["git", "clone", "-q", str(project.root), str(root)], check=True)
    clone = Project(root)
    clone.env |= lab.environment
    clone.run("git", "config", "user.name", root.name)
    clone.run("git", "config", "user.email", f"{root.name}@example.org")
    return clone


def at_once(projects: list[Project], *command: str) -> list[str]:
    """Run a command in all projects at the same time; give back what each printed."""
    with ThreadPoolExecutor(len(projects)) as pool:
        return list(pool.map(lambda project: project.run(*command), projects))


def files_of(project: Project) -> dict[str, str]:
    """Return the SHA-256 of everything the pipeline wrote and DVC keeps, by path."""
    return {
        str(path.relative_to(project.root)): sha256(path)
        for folder in ("artifacts", "reports")
        for path in sorted((project.root / folder).rglob("*"))
        # links to what this machine has are made anew
        if path.is_file() and path.suffix != ".lock" and paths.LOCATED.name not in path.parts
    }


def test_two_members_at_once(shared: Project, lab: backend.Backend, tmp_path: Path):
    members = [clone_of(shared, tmp_path / name, lab) for name in ("ada", "barbara")]
    at_once(members, "dvc", "pull")
    # the first epochs may be the best of both: uncalibrated, barbara's model is another one
    for member, settings in zip(members, ({"train.epochs": 2}, {"train.calibration": "none"}), strict=True):
        member.set(settings)
    printed = at_once(members, "dnapair", "run")
    for member in members:
        member.commit("Other settings")
    at_once(members, "dvc", "push")

    client = mlflow.MlflowClient(lab.tracking_uri)
    (experiment,) = [one for one in client.search_experiments() if one.name != "Default"]
    assert not client.search_runs(["0"])
    runs = client.search_runs([experiment.experiment_id])
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert len(runs) == len(members) * (1 + len(RAN))
    for member, text in zip(members, printed, strict=True):
        check_record(client, member, runs, lab.tracking_uri, text)
    check_registry(client, members)

    for member in members:
        clone = clone_of(member, tmp_path / f"clone-of-{member.root.name}", lab)
        clone.run("dvc", "pull")
        assert files_of(clone) == files_of(member)


def check_record(client: mlflow.MlflowClient, member: Project, runs: list[Run], uri: str, text: str) -> None:
    """All of the member's stages are under the run whose page was printed, with whole files."""
    page = text.splitlines()[-1].split()[-1]
    (parent,) = [run for run in runs if page.endswith(run.info.run_id)]
    assert page == f"{uri}/#/experiments/{parent.info.experiment_id}/runs/{parent.info.run_id}"
    mine = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    by_stage = {run.data.tags[STAGE_TAG]: run for run in mine}
    assert len(mine) == len(by_stage)
    assert set(by_stage) == RAN
    for stage, run in by_stage.items():
        assert run.data.tags[OUTPUT_TAG] == sha256(member.root / paths.IDENTITIES[stage])
        # crossvalidate writes the same for both
        if stage != "crossvalidate":
            assert json.loads(parent.data.tags[STAGES_TAG])[stage] == run.info.run_id
    for framework in FRAMEWORKS:
        run = by_stage[f"train@{framework}"]
        logged = Path(client.download_artifacts(run.info.run_id, "model_folder"))
        kept = member.root / paths.model_folder(framework)
        names = {path.name for path in kept.iterdir()}
        assert {path.name: sha256(path) for path in logged.iterdir()} == {
            name: sha256(kept / name) for name in names
        }


def check_registry(client: mlflow.MlflowClient, members: list[Project]) -> None:
    """Versions 1 and 2 are the members'; who came to the gate second was compared with who came first.

    Where both came between one's last look and its move, the later wins, as Lifecycle.decide says.
    """
    versions = sorted(client.search_model_versions("name = 'dnapair'"), key=lambda one: int(one.version))
    assert [int(version.version) for version in versions] == [1, 2]
    registrations = {sha256(member.root / paths.REGISTRATION) for member in members}
    assert {version.tags[REGISTRATION_TAG] for version in versions} == registrations
    first, second = read_history(client.get_registered_model("dnapair").tags)
    assert {first.after, second.after} == {"1", "2"}
    assert (first.what, first.before) == ("promote", "")
    assert "there is no champion yet" in first.why
    if second.what == "promote" and not second.before:
        assert "there is no champion yet" in second.why
        possible = {first.after, second.after}
    else:
        assert "against the champion" in second.why
        possible = {second.after if second.what == "promote" else first.after}
    assert str(client.get_model_version_by_alias("dnapair", "champion").version) in possible


def test_make_server_shows_this_folders_records_to_this_machine(finished: Project, tmp_path: Path):
    with backend.make_server(finished.root, {}, tmp_path / "server.log") as uri:
        client = mlflow.MlflowClient(uri)
        (run,) = client.search_runs(["1"], f"tags.`{STAGE_TAG}` = 'evaluate@torch'", max_results=1)
        query = f"path=reports/report.html&run_uuid={run.info.run_id}"
        with urllib.request.urlopen(f"{uri}/get-artifact?{query}") as page:
            assert b"<html" in page.read()
        # runs with and without the server go to the same place
        made = client.get_experiment(client.create_experiment("by the server"))
        assert Path(made.artifact_location).parent == finished.root / "mlruns"
        client.delete_experiment(made.experiment_id)
        # what listens on every address has this one too
        with pytest.raises(OSError, match=r"refused|timed out"):
            socket.create_connection(("127.0.0.2", int(uri.rsplit(":", 1)[1])), timeout=5)
