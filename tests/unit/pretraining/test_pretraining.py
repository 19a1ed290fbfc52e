import copy
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from dnapair.embedding.checkpoint import load_encoder
from dnapair.embedding.embedder import Embedder
from dnapair.embedding.kmers import KmerVocabulary, base_codes, kmer_codes
from dnapair.errors import DnapairError
from dnapair.pretraining.card import Facts, write_encoder
from dnapair.pretraining.checkpoint import Standing, read_standing
from dnapair.pretraining.corpus import Corpus
from dnapair.pretraining.fragments import Fragments, Sampler, turn
from dnapair.pretraining.loop import Phase, Schedule, Watch, run_phase
from dnapair.pretraining.masking import IGNORED, token_ids
from dnapair.pretraining.network import PretrainingNetwork, Shape
from dnapair.pretraining.objectives import contrastive_loss, likeness
from dnapair.pretraining.phases import Objectives, pretraining_phase, warm_start_phase
from dnapair.pretraining.probe import Probe
from dnapair.pretraining.speed import forward_flops
from dnapair.pretraining.warm_start import BagOfKmers
from dnapair.training.loop import Pairs

VOCABULARY = KmerVocabulary.standard(4)
SHAPE = Shape(layers=1, hidden=16, heads=2, feed_forward=32, dropout=0.0)
CPU = torch.device("cpu")
SETTINGS = {
    "pretrain.k": 4,
    "pretrain.strand": "both",
    "pretrain.steps": 30,
    "pretrain.warm_start.steps": 0,
    "pretrain.contrastive.weight": 1.0,
    "pretrain.masked.weight": 0.5,
    "pretrain.description": "Good for tests.",
    "pretrain.license": "mit",
}


def make_corpus(genomes: int = 12, genes: int = 4, length: int = 150) -> Corpus:
    """Genes of genomes that differ in their bases."""
    rng = np.random.default_rng(1)
    parts = [rng.choice(4, genes * length, p=rng.dirichlet([2, 2, 2, 2])) for _ in range(genomes)]
    return Corpus(
        np.concatenate(parts).astype(np.uint8),
        np.arange(genomes * genes + 1) * length,
        np.repeat(np.arange(genomes), genes),
        [f"g{number}" for number in range(genomes)],
        0,
    )


@pytest.fixture
def sampler() -> Sampler:
    return Sampler(make_corpus(), crop=100, reverse_complement=True, seed=1)


def objectives(**changes) -> Objectives:
    usual = Objectives(
        1.0, 0.5, True, batch_pairs=8, masked_fragments=6, micro_batch=64, mask_share=0.2, mask_span=6
    )
    return usual._replace(**changes)


def watch(tmp_path: Path, **changes) -> Watch:
    return Watch(tmp_path / "checkpoint.safetensors", {"a": 1}, 60, 5, lambda *_: None)._replace(**changes)


def gradients(network: PretrainingNetwork, sampler: Sampler, wanted: Objectives) -> dict[str, torch.Tensor]:
    phase = pretraining_phase(network, sampler, wanted, bf16=False, device=CPU, probe=None)
    network.zero_grad()
    phase.backward(phase.draw(0))
    return {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


def test_contrastive_loss_is_log_n_where_nothing_is_told_and_small_where_partners_agree():
    scale = torch.tensor(math.log(50.0))
    assert contrastive_loss(torch.ones(8, 3), scale).item() == pytest.approx(math.log(4))
    assert contrastive_loss(torch.eye(4).repeat(2, 1), scale).item() == pytest.approx(0, abs=1e-6)


def test_likeness_is_one_for_collapsed_embeddings_and_zero_for_orthogonal_ones():
    assert likeness(torch.ones(8, 3)) == pytest.approx(1)
    assert likeness(torch.eye(4).repeat(2, 1)) == pytest.approx(0)


def test_small_batches_in_memory_give_the_gradient_of_the_whole(sampler: Sampler):
    network = PretrainingNetwork(VOCABULARY, SHAPE._replace(dropout=0.0), 1).train()
    whole = gradients(network, sampler, objectives())
    cut = gradients(network, sampler, objectives(micro_batch=3))
    assert whole.keys() == cut.keys()
    for name, gradient in whole.items():
        torch.testing.assert_close(cut[name], gradient, rtol=1e-3, atol=1e-5)


def test_cut_batch_drops_the_same_in_both_passes(sampler: Sampler):
    network = PretrainingNetwork(VOCABULARY, SHAPE._replace(dropout=0.5), 1).train()
    only = objectives(masked=0.0, micro_batch=3)
    torch.manual_seed(1)
    first = gradients(network, sampler, only)
    torch.manual_seed(1)
    again = gradients(network, sampler, only)
    assert all(torch.equal(again[name], gradient) for name, gradient in first.items())


def test_an_objective_without_weight_leaves_its_own_parameters_alone(sampler: Sampler):
    network = PretrainingNetwork(VOCABULARY, SHAPE, 1)
    masked = gradients(network, sampler, objectives(contrastive=0.0))
    contrastive = gradients(copy.deepcopy(network), sampler, objectives(masked=0.0))
    assert "log_scale" not in masked
    assert not [name for name in contrastive if ".cls." in name and "decoder" not in name]


@pytest.mark.parametrize("bf16", [False, True])
def test_the_bert_goes_on_from_what_the_bag_learnt(bf16: bool):
    sampler = Sampler(make_corpus(length=450), crop=400, reverse_complement=True, seed=1)
    network = PretrainingNetwork(VOCABULARY, SHAPE._replace(layers=2), 1)
    bag = BagOfKmers(network, True, 0.0, 1)
    phase = warm_start_phase(bag, sampler, 8, bf16, None)
    optimizer = torch.optim.AdamW(bag.parameters(), lr=1e-3)
    for step in range(20):
        phase.backward(phase.draw(step))
        optimizer.step()
        optimizer.zero_grad()
    fragments = sampler.pairs(99, 12)
    expected = bag.embed(bag.count(fragments)).detach()
    bag.hand_over(bag.count(fragments))
    network.eval()
    strands = [torch.from_numpy(token_ids(strand, VOCABULARY)) for strand in (fragments, turn(fragments))]
    found = torch.stack([network.embed(strand) for strand in strands]).mean(0).detach()
    cosines = torch.nn.functional.cosine_similarity(found - found.mean(0), expected - expected.mean(0))
    assert cosines.min() > 0.99


def test_bag_of_both_strands_does_not_tell_them_apart(sampler: Sampler):
    bag = BagOfKmers(PretrainingNetwork(VOCABULARY, SHAPE, 1), True, 0.0, 1)
    fragments = sampler.pairs(0, 3)
    counts, turned = bag.count(fragments), bag.count(turn(fragments))
    assert counts.sum(2).flatten().tolist() == pytest.approx([1.0] * 18)
    torch.testing.assert_close(bag.embed(counts), bag.embed(turned), rtol=1e-3, atol=1e-5)


def test_bag_counts_each_frame_apart():
    bag = BagOfKmers(PretrainingNetwork(VOCABULARY, SHAPE, 1), False, 0.0, 1)
    counts = bag.count(Fragments(base_codes("ACGTACGTANAAAA")[None], np.array([14])))
    kmers = ["ACGT", "CGTA", "GTAC", "TACG", "ACGT", "CGTA"]  # then four that touch the N, then AAAA
    expected = np.zeros((3, 256))
    for place, kmer in [*enumerate(kmers), (10, "AAAA")]:
        expected[place % 3, kmer_codes(kmer, 4)] += 1
    np.testing.assert_allclose(counts[0], expected / expected.sum(1, keepdims=True))


def test_bag_counts_the_same_in_bfloat16():
    bag = BagOfKmers(PretrainingNetwork(VOCABULARY, SHAPE, 1), False, 0.0, 1)
    # 255 k-mers in each frame, most of them of one kind
    bases = np.where(np.arange(768) < 650, 0, np.arange(768) % 4).astype(np.uint8)
    fragments = Fragments(bases[None], np.array([768]))
    assert bag.count(fragments).max() > 0.8
    assert torch.equal(bag.count(fragments, torch.bfloat16), bag.count(fragments).to(torch.bfloat16))


def test_embedding_in_pretraining_is_the_one_that_the_pipeline_computes(tmp_path: Path, sampler: Sampler):
    network = PretrainingNetwork(VOCABULARY, SHAPE, 1).eval()
    fragments = sampler.pairs(0, 3)
    expected = network.embed(torch.from_numpy(token_ids(fragments, VOCABULARY))).detach().numpy()
    write_encoder(tmp_path, network, facts())
    encoder = load_encoder(str(tmp_path), None, allow_pytorch_bin=False)
    sequences = ["".join("ATCG"[base] for base in row) for row in fragments.bases]
    found = Embedder(encoder, "mean", "forward", False, "float32").embed(sequences)
    np.testing.assert_allclose(found, expected, atol=0.01)  # it is stored in fp16


def facts(**changes) -> Facts:
    history = [
        {"phase": "pretraining", "step": step, "val_roc_auc": step / 100, "val_pr_auc": 0.5}
        for step in range(1, 30)
    ]
    usual = Facts(
        "mine", {"a.fa": "ab" * 32}, ["g1", "g2"], 7, 900, 3, 90.0, "2 CPU cores", SETTINGS, history, {}
    )
    return usual._replace(**changes)


def test_folder_loads_in_stock_transformers_without_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    network = PretrainingNetwork(VOCABULARY, SHAPE, 1).eval()
    write_encoder(tmp_path, network, facts())
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    model, info = AutoModel.from_pretrained(
        tmp_path, add_pooling_layer=False, dtype=torch.float32, output_loading_info=True
    )
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    ids = tokenizer("ACGT CGTT GTTA", return_tensors="pt")
    assert ids["input_ids"].tolist() == [[2, *VOCABULARY.encode("ACGTTA").tolist(), 3]]
    found = model(**ids).last_hidden_state
    torch.testing.assert_close(found, network.hidden(ids["input_ids"]), rtol=0, atol=0.01)
    assert not caplog.records


def test_card_tells_what_the_encoder_was_made_of(tmp_path: Path):
    network = PretrainingNetwork(VOCABULARY, SHAPE, 1)
    write_encoder(tmp_path, network, facts(kmers={"val_roc_auc": 0.7, "val_pr_auc": 0.6}))
    text = (tmp_path / "README.md").read_text()
    for part in (
        "7 records",
        "2 genomes",
        "3 records were left out",
        "2 minutes on 2 CPU cores",
        "`a.fa`, SHA-256",
    ):
        assert part in text
    assert "| pretraining | 29 | 0.290 | 0.500 |" in text
    assert "| 4-mers, logistic regression |  | 0.700 | 0.600 |" in text
    assert (tmp_path / "genomes.txt").read_text() == "g1\ng2\n"
    assert text.count("| pretraining |") <= 12
    assert "license: mit\n---\n\n# mine\n\nGood for tests.\n" in text


def test_probe_measures_cosines_of_pairs():
    probe = Probe(["ACGT", "ACGTA", "AAAA"], Pairs(np.array([0, 0]), np.array([1, 2]), np.array([1, 0])))
    embeddings = np.array([[1.0, 0], [1, 0.1], [-1, 0]])
    assert probe.measure(embeddings) == {"val_roc_auc": 1, "val_pr_auc": 1}
    assert probe.measure(embeddings[[0, 2, 1]]) == {"val_roc_auc": 0, "val_pr_auc": 0.5}


def test_losses_fall_and_a_resumed_run_ends_with_the_same_weights(tmp_path: Path, sampler: Sampler):
    schedule = Schedule(steps=30, learning_rate=0.003, warmup=3, weight_decay=0.01, clip_norm=1.0)
    records: list[tuple[str, int, dict[str, float]]] = []
    looked = watch(tmp_path, record=lambda phase, step, values: records.append((phase, step, dict(values))))

    def phase() -> Phase:
        network = PretrainingNetwork(VOCABULARY, SHAPE._replace(dropout=0.1), 1)
        return pretraining_phase(network, sampler, objectives(), False, CPU, None)

    straight = phase()
    start = Standing("warm start", 60, 5.0, [])
    end = run_phase(straight, schedule, looked, start, seed=1)
    assert (end.phase, end.step) == ("pretraining", 30)
    assert end.seconds > 5
    for loss in ("contrastive_loss", "masked_loss"):
        assert records[-1][2][loss] < records[0][2][loss]

    def stop(step: int):
        if step == 17:
            raise KeyboardInterrupt
        return straight.draw(step)

    killed = phase()._replace(draw=stop)
    always = looked._replace(checkpoint=tmp_path / "other.safetensors", minutes=0)
    with pytest.raises(KeyboardInterrupt):
        run_phase(killed, schedule, always, start, seed=1)
    standing = read_standing(always.checkpoint, always.settings)
    assert standing is not None
    assert standing.step == 17
    resumed = phase()
    again = run_phase(resumed, schedule, always, standing, seed=1)
    assert [entry["step"] for entry in again.history] == [5, 10, 15, 20, 25, 30]
    for name, weight in straight.module.state_dict().items():
        torch.testing.assert_close(resumed.module.state_dict()[name], weight)


def test_checkpoint_of_other_settings_names_what_differs(tmp_path: Path, sampler: Sampler):
    network = PretrainingNetwork(VOCABULARY, SHAPE, 1)
    phase = pretraining_phase(network, sampler, objectives(), False, CPU, None)
    looked = watch(tmp_path)
    assert read_standing(looked.checkpoint, looked.settings) is None
    run_phase(phase, Schedule(1, 0.001, 1, 0, 1), looked, Standing("", 0, 0, []), seed=1)
    with pytest.raises(DnapairError, match=r"a: 1 then, 2 now"):
        read_standing(looked.checkpoint, {"a": 2})
    looked.checkpoint.write_bytes(b"torn")
    with pytest.raises(DnapairError, match="can't be read"):
        read_standing(looked.checkpoint, {"a": 1})


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        (
            {"contrastive_loss": 1.0, "likeness": 0.999},
            "Step 6: pretraining collapsed, all embeddings are alike",
        ),
        ({"contrastive_loss": math.nan}, "Step 1: contrastive_loss is no number"),
    ],
)
def test_collapse_and_divergence_are_said_early(tmp_path: Path, losses: dict[str, float], message: str):
    module = torch.nn.Linear(1, 1)

    def backward(_):
        module(torch.ones(1)).backward()
        return losses | {"tokens": 1}

    phase = Phase("pretraining", module, lambda step: step, backward, dict)
    with pytest.raises(DnapairError, match=message):
        run_phase(phase, Schedule(50, 0.1, 3, 0, 1), watch(tmp_path), Standing("", 0, 0, []), seed=1)


def test_flops_of_dnaberts_shape_are_those_of_its_matrices():
    config = PretrainingNetwork(VOCABULARY, Shape(12, 48, 12, 192, 0.0), 1).bert.config
    assert forward_flops(config, 0) == 12 * 2 * (4 * 48**2 + 8 * 48**2)


def test_padding_is_never_guessed_or_pooled(sampler: Sampler):
    network = PretrainingNetwork(VOCABULARY, SHAPE, 1).eval()
    fragments = sampler.pairs(0, 2)
    longer = Fragments(np.pad(fragments.bases, ((0, 0), (0, 9)), constant_values=4), fragments.lengths)
    ids, padded = (torch.from_numpy(token_ids(part, VOCABULARY)) for part in (fragments, longer))
    torch.testing.assert_close(network.embed(padded), network.embed(ids), rtol=1e-4, atol=1e-5)
    targets = torch.full_like(ids, IGNORED)
    targets[0, 3] = 9
    logits, wanted = network.guess(ids, targets, IGNORED)
    assert logits.shape == (1, VOCABULARY.size)
    assert wanted.tolist() == [9]
