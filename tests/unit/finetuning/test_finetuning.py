"""Fine-tuning learns from labels what is there to learn, goes on after a stop, and says when it can't."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from dnapair.embedding.checkpoint import load_encoder
from dnapair.embedding.embedder import Embedder
from dnapair.embedding.encoder import Encoder, build_untrained
from dnapair.errors import DnapairError
from dnapair.finetuning.bag import LabelledBag, pack
from dnapair.finetuning.choice import Try, choose
from dnapair.finetuning.loop import Watch, train
from dnapair.finetuning.lora import LoraSettings, merge, wrap
from dnapair.finetuning.pairs import Lesson, check_pairs
from dnapair.finetuning.probe import Worth, compare, measure
from dnapair.finetuning.steps import Phase
from dnapair.finetuning.tokens import Tokens
from dnapair.finetuning.towers import BertTower, PairNetwork
from dnapair.finetuning.tries import CannotLearnError, Course, Learnt, is_bag, learn
from dnapair.pretraining.checkpoint import Standing
from dnapair.pretraining.network import PretrainingNetwork
from dnapair.training.loop import Pairs

LORA = LoraSettings(4, 8.0, 0.1, ("query", "value", "dense"))
COURSE = Course(
    fresh=True,
    bag_epochs=6,
    bag_rate=0.01,
    dropout=0.1,
    steps=0,
    rate=0.003,
    batch_pairs=32,
    micro_pairs=32,
    patience=9,
    weight_decay=0.01,
    clip_norm=1.0,
    seed=1,
    lora=None,
    device="cpu",
    bf16=False,
)
AS_BERT = COURSE._replace(fresh=False, bag_epochs=0, steps=12, micro_pairs=16)


def tiny(k: int = 4, layers: int = 1, hidden: int = 16, heads: int = 2) -> Encoder:
    return build_untrained(k=k, layers=layers, hidden=hidden, heads=heads, seed=1)


def make_lesson(
    encoder: Encoder, seed: int = 1, *, shuffled: bool = False, both: bool = True
) -> tuple[Lesson, list[str]]:
    """Pairs are related where both sequences are rich in the same bases."""
    rng = np.random.default_rng(seed)
    kinds = rng.random(240) < 0.5
    shares = [[0.35, 0.15, 0.15, 0.35], [0.15, 0.35, 0.35, 0.15]]
    sequences = [
        "".join(rng.choice(list("ACGT"), rng.integers(20, 50), p=shares[int(kind)])) for kind in kinds
    ]
    rows1, rows2 = rng.integers(0, 160, (2, 320))
    val1, val2 = rng.integers(160, 240, (2, 200))

    def pairs(first: np.ndarray, second: np.ndarray) -> Pairs:
        labels = (kinds[first] == kinds[second]).astype(np.float32)
        return Pairs(first, second, rng.permutation(labels) if shuffled else labels, np.arange(first.size))

    tokens = Tokens([sequences[:100], sequences[100:]], encoder.vocabulary.k, encoder.window)
    return Lesson(pairs(rows1, rows2), pairs(val1, val2), tokens, None, True, both, True), sequences


def watch(folder: Path, record: Any = None, settings: Mapping[str, Any] | None = None) -> Watch:
    return Watch(folder / "checkpoint", settings or {"seed": 1}, 1e-9, record or (lambda *_: None))


def worth(encoder: Encoder, lesson: Lesson, sequences: list[str], folder: Path) -> Worth:
    embedder = Embedder(encoder, "mean", "both" if lesson.both_strands else "forward", True, "float32", "cpu")
    return measure(embedder.embed, lambda rows: [sequences[row] for row in rows], lesson, folder / "scratch")


def distance(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected - expected.mean(0)))


@pytest.mark.parametrize("both", [True, False])
@pytest.mark.parametrize(("k", "hidden", "heads"), [(6, 32, 2), (4, 32, 1)])
def test_what_the_bag_learns_is_what_the_bert_gives(k: int, hidden: int, heads: int, both: bool):
    rng = np.random.default_rng(2)
    encoder = tiny(k, 2, hidden, heads)
    sequences = ["".join(rng.choice(list("ACGT"), length)) for length in rng.integers(18, 60, 80)]
    sequences[3] = f"{sequences[3][:9]}N{sequences[3][10:]}"
    bags = pack(Tokens([sequences], k, encoder.window), np.arange(80))
    bag = LabelledBag(PretrainingNetwork.of(encoder, 1), both, 0.0, 1).eval()
    bag.begin(bags)
    with torch.no_grad():
        expected = bag.embed_bags(bags).numpy()
    bag.write(bags)
    written = Embedder(
        bag.network.encoder("written"), "mean", "both" if both else "forward", False, "float32", "cpu"
    )
    assert distance(written.embed(sequences), expected) < 0.02
    # and the way back: an encoder of this kind is taken for one, any other is not
    lesson = make_lesson(encoder)[0]._replace(both_strands=both)
    assert is_bag(bag.network.encoder("written"), lesson)
    assert not is_bag(encoder, lesson)


def test_windows_and_strands_are_pooled_as_embed_pools_them():
    encoder = tiny()
    rng = np.random.default_rng(3)
    sequences = [
        "".join(rng.choice(list("ACGTN"), length, p=[0.24] * 4 + [0.04])) for length in (30, 513, 1200)
    ]
    tokens = Tokens([sequences], 4, encoder.window)
    tower = BertTower(
        PretrainingNetwork.of(encoder, 1).bert.eval(), encoder.vocabulary, tokens, True, torch.device("cpu")
    )
    with torch.no_grad():
        found = tower.embed(tower.read(np.array([2, 0, 1]), None)).numpy()
    expected = Embedder(encoder, "mean", "both", False, "float32", "cpu").embed(sequences)
    np.testing.assert_allclose(found, expected[[2, 0, 1]], atol=1e-5)


@pytest.mark.parametrize("course", [COURSE, AS_BERT._replace(steps=60)], ids=["bag", "bert"])
def test_it_learns_what_labels_tell_and_leaves_the_encoder_it_began_with(course: Course, tmp_path: Path):
    start = tiny()
    before = {name: values.copy() for name, values in start.weights.items()}
    lesson, sequences = make_lesson(start)
    looks: list[float] = []
    learnt = learn(
        start, "own", lesson, course, watch(tmp_path, lambda phase, step, found: looks.append(found["loss"]))
    )
    assert learnt.encoder is not None
    assert (learnt.encoder.name, learnt.encoder.trained) == ("own", True)
    assert looks[-1] < looks[0]
    found = worth(learnt.encoder, lesson, sequences, tmp_path)
    assert not found.chance
    assert found.pr_auc > 0.85
    for name, values in before.items():
        np.testing.assert_array_equal(start.weights[name], values)


@pytest.mark.parametrize("splits", ["both", "train"])
def test_shuffled_labels_end_as_no_better_than_chance_and_change_nothing(splits: str, tmp_path: Path):
    start = tiny()
    lesson, sequences = make_lesson(start, shuffled=True)
    if splits == "train":
        lesson = lesson._replace(val=make_lesson(start)[0].val)
    learnt = learn(start, "own", lesson, COURSE, watch(tmp_path))
    frozen = worth(start, lesson, sequences, tmp_path)
    assert learnt.encoder is not None
    found = worth(learnt.encoder, lesson, sequences, tmp_path)
    tried = Try("own", learnt, found, compare(lesson, found, frozen, 1), eligible=True)
    for asked in (True, False):
        choice = choose([tried], asked=asked)
        assert choice.kept is None
        assert "not better than chance" in choice.reason


class StoppedError(Exception):
    """The process ends here."""


@pytest.mark.parametrize(
    "course",
    [COURSE, AS_BERT, AS_BERT._replace(lora=LORA), COURSE._replace(steps=6)],
    ids=["bag", "bert", "lora", "bag, then bert"],
)
def test_stopped_it_goes_on_to_the_same_weights(course: Course, tmp_path: Path):
    start = tiny()
    lesson, _ = make_lesson(start)
    whole = learn(start, "own", lesson, course, watch(tmp_path / "whole"))
    steps: list[tuple[str, int]] = []
    for moment in (3, 7, 11):

        def stop(phase: str, step: int, _: Mapping[str, float], moment: int = moment) -> None:
            steps.append((phase, step))
            if len(steps) == moment:
                raise StoppedError

        try:
            again = learn(start, "own", lesson, course, watch(tmp_path / "again", stop))
        except StoppedError:
            continue
    again = learn(start, "own", lesson, course, watch(tmp_path / "again"))
    assert len(steps) >= 3
    assert whole.encoder is not None
    assert again.encoder is not None
    assert again.encoder.fingerprint == whole.encoder.fingerprint
    assert [entry["val_pr_auc"] for entry in again.standing.history] == [
        entry["val_pr_auc"] for entry in whole.standing.history
    ]


def test_a_checkpoint_of_other_settings_or_pairs_is_refused(tmp_path: Path):
    start = tiny()
    lesson, _ = make_lesson(start)
    learn(start, "own", lesson, COURSE, watch(tmp_path, settings={"pairs": lesson.identity()}))
    other, _ = make_lesson(start, shuffled=True)
    with pytest.raises(DnapairError, match="is the checkpoint of a run with other settings"):
        learn(start, "own", other, COURSE, watch(tmp_path, settings={"pairs": other.identity()}))


def test_parts_of_a_batch_give_the_gradient_of_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # nothing is left to chance
    monkeypatch.setattr("dnapair.finetuning.pairs._DROPOUT", 0.0)
    start = tiny()
    start = start._replace(
        config={**start.config, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    )
    lesson, _ = make_lesson(start)
    course = AS_BERT._replace(steps=4)
    found = []
    for micro in (32, 5):
        learnt = learn(start, "own", lesson, course._replace(micro_pairs=micro), watch(tmp_path / str(micro)))
        found.append([entry["loss"] for entry in learnt.standing.history])
    assert len(found[0]) == 4
    np.testing.assert_allclose(found[0], found[1], rtol=1e-3)


class SmallMemory(BertTower):
    """A BERT on a GPU that holds ten sequences of a training step, and 80 without a gradient."""

    def embed(self, read: Any) -> torch.Tensor:
        if read[1] > (10 if torch.is_grad_enabled() else 80):
            raise torch.OutOfMemoryError
        return super().embed(read)


def test_a_gpu_whose_memory_is_full_gets_less_at_a_time_and_it_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("dnapair.finetuning.pairs._DROPOUT", 0.0)
    encoder = tiny()
    lesson, _ = make_lesson(encoder)
    found = []
    for kind in (BertTower, SmallMemory):
        bert = PretrainingNetwork.of(encoder, 1).bert
        bert.config.hidden_dropout_prob = bert.config.attention_probs_dropout_prob = 0.0
        for module in bert.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        tower = kind(bert, encoder.vocabulary, lesson.tokens, True, torch.device("cpu"))
        network = PairNetwork(tower, lesson, encoder.dimensions, 1)
        phase = Phase("bert", 4, 32, 32, 0.003, 0.001, 0.01, 1.0, 1, 9, 1)
        standing = train(
            network, lesson, phase, watch(tmp_path / kind.__name__), Standing("bert", 0, 0.0, [])
        )
        found.append([entry["loss"] for entry in standing.history])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-3)
    said = [line for line in capsys.readouterr().out.splitlines() if "memory is full" in line]
    assert [line.rpartition("with ")[2] for line in said] == [
        f"{pairs} pairs at a time" for pairs in (16, 8, 4)
    ]


class NoMemory(BertTower):
    def embed(self, read: Any) -> torch.Tensor:
        raise torch.OutOfMemoryError


def test_a_gpu_that_does_not_hold_a_pair_is_said(tmp_path: Path):
    encoder = tiny()
    lesson, _ = make_lesson(encoder)
    bert = PretrainingNetwork.of(encoder, 1).bert
    tower = NoMemory(bert, encoder.vocabulary, lesson.tokens, True, torch.device("cpu"))
    phase = Phase("bert", 4, 32, 32, 0.003, 0.001, 0.01, 1.0, 1, 9, 1)
    with pytest.raises(DnapairError, match=r"does not hold a single pair\. Use finetune\.method: lora"):
        train(
            PairNetwork(tower, lesson, encoder.dimensions, 1),
            lesson,
            phase,
            watch(tmp_path),
            Standing("bert", 0, 0.0, []),
        )


@pytest.mark.parametrize(
    "course", [COURSE._replace(bag_epochs=1), AS_BERT._replace(steps=1)], ids=["bag", "bert"]
)
def test_labels_of_validation_choose_when_to_stop_and_teach_nothing(course: Course, tmp_path: Path):
    start = tiny()
    lesson, _ = make_lesson(start)
    labels = np.random.default_rng(1).permutation(lesson.val.labels)
    turned = lesson._replace(val=lesson.val._replace(labels=labels))
    # with a single look there is nothing to choose
    found = [
        learn(start, "own", one, course, watch(tmp_path / str(number)))
        for number, one in enumerate((lesson, turned))
    ]
    first, second = (one.encoder for one in found)
    assert first is not None
    assert second is not None
    assert first.fingerprint == second.fingerprint
    scores = [one.standing.history[0]["val_pr_auc"] for one in found]
    assert len(found[0].standing.history) == 1
    assert scores[0] != scores[1]


def hub_layout(folder: Path) -> Encoder:
    """Write and load what zhihan1996/DNA_bert_6 looks like, small: 6-mers, several layers, seeded weights."""
    tiny(6, 3, 24, 3).save(folder)
    text = (folder / "config.json").read_text().replace("dnapair_untrained", "ignored")
    (folder / "config.json").write_text(text)
    return load_encoder(str(folder))


@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
def test_the_hubs_encoder_learns_and_comes_back_from_disk_to_the_bit(
    lora: LoraSettings | None, tmp_path: Path
):
    (tmp_path / "hub").mkdir()
    start = hub_layout(tmp_path / "hub")
    assert start.trained
    lesson, sequences = make_lesson(start)
    course = AS_BERT._replace(lora=lora)
    learnt = learn(start, "own", lesson, course, watch(tmp_path)).encoder
    assert learnt is not None
    changed = {
        name for name in start.weights if not np.array_equal(start.weights[name], learnt.weights[name])
    }
    words = "embeddings.word_embeddings.weight"
    assert (words in changed) == (lora is None)
    assert "encoder.layer.0.attention.self.query.weight" in changed
    folder = tmp_path / "written"
    folder.mkdir()
    learnt.save(folder)
    loaded = load_encoder(str(folder))
    assert loaded.fingerprint == learnt.fingerprint
    assert loaded.weights.keys() == learnt.weights.keys() == start.weights.keys()
    for name, values in learnt.weights.items():
        assert values.dtype == np.float32
        np.testing.assert_array_equal(loaded.weights[name], values)
    in_memory, from_disk = (
        Embedder(one, "mean", "both", True, "float32", "cpu").embed(sequences) for one in (learnt, loaded)
    )
    np.testing.assert_array_equal(from_disk, in_memory)
    # and as anybody loads it
    model = AutoModel.from_pretrained(folder, add_pooling_layer=False).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    dna = sequences[0]
    kmers = " ".join(dna[place : place + 6] for place in range(len(dna) - 5))
    with torch.no_grad():
        hidden = model(**tokenizer(kmers, return_tensors="pt")).last_hidden_state
    own = Embedder(loaded, "mean", "forward", False, "float32", "cpu").embed([dna])
    np.testing.assert_allclose(hidden[:, 1:-1].mean(1).numpy(), own, atol=1e-5)


def test_merged_lora_is_the_wrapped_bert_but_for_float32_and_comes_back_from_disk_to_the_bit(tmp_path: Path):
    (tmp_path / "hub").mkdir()
    network = PretrainingNetwork.of(hub_layout(tmp_path / "hub"), 1)
    bert = network.bert
    wrapped = wrap(bert, LORA._replace(dropout=0.0), 1).eval()
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "lora_B" in name:
                parameter.normal_(generator=torch.Generator().manual_seed(1))
    ids = torch.arange(5, 25)[None]
    with torch.no_grad():
        expected = wrapped(input_ids=ids).last_hidden_state
        merged = merge(wrapped)
        found = merged(input_ids=ids).last_hidden_state
    # x W + (x A) B against x (W + A B): some rounding errors of values that a norm brings to about 1
    np.testing.assert_allclose(found, expected, rtol=0, atol=64 * np.finfo(np.float32).eps)
    assert not np.array_equal(found, expected)
    assert not any("lora" in name for name in merged.state_dict())
    folder = tmp_path / "written"
    folder.mkdir()
    network.encoder("own").save(folder)
    loaded = AutoModel.from_pretrained(folder, add_pooling_layer=False).eval()
    for name, values in merged.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], values), name
    with torch.no_grad():
        again = loaded(input_ids=ids).last_hidden_state
    assert torch.equal(again, found)


def test_targets_that_the_encoder_lacks_are_named_with_those_there_are(tmp_path: Path):
    start = tiny()
    lesson, _ = make_lesson(start)
    course = AS_BERT._replace(lora=LORA._replace(targets=("Wqkv",)))
    with pytest.raises(DnapairError, match=r"no layer Wqkv\. There are: dense, key, query, value"):
        learn(start, "own", lesson, course, watch(tmp_path))


def test_weights_that_overflowed_are_refused(tmp_path: Path):
    start = tiny()
    weights = dict(start.weights)
    weights["encoder.layer.0.output.dense.bias"] = np.full(16, np.inf, np.float32)
    lesson, _ = make_lesson(start)
    with pytest.raises(DnapairError, match=r"1 weights .* are no finite numbers .*output\.dense\.bias"):
        learn(start._replace(weights=weights), "own", lesson, COURSE, watch(tmp_path))


def test_an_encoder_that_is_no_bag_needs_steps(tmp_path: Path):
    start = tiny()
    lesson, _ = make_lesson(start)
    with pytest.raises(CannotLearnError, match=r"Set finetune\.steps"):
        learn(start, "own", lesson, COURSE._replace(fresh=False), watch(tmp_path))


@pytest.mark.parametrize("course", [COURSE._replace(bag_rate=1e30), AS_BERT._replace(rate=1e30)])
def test_training_that_comes_to_nothing_is_said(course: Course, tmp_path: Path):
    start = tiny()
    lesson, _ = make_lesson(start)
    learnt = learn(start, "own", lesson, course, watch(tmp_path))
    assert learnt.encoder is None
    assert "came to nothing" in learnt.failure
    choice = choose([Try("own", learnt, None, None, eligible=True)], asked=True)
    assert choice.kept is None
    assert "the encoder stays as it was" in choice.reason


def test_pairs_that_teach_nothing_are_refused():
    lesson, _ = make_lesson(tiny())
    one = lesson.val._replace(labels=np.ones_like(lesson.val.labels))
    with pytest.raises(DnapairError, match="validation split holds 200 related and 0 unrelated"):
        check_pairs(lesson.train, one)
    with pytest.raises(DnapairError, match="the train split holds 200 related and 0 unrelated"):
        check_pairs(one, lesson.val)
    rows = np.concatenate([np.flatnonzero(lesson.train.labels)[:7], np.flatnonzero(lesson.train.labels == 0)])
    few = lesson.train.take(rows)
    with pytest.raises(DnapairError, match=r"holds 7 related .* 8 of each are the fewest"):
        check_pairs(few, lesson.val)


def test_only_a_gain_that_is_nearly_certain_is_kept_unasked():
    rng = np.random.default_rng(1)
    lesson, _ = make_lesson(tiny())
    labels = lesson.val.labels

    def scored(noise: float) -> Worth:
        scores = 1 / (1 + np.exp(-(2 * labels - 1 + noise * rng.standard_normal(labels.size))))
        return Worth(scores, 0.9 - noise / 10, 0.9, chance=False)

    frozen, better, alike = scored(3), scored(0.5), scored(3)
    learnt = Learnt(tiny(), learn_nothing(), "")

    def tried(name: str, found: Worth, *, eligible: bool = True) -> Try:
        return Try(name, learnt, found, compare(lesson, found, frozen, 1), eligible)

    kept = choose([tried("a", alike), tried("b", better)], asked=False).kept
    assert kept is not None
    assert kept.name == "b"
    assert choose([tried("a", alike)], asked=False).kept is None
    assert choose([tried("a", alike)], asked=True).kept is not None
    assert choose([tried("a", alike), tried("b", better, eligible=False)], asked=False).kept is None


def learn_nothing() -> Any:
    return Standing("bag", 0, 0.0, [])
