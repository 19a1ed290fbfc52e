"""The Dockerfile and compose.yaml: versions, what they let in, and what they refuse."""

import json
import re
import tomllib

from dnapair.registry import versions
from tests.images import ROOT, read_compose, read_stages

SECRETS = {"POSTGRES_PASSWORD": "a", "BUCKET_KEY_ID": "b", "BUCKET_SECRET_KEY": "c"}


def test_images_have_a_python_that_the_package_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    first, after = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", project["requires-python"]).groups()
    used = re.findall(r"^FROM python:3\.(\d+)-slim", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert used
    assert all(int(first) <= int(minor) < int(after) for minor in used)


def test_the_server_s_image_has_what_a_model_needs_in_the_versions_that_are_tested() -> None:
    (line,) = (line for line in read_stages()["serve"].run if "torch" in line)
    packages = line.removeprefix("pip install --constraint constraints.txt ").split()
    assert set(versions._SERVED_PACKAGES) <= set(packages)
    pinned = {pin.partition("==")[0].lower() for pin in (ROOT / "constraints.txt").read_text().split()}
    assert set(packages) <= pinned


def test_what_the_dockerfile_copies_is_let_into_the_build() -> None:
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert {name for stage in read_stages().values() for name in stage.copied} == let_in


def test_images_run_as_a_user_with_no_rights() -> None:
    stages = (ROOT / "Dockerfile").read_text().split("\nFROM base AS ")[1:]
    assert len(stages) == 2
    for stage in stages:
        assert stage.rindex("\nUSER 10001\n") > stage.rindex("\nRUN ")


def test_compose_has_no_passwords_of_its_own() -> None:
    for name in SECRETS:
        for secrets in (
            {key: value for key, value in SECRETS.items() if key != name},
            SECRETS | {name: ""},
        ):
            done = read_compose(secrets)
            assert done.returncode != 0
            assert f"required variable {name} is missing a value: docs/team.md says" in done.stderr


def test_compose_is_reached_from_this_machine_alone_and_pins_what_it_runs() -> None:
    done = read_compose(SECRETS)
    assert done.returncode == 0, done.stderr
    services = json.loads(done.stdout)["services"]
    assert set(services) == {"postgres", "bucket", "mlflow", "serve"}
    stages = read_stages()
    for name, service in services.items():
        assert {port["host_ip"] for port in service.get("ports", [])} <= {"127.0.0.1"}
        if "build" in service:
            stage = stages[service["build"]["target"]]
            # the port that is published is the one that the image's own check asks
            assert f":{service['ports'][0]['target']}/" in stage.health[-1], name
        else:
            assert re.search(r":\d+(\.\d+)?$", service["image"])
            assert "healthcheck" in service
    # what is published must listen beyond the container's own 127.0.0.1
    assert stages["mlflow"].environment["MLFLOW_HOST"] == "0.0.0.0"  # noqa: S104
    assert stages["serve"].command[-2:] == ["--host", "0.0.0.0"]  # noqa: S104
    # whom others wait for
    assert services["mlflow"]["depends_on"].keys() == {"postgres", "bucket"}


def test_compose_lets_in_the_names_that_are_set() -> None:
    for given, allowed in (({}, "127.0.0.1:*,localhost:*"), ("mlflow.lab.example", "mlflow.lab.example")):
        secrets = SECRETS | ({"MLFLOW_SERVER_ALLOWED_HOSTS": given} if given else {})
        services = json.loads(read_compose(secrets).stdout)["services"]
        assert services["mlflow"]["environment"]["MLFLOW_SERVER_ALLOWED_HOSTS"] == f"{allowed},mlflow:*"
