import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnapair.checks import tokens
from dnapair.checks.tokens import Tokens, token_health


def test_a_split_is_counted_by_hand_alike() -> None:
    # 3-mers: 8, of which 3 touch the N; 3; 4, in windows of 3 k-mers
    sequences = ["ACGTNACGTA", "ACGTA", "CCCCCC"]
    used = {"train": np.array([True, True, False]), "test": np.array([False, True, True])}
    assert token_health(sequences, used, k=3, window=3) == {
        "train": Tokens(2, 8 + 3, 3, 3 / 11, 3 + 1, 3, 0),
        "test": Tokens(2, 3 + 4, 0, 0.0, 1 + 2, 2, 0),
    }


def test_an_empty_split_has_zeros() -> None:
    assert token_health(["ACGT"], {"val": np.zeros(1, bool)}, 3, 5)["val"] == Tokens(0, 0, 0, 0.0, 0, 0, 0)


@given(
    st.lists(st.text("ACGTN", min_size=4, max_size=60), min_size=1, max_size=12),
    st.integers(1, 9),
    st.integers(1, 100),
)
def test_windows_leave_no_base_out_and_unknown_kmers_are_those_with_another_letter(
    sequences: list[str], window: int, letters: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokens, "BLOCK_LETTERS", letters)
        found = token_health(sequences, {"train": np.ones(len(sequences), bool)}, 4, window)["train"]
    kmers = [sequence[at : at + 4] for sequence in sequences for at in range(len(sequence) - 3)]
    assert (found.kmers, found.unknown) == (len(kmers), sum("N" in kmer for kmer in kmers))
    assert found.windows == sum(-(-(len(sequence) - 3) // window) for sequence in sequences)
    assert found.cut_bases == 0
