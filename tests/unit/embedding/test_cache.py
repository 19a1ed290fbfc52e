import numpy as np

from dnapair.embedding.cache import EmbeddingCache

DIMENSIONS = 8
ROW_BYTES = 2 * DIMENSIONS + 300


class Encoder:
    """Makes a row of each sequence of one batch, and remembers which it was asked for."""

    def __init__(self, batch: list[str]) -> None:
        self.batch = batch
        self.asked: list[str] = []

    def __call__(self, places: list[int]) -> np.ndarray:
        self.asked = [self.batch[place] for place in places]
        return row_of(self.asked)


def row_of(sequences: list[str]) -> np.ndarray:
    return np.array([[int(sequence)] * DIMENSIONS for sequence in sequences], np.float16)


def ask(cache: EmbeddingCache, *sequences: str) -> list[str]:
    """Ask for sequences, check their rows, and say which were computed."""
    encoder = Encoder(list(sequences))
    rows = cache.rows(sequences, encoder)
    assert rows.dtype == np.float16
    np.testing.assert_array_equal(rows, row_of(list(sequences)))
    return encoder.asked


def test_a_sequence_is_computed_once():
    cache = EmbeddingCache(10**6)
    assert ask(cache, "1", "2") == ["1", "2"]
    assert ask(cache, "3", "1", "4", "2") == ["3", "4"]
    assert ask(cache, "4", "3") == []
    assert (cache.asked, cache.computed) == (8, 4)


def test_what_was_not_asked_for_longest_goes_first():
    cache = EmbeddingCache(3 * ROW_BYTES)
    ask(cache, "1", "2", "3")
    assert ask(cache, "1") == []
    assert ask(cache, "4") == ["4"]
    assert ask(cache, "1", "3") == []
    assert ask(cache, "2") == ["2"]


def test_more_than_fits_is_given_and_not_kept():
    cache = EmbeddingCache(2 * ROW_BYTES)
    assert ask(cache, "1", "2", "3", "4") == ["1", "2", "3", "4"]
    assert ask(cache, "3", "4") == []
    assert ask(cache, "1") == ["1"]


def test_a_cache_of_nothing_keeps_nothing():
    cache = EmbeddingCache(0)
    assert ask(cache, "1") == ["1"]
    assert ask(cache, "1") == ["1"]
