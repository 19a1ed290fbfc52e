"""The contrastive term of fine-tuning draws related pairs together, and nothing that may be related apart."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dnapair.embedding.embedder import Embedder
from dnapair.embedding.encoder import Encoder
from dnapair.finetuning.contrast import Contrast, ContrastSettings, Related, Relations
from dnapair.finetuning.lora import LoraSettings
from dnapair.finetuning.pairs import Lesson
from dnapair.finetuning.tokens import Tokens
from dnapair.finetuning.tries import Course, learn
from dnapair.pretraining.objectives import contrastive_loss
from dnapair.training.loop import Pairs

from .test_finetuning import AS_BERT, COURSE, LORA, StoppedError, make_lesson, tiny, watch

TERM = ContrastSettings(weight=1.0, temperature=0.2, hard=2)


def lesson_of(rows1: list[int], rows2: list[int], labels: list[int], count: int = 8) -> Lesson:
    pairs = Pairs(np.array(rows1), np.array(rows2), np.array(labels, np.float32), np.arange(len(labels)))
    tokens = Tokens([["ACGTACGTAC"] * count], 4, 510)
    return Lesson(pairs, pairs, tokens, None, True, True, True)


def partners(lesson: Lesson) -> dict[int, set[int]]:
    found: dict[int, set[int]] = {row: set() for row in range(len(lesson.tokens))}
    for first, second, label in zip(*lesson.train[:3], strict=True):
        if label:
            found[int(first)].add(int(second))
            found[int(second)].add(int(first))
    return found


def no_negatives(lesson: Lesson, first: int, second: int) -> set[int]:
    known = partners(lesson)
    return {first, second} | known[first] | known[second]


@given(
    st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7), st.booleans()), min_size=1, max_size=20),
    st.lists(st.integers(0, 7), min_size=1, max_size=12),
)
def test_what_is_related_to_a_pair_is_no_negative_of_it(
    pairs: list[tuple[int, int, bool]], candidates: list[int]
):
    lesson = lesson_of(*(list(column) for column in zip(*pairs, strict=True)))
    rows = np.array([[first, second] for first, second, _ in pairs]).T
    found = Relations(lesson.train, 8).alike(rows, np.array(candidates))
    expected = [
        [candidate in no_negatives(lesson, first, second) for candidate in candidates]
        for first, second, _ in pairs
    ]
    assert found.tolist() == expected


def by_hand(
    lesson: Lesson, rows: np.ndarray, values: np.ndarray, hard: list[np.ndarray], far: list[np.ndarray]
) -> float:
    """The mean over both ways of -log(exp(own) / sum of exp), one sequence at a time."""
    total = []
    for side in (0, 1):
        for pair, (first, second) in enumerate(rows.T):
            known = no_negatives(lesson, int(first), int(second))

            def cosine(other: np.ndarray, own: np.ndarray = values[side, pair]) -> float:
                return float(own @ other / np.linalg.norm(own) / np.linalg.norm(other))

            negatives = [
                cosine(values[1 - side, place])
                for place, row in enumerate(rows[1 - side])
                if place != pair and int(row) not in known
            ]
            negatives += [
                cosine(other)
                for row, other in zip(hard[side], far[side], strict=True)
                if int(row) not in known
            ]
            own = cosine(values[1 - side, pair]) / TERM.temperature
            every = [own, *(one / TERM.temperature for one in negatives)]
            total.append(math.log(sum(math.exp(one) for one in every)) - own)
    return float(np.mean(total))


def test_the_loss_is_that_of_brute_force_and_pretrainings_where_nothing_is_shared():
    # 0-1 and 0-2 share a sequence; 3-4 is unrelated; 1-6 is related elsewhere
    lesson = lesson_of([0, 0, 3, 5, 1], [1, 2, 4, 7, 6], [1, 1, 0, 1, 1])
    rng = np.random.default_rng(1)
    rows = np.array([[0, 0, 5], [1, 2, 7]])
    values = rng.standard_normal((2, 3, 5)).astype(np.float32)
    hard = [np.array([3, 4, 6]), np.array([4])]
    far = [rng.standard_normal((one.size, 5)).astype(np.float32) for one in hard]
    term = Contrast(TERM, lesson, 5, 1)
    found = term(Related(rows, torch.from_numpy(values)), hard, [torch.from_numpy(one) for one in far])
    assert float(found) == pytest.approx(by_hand(lesson, rows, values, hard, far), abs=1e-5)
    apart = lesson_of([0, 2, 4], [1, 3, 5], [1, 1, 1])
    term = Contrast(TERM, apart, 5, 1)
    none = [np.empty(0, np.int64)] * 2
    found = term(
        Related(np.array([[0, 2, 4], [1, 3, 5]]), torch.from_numpy(values)), none, [torch.empty(0, 5)] * 2
    )
    expected = contrastive_loss(torch.from_numpy(values.reshape(6, 5)), torch.tensor(-math.log(0.2)))
    assert float(found) == pytest.approx(float(expected), abs=1e-6)


def test_hard_negatives_are_the_nearest_that_are_not_related():
    lesson = lesson_of([0, 0, 3, 5, 1], [1, 2, 4, 7, 6], [1, 1, 0, 1, 1])
    values = torch.from_numpy(np.random.default_rng(1).standard_normal((8, 5)).astype(np.float32))
    term = Contrast(TERM, lesson, 5, 1)
    term.refresh(0, lambda rows: values[rows])
    rows = np.array([[0, 5], [2, 7]])
    found = term.find_hard(0, Related(rows, values[rows]))
    cosines = torch.nn.functional.cosine_similarity(values[:, None], values[None], dim=2).numpy()
    for side in (0, 1):
        expected = set()
        others = {int(row) for row in (lesson.train.rows2, lesson.train.rows1)[side]}
        for pair in rows.T:
            allowed = sorted(others - no_negatives(lesson, *map(int, pair)))
            expected |= set(sorted(allowed, key=lambda row: -cosines[pair[side], row])[: TERM.hard])
        assert set(found[side].tolist()) == expected


def make_alike_lesson(encoder: Encoder) -> tuple[Lesson, list[str]]:
    """Sequences of two kinds, each written in two ways that share no k-mer.

    In train, related and unrelated pairs are drawn alike, one kind in both ways: what a pair is tells nothing
    of its label. What lies in two pairs is of two kinds as often as not: the term alone sees that.
    """
    # these words lie the wrong way round for an encoder that has not learnt
    rng = np.random.default_rng(4)
    words = rng.choice(list("ACGT"), (4, 12))
    kinds, ways = rng.integers(0, 2, (2, 400))
    sequences = []
    for kind, way in zip(kinds, ways, strict=True):
        own, around = "".join(words[2 * kind + way]), rng.choice(list("ACGT"), 16)
        sequences.append("".join(around[:8]) + own + own[:8] + "".join(around[8:]))

    def pick(low: int, high: int, kind: np.ndarray, way: int) -> np.ndarray:
        rows = np.arange(low, high)
        return np.array(
            [rng.choice(rows[(kinds[low:high] == one) & (ways[low:high] == way)]) for one in kind]
        )

    kind = rng.integers(0, 2, 600)
    labels = rng.permutation(np.arange(600) % 2).astype(np.float32)
    train = Pairs(pick(0, 280, kind, 0), pick(0, 280, kind, 1), labels, np.arange(600))
    kind, labels = rng.integers(0, 2, 200), (np.arange(200) % 2).astype(np.float32)
    other = np.where(labels > 0, kind, 1 - kind)
    val = Pairs(pick(280, 400, kind, 0), pick(280, 400, other, 1), labels, np.arange(200))
    tokens = Tokens([sequences], encoder.vocabulary.k, encoder.window)
    return Lesson(train, val, tokens, None, True, True, True), sequences


def nearer(encoder: Encoder, lesson: Lesson, sequences: list[str]) -> float:
    """The share of related and unrelated validation pairs of which the related one is the nearer."""
    values = Embedder(encoder, "mean", "both", True, "float32", "cpu").embed(sequences)
    values = values - values.mean(0)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    cosines = (values[lesson.val.rows1] * values[lesson.val.rows2]).sum(1)
    related = lesson.val.labels > 0
    return float((cosines[related][:, None] > cosines[~related][None]).mean())


@pytest.mark.parametrize("hard", [0, 2], ids=["batch", "hard"])
def test_what_the_labels_of_single_pairs_do_not_tell_is_learnt_by_the_term_alone(hard: int, tmp_path: Path):
    start = tiny()
    lesson, sequences = make_alike_lesson(start)
    # one look, at the end: the head learns nothing that could choose
    course = COURSE._replace(bag_epochs=1, batch_pairs=12)
    found = []
    for number, term in enumerate((None, TERM._replace(hard=hard))):
        learnt = learn(start, "own", lesson, course._replace(contrast=term), watch(tmp_path / str(number)))
        assert learnt.encoder is not None
        found.append(nearer(learnt.encoder, lesson, sequences))
    assert found[0] < 0.6
    assert found[1] > 0.9


@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
def test_parts_of_a_batch_give_the_terms_gradient_of_the_whole(
    lora: LoraSettings | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("dnapair.finetuning.pairs._DROPOUT", 0.0)
    start = tiny()
    start = start._replace(
        config={**start.config, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    )
    lesson, _ = make_lesson(start)
    course = AS_BERT._replace(steps=4, contrast=TERM, lora=lora and lora._replace(dropout=0.0))
    found = []
    for micro in (32, 5):
        learnt = learn(start, "own", lesson, course._replace(micro_pairs=micro), watch(tmp_path / str(micro)))
        found.append(
            [[entry[name] for name in ("loss", "contrastive_loss")] for entry in learnt.standing.history]
        )
    assert found[0][0][1] > 0
    np.testing.assert_allclose(found[0], found[1], rtol=1e-3)


@pytest.mark.parametrize(
    "course", [COURSE, AS_BERT, AS_BERT._replace(lora=LORA)], ids=["bag", "bert", "lora"]
)
def test_stopped_within_an_epoch_it_goes_on_to_the_same_weights(course: Course, tmp_path: Path):
    start = tiny()
    lesson, _ = make_lesson(start)
    course = course._replace(bag_epochs=min(course.bag_epochs, 2), steps=min(course.steps, 8), contrast=TERM)
    whole = learn(start, "own", lesson, course, watch(tmp_path / "whole"))
    looker = watch(tmp_path / "again")

    def stop(*_: object) -> None:
        raise StoppedError

    with pytest.raises(StoppedError):
        learn(start, "own", lesson, course, looker._replace(record=stop))
    again = learn(start, "own", lesson, course, looker)
    assert whole.encoder is not None
    assert again.encoder is not None
    assert again.encoder.fingerprint == whole.encoder.fingerprint
