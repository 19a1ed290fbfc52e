"""The rows of pairs against the same numbers found the slow way."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnapair.interactions.duplex import END, EXTEND, MOST, OPEN, STACKS
from dnapair.interactions.kernels import GAP, MATCH, MISMATCH, WOBBLE
from dnapair.interactions.layout import DUPLEXES, KINDS, KMERS, RUNS, Layout, fit_layout
from dnapair.interactions.rows import describe_pairs

DNA = st.text("ACGT", min_size=1, max_size=14)
LETTERS = st.text("ACGTN", min_size=1, max_size=14)
ROUNDING = 1e-6
PARTNERS = dict(zip("ACGT", "TGCA", strict=True))


def complement(sequence: str) -> str:
    return "".join(PARTNERS.get(base, base) for base in reversed(sequence))


def row(seq1: str, seq2: str, layout: Layout) -> dict[str, float]:
    (numbers,) = describe_pairs([seq1, seq2], np.array([0]), np.array([1]), layout)
    return dict(zip(layout.names(), numbers.tolist(), strict=True))


def layout_of(seq1: str, seq2: str, symmetric: bool = False) -> Layout:
    return fit_layout(np.array([len(seq1)]), np.array([len(seq2)]), 64, symmetric)


def score(kind: str, one: str, other: str) -> int | None:
    """Of base `one` of the first sequence laid upon `other`; None where the two make no run."""
    if "N" in (one, other):
        return None
    if kind == "forward":
        return MATCH if one == other else None
    if PARTNERS[one] == other:
        return MATCH
    return WOBBLE if kind == "wobble" and {one, other} == {"G", "T"} else None


def grid(kind: str, seq1: str, seq2: str) -> tuple[list[int], list[list[int | None]]]:
    """The first sequence's places in the order of the second one, and what each base is upon each other."""
    places = list(range(len(seq1)))
    if kind != "forward":
        places.reverse()
    return places, [[score(kind, seq1[place], other) for other in seq2] for place in places]


def runs(kind: str, seq1: str, seq2: str) -> tuple[list[int], list[int], int]:
    """The longest run that covers each base of both, and of all."""
    places, scores = grid(kind, seq1, seq2)
    first, second = [0] * len(seq1), [0] * len(seq2)
    for i, j in product(range(len(seq1)), range(len(seq2))):
        length = 0
        while (
            i + length < len(seq1) and j + length < len(seq2) and scores[i + length][j + length] is not None
        ):
            length += 1
        for step in range(length):
            first[places[i + step]] = max(first[places[i + step]], length)
            second[j + step] = max(second[j + step], length)
    return first, second, max(second)


def alignment(kind: str, seq1: str, seq2: str) -> tuple[list[int], list[int]]:
    """The best score of a local alignment that ends at each base of both."""
    places, scores = grid(kind, seq1, seq2)
    table = np.zeros((len(seq1) + 1, len(seq2) + 1), int)
    for i, j in product(range(len(seq1)), range(len(seq2))):
        met = scores[i][j]
        table[i + 1, j + 1] = max(
            0,
            table[i, j] + (MISMATCH if met is None else met),
            table[i, j + 1] - GAP,
            table[i + 1, j] - GAP,
        )
    first = [0] * len(seq1)
    for i, place in enumerate(places):
        first[place] = int(table[i + 1].max())
    return first, table[1:, 1:].max(axis=0).tolist()


@settings(max_examples=60)
@given(seq1=LETTERS, seq2=LETTERS)
def test_runs_and_alignments_are_those_of_brute_force(seq1: str, seq2: str) -> None:
    found = row(seq1, seq2, layout_of(seq1, seq2)._replace(wobble=True))
    for kind in KINDS:
        *covering, longest = runs(kind, seq1, seq2)
        ending = alignment(kind, seq1, seq2)
        assert found[f"{kind}: longest run"] == pytest.approx(math.log2(1 + longest), abs=ROUNDING)
        best = max(ending[0])
        assert found[f"{kind}: best alignment"] == pytest.approx(math.log2(1 + best), abs=ROUNDING)
        for side, own, scores in zip(("seq1", "seq2"), covering, ending, strict=True):
            name = f"{side}, {kind}"
            for place, value in enumerate(scores, start=1):
                assert found[f"{name}: alignment at {place}"] == pytest.approx(
                    math.log2(1 + value), abs=ROUNDING
                )
            for length in RUNS:
                count = sum(value >= length for value in own)
                assert found[f"{name}: bases in runs of {length}"] == pytest.approx(
                    math.log2(1 + count), abs=ROUNDING
                )
            mean = sum(own) / len(own)
            assert found[f"{name}: mean run"] == pytest.approx(math.log2(1 + mean), abs=ROUNDING)
            begin = round(found[f"{name}: longest run's place"] * len(own))
            if longest:
                assert own[begin : begin + longest] == [longest] * longest
            assert scores[round(found[f"{name}: best alignment's end"] * len(own))] == best


def duplexes(seq1: str, strand: str) -> tuple[list[float], list[float]]:
    """The most, in kcal/mol, that a duplex frees whose last pair has each base of both."""
    one, other = seq1.replace("T", "U"), strand[::-1].replace("T", "U")
    freed = {}

    def loops(i: int, j: int) -> list[int]:
        """What is freed by duplexes with a loop between their last pair and the bases i and j."""
        return [
            freed[a, b] - OPEN - EXTEND * max(i - a, j - b)
            for a, b in product(range(i + 1), range(j + 1))
            if (a, b) in freed
        ]

    for i, j in product(range(len(one)), range(len(other))):
        pair = one[i] + other[j]
        if pair in STACKS:
            ways = [0 if pair in {"GC", "CG"} else -END]
            if (i - 1, j - 1) in freed:
                ways.append(freed[i - 1, j - 1] + STACKS[one[i - 1] + other[j - 1]][pair])
            freed[i, j] = max(ways + loops(i - 1, j - 1))
    first = [max([0, *(own for (a, _), own in freed.items() if a == i)]) / 10 for i in range(len(one))]
    second = [max([0, *(own for (_, b), own in freed.items() if b == j)]) / 10 for j in range(len(other))]
    return first, second[::-1]


@settings(max_examples=60)
@given(seq1=LETTERS, seq2=LETTERS)
def test_energies_of_duplexes_are_those_of_brute_force(seq1: str, seq2: str) -> None:
    found = row(seq1, seq2, layout_of(seq1, seq2))
    for kind, strand in zip(DUPLEXES, (seq2, complement(seq2)), strict=True):
        first, second = duplexes(seq1, strand)
        if kind == DUPLEXES[1]:
            second.reverse()
        assert found[f"{kind}: greatest energy"] == pytest.approx(max(first), abs=ROUNDING)
        for side, energies in (("seq1", first), ("seq2", second)):
            names = [f"{side}, {kind}: energy at {place + 1}" for place in range(len(energies))]
            assert [found[name] for name in names] == pytest.approx(energies, abs=1e-5)


def test_energies_are_those_of_the_nearest_neighbour_rules() -> None:
    def energy(seq1: str, seq2: str) -> float:
        return row(seq1, seq2, layout_of(seq1, seq2))["duplex: greatest energy"]

    # 5'-GGCC-3' with itself: GG/CC, GC/CG and CC/GG are 3.3, 3.4 and 3.3
    assert energy("GGCC", "GGCC") == pytest.approx(10.0)
    # 5'-GAC-3' with 5'-GUC-3': GA/CU and AC/UG are 2.4 and 2.2; with 5'-GCC-3' A meets C, which is a loop
    assert energy("GAC", "GTC") == pytest.approx(4.6)
    assert energy("GAC", "GCC") == 0
    # a strand that turns round is the same duplex
    assert all(STACKS[one][other] == STACKS[other[::-1]][one[::-1]] for one, other in product(STACKS, STACKS))


@settings(max_examples=60)
@given(seq1=LETTERS, seq2=LETTERS)
def test_shared_kmers_are_those_of_sets(seq1: str, seq2: str) -> None:
    found = row(seq1, seq2, layout_of(seq1, seq2))
    for k in KMERS:
        own = {
            name: {text[i : i + k] for i in range(len(text) - k + 1) if "N" not in text[i : i + k]}
            for name, text in (("seq1", seq1), ("turned", complement(seq1)), ("seq2", seq2))
        }
        possible = max(min(len(seq1), len(seq2)) - k + 1, 1)
        for kind, first in zip(KINDS, ("seq1", "turned"), strict=False):
            expected = len(own[first] & own["seq2"]) / possible
            assert found[f"shared {k}-mers, {kind}"] == pytest.approx(expected, abs=ROUNDING)


@given(seq=st.tuples(LETTERS, LETTERS).map(lambda pair: (pair[0], (pair[1] * 14)[: len(pair[0])])))
def test_agreement_at_the_same_offset(seq: tuple[str, str]) -> None:
    found = row(*seq, layout_of(*seq))
    equal = [one == other != "N" for one, other in zip(*seq, strict=True)]
    assert found["equal lengths"] == 1
    assert found["bases equal at the same offset"] == pytest.approx(sum(equal) / len(equal), abs=ROUNDING)
    assert [found[f"equal at {place}"] for place in range(1, len(equal) + 1)] == equal


def test_pairs_of_other_lengths_agree_nowhere() -> None:
    layout = Layout(5, 5, aligned=True, symmetric=False)
    found = row("ACGTA", "ACG", layout)
    assert not any(value for name, value in found.items() if "equal" in name)


@given(pairs=st.lists(st.tuples(LETTERS, LETTERS), min_size=2, max_size=6), symmetric=st.booleans())
def test_neither_order_nor_batch_matter(pairs: list[tuple[str, str]], symmetric: bool) -> None:
    layout = Layout(8, 8, True, symmetric, duplex=not symmetric)
    sequences = [sequence for pair in pairs for sequence in pair]
    places = np.arange(len(pairs)) * 2
    together = describe_pairs(sequences, places, places + 1, layout)
    back = describe_pairs(sequences, places[::-1], places[::-1] + 1, layout)[::-1]
    alone = [describe_pairs(list(pair), np.array([0]), np.array([1]), layout)[0] for pair in pairs]
    np.testing.assert_array_equal(together, back)
    np.testing.assert_array_equal(together, alone)


@given(seq1=LETTERS, seq2=LETTERS)
def test_symmetric_rows_do_not_know_which_sequence_is_the_first(seq1: str, seq2: str) -> None:
    layout = layout_of(seq1, seq2, symmetric=True)
    assert row(seq1, seq2, layout) == row(seq2, seq1, layout)


@given(seq1=DNA, seq2=DNA)
def test_totals_are_the_same_for_the_reverse_complement_of_both(seq1: str, seq2: str) -> None:
    layout = layout_of(seq1, seq2)
    one, other = row(seq1, seq2, layout), row(complement(seq1), complement(seq2), layout)
    # wobble: the complement of G:U is C:A, which is none
    totals = [
        name
        for name in layout.names()
        if "wobble" not in name
        and any(what in name for what in ("run", "best alignment", "shared", "bases", "length"))
        and not any(what in name for what in ("place", "end"))
    ]
    assert len(totals) > 40
    assert {name: one[name] for name in totals} == pytest.approx({name: other[name] for name in totals})


@given(seq1=st.text("ACGT", min_size=1, max_size=60), bins=st.integers(1, 20))
def test_a_longer_sequence_keeps_the_greatest_value_of_each_bin(seq1: str, bins: int) -> None:
    seq2 = seq1[::-1]
    fine = row(seq1, seq2, Layout(60, 60, False, False, duplex=True))
    coarse = row(seq1, seq2, Layout(bins, bins, False, False, duplex=True))
    profiles = ["wobble: alignment", *(f"{kind}: energy" for kind in DUPLEXES)]
    for name in [f"{side}, {profile}" for side in ("seq1", "seq2") for profile in profiles]:
        values = [fine[f"{name} at {place + 1}"] for place in range(len(seq1))]
        expected = [0.0] * bins
        for place, value in enumerate(values):
            home = place if len(seq1) <= bins else place * bins // len(seq1)
            expected[home] = max(expected[home], value)
        assert [coarse[f"{name} at {place + 1}"] for place in range(bins)] == expected


def test_long_sequences_are_borne_with_a_row_of_the_same_width() -> None:
    rng = np.random.default_rng(1)
    long = "".join(rng.choice(list("ACGT"), 40_000))
    layout = Layout(16, 16, False, False)
    found = row(long, long[20_000:] + "A" * 10, layout)
    assert found["forward: longest run"] >= math.log2(20_001)
    # what 16 bits hold
    assert row(long, long, layout)["forward: longest run"] == pytest.approx(math.log2(32_001))
    most = row(long, long, layout._replace(duplex=True))["duplex with the other strand: greatest energy"]
    assert most == pytest.approx(MOST / 10)


def test_the_numbers_of_version_1_stay_as_they_are() -> None:
    layout = Layout(3, 4, False, False)
    (found,) = describe_pairs(["ACGTTGCA", "TGCAACGGTA"], np.array([0]), np.array([1]), layout)
    assert layout.width == found.size
    assert float(found.astype(np.float64) @ np.arange(1, found.size + 1)) == pytest.approx(11888.503935)
    (more,) = describe_pairs(
        ["ACGTTGCA", "TGCAACGGTA"], np.array([0]), np.array([1]), layout._replace(duplex=True)
    )
    np.testing.assert_array_equal(more[: found.size], found)
