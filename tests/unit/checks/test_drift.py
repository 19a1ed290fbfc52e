import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from dnapair.checks.drift import Watch
from dnapair.checks.expectations import check_input
from dnapair.checks.reference import Limits, describe
from dnapair.embedding.kmers import kmer_codes

K, DIMENSIONS = 4, 8
LIMITS = Limits(max_outside_share=0.05, max_distance=0.2, max_clipped_share=0.01)


def draw(seed: int, n: int, *, length: int = 60, gc: float = 0.5, unknown: float = 0.0) -> list[str]:
    rng = np.random.default_rng(seed)
    p = [(1 - gc) * (1 - unknown) / 2, *[gc * (1 - unknown) / 2] * 2, (1 - gc) * (1 - unknown) / 2, unknown]
    return [
        "".join(rng.choice(list("ACGTN"), size, p=p)) for size in rng.integers(length - 10, length + 10, n)
    ]


def embeddings(seed: int, n: int, spread: float = 0.3) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, spread, (n, DIMENSIONS)).astype(np.float32)


def trained_on(sequences: list[str], values: np.ndarray, limits: Limits = LIMITS) -> dict:
    blocks = (
        (sequences[start : start + 100], values[start : start + 100])
        for start in range(0, len(sequences), 100)
    )
    return json.loads(json.dumps(describe(blocks, K, len(sequences), limits)))


@pytest.fixture(scope="module")
def reference() -> dict:
    # clipped: the scaler's range is that of the train sequences
    return trained_on(draw(1, 2000), embeddings(1, 2000).clip(-1, 1))


def faults(reference: dict, sequences: list[str], values: np.ndarray) -> list[str]:
    watch = Watch(reference)
    watch.observe(sequences, values)
    report = watch.report()
    assert report["in_range"] == (report["faults"] == [])
    assert [fact.holds for fact in watch.facts()].count(False) == len(report["faults"])
    return [fact.name for fact in watch.facts() if not fact.holds]


@pytest.mark.parametrize("seed", range(2, 7))
def test_sequences_like_those_of_training_are_in_range(reference: dict, seed: int) -> None:
    assert faults(reference, draw(seed, 500), embeddings(seed, 500)) == []


@pytest.mark.parametrize(
    ("sequences", "values", "names"),
    [
        (
            draw(9, 400, length=90),
            embeddings(9, 400),
            {"range of length", "distribution of length"},
        ),
        (
            draw(9, 400, gc=0.65),
            embeddings(9, 400),
            {"range of GC content", "distribution of GC content"},
        ),
        (
            draw(9, 400, unknown=0.02),
            embeddings(9, 400),
            {f"{what} of share of unknown k-mers" for what in ("range", "distribution")},
        ),
        (
            draw(9, 400),
            embeddings(9, 400, spread=0.9),
            {
                "clipped values of the embeddings",
                *(f"{what} of largest scaled value of the embedding" for what in ("range", "distribution")),
            },
        ),
    ],
    ids=["length", "GC", "unknown", "embedding"],
)
def test_what_left_its_range_is_named_and_nothing_else_is(
    reference: dict, sequences: list[str], values: np.ndarray, names: set[str]
) -> None:
    found = set(faults(reference, sequences, values))
    assert found
    assert found <= names


def test_a_shift_inside_the_range_is_seen_in_the_distribution(reference: dict) -> None:
    same_length = [sequence[:55].ljust(55, "A") for sequence in draw(3, 400)]
    assert faults(reference, same_length, embeddings(3, 400)) == ["distribution of length"]


def test_one_length_in_training_and_another_in_input_have_nothing_in_common() -> None:
    reference = trained_on(["ACGTACGTAC"] * 300, embeddings(1, 300).clip(-1, 1))
    watch = Watch(reference)
    watch.observe(["ACGTACGTA"] * 100, embeddings(2, 100))
    length = watch.report()["statistics"]["length"]
    assert (length["distance"], length["outside_share"]) == (1.0, 1.0)
    assert any(
        "less than 10 bases: 100.0% of 100 sequences, 0.0% in training" in fault
        for fault in watch.report()["faults"]
    )


def test_few_sequences_are_no_alarm_and_not_so_few_are(reference: dict) -> None:
    odd = draw(5, 30, length=200)
    assert faults(reference, odd[:3], embeddings(5, 3)) == []
    assert "range of length" in faults(reference, odd, embeddings(5, 30))


def test_before_the_first_sequence_nothing_has_left_its_range(reference: dict) -> None:
    watch = Watch(reference)
    watch.observe([], np.empty((0, DIMENSIONS), np.float32))
    report = watch.report()
    assert (report["sequences"], report["in_range"], report["faults"]) == (0, True, [])
    assert watch.facts() == []


def test_threads_and_pieces_count_every_sequence_once(reference: dict) -> None:
    sequences, values = draw(7, 640), embeddings(7, 640, spread=0.6)
    whole, pieces = Watch(reference), Watch(reference)
    pairs = np.random.default_rng(7).normal(0, 0.6, (640, 12))
    whole.observe(sequences, values)
    whole.observe_pairs(pairs)
    with ThreadPoolExecutor(8) as pool:
        for done in [
            *(
                pool.submit(pieces.observe, sequences[place : place + 1], values[place : place + 1])
                for place in range(640)
            ),
            *(pool.submit(pieces.observe_pairs, pairs[place : place + 1]) for place in range(640)),
        ]:
            done.result()
    expected, found = whole.report(), pieces.report()
    assert found | {"since": expected["since"]} == expected
    assert json.loads(json.dumps(found)) == found


def test_the_distance_is_that_of_kolmogorov_and_smirnov() -> None:
    rng = np.random.default_rng(0)
    trained, seen = rng.integers(4, 24, 3000), rng.integers(2, 20, 500)
    watch = Watch(trained_on(["A" * size for size in trained], embeddings(1, 3000)))
    watch.observe(["A" * size for size in seen[seen >= K]], embeddings(2, int((seen >= K).sum())))
    expected = ks_2samp(trained, seen[seen >= K]).statistic
    assert watch.report()["statistics"]["length"]["distance"] == pytest.approx(expected, abs=1e-12)


@given(st.lists(st.text("ACGTN", min_size=K, max_size=30), min_size=1, max_size=12))
def test_gc_and_unknown_kmers_are_each_sequences_own(sequences: list[str]) -> None:
    described = describe([(sequences, np.zeros((len(sequences), 1)))], K, len(sequences), LIMITS)[
        "statistics"
    ]
    unknown = [float(np.mean(kmer_codes(sequence, K) < 0)) for sequence in sequences]
    gc = [
        (sequence.count("G") + sequence.count("C")) / max(len(sequence) - sequence.count("N"), 1)
        for sequence in sequences
    ]
    for name, expected in (("unknown", unknown), ("gc", gc)):
        assert described[name]["edges"] == pytest.approx(sorted(set(expected)))


def test_values_that_are_not_finite_are_out_of_range_and_still_json(reference: dict) -> None:
    values = embeddings(2, 100)
    values[:50, 0], values[50:, 1] = np.nan, np.inf
    watch = Watch(reference)
    watch.observe(draw(2, 100), values)
    report = watch.report()
    assert report["clipped_share"] >= 1 / DIMENSIONS
    assert report["statistics"]["reach"]["outside_share"] == 1.0
    json.dumps(report, allow_nan=False)


def test_clipped_interactions_of_pairs_unlike_those_of_training_are_said(reference: dict) -> None:
    watch = Watch(reference)
    watch.observe(draw(2, 500), embeddings(2, 500))
    # 1 is inside
    pairs = np.random.default_rng(0).choice([-1.0, 0.2, 1.0], (600, 12))
    watch.observe_pairs(pairs)
    assert all(fact.holds for fact in watch.facts())
    assert watch.report()["clipped_interactions_share"] == 0.0
    pairs[:, 4:6], pairs[::2, 7], pairs[0, 9] = 1.01, -1.5, np.nan
    watch.observe_pairs(pairs)
    report = watch.report()
    assert report["clipped_interactions_share"] == (2 * 600 + 300 + 1) / (2 * pairs.size)
    assert report["clipped_share"] < 0.01
    assert report["faults"] == [
        "More than 1.00% of the interactions' values lie outside the range that training has, and are "
        "clipped: 0.1042 (10.42%)."
    ]
    assert not report["in_range"]
    assert [fact.name for fact in watch.facts() if not fact.holds] == ["clipped values of the interactions"]


def test_few_pairs_are_no_alarm_and_not_so_few_are(reference: dict) -> None:
    def names(pairs: int) -> list[str]:
        watch = Watch(reference)
        watch.observe(draw(2, 500), embeddings(2, 500))
        watch.observe_pairs(np.where(np.arange(12) < 4, 2.0, 0.0)[None].repeat(pairs, axis=0))
        return [fact.name for fact in watch.facts() if not fact.holds]

    assert names(3) == []
    assert names(60) == ["clipped values of the interactions"]


def test_a_model_without_interactions_has_no_fact_of_them(reference: dict) -> None:
    watch = Watch(reference)
    watch.observe(draw(2, 100), embeddings(2, 100))
    assert not [fact.name for fact in watch.facts() if "interactions" in fact.name]
    watch.observe_pairs(np.empty((0, 12)))
    assert watch.report()["clipped_interactions_share"] == 0.0
    assert not [fact.name for fact in watch.facts() if "interactions" in fact.name]


def test_great_expectations_agree_and_the_page_is_plain(reference: dict) -> None:
    watch = Watch(reference)
    watch.observe(draw(9, 400, length=90), embeddings(9, 400))
    watch.observe_pairs(np.full((400, 12), 2.0))
    outcome = check_input(watch.facts(), "<b>input</b>", "Numbers over 400 sequences.")
    assert outcome.failures == watch.report()["faults"]
    assert [expectation["success"] for expectation in outcome.expectations] == [
        fact.holds for fact in watch.facts()
    ]
    assert "of the interactions' values lie outside" in outcome.failures[-1]
    assert f"{len(outcome.failures)} of 10 checks failed" in outcome.page
    assert "<b>input" not in outcome.page
    assert "://" not in outcome.page
