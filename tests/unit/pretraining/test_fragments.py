import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnapair.data.sequences import reverse_complement
from dnapair.embedding.kmers import base_codes
from dnapair.errors import DnapairError
from dnapair.pretraining.corpus import Corpus
from dnapair.pretraining.fragments import Sampler


def make_corpus(*genomes: list[int], seed: int = 1) -> Corpus:
    """Random records of the given lengths, a list for each genome."""
    rng = np.random.default_rng(seed)
    lengths = [length for genome in genomes for length in genome]
    return Corpus(
        rng.integers(0, 4, sum(lengths)).astype(np.uint8),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        np.repeat(np.arange(len(genomes)), [len(genome) for genome in genomes]),
        [f"g{number}" for number in range(len(genomes))],
        0,
    )


def spell(bases: np.ndarray) -> str:
    return "".join(np.array(list("ATCGN"))[bases])


def homes(corpus: Corpus, fragment: str) -> set[int]:
    """The records that a fragment is part of, on either strand."""
    return {
        number
        for number in range(len(corpus.genomes))
        for text in [spell(corpus.bases[corpus.starts[number] : corpus.starts[number + 1]])]
        if fragment in text or reverse_complement(fragment) in text
    }


@given(st.integers(0, 1000), st.booleans())
def test_a_pair_is_of_two_records_of_one_genome(step: int, turn: bool):
    corpus = make_corpus([60, 45], [50, 50, 70], [200], [40])
    fragments = Sampler(corpus, 50, turn, seed=1).pairs(step, 3)
    records = []
    for bases, length in zip(fragments.bases, fragments.lengths, strict=True):
        (home,) = homes(corpus, spell(bases[:length]))
        assert set(bases[length:]) <= {4}
        records.append(home)
    genomes = corpus.genomes[records]
    assert (genomes[:3] == genomes[3:]).all()
    assert set(genomes[:3]) == {0, 1, 2}
    for first, second in zip(records[:3], records[3:], strict=True):
        assert first != second or corpus.genomes[first] == 2


@given(st.integers(0, 1000))
def test_two_fragments_of_one_long_record_do_not_overlap(step: int):
    corpus = make_corpus([100], [100])
    fragments = Sampler(corpus, 40, False, seed=1).pairs(step, 2)
    text = [spell(corpus.bases[start : start + 100]) for start in (0, 100)]
    for row in range(2):
        first, second = (spell(fragments.bases[place]) for place in (row, row + 2))
        (whole,) = (record for record in text if first in record)
        assert abs(whole.index(first) - whole.index(second)) >= 40


def test_one_step_draws_the_same_and_another_draws_others():
    sampler = Sampler(make_corpus(*[[80, 90]] * 9), 50, True, seed=1)
    assert np.array_equal(sampler.pairs(3, 5).bases, sampler.pairs(3, 5).bases)
    assert not np.array_equal(sampler.pairs(3, 5).bases, sampler.pairs(4, 5).bases)
    assert np.array_equal(sampler.single(3, 5).bases, sampler.single(3, 5).bases)


def test_about_half_of_the_fragments_are_turned():
    corpus = make_corpus(*[[400]] * 4)
    fragments = Sampler(corpus, 100, True, seed=1).single(0, 400)
    forward = sum(spell(bases) in spell(corpus.bases) for bases in fragments.bases)
    assert 150 < forward < 250


def test_unknown_letters_stay_unknown_on_either_strand():
    corpus = make_corpus([30, 30])
    corpus.bases[:] = base_codes("ACNGT" * 12)
    fragments = Sampler(corpus, 30, True, seed=1).single(0, 20)
    assert {spell(bases) for bases in fragments.bases} <= {"ACNGT" * 6}


def test_too_few_genomes_for_a_batch_is_said():
    sampler = Sampler(make_corpus([60, 60], [60]), 50, True, seed=1)
    sampler.check_pairs(1)
    with pytest.raises(
        DnapairError, match=r"only 1 genome\(s\) can give two\. 1 genome\(s\) have one fragment only \(g1"
    ):
        sampler.check_pairs(2)
