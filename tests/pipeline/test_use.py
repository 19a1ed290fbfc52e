"""`dnapair use`: from the demo to data of one's own, to others, and back, in one command each."""

import shutil
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from tests.pipeline.conftest import Project, copy_project, write_small_data

# MLflow itself runs in these tests: what it warns of in its own code is not ours to mend
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]
BUNDLED = "datasets/small"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = copy_project(tmp_path_factory.mktemp("use") / "project")
    write_small_data(project.root / BUNDLED)
    project.commit("Small data")
    project.run("dnapair", "use", BUNDLED)
    project.commit("They are used")
    return project


@pytest.fixture(autouse=True)
def unchanged(project: Project) -> Iterator[None]:
    """Each test begins with the bundled data, as they are committed."""
    yield
    project.run("git", "checkout", "-q", ".")
    project.run("git", "clean", "-fdq")
    project.run("dvc", "checkout", "--force", "data.dvc")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "my pairs.csv"
    endings = ["".join(letters) for letters in product("ACGT", repeat=3)]
    pairs = [f"ACGTACGT{end},ACGTTTTT{end},{place % 2}" for place, end in enumerate(endings)]
    path.write_text("\n".join(["seq1,seq2,label", *pairs]) + "\n")
    return path


def test_a_folder_a_file_and_back_leave_nothing_changed(project: Project, table: Path):
    data = project.root / "data"
    printed = project.run("dnapair", "use", str(table.parent), "--split.method", "random")
    assert f"The way back: dnapair use {BUNDLED}" in printed
    assert "split.method: random" in printed
    assert [path.name for path in data.iterdir()] == [table.name]
    project.run("dnapair", "use", str(table))
    assert data.read_text() == table.read_text()
    project.run("dnapair", "prepare")
    assert "split.groups: [genome1, genome2]" in project.run("dnapair", "use", BUNDLED)
    # comments and order of params.yaml too; what prepare wrote is new
    assert project.run("git", "diff", "--name-only") == ""
    assert (data / "pairs.csv").read_bytes() == (project.root / BUNDLED / "pairs.csv").read_bytes()


def test_a_dry_run_tells_all_and_changes_nothing(project: Project, table: Path):
    told = project.run("dnapair", "use", str(table), "--dry-run")
    assert project.run("git", "status", "--porcelain") == ""
    assert (project.root / "data" / "pairs.csv").is_file()
    done = project.run("dnapair", "use", str(table))
    assert told.partition("\n\nThis is what")[0] == done.partition("\n\nIt is a copy")[0]
    assert "split.method: grouped (was predefined)" in told


def test_settings_for_the_same_data_stay_and_those_for_others_go(project: Project, table: Path):
    table.write_text(table.read_text().replace("seq1,seq2,label", "one,two,bound"))
    project.run("dnapair", "use", str(table), "--data.columns.seq1", "two", "--data.columns.seq2", "one")
    assert "label: bound" in (project.root / "params.yaml").read_text()
    again = project.run("dnapair", "use", str(table))
    assert "params.yaml" not in again
    assert "seq1: two" in (project.root / "params.yaml").read_text()
    project.run("dnapair", "prepare")
    project.run("dnapair", "use", BUNDLED)
    assert project.run("git", "diff", "--name-only") == ""


def test_data_in_git_are_followed_and_others_are_copied(project: Project, table: Path):
    own = project.root / BUNDLED / "pairs.csv"
    lines = own.read_text().splitlines(keepends=True)
    own.write_text("".join(lines[:-1]))
    project.run("dvc", "repro", "data.dvc")
    assert (project.root / "data" / "pairs.csv").read_text() == "".join(lines[:-1])
    project.run("git", "checkout", "-q", ".")
    project.run("dvc", "checkout", "--force", "data.dvc")

    assert "the same command brings it anew" in project.run("dnapair", "use", str(table))
    before = table.read_text()
    table.write_text(before + "ACGTTTTTAC,ACGTACGTAC,1\n")
    project.run("dvc", "repro", "data.dvc")
    assert (project.root / "data").read_text() == before
    project.run("dnapair", "use", str(table))
    assert (project.root / "data").read_text() == table.read_text()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["nothing/there"], "nothing/there is not there"),
        (
            ["data"],
            f"DVC keeps its copy of the data. Name the place that the data come from: {BUNDLED}",
        ),
        ([".."], "holds this project itself"),
        (["http://127.0.0.1:9/pairs.csv"], "failed: the reason stands above"),
        ([], "Missing argument"),
        (["one", "two"], "Name one folder, file or address"),
        (["TABLE", "--split.method", "magic"], "split.method"),
        (["TABLE", "--split.madness", "1"], "params.yaml has no such setting"),
        (["TABLE", "--split.method"], "--split.method needs a value"),
        (["TABLE", "--data.columns.label", "seq1"], "must be three columns"),
        (["TABLE", "--split.method", "predefined", "--split.column", "fold"], "there is no column 'fold'"),
    ],
)
def test_what_cannot_be_used_leaves_all_as_it_was(
    project: Project, table: Path, words: list[str], reason: str
):
    given = [str(table) if word == "TABLE" else word for word in words]
    printed = project.run("dnapair", "use", *given, fails=True)
    assert reason in printed
    assert "Traceback" not in printed
    assert project.run("git", "status", "--porcelain") == ""
    assert (project.root / "data" / "pairs.csv").is_file()


def remedy(printed: str) -> list[str]:
    """The command that a message ends with."""
    return printed.strip().rsplit(": ", 1)[1].split()


def test_changes_in_data_are_not_lost_and_the_remedy_works(project: Project, table: Path):
    changed = project.root / "data" / "pairs.csv"
    # a link to DVC's cache, on some file systems
    text = changed.read_text()
    changed.unlink()
    changed.write_text(text + "mine\n")
    printed = project.run("dnapair", "use", str(table), fails=True)
    assert changed.read_text().endswith("mine\n")
    project.run(*remedy(printed))
    project.run("dnapair", "use", str(table))


def test_what_dvc_does_not_keep_is_not_lost_and_the_remedy_works(project: Project, table: Path):
    cache = project.root / ".dvc" / "cache"
    cache.rename(cache.with_name("elsewhere"))
    try:
        printed = project.run("dnapair", "use", str(table), fails=True)
        assert "cache does not have" in printed
        project.run(*remedy(printed))
        project.run("dnapair", "use", str(table))
    finally:
        shutil.copytree(cache.with_name("elsewhere"), cache, dirs_exist_ok=True)


def test_data_that_dvc_does_not_know_are_not_lost_and_the_remedy_works(project: Project, table: Path):
    pointer = project.root / "data.dvc"
    pointer.unlink()
    printed = project.run("dnapair", "use", str(table), fails=True)
    assert "mv data mydata" in printed
    project.run("mv", "data", "mydata")
    project.run("dnapair", "use", "mydata")
    assert (project.root / "data" / "pairs.csv").is_file()
    shutil.rmtree(project.root / "mydata")


def test_a_command_that_was_killed_is_typed_again(project: Project, table: Path):
    # all that it takes away before DVC brings the new data
    shutil.rmtree(project.root / "data")
    project.run("dnapair", "use", str(table))
    assert (project.root / "data").is_file()


@pytest.mark.soak
def test_results_and_the_champion_come_back_with_their_data(finished: Project, tmp_path: Path):
    """The bundled data's model has the same weights, and is champion again."""
    own = tmp_path / "own"
    write_small_data(own)
    pairs = pd.read_csv(own / "pairs.csv")
    # the contrary question: neither model is any good at the other's
    pairs.assign(label=1 - pairs["label"]).to_csv(own / "pairs.csv", index=False)
    mlflow.set_tracking_uri(finished.tracking_uri)

    def champion() -> str:
        return str(mlflow.MlflowClient().get_model_version_by_alias("dnapair", "champion").version)

    first = champion()
    weights = finished.root / "artifacts/models/torch/weights.safetensors"
    before = weights.read_bytes()
    finished.run("dnapair", "use", str(own))
    finished.run("dvc", "repro")
    assert weights.read_bytes() != before
    assert champion() != first

    finished.run("dnapair", "use", BUNDLED)
    finished.run("dvc", "repro")
    assert weights.read_bytes() == before
    assert champion() == first
    # the gate's words on it are new
    changed = finished.run("git", "status", "--porcelain").split()[1::2]
    assert set(changed) <= {"dvc.lock", "reports/registration.json"}
    finished.run("git", "checkout", "-q", ".")
    finished.run("dvc", "checkout", "--force")
