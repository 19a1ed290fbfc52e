from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from dnapair.embedding.embedder import open_bert
from dnapair.embedding.encoder import Encoder, build_untrained
from dnapair.embedding.kmers import KmerVocabulary
from dnapair.evaluation import recipe
from dnapair.evaluation.recipe import GlobalScale, begin_recipe, embed_padded, padded_ids
from dnapair.storage.sequence_file import SequenceFile, write_sequences
from dnapair.training.loop import Pairs
from tests.unit.stock import last_layer

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return build_untrained(k=3, layers=1, hidden=16, heads=2, seed=1)


def write(path: Path, sequences: list[str]) -> SequenceFile:
    write_sequences(path, ((str(row), sequence) for row, sequence in enumerate(sequences)))
    return SequenceFile(path)


def test_sequences_are_padded_to_the_encoders_length_and_cut_there() -> None:
    vocabulary = KmerVocabulary.standard(3)
    ids = padded_ids(["AAAA", "A" * 20, "AAN"], vocabulary, window=4)
    first = int(vocabulary.ids[0])
    pad, unk, cls, sep = 0, 1, 2, 3
    np.testing.assert_array_equal(
        ids,
        [
            [cls, first, first, sep, pad, pad],
            [cls, first, first, first, first, sep],
            [cls, unk, sep, pad, pad, pad],
        ],
    )


def test_an_embedding_is_the_mean_over_all_positions_padding_included(
    encoder: Encoder, tmp_path: Path
) -> None:
    sequences = ["ACGTTGCA", "".join(RNG.choice(list("ACGT"), 700)), "TTTACG"]
    bert = open_bert(encoder, "mean", "float32", "cpu")
    file = write(tmp_path / "sequences.parquet", sequences)
    scaled = embed_padded(bert, encoder, file, np.array([0, 2, 1]), tmp_path / "x.npy")
    ids = padded_ids([sequences[row] for row in (0, 2, 1)], encoder.vocabulary, encoder.window)
    # no attention mask: to the model padding is DNA
    means = last_layer(encoder, ids).mean(axis=1, dtype=np.float64)
    expected = 2 * (means - means.min()) / (means.max() - means.min()) - 1
    np.testing.assert_allclose(scaled[np.arange(3)], expected, atol=1e-4)


def test_one_range_scales_all_values_and_rows_come_in_any_order() -> None:
    scaled = GlobalScale(np.float32([[0, 10], [5, 2]]), 0.0, 10.0)
    np.testing.assert_allclose(scaled[np.array([1, 0])], [[0, -0.6], [-1, 1]], atol=1e-6)
    assert (len(scaled), scaled.shape) == (2, (2, 2))
    np.testing.assert_array_equal(GlobalScale(np.ones((2, 2)), 1.0, 1.0)[:], -np.ones((2, 2)))


@pytest.fixture
def task(tmp_path: Path) -> tuple[SequenceFile, dict[str, Pairs]]:
    """Sequences rich in A and T, or in C and G; a pair is related where both are of a kind."""
    classes = RNG.integers(0, 2, 90)
    letters = [list("AATTACGT"), list("CCGGACGT")]
    file = write(tmp_path / "s.parquet", ["".join(RNG.choice(letters[kind], 200)) for kind in classes])
    splits = {}
    for place, (name, n) in enumerate((("train", 600), ("val", 60), ("test", 120))):
        first, second = RNG.integers(30 * place, 30 * place + 30, (2, n))
        splits[name] = Pairs(first, second, (classes[first] == classes[second]).astype(np.float32))
    return file, splits


def test_the_recipe_learns_what_can_be_learnt_and_gives_the_same_again(
    encoder: Encoder, task: tuple[SequenceFile, dict[str, Pairs]], tmp_path: Path
) -> None:
    file, splits = task
    bert = open_bert(encoder, "mean", "float32", "cpu")
    found, again = (begin_recipe(bert, encoder, file, splits, tmp_path, seed=1)() for _ in range(2))
    assert (found.threshold, found.kind) == (0.5, "recipe")
    assert roc_auc_score(splits["test"].labels, found.scores["test"]) > 0.9
    for split in ("val", "test"):
        assert found.scores[split].shape == splits[split].labels.shape
        np.testing.assert_array_equal(found.scores[split], again.scores[split])


def test_the_recipe_does_not_look_at_the_validation_labels(
    encoder: Encoder, task: tuple[SequenceFile, dict[str, Pairs]], tmp_path: Path
) -> None:
    # the last weights are taken, whatever validation says
    file, splits = task
    bert = open_bert(encoder, "mean", "float32", "cpu")
    flipped = splits | {"val": splits["val"]._replace(labels=1 - splits["val"].labels)}
    found, other = (begin_recipe(bert, encoder, file, which, tmp_path, 1)() for which in (splits, flipped))
    np.testing.assert_array_equal(found.scores["test"], other.scores["test"])


def test_only_sequences_of_the_pairs_in_use_are_embedded(
    encoder: Encoder,
    task: tuple[SequenceFile, dict[str, Pairs]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file, splits = task
    monkeypatch.setattr(recipe, "FITTED_PAIRS", 5)
    bert = open_bert(encoder, "mean", "float32", "cpu")
    scored = splits | {name: splits[name].take(slice(8)) for name in ("val", "test")}
    scored["train"].labels[:] = np.arange(600) % 2
    begin_recipe(bert, encoder, file, scored, tmp_path, seed=1)
    assert len(np.load(tmp_path / "recipe.npy")) <= 2 * (5 + 8 + 8)
