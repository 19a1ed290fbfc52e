"""The command line as a user meets it, in processes of its own."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import dnapair as dnapair_package
from dnapair import cli

ROOT = Path(__file__).parents[2]
HEAVY = {
    "torch",
    "tensorflow",
    "keras",
    "mlflow",
    "transformers",
    "great_expectations",
    "pandas",
    "sklearn",
    "dvc",
}


def dnapair(*arguments: str, cwd: Path, **env: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "dnapair", *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "PYTHONWARNINGS": "ignore"} | env,
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_imports_nothing_heavy():
    code = f"import sys, dnapair.cli; print(sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_names_every_verb(tmp_path: Path):
    done = dnapair("--help", cwd=tmp_path)
    assert done.returncode == 0
    verbs = [command.callback.__name__ for command in cli.app.registered_commands]
    verbs += [group.name for group in cli.app.registered_groups]
    assert len(verbs) == 26
    assert [verb for verb in verbs if f" {verb.replace('_', '-')} " not in done.stdout] == []


def test_the_version_is_that_of_the_package(tmp_path: Path):
    assert dnapair("--version", cwd=tmp_path).stdout == f"dnapair {dnapair_package.__version__}\n"


def test_users_mistake_is_one_message_without_a_traceback(tmp_path: Path):
    done = dnapair("scale", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("dnapair: params.yaml is not here.")
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_stage_before_its_time_says_what_to_run_first(tmp_path: Path):
    done = dnapair("export", cwd=tmp_path)
    assert done.returncode == 1
    assert "dvc repro scale" in done.stderr


@pytest.mark.parametrize("given", [[], ["--seq1", "ACGT"], ["pairs.csv", "--seq1", "ACGT", "--seq2", "ACGT"]])
def test_explain_takes_a_table_or_two_sequences(given: list[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", ["dnapair", "explain", *given])
    with pytest.raises(SystemExit, match="either a table, or both --seq1 and --seq2"):
        cli.main()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["prepre"], "There is no stage prepre. Did you mean prepare? There are: locate, prepare, "),
        (
            ["--train.epoch", "3"],
            "--train.epoch: params.yaml has no such setting. Did you mean train.epochs?",
        ),
    ],
)
def test_a_name_that_is_nearly_right_is_asked_for(words: list[str], said: str, tmp_path: Path):
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    done = dnapair("run", *words, cwd=tmp_path)
    assert done.returncode == 1
    assert said in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"params.yaml", "dvc.yaml"}


def test_a_pipeline_that_is_elsewhere_is_said(tmp_path: Path):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    done = dnapair("run", "prepare", cwd=tmp_path)
    assert done.stderr.startswith("dnapair: dvc.yaml is not here.")


def test_wrong_framework_is_refused(tmp_path: Path):
    done = dnapair("train", "jax", cwd=tmp_path)
    assert done.returncode == 2
    assert "torch" in done.stderr


def test_broken_code_is_not_hidden_as_a_users_mistake(monkeypatch: pytest.MonkeyPatch):
    def broken() -> None:
        raise OSError(errno.EBADF, "bad file descriptor")

    monkeypatch.setattr(cli, "app", broken)
    with pytest.raises(OSError, match="bad file descriptor"):
        cli.main()


def test_full_disk_is_one_message(monkeypatch: pytest.MonkeyPatch):
    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "artifacts/x.npy")

    monkeypatch.setattr(cli, "app", full)
    with pytest.raises(
        SystemExit, match=r"No space left on device \(artifacts/x.npy\).*run the same command again"
    ):
        cli.main()


def test_make_pairs_writes_a_data_set_and_refuses_to_write_over_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    rng = np.random.default_rng(1)
    genes = (f">{gene} genome={gene % 9}\n{''.join(rng.choice(list('ACGT'), 40))}\n" for gene in range(9 * 8))
    (tmp_path / "genes.fa").write_text("".join(genes))
    options = "--output made --pairs 20 --length 40 --gc-matched 0 --val 0.3 --test 0.3"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["dnapair", "make-pairs", "genes.fa", *options.split()])
    with pytest.raises(SystemExit, match=r"^0$"):
        cli.main()
    assert "20 pairs of" in capsys.readouterr().out
    assert len((tmp_path / "made" / "pairs.csv").read_text().splitlines()) == 21
    with pytest.raises(SystemExit, match=r"dnapair: --output .*made is already there\."):
        cli.main()
