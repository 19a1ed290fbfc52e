import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dnapair.embedding.kmers import KmerVocabulary, base_codes
from dnapair.pretraining.fragments import Fragments
from dnapair.pretraining.masking import IGNORED, hide_spans, token_ids

VOCABULARY = KmerVocabulary.standard(3)


def fragments(*texts: str) -> Fragments:
    crop = max(map(len, texts))
    return Fragments(
        np.stack([base_codes(text.ljust(crop, "N")) for text in texts]), np.array([*map(len, texts)])
    )


def random_fragments(count: int, length: int) -> Fragments:
    bases = np.random.default_rng(1).integers(0, 4, (count, length)).astype(np.uint8)
    return Fragments(bases, np.full(count, length))


def test_token_ids_are_those_of_the_embedding_stage():
    ids = token_ids(fragments("ACGTNACGT", "ACGTA"), VOCABULARY)
    long = [VOCABULARY.cls, *VOCABULARY.encode("ACGTNACGT"), VOCABULARY.sep]
    short = [VOCABULARY.cls, *VOCABULARY.encode("ACGTA"), VOCABULARY.sep]
    assert ids.tolist() == [long, short + [VOCABULARY.pad] * 4]


@given(st.integers(0, 500), st.integers(1, 8))
def test_hidden_kmers_are_those_that_touch_a_span(seed: int, span: int):
    given_fragments = random_fragments(3, 40)
    masked = hide_spans(given_fragments, VOCABULARY, 0.05, span, [seed])
    original = token_ids(given_fragments, VOCABULARY)
    hidden = masked.targets != IGNORED
    assert (masked.targets[hidden] == original[hidden]).all()
    assert (masked.ids[~hidden] == original[~hidden]).all()
    assert (hidden.sum(1) >= span).all()
    assert not hidden[:, [0, -1]].any()
    if round(0.05 * 40 / span) <= 1:
        # one span: a run of span + k - 1 k-mers, shorter at the ends of the fragment
        assert (hidden.sum(1) <= span + 2).all()
        assert (np.diff(hidden.astype(int), axis=1) == 1).sum() == 3


def test_a_span_is_masked_changed_or_left_as_a_whole():
    given_fragments = random_fragments(3000, 40)
    masked = hide_spans(given_fragments, VOCABULARY, 0.1, 4, [1])
    original = token_ids(given_fragments, VOCABULARY)
    hidden = masked.targets != IGNORED
    blank = (masked.ids == VOCABULARY.mask) & hidden
    whole = blank.sum(1) == hidden.sum(1)
    kept = (masked.ids == original).all(1)
    assert (whole | ~blank.any(1)).all()
    assert 0.77 < whole.mean() < 0.83
    # of the changed spans, some change nothing by chance
    assert 0.08 < kept.mean() < 0.13


def test_short_fragments_and_unknown_letters_are_never_guessed():
    masked = hide_spans(fragments("ACGTACGTACGTACGT", "ACGTACNGT"), VOCABULARY, 0.9, 4, [1])
    assert (masked.targets[1, 8:] == IGNORED).all()
    assert not np.isin(VOCABULARY.unk, masked.targets)
    assert (masked.ids[1, 5:8] == VOCABULARY.unk).all()


def test_one_seed_hides_the_same():
    first, second = (hide_spans(random_fragments(4, 40), VOCABULARY, 0.2, 4, [7]) for _ in range(2))
    assert np.array_equal(first.ids, second.ids)
