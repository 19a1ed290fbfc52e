import numpy as np
import pytest

from dnapair.evaluation import baselines
from dnapair.training.loop import Pairs

RNG = np.random.default_rng(0)


def random_pairs(rows: int, n: int, classes: np.ndarray) -> Pairs:
    first, second = RNG.integers(0, rows, (2, n))
    return Pairs(first, second, (classes[first] == classes[second]).astype(np.float32))


def reader(sequences: list[str]) -> baselines.Read:
    return lambda rows: [sequences[row] for row in rows]


def test_4_mers_of_both_strands_share_136_columns_and_sum_to_one() -> None:
    shares = baselines.count_kmers(["ACGTTGCAAC", "ACG", "NNNNNN"])
    assert shares.shape == (3, 136)
    np.testing.assert_allclose(shares.sum(axis=1), [1, 0, 0], rtol=1e-6)


def test_a_sequence_and_its_reverse_complement_have_the_same_4_mers() -> None:
    sequence = "".join(RNG.choice(list("ACGT"), 200))
    reverse = sequence[::-1].translate(str.maketrans("ACGT", "TGCA"))
    one, other = baselines.count_kmers([sequence, reverse])
    np.testing.assert_array_equal(one, other)
    assert np.count_nonzero(one) > 50


def test_4_mers_are_counted_by_hand_alike_and_unknown_letters_are_passed_over() -> None:
    # AAAA twice and TTTT once are one column; CNAA has none that is known
    shares = baselines.count_kmers(["AAAAANTTTT", "CNAA"])
    assert sorted(shares[0][shares[0] > 0]) == [1]
    assert shares[1].sum() == 0


def test_cosines_are_those_of_the_definition_in_blocks_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = RNG.normal(size=(20, 5)).astype(np.float32)
    matrix[3] = 0
    pairs = Pairs(np.arange(20), np.arange(20)[::-1].copy(), np.zeros(20))
    expected = [
        a @ b / (np.linalg.norm(a) * np.linalg.norm(b)) if a.any() and b.any() else 0
        for a, b in zip(matrix, matrix[::-1], strict=True)
    ]
    np.testing.assert_allclose(baselines.cosines(matrix, pairs), expected, atol=1e-6)
    whole = baselines.cosines(matrix, pairs)
    monkeypatch.setattr(baselines, "BLOCK", 3)
    np.testing.assert_array_equal(baselines.cosines(matrix, pairs), whole)


def test_each_baseline_finds_what_it_can_see() -> None:
    # two kinds of sequence: one rich in A and T, one in C and G; the embeddings say nothing
    classes = RNG.integers(0, 2, 120)
    letters = [list("AATTACGT"), list("CCGGACGT")]
    sequences = ["".join(RNG.choice(letters[kind], 80)) for kind in classes]
    matrix = RNG.normal(size=(120, 8)).astype(np.float32)
    splits = {
        name: random_pairs(120, n, classes) for name, n in (("train", 400), ("val", 100), ("test", 200))
    }
    found = baselines.baselines(matrix, reader(sequences), splits, 1)
    assert list(found) == ["majority class", "embedding cosine", "4-mer logistic regression"]
    assert found["4-mer logistic regression"].metrics["roc_auc"] > 0.95
    assert found["4-mer logistic regression"].metrics["f1"] > 0.85
    assert 0.3 < found["embedding cosine"].metrics["roc_auc"] < 0.7
    majority = found["majority class"].metrics
    test = splits["test"].labels
    kept = float(splits["train"].labels.mean() >= 0.5)
    assert majority["accuracy"] == pytest.approx((test == kept).mean())
    assert (majority["roc_auc"], majority["pr_auc"]) == (0.5, pytest.approx(test.mean()))
    # embeddings that hold the class are found by their cosine
    matrix[:, 0] = 50 * (2 * classes - 1)
    again = baselines.baselines(matrix, reader(sequences), splits, 1)
    assert again["embedding cosine"].metrics["roc_auc"] == 1
    assert again["embedding cosine"].metrics["accuracy"] == 1
    np.testing.assert_array_equal(
        again["4-mer logistic regression"].scores, found["4-mer logistic regression"].scores
    )


def test_the_regression_is_fitted_on_a_seeded_sample_where_pairs_are_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    classes = RNG.integers(0, 2, 60)
    sequences = ["".join(RNG.choice(list("ACGT"), 60)) for _ in classes]
    splits = {name: random_pairs(60, 150, classes) for name in ("train", "val", "test")}
    matrix = RNG.normal(size=(60, 4)).astype(np.float32)
    monkeypatch.setattr(baselines, "FITTED_PAIRS", 50)
    name = "4-mer logistic regression"
    first, second, other = (
        baselines.baselines(matrix, reader(sequences), splits, seed)[name].scores for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


def test_the_regression_does_not_depend_on_the_size_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    sequences = ["".join(RNG.choice(list("ACGT"), 60)) for _ in range(50)]
    pairs = random_pairs(50, 90, RNG.integers(0, 2, 50))
    read: list[int] = []

    def counted(rows: np.ndarray) -> list[str]:
        read.append(len(rows))
        return [sequences[row] for row in rows]

    whole = baselines.fit_kmers(counted, pairs, 1)(pairs)
    assert max(read) == np.unique([pairs.rows1, pairs.rows2]).size
    read.clear()
    monkeypatch.setattr(baselines, "BLOCK", 7)
    np.testing.assert_allclose(baselines.fit_kmers(counted, pairs, 1)(pairs), whole, atol=1e-6)
    assert max(read) <= 14
