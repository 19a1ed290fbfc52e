"""One way to fine-tune, from an encoder to one that has learnt."""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional

from dnapair.embedding.encoder import UNTRAINED_KEY, Encoder, make_encoder
from dnapair.errors import DnapairError
from dnapair.finetuning.bag import LabelledBag, pack
from dnapair.finetuning.contrast import ContrastSettings
from dnapair.finetuning.loop import Watch, train
from dnapair.finetuning.lora import LoraSettings, merge, wrap
from dnapair.finetuning.pairs import Lesson
from dnapair.finetuning.steps import CollapseError, Phase
from dnapair.finetuning.towers import BagTower, BertTower, PairNetwork
from dnapair.pretraining.checkpoint import Standing, read_standing
from dnapair.pretraining.network import PretrainingNetwork

BAG, BERT = "bag", "bert"
_MEASURED_ON = 256
_LIKE = 0.2
"""A net over bags whose embeddings are this near to the encoder's, by their spread, is that encoder."""
_HEAD_RATE = 1e-3


class Course(NamedTuple):
    """What a try does.

    Attributes
    ----------
    fresh : bool
        Whether the encoder's weights are drawn and nothing of them is to be kept.
    bag_epochs : int
        As a net over bags of k-mers; 0: not at all.
    bag_rate : float
        Learning rate then.
    dropout : float
        Share of a sequence's vector left out while that net learns, and of its k-mers.
    steps : int
        As the BERT, from there on.
    rate : float
        Learning rate then.
    batch_pairs, micro_pairs, patience, weight_decay, clip_norm, seed
        As for :class:`~dnapair.finetuning.loop.Phase`.
    lora : LoraSettings or None
        None: all weights learn.
    device : str
        Where the BERT learns: ``cpu`` or ``cuda``.
    bf16 : bool
        Whether its products of matrices are made in bfloat16.
    contrast : ContrastSettings or None
        The contrastive term; None: there is none.
    """

    fresh: bool
    bag_epochs: int
    bag_rate: float
    dropout: float
    steps: int
    rate: float
    batch_pairs: int
    micro_pairs: int
    patience: int
    weight_decay: float
    clip_norm: float
    seed: int
    lora: LoraSettings | None
    device: str
    bf16: bool
    contrast: ContrastSettings | None = None


class Learnt(NamedTuple):
    """What became of a try.

    Attributes
    ----------
    encoder : Encoder or None
        None where it came to nothing.
    standing : Standing
        Its history, and the time it took.
    failure : str
        How it came to nothing.
    """

    encoder: Encoder | None
    standing: Standing
    failure: str = ""


class CannotLearnError(DnapairError):
    """The encoder can't learn in the way that was asked for."""


def is_bag(encoder: Encoder, lesson: Lesson) -> bool:
    """Tell whether an encoder is a net over bags of k-mers: whether that net gives its embeddings."""
    if not _has_room(encoder):
        return False
    rows = np.arange(min(_MEASURED_ON, len(lesson.tokens)))
    bag = LabelledBag.of(encoder, lesson.both_strands, 0.0, 1).eval()
    bert = PretrainingNetwork.of(encoder, 1).bert.eval()
    tower = BertTower(bert, encoder.vocabulary, lesson.tokens, lesson.both_strands, torch.device("cpu"))
    with torch.no_grad():
        own = functional.normalize(bag.embed_bags(pack(lesson.tokens, rows)), dim=1)
        other = functional.normalize(tower.embed(tower.read(rows, None)), dim=1)
        return float((own - other).norm()) < _LIKE * float((other - other.mean(0)).norm())


def learn(start: Encoder, name: str, lesson: Lesson, course: Course, watch: Watch) -> Learnt:
    """Let an encoder learn from the train pairs, going on where an earlier run was stopped.

    Parameters
    ----------
    start
        The encoder, which stays as it is.
    name
        Of the one that has learnt.
    lesson
        The pairs.
    course
        How.
    watch
        Who looks on.

    Returns
    -------
    Learnt
        With the weights of the best look at validation.

    Raises
    ------
    CannotLearnError
        If nothing is to be done: no steps for an encoder that is no net over bags.
    DnapairError
        If its weights are no finite numbers, or a checkpoint is of another run.
    """
    bad = [key for key, values in start.weights.items() if not np.isfinite(values).all()]
    if bad:
        raise DnapairError(
            f"finetune: {len(bad)} weights of the encoder {start.name} are no finite numbers ({bad[0]} for "
            "one): they overflowed, in half precision as a rule. Fetch the checkpoint in float32, or choose "
            "another encoder.source."
        )
    by_bag = bool(course.bag_epochs) and course.lora is None and (course.fresh or is_bag(start, lesson))
    if course.fresh and by_bag and not _has_room(start):
        raise CannotLearnError(
            "encoder.untrained: each head needs 4 dimensions or more to learn as a net over bags of k-mers. "
            "Raise encoder.untrained.hidden, or lower heads."
        )
    if not by_bag and not course.steps:
        raise CannotLearnError(
            f"the encoder {start.name} is no net over bags of k-mers, or finetune.method is lora, so it "
            "learns as a BERT, and finetune.steps is 0. Set finetune.steps; on a CPU a step of 12 x 768 "
            "takes seconds."
        )
    torch.use_deterministic_algorithms(course.device == "cpu")
    first = Standing(BAG if by_bag else BERT, 0, 0.0, [])
    standing = read_standing(watch.checkpoint, watch.settings) or first
    try:
        return _learn(start, name, lesson, course, watch, standing, by_bag=by_bag)
    except CollapseError as error:
        return Learnt(None, standing, f"Training came to nothing: {error}.")


def _learn(
    start: Encoder,
    name: str,
    lesson: Lesson,
    course: Course,
    watch: Watch,
    standing: Standing,
    *,
    by_bag: bool,
) -> Learnt:
    network = PretrainingNetwork.of(start, course.seed)
    handed = None
    if by_bag:
        bag = (
            LabelledBag(network, lesson.both_strands, course.dropout, course.seed)
            if course.fresh
            else LabelledBag.of(start, lesson.both_strands, course.dropout, course.seed)
        )
        network = bag.network
        sample = pack(lesson.tokens, np.arange(min(_MEASURED_ON, len(lesson.tokens))))
        if course.fresh:
            bag.begin(sample)
        pairs = PairNetwork(
            BagTower(bag, lesson.tokens, course.dropout), lesson, start.dimensions, course.seed
        )
        if standing.phase == BAG:
            standing = train(pairs, lesson, _phase(BAG, lesson, course), watch, standing)
        bag.write(sample)
        handed = pairs.head.get_weights()
    if course.steps:
        bert = network.bert
        module = wrap(bert, course.lora, course.seed) if course.lora else bert
        device = torch.device(course.device)
        tower = BertTower(module, start.vocabulary, lesson.tokens, lesson.both_strands, device)
        pairs = PairNetwork(tower, lesson, start.dimensions, course.seed)
        if handed is not None:
            pairs.head.set_weights(handed)
        if course.device == "cuda":
            module.compile()
        standing = train(pairs, lesson, _phase(BERT, lesson, course), watch, standing, course.bf16)
        if course.lora:
            merge(module)
        network.to("cpu")
    learnt = network.encoder(name)
    config = {key: value for key, value in learnt.config.items() if key != UNTRAINED_KEY}
    return Learnt(make_encoder(learnt.weights, config, start.vocabulary, name), standing)


def _phase(name: str, lesson: Lesson, course: Course) -> Phase:
    epoch = lesson.train.labels.size // course.batch_pairs
    steps = course.bag_epochs * epoch if name == BAG else course.steps
    return Phase(
        name=name,
        steps=steps,
        batch_pairs=course.batch_pairs,
        micro_pairs=course.batch_pairs if name == BAG else min(course.micro_pairs, course.batch_pairs),
        learning_rate=course.bag_rate if name == BAG else course.rate,
        head_rate=_HEAD_RATE,
        weight_decay=course.weight_decay,
        clip_norm=course.clip_norm,
        look=epoch if name == BAG else max(1, min(epoch, math.ceil(steps / 10))),
        patience=course.patience,
        seed=course.seed,
        contrast=course.contrast,
    )


def _has_room(encoder: Encoder) -> bool:
    """Tell whether a head has room for a mark of each reading frame."""
    return encoder.dimensions // int(encoder.config["num_attention_heads"]) >= 4
