import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from dnapair.errors import DnapairError
from dnapair.networks.spec import NetworkSpec
from dnapair.training.learner import LearnerSettings
from dnapair.training.loop import Epoch, LoopSettings, Matrices, Pairs
from dnapair.training.trials import SearchSettings, Space, Trial, Values
from dnapair.training.tuning import search, train_trial
from tests.waiting import PATIENCE

PARAMS = Path(__file__).parents[3] / "params.yaml"
GIVEN = Values(
    inputs="both", widths=(512, 256), dropout=0.3, learning_rate=1e-3, weight_decay=0.01, batch_size=256
)
SPACE = Space(
    inputs=["both"],
    widths=[(256,), (512, 256), (256,)],
    dropout=(0.1, 0.5),
    learning_rate=(3e-4, 3e-3),
    weight_decay=(1e-4, 0.1),
    batch_size=[128, 256],
)
RANDOM = SearchSettings(method="random", trials=5, epochs=9, seed=1)


class Recorder:
    """An objective that notes what it is asked for; the score grows with the dropout."""

    def __init__(self, fail_at: int = 0, error: BaseException | None = None) -> None:
        self.calls: list[tuple[int, Values, int]] = []
        self.fail_at, self.error = fail_at, error

    def __call__(self, number: int, values: Values, epochs: int) -> float:
        self.calls.append((number, values, epochs))
        if number == self.fail_at and self.error is not None:
            raise self.error
        return values.dropout

    @property
    def numbers(self) -> list[int]:
        return [number for number, _, _ in self.calls]


@pytest.mark.parametrize("method", ["random", "bayesian", "hyperband"])
@pytest.mark.parametrize("trials", [1, 2, pytest.param(8, marks=pytest.mark.slow)])
def test_given_values_come_first_and_all_trials_are_told(method, trials: int, tmp_path: Path, capsys):
    objective = Recorder()
    found = search(objective, GIVEN, SPACE, SearchSettings(method, trials, 9, seed=1), tmp_path / "study")
    assert objective.numbers == list(range(1, trials + 1))
    assert found == [Trial(values, epochs, values.dropout) for _, values, epochs in objective.calls]
    assert found[0] == Trial(GIVEN, 9, GIVEN.dropout)
    for trial in found[1:]:
        assert trial.values.widths in SPACE.widths
        assert trial.values.batch_size in SPACE.batch_size
        for name in ("dropout", "learning_rate", "weight_decay"):
            low, high = getattr(SPACE, name)
            assert low <= getattr(trial.values, name) <= high
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("method", ["random", "bayesian", "hyperband"])
def test_given_values_may_lie_outside_the_space(method, tmp_path: Path):
    outside = Values(
        inputs="both", widths=(7,), dropout=0.0, learning_rate=0.5, weight_decay=0.0, batch_size=33
    )
    found = search(Recorder(), outside, SPACE, SearchSettings(method, 4, 9, seed=1), tmp_path / "study")
    assert found[0].values == outside
    assert len(found) == 4


@pytest.mark.parametrize("trials", [0, 1, 3])
def test_all_inputs_are_tried_first_and_the_better_is_kept(trials: int, tmp_path: Path):
    space = SPACE._replace(inputs=["both", "interactions", "embeddings"])
    worth = {"both": 0.4, "interactions": 0.6, "embeddings": 0.5}
    asked: list[tuple[int, str]] = []

    def objective(number: int, values: Values, epochs: int) -> float:
        asked.append((number, values.inputs))
        if len(asked) == 2:
            raise KeyboardInterrupt
        return worth[values.inputs]

    settings = SearchSettings("random", trials, 9, seed=1)
    with pytest.raises(KeyboardInterrupt):
        search(objective, GIVEN, space, settings, tmp_path / "study")
    found = search(objective, GIVEN, space, settings, tmp_path / "study")
    # what was done before is not done again
    assert asked[:4] == [(1, "both"), (2, "interactions"), (2, "interactions"), (3, "embeddings")]
    assert asked[4:] == [(number, "interactions") for number in range(4, 3 + max(trials, 1))]
    assert [trial.val_pr_auc for trial in found[:3]] == list(worth.values())
    assert {trial.values.inputs for trial in found[3:]} <= {"interactions"}


def test_hyperband_gives_more_epochs_to_the_best(tmp_path: Path):
    settings = SearchSettings("hyperband", 12, 9, seed=1)
    trials = search(Recorder(), GIVEN, SPACE, settings, tmp_path / "study")[1:]
    short = [trial for trial in trials if trial.epochs == 1]
    longer = [trial for trial in trials if trial.epochs == 3]
    assert longer[0].values == max(short, key=lambda trial: trial.val_pr_auc).values


def test_the_seed_alone_decides(tmp_path: Path):
    first, again = (search(Recorder(), GIVEN, SPACE, RANDOM, tmp_path / name) for name in "ab")
    other = search(Recorder(), GIVEN, SPACE, RANDOM._replace(seed=2), tmp_path / "c")
    assert first == again
    assert first[1:] != other[1:]


@pytest.mark.parametrize("method", ["random", "hyperband"])
@pytest.mark.parametrize("killed_at", [1, 2, 4])
def test_killed_search_goes_on_where_it_was(method, killed_at: int, tmp_path: Path):
    settings = RANDOM._replace(method=method)
    whole = search(Recorder(), GIVEN, SPACE, settings, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        search(Recorder(killed_at, KeyboardInterrupt()), GIVEN, SPACE, settings, tmp_path / "killed")
    rest = Recorder()
    assert search(rest, GIVEN, SPACE, settings, tmp_path / "killed") == whole
    assert rest.numbers == list(range(killed_at, settings.trials + 1))


def test_finished_search_runs_nothing_again(tmp_path: Path):
    found = search(Recorder(), GIVEN, SPACE, RANDOM, tmp_path / "study")
    idle = Recorder()
    assert search(idle, GIVEN, SPACE, RANDOM, tmp_path / "study") == found
    assert idle.calls == []


@pytest.mark.parametrize("fail_at", [1, 3])
@pytest.mark.parametrize("error", [DnapairError("diverged"), ZeroDivisionError("a bug")], ids=["user", "bug"])
def test_what_a_trial_raises_ends_the_search(error: Exception, fail_at: int, tmp_path: Path):
    objective = Recorder(fail_at, error)
    with pytest.raises(type(error), match=str(error)):
        search(objective, GIVEN, SPACE, RANDOM, tmp_path / "study")
    assert objective.numbers == list(range(1, fail_at + 1))


@pytest.mark.parametrize("name", ["oracle.json", "trial_0/trial.json"])
def test_search_whose_files_were_cut_off_by_a_kill_begins_anew_but_for_the_first_trial(
    tmp_path: Path, name: str
):
    found = search(Recorder(), GIVEN, SPACE, RANDOM, tmp_path / "study")
    damaged = tmp_path / "study" / name
    damaged.write_text(damaged.read_text()[:20])
    again = Recorder()
    assert search(again, GIVEN, SPACE, RANDOM, tmp_path / "study") == found
    assert again.numbers == list(range(2, RANDOM.trials + 1))


def test_chief_whose_port_is_taken_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("KERASTUNER_TUNER_ID", "chief")
        monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
        monkeypatch.setenv("KERASTUNER_ORACLE_PORT", str(taken.getsockname()[1]))
        objective = Recorder()
        with pytest.raises(DnapairError, match="KERASTUNER_ORACLE_PORT to a port that is free"):
            search(objective, GIVEN, SPACE, RANDOM, tmp_path / "study")
    assert objective.numbers == [1]


@pytest.mark.slow
def test_trial_trains_with_its_own_values():
    rng = np.random.default_rng(0)
    matrix = np.repeat(rng.uniform(-1, 1, (20, 8)), 20, axis=0).astype(np.float32)
    rows1, rows2 = rng.integers(0, 400, (2, 1500))
    rows2 = np.where(rng.random(1500) < 0.3, rows1 // 20 * 20, rows2)
    pairs = Pairs(rows1, rows2, (rows1 // 20 == rows2 // 20).astype(np.float32))
    train, val = (pairs.take(chosen) for chosen in (slice(1200), slice(1200, 1500)))
    spec = NetworkSpec(8, (4,), 1, 0.0, "layer", "relu", symmetric=True)
    learner = LearnerSettings(1e-9, 0.0, 1.0, 2.0, seed=1)
    loop = LoopSettings(1, 600, 5, 0.5, 5, seed=1)
    values = Values(
        "embeddings", widths=(32, 16), dropout=0.1, learning_rate=0.01, weight_decay=0.01, batch_size=64
    )

    def run(epochs: int) -> list[Epoch]:
        seen: list[Epoch] = []
        score = train_trial(Matrices(matrix), train, val, spec, learner, loop, values, epochs, seen.append)
        assert score == max(epoch.val_pr_auc for epoch in seen)
        return seen

    first = run(4)
    assert [epoch.epoch for epoch in first] == [1, 2, 3, 4]
    assert first[0].learning_rate == values.learning_rate
    assert first[-1].val_pr_auc > 0.9
    assert run(2) == first[:2]


@pytest.mark.slow
def test_stage_without_trials_hands_the_settings_through(tmp_path: Path):
    params = yaml.safe_load(PARAMS.read_text())
    params["tune"]["trials"] = 0
    params["network"] |= {"inputs": "both", "symmetric": True}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    code = "import sys; from dnapair.stages import tune; tune.run(); sys.exit('tensorflow' in sys.modules)"
    environment = os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True, timeout=PATIENCE)
    best = json.loads((tmp_path / "reports/best_hyperparameters.json").read_text())
    assert best["network"] == params["network"]
    assert best["train"] == {
        key: params["train"][key] for key in ("learning_rate", "weight_decay", "batch_size")
    }
    assert (best["trials"], best["chosen"]) == ([], None)
