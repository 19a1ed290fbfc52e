from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.metrics import log_loss, roc_auc_score

from dnapair.errors import DnapairError
from dnapair.networks.spec import NetworkSpec
from dnapair.networks.torch_net import TorchNet
from dnapair.storage.matrix import MatrixFile
from dnapair.training.frameworks import make_learner
from dnapair.training.learner import Inputs, LearnerSettings
from dnapair.training.loop import (
    Epoch,
    FitResult,
    LoopSettings,
    Matrices,
    Pairs,
    fit,
    positive_weight,
    predict,
    read_pairs,
)

FRAMEWORKS = ("torch", "tensorflow")
SPEC = NetworkSpec(
    dimensions=12,
    widths=(32, 16),
    depth=1,
    dropout=0.1,
    normalization="layer",
    activation="relu",
    symmetric=False,
)
LEARNER = LearnerSettings(learning_rate=3e-3, weight_decay=0.01, clip_norm=1.0, positive_weight=3.0, seed=1)
LOOP = LoopSettings(epochs=8, batch_size=64, plateau_patience=2, plateau_factor=0.5, stop_patience=5, seed=1)


@pytest.fixture(scope="module")
def matrices(tmp_path_factory: pytest.TempPathFactory) -> Matrices:
    """Embeddings of 40 families of 10 members near each other; rows 10 f to 10 f + 9 are family f."""
    rng = np.random.default_rng(0)
    members = np.repeat(rng.uniform(-0.8, 0.8, (40, SPEC.dimensions)), 10, axis=0)
    path = tmp_path_factory.mktemp("matrix") / "embeddings.npy"
    np.save(path, (members + rng.uniform(-0.2, 0.2, members.shape)).astype(np.float32))
    return Matrices(np.load(path, mmap_mode="r"))


def draw_pairs(n: int, seed: int) -> Pairs:
    """A quarter of the pairs is of one family."""
    rng = np.random.default_rng(seed)
    rows1, rows2 = rng.integers(0, 400, (2, n))
    related = rng.random(n) < 0.25
    rows2 = np.where(related, rows1 // 10 * 10 + rows2 % 10, rows2)
    return Pairs(rows1, rows2, (rows1 // 10 == rows2 // 10).astype(np.float32))


TRAIN, VAL = draw_pairs(2000, 1), draw_pairs(400, 2)


class Scripted:
    """A learner whose validation logits after each epoch are known; its weight counts the epochs."""

    def __init__(self, logits: Sequence[Sequence[float]], loss: float = 0.5, weight: float = 1.0) -> None:
        self.settings = LEARNER._replace(positive_weight=weight)
        self.logits = [np.array(values, np.float32) for values in logits]
        self.loss = loss
        self.weights = {"head.bias": np.zeros(1, np.float32)}

    def train_batches(self, inputs: Inputs, labels: np.ndarray) -> np.ndarray:
        self.weights = {"head.bias": self.weights["head.bias"] + len(labels)}
        return np.full(len(labels), self.loss, np.float32)

    def predict(self, inputs: Inputs) -> np.ndarray:
        return self.logits[int(self.weights["head.bias"][0]) - 1]

    def get_weights(self) -> dict[str, np.ndarray]:
        return dict(self.weights)

    def set_weights(self, weights: dict[str, np.ndarray]) -> None:
        self.weights = dict(weights)

    def set_learning_rate(self, value: float) -> None:
        self.learning_rate = value


LABELS = np.array([1, 0, 1, 0], np.float32)
FOUR = Pairs(np.arange(4), np.arange(4), LABELS)
NOTHING = Matrices(np.zeros((4, 2), np.float32))
GOOD, FAIR, BAD = [4, 1, 3, 2], [4, 3, 2, 1], [1, 4, 2, 3]


def fit_script(learner: Scripted, epochs: int, **changes: float) -> FitResult:
    one_step = LOOP._replace(epochs=epochs, batch_size=4, **changes)
    return fit(learner, NOTHING, FOUR, FOUR, one_step)


def test_best_epoch_is_restored_and_training_stops_without_progress():
    learner = Scripted([BAD, GOOD, FAIR, BAD, FAIR, BAD])
    result = fit_script(learner, epochs=6, stop_patience=3, plateau_patience=9)
    assert [epoch.epoch for epoch in result.history] == [1, 2, 3, 4, 5]
    assert result.best == result.history[1]
    assert result.weights["head.bias"] == learner.weights["head.bias"] == [2]
    assert result.val_logits.tolist() == GOOD


def test_last_epoch_is_kept_where_that_is_asked_for():
    learner = Scripted([BAD, GOOD, FAIR])
    loop = LOOP._replace(epochs=3, batch_size=4, stop_patience=9, plateau_patience=9)
    result = fit(learner, NOTHING, FOUR, FOUR, loop, keep="last")
    assert result.best == result.history[2]
    assert result.weights["head.bias"] == learner.weights["head.bias"] == [3]
    assert result.val_logits.tolist() == FAIR


def test_learning_rate_is_cut_after_each_plateau():
    learner = Scripted([FAIR, BAD, BAD, BAD, BAD, GOOD, BAD])
    result = fit_script(learner, epochs=7, stop_patience=9, plateau_patience=2, plateau_factor=0.5)
    rate = LEARNER.learning_rate
    used = [epoch.learning_rate / rate for epoch in result.history]
    assert used == [1, 1, 1, 0.5, 0.5, 0.25, 0.25]


def test_val_metrics_are_exact_and_on_the_data_s_own_class_ratio():
    result = fit_script(Scripted([FAIR], weight=5.0), epochs=1)
    probabilities = 1 / (1 + np.exp(-(np.array(FAIR) - np.log(5))))
    assert result.best.val_loss == pytest.approx(log_loss(LABELS, probabilities), rel=1e-6)
    assert result.best.val_pr_auc == pytest.approx((1 + 2 / 3) / 2)
    assert result.weights["head.bias"] == pytest.approx(1 - np.log(5))


def test_drawn_negatives_are_trained_on_and_probabilities_are_of_the_data_s_own_class_ratio():
    # two unrelated pairs in the data, and of four drawn ones two in an epoch: twice as many
    learner = Scripted([FAIR], weight=5.0)
    drawn = Pairs(np.zeros(4, int), np.ones(4, int), np.zeros(4, np.float32))
    seen = []

    def counted(inputs: Inputs, labels: np.ndarray) -> np.ndarray:
        seen.extend(labels.ravel())
        return Scripted.train_batches(learner, inputs, labels[:1])

    learner.train_batches = counted
    one_step = LOOP._replace(epochs=1, batch_size=8)
    result = fit(learner, NOTHING, FOUR, FOUR, one_step, negatives=drawn)
    assert sorted(seen) == [0] * 4 + [1] * 2
    assert result.val_logits == pytest.approx(np.array(FAIR) - np.log(5 / 2))
    assert result.weights["head.bias"] == pytest.approx(1 - np.log(5 / 2))


def test_each_epoch_draws_other_negatives():
    matrices = Matrices(np.arange(40, dtype=np.float32)[:, None])
    drawn = Pairs(np.arange(4, 40), np.arange(4, 40), np.zeros(36, np.float32))
    learner, epochs = Scripted([FAIR] * 3), []

    def noted(inputs: Inputs, labels: np.ndarray) -> np.ndarray:
        epochs.append(set(inputs[0].ravel().astype(int).tolist()))
        return Scripted.train_batches(learner, inputs, labels[:1])

    learner.train_batches = noted
    fit(learner, matrices, FOUR, FOUR, LOOP._replace(epochs=3, batch_size=64), negatives=drawn)
    assert [len(epoch) for epoch in epochs] == [22, 22, 22]
    assert all(set(range(4)) < epoch for epoch in epochs)
    assert len(set(map(frozenset, epochs))) == 3


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_drawn_negatives_leave_probabilities_calibrated(framework: str, matrices: Matrices):
    rng = np.random.default_rng(3)
    rows1, rows2 = rng.integers(0, 400, (2, 6000))
    unrelated = rows1 // 10 != rows2 // 10
    drawn = Pairs(rows1[unrelated], rows2[unrelated], np.zeros(unrelated.sum(), np.float32))
    learner = make_learner(framework, SPEC, LEARNER._replace(positive_weight=1.0))
    result = fit(learner, matrices, TRAIN, VAL, LOOP, negatives=drawn)
    assert roc_auc_score(VAL.labels, result.val_logits) > 0.9
    assert expit(result.val_logits).mean() == pytest.approx(VAL.labels.mean(), abs=0.06)


def test_collapse_is_told():
    assert fit_script(Scripted([[2, 2, 2, 2]]), epochs=1).collapsed
    assert not fit_script(Scripted([GOOD]), epochs=1).collapsed


@pytest.mark.parametrize(
    "learner", [Scripted([GOOD], loss=np.nan), Scripted([[1, np.inf, 0, 0]])], ids=["loss", "logits"]
)
def test_divergence_names_the_setting_to_change(learner: Scripted):
    with pytest.raises(DnapairError, match=r"epoch 1.*Lower train\.learning_rate"):
        fit_script(learner, epochs=1)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_learns_families_and_calls_after_every_epoch(framework: str, matrices: Matrices):
    learner = make_learner(framework, SPEC, LEARNER)
    seen: list[Epoch] = []
    result = fit(learner, matrices, TRAIN, VAL, LOOP, on_epoch=seen.append)
    test = draw_pairs(400, 3)
    logits = predict(learner, matrices, test)
    assert roc_auc_score(test.labels, logits) > 0.9
    assert seen == result.history
    assert result.best.val_pr_auc == max(epoch.val_pr_auc for epoch in seen)
    # without the correction, a weight of 3 would nearly double it
    assert (1 / (1 + np.exp(-logits))).mean() == pytest.approx(test.labels.mean(), rel=0.25)
    np.testing.assert_allclose(predict(learner, matrices, VAL), result.val_logits, atol=1e-5)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_two_runs_agree_to_the_last_bit(framework: str, matrices: Matrices):
    def run() -> FitResult:
        spec = replace(SPEC, normalization="batch", dropout=0.4)
        return fit(make_learner(framework, spec, LEARNER), matrices, TRAIN, VAL, LOOP._replace(epochs=2))

    first, second = run(), run()
    assert first.history == second.history
    assert all(np.array_equal(first.weights[name], second.weights[name]) for name in first.weights)


@pytest.mark.parametrize(("normalization", "clip_norm"), [("layer", 0.3), ("none", 100.0)])
def test_both_frameworks_take_the_same_steps(normalization: str, clip_norm: float, matrices: Matrices):
    spec = replace(SPEC, dropout=0.0, normalization=normalization)
    settings = LEARNER._replace(learning_rate=5e-4, clip_norm=clip_norm, weight_decay=5.0)
    learners = [make_learner(framework, spec, settings) for framework in FRAMEWORKS]
    start = learners[0].get_weights()
    for step in range(12):
        batch = TRAIN.take(np.arange(32 * step, 32 * step + 32)[None])
        losses = [learner.train_batches(matrices.read(batch), batch.labels) for learner in learners]
        assert losses[0] == pytest.approx(losses[1], abs=1e-4)
        if step == 6:
            for learner in learners:
                learner.set_learning_rate(2e-4)
    from_torch, from_keras = (learner.get_weights() for learner in learners)
    for name in start:
        # Adam divides by the gradient's size, so where that is nearly 0 it makes steps of the rounding
        assert np.isclose(from_torch[name], from_keras[name], rtol=0, atol=1e-4).mean() > 0.99, name
        np.testing.assert_allclose(from_torch[name], from_keras[name], rtol=0, atol=1e-3, err_msg=name)
    assert np.abs(from_torch["head.weight"] - start["head.weight"]).max() > 1e-3


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_steps_of_a_block_are_those_of_its_batches(framework: str, matrices: Matrices):
    def run(blocks: int) -> tuple[np.ndarray, np.ndarray]:
        learner = make_learner(framework, replace(SPEC, dropout=0.4), LEARNER)
        batches = [TRAIN.take(block) for block in np.split(np.arange(384).reshape(6, 64), blocks)]
        losses = [learner.train_batches(matrices.read(batch), batch.labels) for batch in batches]
        return np.concatenate(losses), learner.get_weights()["head.weight"]

    together, alone = run(1), run(6)
    assert together[0].shape == (6,)
    assert all(np.array_equal(*both) for both in zip(together, alone, strict=True))


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_float16_matrix_is_trained_on_as_float32(framework: str, matrices: Matrices):
    assert matrices.embeddings is not None
    halved = matrices.embeddings[:].astype(np.float16)

    def run(embeddings: np.ndarray) -> FitResult:
        return fit(
            make_learner(framework, SPEC, LEARNER), Matrices(embeddings), TRAIN, VAL, LOOP._replace(epochs=1)
        )

    assert run(halved).history == run(halved.astype(np.float32)).history


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_bfloat16_learns_and_scores_in_float32(framework: str, matrices: Matrices):
    reduced = make_learner(framework, SPEC, LEARNER._replace(precision="bfloat16"))
    whole = make_learner(framework, SPEC, LEARNER)
    result = fit(reduced, matrices, TRAIN, VAL, LOOP)
    assert roc_auc_score(VAL.labels, result.val_logits) > 0.9
    whole.set_weights(result.weights)
    scored = [predict(learner, matrices, VAL) for learner in (reduced, whole)]
    assert np.array_equal(*scored)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_dropout_of_torch_drops_its_share_and_keeps_the_mean(share: float):
    spec = replace(SPEC, widths=(301,), dropout=share, normalization="none")
    net = TorchNet(spec).train()
    values = torch.ones(999, 301)
    dropped = net.blocks[0].dropout(values)
    assert (dropped == 0).float().mean().item() == pytest.approx(share, abs=0.005)
    assert dropped.mean().item() == pytest.approx(1, abs=0.01)
    assert torch.equal(net.eval().blocks[0].dropout(values), values)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_one_pair_left_over_does_not_stop_batch_normalisation(framework: str, matrices: Matrices):
    spec = replace(SPEC, normalization="batch")
    odd = TRAIN.take(slice(65))
    result = fit(make_learner(framework, spec, LEARNER), matrices, odd, VAL, LOOP._replace(epochs=1))
    assert np.isfinite(result.best.train_loss)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_batch_of_prediction_changes_nothing(framework: str, matrices: Matrices):
    learner = make_learner(framework, SPEC, LEARNER)
    some, all_at_once = (predict(learner, matrices, VAL, batch) for batch in (7, 1000))
    # of probabilities: a matrix product sums in another order for another number of rows
    np.testing.assert_allclose(expit(some), expit(all_at_once), atol=1e-6, rtol=0)
    assert predict(learner, matrices, VAL.take(slice(0))).shape == (0,)


def draw_meetings(n: int, seed: int) -> tuple[np.ndarray, Pairs]:
    """Interactions of n pairs of any sequences, in another order than the pairs; their sign is the label."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(n)
    interactions = rng.uniform(-1, 1, (n, 5)).astype(np.float32)
    labels = (interactions[rows].sum(axis=1) > 0).astype(np.float32)
    return interactions, Pairs(*rng.integers(0, 400, (2, n)), labels, rows)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_learns_from_interactions_what_embeddings_do_not_hold(framework: str, matrices: Matrices):
    interactions, pairs = draw_meetings(2800, 4)
    train, val, test = (pairs.take(part) for part in np.split(np.arange(2800), [2000, 2400]))
    found = {}
    for spec, taken in (
        (SPEC, matrices),
        (replace(SPEC, interactions=5), Matrices(matrices.embeddings, interactions)),
        (replace(SPEC, embeddings=False, interactions=5), Matrices(None, interactions)),
    ):
        learner = make_learner(framework, spec, LEARNER)
        result = fit(learner, taken, train, val, LOOP._replace(epochs=4))
        logits = predict(learner, taken, test)
        found[tuple(spec.inputs)] = roc_auc_score(test.labels, logits)
        np.testing.assert_allclose(predict(learner, taken, val), result.val_logits, atol=1e-5)
    assert found["e1", "e2"] < 0.65
    assert min(found["e1", "e2", "interactions"], found[("interactions",)]) > 0.95


@pytest.mark.parametrize("kind", ["both", "interactions"])
def test_both_frameworks_take_the_same_steps_with_interactions(kind: str, matrices: Matrices):
    interactions, pairs = draw_meetings(320, 5)
    embeddings = matrices.embeddings if kind == "both" else None
    spec = replace(SPEC, dropout=0.0, embeddings=kind == "both", interactions=5)
    learners = [make_learner(framework, spec, LEARNER) for framework in FRAMEWORKS]
    taken, batches = Matrices(embeddings, interactions), pairs.take(np.arange(320).reshape(10, 32))
    losses = [learner.train_batches(taken.read(batches), batches.labels) for learner in learners]
    np.testing.assert_allclose(*losses, atol=1e-4)
    from_torch, from_keras = (learner.predict(taken.read(pairs)) for learner in learners)
    np.testing.assert_allclose(expit(from_torch), expit(from_keras), atol=1e-3)


class Watched:
    """A matrix that notes which rows were read."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.shape = values, values.shape
        self.read: list[int] = []

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        self.read += rows.ravel().tolist()
        return self.values[rows]


def test_only_the_rows_of_the_pairs_are_read_and_of_the_matrices_that_there_are():
    embeddings, interactions = (Watched(np.arange(20, dtype=np.float16).reshape(10, 2) + n) for n in (0, 100))
    pairs = Pairs(np.array([1, 2]), np.array([3, 1]), np.zeros(2, np.float32), np.array([7, 5]))
    inputs = Matrices(embeddings, interactions).read(pairs)
    assert [array.dtype for array in inputs] == [np.float32] * 3
    assert [array.tolist() for array in inputs] == [
        [[2, 3], [4, 5]],
        [[6, 7], [2, 3]],
        [[114, 115], [110, 111]],
    ]
    assert (embeddings.read, interactions.read) == ([1, 2, 3, 1], [7, 5])
    assert len(Matrices(embeddings).read(pairs)) == 2
    assert [array.tolist() for array in Matrices(None, interactions).read(pairs)] == [inputs[2].tolist()]
    assert (len(embeddings.read), interactions.read) == (8, [7, 5, 7, 5])


def test_interactions_of_pairs_whose_rows_are_not_known_are_refused():
    with pytest.raises(ValueError, match="rows in the matrix of interactions"):
        Matrices(None, np.zeros((4, 2))).read(FOUR)


def test_interactions_come_from_a_file_as_from_memory(tmp_path: Path):
    interactions, pairs = draw_meetings(300, 6)
    np.save(tmp_path / "interactions.npy", interactions.astype(np.float16))
    spec = replace(SPEC, embeddings=False, interactions=5)

    def run(taken: Matrices) -> FitResult:
        return fit(make_learner("torch", spec, LEARNER), taken, pairs, pairs, LOOP._replace(epochs=2))

    rounded = interactions.astype(np.float16).astype(np.float32)
    from_file = run(Matrices(None, MatrixFile(tmp_path / "interactions.npy")))
    assert from_file.history == run(Matrices(None, rounded)).history


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_too_high_a_learning_rate_is_told(framework: str, matrices: Matrices):
    learner = make_learner(
        framework, replace(SPEC, normalization="none"), LEARNER._replace(learning_rate=1e20)
    )
    with pytest.raises(DnapairError, match=r"Lower train\.learning_rate \(1e\+20 was used\)"):
        fit(learner, matrices, TRAIN, VAL, LOOP)


@pytest.mark.parametrize("label", [0, 1])
def test_a_split_with_one_label_is_refused(label: int):
    alike = FOUR._replace(labels=np.full(4, label, np.float32))
    with pytest.raises(DnapairError, match=r"validation split holds .* both are needed"):
        fit(Scripted([GOOD]), NOTHING, FOUR, alike, LOOP)
    with pytest.raises(DnapairError, match="train split"):
        positive_weight("balanced", alike.labels)


@given(st.lists(st.booleans(), min_size=2).filter(lambda labels: len(set(labels)) == 2))
def test_balanced_weight_makes_both_labels_count_alike(labels: list[bool]):
    array = np.array(labels, np.float32)
    assert positive_weight("balanced", array) * array.sum() == pytest.approx((1 - array).sum())
    assert positive_weight(2.5, array) == 2.5


def test_unknown_framework_is_refused():
    with pytest.raises(DnapairError, match="torch or tensorflow"):
        make_learner("jax", SPEC, LEARNER)


def test_pairs_are_read_by_the_names_of_their_columns(tmp_path: Path):
    path = tmp_path / "train.parquet"
    label = pa.array([1, 0], pa.int8())
    pq.write_table(pa.table({"label": label, "seq2": [5, 6], "row": [8, 7], "seq1": [3, 4]}), path)
    pairs = read_pairs(path)
    assert [column.tolist() for column in pairs] == [[3, 4], [5, 6], [1, 0], [8, 7]]
    assert pairs.labels.dtype == np.float32
