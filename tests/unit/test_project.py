"""What is written down more than once in the project's own files is the same everywhere."""

import json
import re
import tomllib
from pathlib import Path

import yaml

import dnapair

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_version_is_the_packages() -> None:
    assert PROJECT["version"] == dnapair.__version__
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == dnapair.__version__


def test_hooks_lint_with_the_versions_that_ci_lints_with() -> None:
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    needed = {one for hook in repository["hooks"] for one in hook["additional_dependencies"]}
    assert needed
    assert needed <= set(PROJECT["optional-dependencies"]["dev"])


def test_workflows_try_the_pythons_that_the_package_names() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    first, after = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", PROJECT["requires-python"]).groups()
    named = [f"3.{minor}" for minor in range(int(first), int(after))]
    assert jobs["check"]["strategy"]["matrix"]["python"] == named
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    assert container["image"].rpartition(":")[2] in named
