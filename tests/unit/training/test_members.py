import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dnapair.errors import DnapairError
from dnapair.networks.spec import NetworkSpec
from dnapair.networks.weights import initial_weights
from dnapair.training.frameworks import make_learner
from dnapair.training.learner import LearnerSettings
from dnapair.training.loop import Epoch, FitResult, LoopSettings, Matrices, Pairs, predict
from dnapair.training.members import average, fit_members, pack, unpack

SPEC = NetworkSpec(4, (6,), 1, 0.1, "layer", "relu", symmetric=False)
LEARNER = LearnerSettings(0.01, 0.0, 1.0, 1.0, seed=3)
LOOP = LoopSettings(3, 32, 2, 0.5, 3, seed=3)
FRAMEWORKS = ("torch", "tensorflow")


def draw() -> tuple[Matrices, Pairs, Pairs]:
    """Pairs of points that are related where they lie on one side."""
    rng = np.random.default_rng(1)
    matrix = rng.uniform(-1, 1, (300, 4)).astype(np.float32)
    splits = []
    for low, high in ((0, 200), (200, 300)):
        rows = rng.integers(low, high, (2, 400))
        splits.append(Pairs(*rows, (matrix[rows[0], 0] * matrix[rows[1], 0] > 0).astype(np.float32)))
    return Matrices(matrix), *splits


def train(framework: str, members: int, **changes: int) -> tuple[list[FitResult], list[tuple[int, str]]]:
    told: list[tuple[int, str]] = []
    learner, loop = (settings._replace(**changes) for settings in (LEARNER, LOOP))
    results = fit_members(
        framework,
        SPEC,
        learner,
        loop,
        *draw(),
        members,
        lambda number, news: told.append((number, type(news).__name__)),
        "train",
    )
    return results, told


def identify(results: list[FitResult]) -> list[float]:
    return [float(sum(np.abs(value).sum(dtype=float) for value in one.weights.values())) for one in results]


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_members_are_what_a_training_of_each_seed_alone_makes(framework: str):
    # in a process of its own: forks can't use the threads that this one has begun
    script = (
        "import json, sys; from tests.unit.training.test_members import identify, train;"
        "results, told = train(sys.argv[1], 2);"
        "alone = [train(sys.argv[1], 1, seed=seed)[0][0] for seed in (3, 4)] if sys.argv[2] == '1' else [];"
        "print(json.dumps([identify(results), identify(alone), sorted(told)]))"
    )
    found = []
    # on one core one after the other, on two side by side
    for cores in ("1", "2"):
        ran = subprocess.run(
            [sys.executable, "-c", script, framework, cores],
            env=os.environ | {"OMP_NUM_THREADS": cores},
            cwd=Path(__file__).parents[3],
            capture_output=True,
            text=True,
            check=True,
        )
        found.append(json.loads(ran.stdout.splitlines()[-1]))
    (one_by_one, alone, told), (at_once, _, told_at_once) = found
    assert one_by_one == at_once == alone
    assert alone[0] != alone[1]
    expected = [[number, name] for number in (0, 1) for name in ("Epoch",) * 3 + ("FitResult",)]
    assert told == told_at_once == sorted(expected)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_mean_gives_the_validation_logits_that_it_says(framework: str):
    matrices, _, val = draw()
    rng = np.random.default_rng(2)
    results = []
    for seed in range(3):
        weights = initial_weights(SPEC, seed)
        learner = make_learner(framework, SPEC, LEARNER)
        learner.set_weights(weights)
        epoch = Epoch(1, *rng.random(4).tolist())
        results.append(FitResult([epoch], epoch, weights, predict(learner, matrices, val)))
    mean = average(SPEC, results)
    assert mean.spec.members == 3
    learner = make_learner(framework, mean.spec, LEARNER)
    learner.set_weights(mean.weights)
    np.testing.assert_allclose(predict(learner, matrices, val), mean.val_logits, atol=1e-6)
    assert average(SPEC, results[:1]).spec == SPEC


def test_what_a_fork_sends_is_the_same_on_the_other_side():
    epochs = [Epoch(number, 0.1, 0.2, 1 / 3, 1e-3) for number in (1, 2)]
    assert unpack(pack(epochs[0])) == epochs[0]
    result = FitResult(epochs, epochs[1], initial_weights(SPEC, 1), np.array([0.5, -1.5], np.float32))
    again = unpack(pack(result))
    assert isinstance(again, FitResult)
    assert (again.history, again.best) == (result.history, result.best)
    np.testing.assert_array_equal(again.val_logits, result.val_logits)
    assert again.weights.keys() == result.weights.keys()
    assert all(np.array_equal(again.weights[name], result.weights[name]) for name in result.weights)


def test_a_member_that_tells_nothing_apart_is_named_by_its_seed():
    matrices, train_pairs, val = draw()
    nothing = Matrices(np.zeros_like(matrices.embeddings))
    with pytest.raises(DnapairError, match=r"all 400 validation pairs the same score.*seed 3 collapsed"):
        fit_members(
            "torch", SPEC, LEARNER, LOOP, nothing, train_pairs, val, 1, lambda number, news: None, "train"
        )
