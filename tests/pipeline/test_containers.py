"""The champion in containers: the image that MLflow makes, those of the Dockerfile; and its folder alone.

No engine is needed but for the last test: environments are made of what the images install, and their
commands run in these without network, project and root.
"""

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml

from tests.images import ROOT, Stage, read_compose, read_stages
from tests.pipeline import backend
from tests.pipeline.conftest import Project
from tests.pipeline.container import Container, make_environment, skip_where_none_can_be
from tests.pipeline.test_serving import MODEL, predictions, raw_pairs
from tests.waiting import reserved_port, wait_for

# MLflow itself runs in these tests: what it warns of in its own code is not ours to mend
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

ELSEWHERE = """
import mlflow, pandas, sys
pairs = pandas.read_csv("/pairs/pairs.csv")
print(mlflow.pyfunc.load_model(sys.argv[1]).predict(pairs)["probability"].tolist())
"""
INSTALLED = """
import dnapair, pandas, sys
print(dnapair.load_model(sys.argv[1]).score(pandas.read_csv("/pairs/pairs.csv"))["probability"].tolist())
"""


def request(port: int) -> str:
    """Return the README's request, for a server at another port."""
    command = re.search(r"^curl -s .*?\}'$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)[0]
    return command.replace("127.0.0.1:5001", f"127.0.0.1:{port}")


@pytest.fixture(scope="module")
def taken(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The champion's folder, as it is taken away."""
    folder = tmp_path_factory.mktemp("taken") / "model"
    finished.run("dnapair", "export", "--format", "model", "--output", str(folder))
    return folder


@pytest.fixture(scope="module")
def pairs(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the test pairs in pairs.csv."""
    # pytest's own folders are root's alone
    folder = tmp_path_factory.mktemp("pairs") / "open"
    folder.mkdir()
    raw_pairs(finished, "test").to_csv(folder / "pairs.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def readme_score(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> float:
    """What dnapair says of the pair in the README's request."""
    folder = tmp_path_factory.mktemp("readme")
    (record,) = json.loads(re.search(r"'(\{.*\})'", request(5001), re.DOTALL)[1]).values()
    pd.DataFrame(record).to_csv(folder / "pair.csv", index=False)
    finished.run("dnapair", "predict", str(folder / "pair.csv"), "--output", str(folder / "scored.csv"))
    return float(pd.read_csv(folder / "scored.csv")["probability"][0])


@pytest.fixture(scope="module")
def of_the_model(taken: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment of what a model says it needs, and of what MLflow's image adds."""
    skip_where_none_can_be()
    tools = yaml.safe_load((taken / "python_env.yaml").read_text())["build_dependencies"]
    needs = [*tools, "--requirement", taken / "requirements.txt", "gunicorn[gevent]"]
    return make_environment(tmp_path_factory.mktemp("model") / "environment", needs, cwd=taken)


def test_the_image_that_mlflow_makes_of_the_champion_answers_the_readmes_request(
    finished: Project, of_the_model: Path, readme_score: float, tmp_path: Path
):
    image = tmp_path / "image"
    finished.run("mlflow", "models", "generate-dockerfile", "-m", MODEL, "-d", str(image))
    stage = (image / "Dockerfile").read_text()
    # what the environment was made by
    assert "from mlflow.models import container as C; C._install_pyfunc_deps('/opt/ml/model'" in stage
    assert "COPY model_dir /opt/ml/model" in stage
    entrypoint = json.loads(re.search(r"^ENTRYPOINT (.*)$", stage, re.MULTILINE)[1])
    document = (ROOT / "docs/serving.md").read_text()
    told = re.search(r"^docker run --user.*?dnapair-mlflow$", document, re.MULTILINE | re.DOTALL)
    options = shlex.split(told[0].replace("\\\n", ""))
    variables = dict(after.split("=") for word, after in pairwise(options) if word == "-e")
    variables |= {"MLFLOW_DISABLE_ENV_CREATION": "True"}
    mounts = {image / "model_dir": "/opt/ml/model"}
    container = Container(tmp_path, of_the_model, mounts, variables)
    (port,) = {word.rpartition(":")[2] for word in options if word.startswith("127.0.0.1:")}
    with container.started(*entrypoint, ready=["curl", "-sf", f"http://127.0.0.1:{port}/ping"]) as server:
        answer = container.run(server, "bash", "-c", request(int(port)))
        (scored,) = json.loads(answer.stdout)["predictions"]
        assert scored["probability"] == pytest.approx(readme_score, abs=1e-6)
        assert container.run(server, "id", "-u").stdout == "65534\n"
        assert container.run(server, "curl", "-s", "https://pypi.org").returncode != 0


def test_a_model_that_was_taken_away_scores_by_mlflow_and_its_requirements_alone(
    finished: Project, of_the_model: Path, taken: Path, pairs: Path, tmp_path: Path
):
    mounts = {taken: "/model", pairs: "/pairs"}
    done = Container(tmp_path, of_the_model, mounts, {}).alone("python", "-c", ELSEWHERE, "/model")
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(json.loads(done.stdout), predictions(finished), atol=1e-4)


def installed(stage: Stage, folder: Path) -> Path:
    """Make the environment of a stage, by its lines and from the files that it copies."""
    skip_where_none_can_be()
    context = folder / "context"
    context.mkdir()
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in stage.copied:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, context / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, context / name)
    installs = [shlex.split(line)[2:] for line in stage.run if line.startswith("pip install ")]
    return make_environment(folder / "environment", *installs, cwd=context)


@pytest.fixture(scope="module")
def of_serve(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(read_stages()["serve"], tmp_path_factory.mktemp("serve"))


def test_the_image_serves_a_folder_that_is_mounted(
    of_serve: Path, taken: Path, pairs: Path, readme_score: float, finished: Project, tmp_path: Path
):
    stage = read_stages()["serve"]
    assert stage.environment["DNAPAIR_MODEL"] == "/model"
    container = Container(tmp_path, of_serve, {taken: "/model", pairs: "/pairs"}, stage.environment)
    with container.started(*stage.command, "--max-pairs", "1", ready=stage.health) as server:
        answer = container.run(server, "bash", "-c", request(5001))
        (scored,) = json.loads(answer.stdout)["predictions"]
        assert scored["probability"] == pytest.approx(readme_score, abs=1e-6)
        limits = json.loads(container.run(server, "curl", "-s", "http://127.0.0.1:5001/metadata").stdout)
        assert limits["limits"]["max_pairs"] == 1
    done = container.alone("python", "-c", INSTALLED, "/model")
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(json.loads(done.stdout), predictions(finished), atol=1e-4)
    done = container.alone("dnapair", "predict", "/pairs/pairs.csv", "--output", "/tmp/scored.csv")  # noqa: S108
    assert done.returncode == 0, done.stderr
    scored = pd.read_csv(tmp_path / "tmp" / "scored.csv")
    np.testing.assert_allclose(scored["probability"], predictions(finished), atol=1e-4)


def test_the_image_says_what_to_mount(of_serve: Path, tmp_path: Path):
    stage = read_stages()["serve"]
    container = Container(tmp_path, of_serve, {}, stage.environment)
    done = container.alone(*stage.command)
    assert done.returncode == 1
    assert "dnapair: There is no model in the folder /model. " in done.stderr
    # nothing listens any more, and the image's own check says so
    assert container.alone(*stage.health).returncode != 0


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    programs = backend.postgres_programs()
    if programs is None:
        pytest.skip("PostgreSQL's server is not installed (Debian: apt install postgresql)")
    with backend.postgres(programs) as database, backend.bucket(tmp_path) as keys:
        yield database, keys


def test_the_lab_s_mlflow_keeps_records_and_files_where_compose_says(
    lab: tuple[str, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    database, keys = lab
    stage = read_stages()["mlflow"]
    environment = installed(stage, tmp_path)
    secrets = {
        "POSTGRES_PASSWORD": re.search(r":(\w+)@", database)[1],
        "BUCKET_KEY_ID": keys["AWS_ACCESS_KEY_ID"],
        "BUCKET_SECRET_KEY": keys["AWS_SECRET_ACCESS_KEY"],
    }
    services = json.loads(read_compose(secrets).stdout)["services"]
    # where the names of services lead to, and the database that there is
    moved = {
        "@postgres:5432/mlflow": f"@{database.rpartition('@')[2]}",
        services["mlflow"]["environment"]["AWS_ENDPOINT_URL"]: keys["AWS_ENDPOINT_URL"],
    }
    variables = stage.environment | services["mlflow"]["environment"]
    for there, here in moved.items():
        variables = {name: value.replace(there, here) for name, value in variables.items()}
    variables["HOME"] = str(tmp_path)
    with reserved_port() as port:
        uri = f"http://127.0.0.1:{port}"
        # only this machine is to reach a test's
        variables |= {
            "MLFLOW_HOST": "127.0.0.1",
            "MLFLOW_PORT": str(port),
            "PATH": f"{environment / 'bin'}:/usr/bin:/bin",
        }
        command = [str(environment / "bin" / stage.command[0]), *stage.command[1:]]
        ready = [word.replace("127.0.0.1:5000", f"127.0.0.1:{port}") for word in stage.health]

        def healthy() -> None:
            if subprocess.run(ready, env=variables, capture_output=True, check=False).returncode:
                raise OSError

        with backend.started(command, healthy, tmp_path / "log", cwd=tmp_path, env=variables):
            monkeypatch.chdir(tmp_path)
            mlflow.set_tracking_uri(uri)
            with mlflow.start_run() as run:
                mlflow.log_metric("test/pr_auc", 0.9)
                mlflow.log_text("kept", "note.txt")
            assert mlflow.get_run(run.info.run_id).data.metrics == {"test/pr_auc": 0.9}
            assert mlflow.artifacts.load_text(f"{run.info.artifact_uri}/note.txt") == "kept"
            answer = subprocess.run(
                ["curl", "-s", "-H", "Host: evil.example", f"{uri}/api/2.0/mlflow/experiments/search"],
                capture_output=True,
                text=True,
                check=True,
            )
            assert "Invalid Host header" in answer.stdout
    import boto3

    names = {"aws_access_key_id": "AWS_ACCESS_KEY_ID", "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY"}
    options = {option: keys[name] for option, name in names.items()}
    client = boto3.client("s3", endpoint_url=keys["AWS_ENDPOINT_URL"], **options)
    files = [file["Key"] for file in client.list_objects_v2(Bucket=backend.BUCKET)["Contents"]]
    assert [name for name in files if name.startswith("mlflow/") and name.endswith("note.txt")]


def output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("target", ["serve", "mlflow"])
def test_an_engine_builds_the_image(target: str, taken: Path, readme_score: float):
    if shutil.which("docker") is None:
        pytest.skip("there is no docker")
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        pytest.skip("no engine answers docker")
    name = f"dnapair-test-{target}"
    subprocess.run(["docker", "build", "--target", target, "--tag", name, ROOT], check=True)
    try:
        if target == "mlflow":
            subprocess.run(["docker", "run", "--rm", name, "mlflow", "--version"], check=True)
            return
        options = ["--volume", f"{taken}:/model:ro", "--publish", "127.0.0.1::5001"]
        container = output("docker", "run", "--rm", "--detach", *options, name)
        try:
            port = int(output("docker", "port", container, "5001").rpartition(":")[2])
            ping = ["curl", "-sf", f"127.0.0.1:{port}/ping"]
            wait_for(lambda: subprocess.run(ping, check=False).returncode == 0, every=0.5)
            (scored,) = json.loads(output("bash", "-c", request(port)))["predictions"]
            assert scored["probability"] == pytest.approx(readme_score, abs=1e-4)
        finally:
            subprocess.run(["docker", "stop", container], check=True)
    finally:
        subprocess.run(["docker", "image", "rm", name], check=True)
