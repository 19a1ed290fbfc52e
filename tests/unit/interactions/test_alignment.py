"""The best local match, as people read it."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dnapair.interactions.alignment import LONGEST_SHOWN, best_match, spell
from dnapair.interactions.kernels import GAP, MATCH, MISMATCH, WOBBLE
from dnapair.interactions.layout import Layout
from dnapair.interactions.rows import describe_pairs

LETTERS = st.text("ACGTN", min_size=1, max_size=30)
SITE = "AAAGCTGTGGAACTATACAACCTACTACCTCTTGAGACC"
LET7 = "TGAGGTAGTAGGTTGTATAGTT"


def test_a_duplex_is_written_as_biologists_write_it() -> None:
    match = best_match(LET7, SITE)
    assert match is not None
    assert match.kind == "reverse complement"
    assert spell(match) == [
        "21 of 21 positions match, reverse complement, score 42: seq1 2 to 22, seq2 11 to 31",
        "seq1 3' TTGATATGTTGGATGATGGAG 5'",
        "        |||||||||||||||||||||",
        "seq2 5' AACTATACAACCTACTACCTC 3'",
    ]


def test_wobble_and_gaps_are_marked() -> None:
    match = best_match("TGTAAACATCCTCGACTGGA", "GTCGAGAAGTCAACGACTCAATGAAGAATTCCACTTATGGCGTGAATAGC")
    assert match is not None
    assert match[:6] == ("wobble", 14, 1, 1, 16, 15)
    assert match[6:] == ("CAGCTCCTACAAATGT", "||||| || ||  ||:", "GTCGA-GAAGTCAACG")


def test_an_overlap_is_found_on_the_forward_strand() -> None:
    match = best_match("TTTTTTACGGATCCA", "ACGGATCCAGGGGG")
    assert match is not None
    assert match[:6] == ("forward", 9 * MATCH, 7, 1, 15, 9)
    assert match.first == match.second == "ACGGATCCA"


def test_letters_that_match_nothing_have_no_match() -> None:
    assert best_match("NNNN", "NNNN") is None
    assert best_match("A", "C") is None


def test_a_long_match_is_written_in_lines() -> None:
    sequence = "".join(np.random.default_rng(1).choice(list("ACGT"), 200))
    match = best_match(sequence, sequence)
    assert match is not None
    heading, *lines = spell(match, 80)
    assert heading.startswith("200 of 200 positions match, forward")
    assert len(lines) == 11
    assert lines[3] == lines[7] == ""
    assert "".join(line[8:].removesuffix(" 3'") for line in lines[::4]) == sequence


def test_a_match_beyond_a_page_is_cut_and_memory_stays_small() -> None:
    sequence = "".join(np.random.default_rng(1).choice(list("ACGT"), 3 * LONGEST_SHOWN))
    match = best_match(sequence, sequence)
    assert match is not None
    assert match.end1 - match.start1 + 1 == len(match.first) == LONGEST_SHOWN


@given(seq1=LETTERS, seq2=LETTERS)
def test_the_lines_are_the_sequences_and_add_up_to_the_score(seq1: str, seq2: str) -> None:
    match = best_match(seq1, seq2)
    layout = Layout(4, 4, False, False)
    (row,) = describe_pairs([seq1, seq2], np.array([0]), np.array([1]), layout)
    best = dict(zip(layout.names(), row.tolist(), strict=True))
    if match is None:
        assert best["wobble: best alignment"] == best["forward: best alignment"] == 0
        return
    assert np.isclose(np.log2(1 + match.score), best[f"{match.kind}: best alignment"])
    assert len(match.first) == len(match.between) == len(match.second)
    own = seq1[match.start1 - 1 : match.end1]
    assert match.first.replace("-", "") == (own if match.kind == "forward" else own[::-1])
    assert match.second.replace("-", "") == seq2[match.start2 - 1 : match.end2]
    gaps = match.first.count("-") + match.second.count("-")
    matches, wobbles = match.between.count("|"), match.between.count(":")
    mismatches = len(match.between) - gaps - matches - wobbles
    assert match.score == MATCH * matches + WOBBLE * wobbles + MISMATCH * mismatches - GAP * gaps
