from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dnapair.data.sequences import reverse_complement
from dnapair.embedding.batching import batches
from dnapair.embedding.checkpoint import load_encoder
from dnapair.embedding.embedder import Embedder, check_embeddable, choose_precision
from dnapair.embedding.encoder import Encoder, build_untrained
from dnapair.embedding.gpu_bert import GpuBert
from dnapair.embedding.kmers import KmerVocabulary
from dnapair.errors import DnapairError
from dnapair.machine.processor import has_bfloat16
from tests.unit.stock import last_layer

SHIPPED = Path(__file__).parents[3] / "encoders" / "dnabert6-mini"
TOLERANCE = 1e-5
with_bfloat16 = pytest.mark.skipif(not has_bfloat16(), reason="this processor has no units for bfloat16")
dna = st.text("ACGT", min_size=3, max_size=40)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return build_untrained(3, 2, 16, 2, seed=1)


@cache
def untrained(pooling: str, strand: str, batch_tokens: int) -> Embedder:
    encoder = build_untrained(3, 2, 16, 2, seed=1)
    return Embedder(encoder, pooling, strand, False, "float32", "cpu", batch_tokens)


@cache
def shipped(precision: str) -> Embedder:
    return Embedder(load_encoder(str(SHIPPED)), "mean", "both", True, precision, "cpu")


def embed(sequences: list[str], pooling="mean", strand="forward", batch_tokens=512) -> np.ndarray:
    return untrained(pooling, strand, batch_tokens).embed(sequences)


def hidden(encoder: Encoder, ids: list[int]) -> np.ndarray:
    """The last layer for one window by transformers alone, shape=(length, d)."""
    return last_layer(encoder, np.array([ids]))[0]


def test_mean_is_over_the_kmers_and_not_the_special_tokens(encoder: Encoder):
    ids = encoder.vocabulary.encode("ACGTTGCA").tolist()
    expected = hidden(encoder, [2, *ids, 3])[1:-1].mean(0)
    np.testing.assert_allclose(embed(["ACGTTGCA"])[0], expected, atol=TOLERANCE)


def test_unknown_kmers_are_left_out_of_the_mean(encoder: Encoder):
    ids = encoder.vocabulary.encode("ACGTNACGT").tolist()
    known = [place + 1 for place, token in enumerate(ids) if token != encoder.vocabulary.unk]
    assert len(known) == 4
    expected = hidden(encoder, [2, *ids, 3])[known].mean(0)
    np.testing.assert_allclose(embed(["ACGTNACGT"])[0], expected, atol=TOLERANCE)


@pytest.mark.parametrize(("pooling", "reduce"), [("cls", lambda h: h[0]), ("max", lambda h: h[1:-1].max(0))])
def test_other_poolings(encoder: Encoder, pooling: str, reduce):
    ids = encoder.vocabulary.encode("ACGTTGCAT").tolist()
    expected = reduce(hidden(encoder, [2, *ids, 3]))
    np.testing.assert_allclose(embed(["ACGTTGCAT"], pooling)[0], expected, atol=TOLERANCE)


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_long_sequence_is_the_length_weighted_mean_of_its_windows(encoder: Encoder, pooling: str):
    sequence = "".join(np.random.default_rng(1).choice(list("ACGT"), 1200))
    ids = encoder.vocabulary.encode(sequence).tolist()
    windows = [hidden(encoder, [2, *ids[start : start + 510], 3]) for start in (0, 510, 1020)]
    lengths = [len(window) - 2 for window in windows]
    expected = {
        "mean": np.concatenate([window[1:-1] for window in windows]).mean(0),
        "cls": np.average([window[0] for window in windows], axis=0, weights=lengths),
        "max": np.concatenate([window[1:-1] for window in windows]).max(0),
    }[pooling]
    np.testing.assert_allclose(embed([sequence], pooling)[0], expected, atol=TOLERANCE)


def test_sequence_of_100_000_bases_is_embedded(encoder: Encoder):
    sequence = "".join(np.random.default_rng(2).choice(list("ACGT"), 100_000))
    assert np.isfinite(embed([sequence], batch_tokens=8192)).all()


def test_a_list_that_is_cut_for_memory_gives_the_same(monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(4)
    sequences = ["".join(rng.choice(list("ACGT"), length)) for length in (30, 9, 120, 5, 5, 40)]
    whole = embed(sequences, strand="both")
    monkeypatch.setattr("dnapair.embedding.embedder.PART_LETTERS", 50)
    np.testing.assert_allclose(embed(sequences, strand="both"), whole, atol=TOLERANCE)


def test_both_strands_are_one(encoder: Encoder):
    sequence = "ACGTTGCATTAC"
    both = embed([sequence, reverse_complement(sequence)], strand="both")
    np.testing.assert_allclose(both[0], both[1], atol=TOLERANCE)
    one_way = embed([sequence, reverse_complement(sequence)])
    np.testing.assert_allclose(both[0], one_way.mean(0), atol=TOLERANCE)


@settings(max_examples=30)
@given(
    sequences=st.lists(dna, min_size=1, max_size=12),
    batch_tokens=st.sampled_from([1, 30, 57, 400]),
    pooling=st.sampled_from(["mean", "cls", "max"]),
)
def test_embedding_does_not_depend_on_neighbours_order_or_batch_size(
    encoder, sequences, batch_tokens, pooling
):
    alone = np.concatenate([embed([sequence], pooling) for sequence in sequences])
    together = embed(sequences, pooling, batch_tokens=batch_tokens)
    backwards = embed(sequences[::-1], pooling, batch_tokens=batch_tokens)[::-1]
    np.testing.assert_allclose(together, alone, atol=TOLERANCE)
    np.testing.assert_allclose(backwards, alone, atol=TOLERANCE)


@given(sequences=st.lists(dna, min_size=1, max_size=12), batch_tokens=st.integers(10, 400))
def test_batches_hold_every_kmer_once_within_the_budget(sequences, batch_tokens):
    vocabulary = KmerVocabulary.standard(3)
    seen = [[] for _ in sequences]
    for batch in batches(sequences, vocabulary, window=10, batch_tokens=batch_tokens):
        assert batch.ids.size <= batch_tokens or len(batch.ids) == 1
        assert not (batch.ids == vocabulary.pad).any()
        for owner, ids in zip(batch.owners, batch.ids, strict=True):
            seen[owner] += ids[ids > vocabulary.sep].tolist()
    assert [sorted(ids) for ids in seen] == [sorted(vocabulary.encode(s).tolist()) for s in sequences]


def test_threads_share_an_embedder_and_get_each_their_own():
    rng = np.random.default_rng(1)
    lists = [["".join(rng.choice(list("ACGT"), 60)) for _ in range(count)] for count in range(1, 9)]
    expected = [embed(sequences) for sequences in lists]
    with ThreadPoolExecutor(4) as threads:
        for found, alone in zip(threads.map(embed, lists * 10), expected * 10, strict=True):
            np.testing.assert_allclose(found, alone, atol=TOLERANCE)


def test_normalized_embeddings_keep_their_direction_at_length_1(encoder: Encoder):
    sequences = ["ACGTTGCAACGT", "TTTTTTTTTTAC"]
    plain, normal = (
        Embedder(encoder, "mean", "both", normalize, "float32", "cpu").embed(sequences)
        for normalize in (False, True)
    )
    np.testing.assert_allclose(normal, plain / np.linalg.norm(plain, axis=1, keepdims=True), rtol=1e-6)


def test_no_sequences_are_no_embeddings(encoder: Encoder):
    assert embed([]).shape == (0, 16)


def test_sequence_shorter_than_k_is_named():
    with pytest.raises(DnapairError, match=r"1 sequence\(s\).*no 6-mer.*f2 \(5 letters\)"):
        check_embeddable(["ACGTAC", "ACGTA"], ["f1", "f2"], 6)


def test_sequence_with_no_clean_kmer_is_named():
    with pytest.raises(DnapairError, match=r"f1 \(11 letters\)"):
        check_embeddable(["ACGTANACGTA"], ["f1"], 6)


def test_cuda_where_there_is_none_is_said(encoder: Encoder):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(DnapairError, match="no GPU"):
        Embedder(encoder, "mean", "forward", False, "float32", "cuda")


@settings(max_examples=15)
@given(sequences=st.lists(dna, min_size=1, max_size=8), order=st.randoms(use_true_random=False))
@pytest.mark.parametrize("precision", ["float32", pytest.param("bfloat16", marks=with_bfloat16)])
def test_shipped_encoder_gives_a_sequence_the_same_embedding_in_any_company(precision, sequences, order):
    embedder = shipped(precision)
    sequences = [f"{sequence}ACGTAC" for sequence in sequences]
    alone = np.concatenate([embedder.embed([sequence]) for sequence in sequences])
    shuffled = order.sample(range(len(sequences)), len(sequences))
    together = embedder.embed([sequences[place] for place in shuffled])
    # the values spread by 0.09; the processors tried gave the same to the bit
    np.testing.assert_allclose(together, alone[shuffled], atol=1e-6 if precision == "float32" else 5e-4)


@with_bfloat16
def test_bfloat16_moves_embeddings_by_less_than_2_percent_of_their_spread():
    rng = np.random.default_rng(3)
    lengths = rng.integers(100, 501, 60)
    sequences = ["".join(rng.choice(list("ACGT"), length)) for length in lengths]
    exact, rounded = (shipped(precision).embed(sequences) for precision in ("float32", "bfloat16"))
    assert np.abs(rounded - exact).mean() / exact.std(axis=0).mean() < 0.02


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
@pytest.mark.parametrize("gelu", ["gelu", "gelu_new"])
def test_the_gpus_way_gives_what_the_cpus_gives(pooling, gelu):
    drawn = build_untrained(3, 2, 16, 2, seed=1)
    encoder = drawn._replace(config={**drawn.config, "hidden_act": gelu})
    rng = np.random.default_rng(1)
    sequences = ["".join(rng.choice(list("ACGTN"), length)) for length in (9, 40, 12, 40, 9, 600)]
    expected = Embedder(encoder, pooling, "both", True, "float32", "cpu").embed(sequences)
    embedder = Embedder(encoder, pooling, "both", True, "float32", "cpu")
    # its budget of 700 tokens is two windows and a half
    embedder._bert = GpuBert(encoder.weights, encoder.shape, pooling, "float32", 700, "cpu")
    np.testing.assert_allclose(embedder.embed(sequences), expected, atol=TOLERANCE)


def test_a_gpu_whose_memory_is_full_gets_less_at_a_time(encoder: Encoder, monkeypatch, capsys):
    bert = GpuBert(encoder.weights, encoder.shape, "mean", "float32", 4096, "cpu")
    ids = np.random.default_rng(1).integers(5, 69, (40, 100)).astype(np.int32)
    batches = [(ids, np.ones(ids.shape, bool))]
    expected = bert.run(batches)[0]
    seen = []

    def forward(packed, run=bert._forward):
        seen.append(len(packed.ids))
        if len(packed.ids) > 1024:
            raise torch.OutOfMemoryError
        return run(packed)

    monkeypatch.setattr(bert, "_forward", forward)
    np.testing.assert_allclose(bert.run(batches)[0], expected, atol=TOLERANCE)
    assert max(seen[2:]) <= 1024
    assert capsys.readouterr().out.count("memory is full") == 2


@pytest.mark.parametrize(("able", "chosen"), [(True, "bfloat16"), (False, "float32")])
def test_auto_is_bfloat16_where_the_processor_has_it(monkeypatch, able, chosen):
    monkeypatch.setattr("dnapair.embedding.embedder.has_bfloat16", lambda: able)
    assert choose_precision("auto", "cpu") == chosen
    assert choose_precision("float32", "cpu") == "float32"


def test_bfloat16_where_there_is_none_is_said(monkeypatch):
    monkeypatch.setattr("dnapair.embedding.embedder.has_bfloat16", lambda: False)
    with pytest.raises(DnapairError, match=r"embed\.precision: bfloat16, but this processor has no units"):
        choose_precision("bfloat16", "cpu")
