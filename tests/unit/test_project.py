"""What is written down more than once in the project's own files is the same everywhere."""

import json
import os
import re
import shutil
import subprocess
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


def test_the_records_of_two_runs_are_never_mixed_and_one_is_taken_as_the_docs_say(tmp_path: Path) -> None:
    env = os.environ | {
        f"GIT_{who}_{what}": "x@y" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }

    def git(*words: str) -> int:
        return subprocess.run(["git", *words], cwd=tmp_path, env=env, capture_output=True).returncode

    def commit(changed: int) -> None:
        for name in files:
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            lines = path.read_text().splitlines() if path.exists() else ["a line"] * 40
            lines[changed] = f"line {changed}"
            path.write_text("\n".join([*lines, ""]))
        assert git("add", ".") == git("commit", "--message", "x") == 0

    files = ["dvc.lock", "data.dvc", "reports/metrics.json", "params.yaml"]
    shutil.copy(ROOT / ".gitattributes", tmp_path)
    git("init", "--initial-branch", "main")
    commit(0)
    git("checkout", "-b", "other")
    commit(35)
    git("checkout", "main")
    commit(5)
    ours = {name: (tmp_path / name).read_text() for name in files}
    assert git("merge", "other") == 1
    *records, settings = files
    assert {name: (tmp_path / name).read_text() for name in records} == {name: ours[name] for name in records}
    # what people write is merged by lines, as ever
    assert "line 5\n" in (tmp_path / settings).read_text()
    assert "line 35\n" in (tmp_path / settings).read_text()
    taken, *_ = re.findall(r"git checkout --ours (.*?) &&", (ROOT / "docs/team.md").read_text())
    for side in ("--theirs", "--ours"):
        assert git("checkout", side, *taken.split()) == 0
        assert ("line 5\n" in (tmp_path / "dvc.lock").read_text()) == (side == "--ours")
    git("checkout", "--ours", "data.dvc")
    assert git("add", *records) == git("commit", "--no-edit") == 0
