"""The two phases of pretraining: a bag of k-mers for a warm start, then the BERT itself."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional

from dnapair.pretraining.checkpoint import Standing
from dnapair.pretraining.fragments import Fragments, Sampler, turn
from dnapair.pretraining.loop import Phase, Schedule, Watch, run_phase
from dnapair.pretraining.masking import IGNORED, Masked, hide_spans, token_ids
from dnapair.pretraining.network import PretrainingNetwork
from dnapair.pretraining.objectives import contrastive_loss, likeness
from dnapair.pretraining.probe import Probe
from dnapair.pretraining.warm_start import BagOfKmers

WARM_START = "warm start"
PRETRAINING = "pretraining"
_WARM_PROBES = 20
_MEASURED_ON = 512
"""Fragments."""


class Objectives(NamedTuple):
    """What the BERT is trained to do, and on how much at a time.

    Attributes
    ----------
    contrastive, masked : float
        Weights of the two losses; one with weight 0 is not computed.
    both_strands : bool
        Whether an embedding is the mean over both strands; the masked objective sees one.
    batch_pairs : int
        Pairs of fragments in a contrastive batch: each has all others as negatives.
    masked_fragments : int
        Fragments in a masked batch.
    micro_batch : int
        Fragments that go through the BERT at once; a larger batch is cut, at the same gradient.
    mask_share : float
        Share of the bases that is hidden.
    mask_span : int
        Length of a hidden span in bases.
    """

    contrastive: float
    masked: float
    both_strands: bool
    batch_pairs: int
    masked_fragments: int
    micro_batch: int
    mask_share: float
    mask_span: int


class WarmStart(NamedTuple):
    """How the bag of k-mers is trained.

    Attributes
    ----------
    schedule : Schedule
        With 0 steps there is no warm start.
    batch_pairs : int
        Pairs of fragments in a batch.
    dropout : float
        See :class:`~dnapair.pretraining.warm_start.BagOfKmers`.
    bf16 : bool
        Whether products of matrices are made in bfloat16.
    """

    schedule: Schedule
    batch_pairs: int
    dropout: float
    bf16: bool


class Counted(NamedTuple):
    """Input of one step of the bag: the k-mers of each fragment, and how many all have."""

    counts: torch.Tensor
    kmers: float


class Batch(NamedTuple):
    """Input of one step; a part that has no weight is empty."""

    ids: torch.Tensor
    masked_ids: torch.Tensor
    targets: torch.Tensor


def run_phases(
    network: PretrainingNetwork,
    sampler: Sampler,
    warm: WarmStart,
    objectives: Objectives,
    schedule: Schedule,
    bf16: bool,
    device: torch.device,
    probe: Probe,
    watch: Watch,
    standing: Standing | None,
) -> Standing:
    """Pretrain a network, going on where an earlier run was stopped.

    Parameters
    ----------
    network
        What is trained; it is left on ``device``.
    sampler
        Where fragments come from; its seed is that of dropout too.
    warm
        The first phase, on the CPU.
    objectives, schedule, bf16, device
        The second phase, see :func:`pretraining_phase`.
    probe
        What both are measured by.
    watch
        When they are looked at.
    standing
        Where the earlier run stood; None to begin.

    Returns
    -------
    Standing
        At the end.

    Raises
    ------
    DnapairError
        As :func:`~dnapair.pretraining.loop.run_phase`, or if there are too few genomes for a batch.
    """
    if objectives.contrastive:
        sampler.check_pairs(max(objectives.batch_pairs, warm.batch_pairs if warm.schedule.steps else 0))
    standing = standing or Standing(WARM_START, 0, 0.0, [])
    if warm.schedule.steps and standing.phase == WARM_START:
        bag = BagOfKmers(network, objectives.both_strands, warm.dropout, sampler.seed)
        phase = warm_start_phase(bag, sampler, warm.batch_pairs, warm.bf16, probe)
        # its steps are far shorter
        rarer = watch._replace(every=max(watch.every, warm.schedule.steps // _WARM_PROBES))
        standing = run_phase(phase, warm.schedule, rarer, standing, sampler.seed)
        bag.hand_over(bag.count(sampler.single(0, _MEASURED_ON)))
    phase = pretraining_phase(network, sampler, objectives, bf16, device, probe)
    if device.type == "cuda":
        network.bert.compile()
    return run_phase(phase, schedule, watch, standing, sampler.seed)


def warm_start_phase(
    bag: BagOfKmers, sampler: Sampler, batch_pairs: int, bf16: bool, probe: Probe | None
) -> Phase:
    """Make the phase that trains the bag of k-mers, contrastively.

    Parameters
    ----------
    bag
        What is trained; it is centred on fragments of the sampler first.
    sampler
        Where fragments come from.
    batch_pairs
        Pairs of fragments in a batch.
    bf16
        Whether products of matrices are made in bfloat16.
    probe
        What it is measured by.
    """
    bag.centre(bag.count(sampler.single(0, _MEASURED_ON)))

    def draw(step: int) -> Counted:
        fragments = sampler.pairs(step, batch_pairs)
        kind = torch.bfloat16 if bf16 else torch.float32
        return Counted(bag.count(fragments, kind), _kmers(fragments, bag.vocabulary.k))

    def backward(batch: Counted) -> Mapping[str, float]:
        with _autocast(torch.device("cpu"), bf16):
            embeddings = bag.embed(batch.counts)
        embeddings = embeddings.to(torch.float32)
        loss = contrastive_loss(embeddings, bag.log_scale)
        torch.autograd.backward(loss)
        return {"contrastive_loss": loss.item(), "likeness": likeness(embeddings), "tokens": batch.kmers}

    return Phase(
        name=WARM_START,
        module=bag,
        draw=draw,
        backward=backward,
        probe=lambda: probe.measure_bag(bag) if probe else {},
    )


def pretraining_phase(
    network: PretrainingNetwork,
    sampler: Sampler,
    objectives: Objectives,
    bf16: bool,
    device: torch.device,
    probe: Probe | None,
) -> Phase:
    """Make the phase that trains the BERT.

    Parameters
    ----------
    network
        What is trained.
    sampler
        Where fragments come from.
    objectives
        What it is trained to do.
    bf16
        Whether products of matrices are made in bfloat16.
    device
        Where.
    probe
        What it is measured by.
    """
    network.to(device)
    vocabulary = network.vocabulary

    def draw(step: int) -> Batch:
        empty = np.empty((0, 0), np.int64)
        ids, masked = empty, Masked(empty, empty)
        if objectives.contrastive:
            fragments = sampler.pairs(step, objectives.batch_pairs)
            strands = [fragments, turn(fragments)] if objectives.both_strands else [fragments]
            ids = np.concatenate([token_ids(strand, vocabulary) for strand in strands])
        if objectives.masked:
            fragments = sampler.single(step, objectives.masked_fragments)
            masked = hide_spans(
                fragments, vocabulary, objectives.mask_share, objectives.mask_span, [sampler.seed, 4, step]
            )
        parts = (torch.from_numpy(part) for part in (ids, *masked))
        return Batch(*(part.pin_memory() if device.type == "cuda" else part for part in parts))

    def backward(batch: Batch) -> Mapping[str, float]:
        batch = Batch(*(part.to(device, non_blocking=True) for part in batch))
        losses: dict[str, float] = {}
        with _autocast(device, bf16):
            if objectives.contrastive:
                losses |= _backward_contrastive(network, batch.ids, objectives)
            if objectives.masked:
                losses |= _backward_masked(network, batch, objectives)
        return losses | {"tokens": batch.ids.numel() + batch.masked_ids.numel()}

    return Phase(
        name=PRETRAINING,
        module=network,
        draw=draw,
        backward=backward,
        probe=lambda: probe.measure_bert(network, objectives.both_strands) if probe else {},
    )


def _backward_contrastive(
    network: PretrainingNetwork, ids: torch.Tensor, objectives: Objectives
) -> dict[str, float]:
    """Add up gradients of the whole batch, a part of it in memory at a time.

    Source: Gao et al. 2021, "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup".
    """

    def measure(embeddings: torch.Tensor) -> dict[str, float]:
        # where there are two strands, the second half of the rows is the other strand
        both = embeddings.view(-1, 2 * objectives.batch_pairs, embeddings.shape[1]).mean(0)
        loss = contrastive_loss(both, network.log_scale)
        torch.autograd.backward(objectives.contrastive * loss)
        return {"contrastive_loss": loss.item(), "likeness": likeness(both)}

    parts = torch.split(ids, objectives.micro_batch)
    if len(parts) == 1:
        return measure(network.embed(ids))
    seeds = torch.randint(2**31, (len(parts),)).tolist()
    with torch.no_grad():
        embeddings = torch.cat(
            [_seeded(network, part, seed) for part, seed in zip(parts, seeds, strict=True)]
        )
    embeddings.requires_grad_()
    losses = measure(embeddings)
    assert embeddings.grad is not None  # noqa: S101 # for mypy: the line above made it
    gradients = torch.split(embeddings.grad, objectives.micro_batch)
    for part, seed, gradient in zip(parts, seeds, gradients, strict=True):
        torch.autograd.backward(_seeded(network, part, seed), gradient)
    return losses


def _seeded(network: PretrainingNetwork, ids: torch.Tensor, seed: int) -> torch.Tensor:
    # the second pass must drop what the first one dropped
    torch.manual_seed(seed)
    return network.embed(ids)


def _backward_masked(network: PretrainingNetwork, batch: Batch, objectives: Objectives) -> dict[str, float]:
    total = int((batch.targets != IGNORED).sum())
    summed = right = 0.0
    parts = zip(
        torch.split(batch.masked_ids, objectives.micro_batch),
        torch.split(batch.targets, objectives.micro_batch),
        strict=True,
    )
    for ids, targets in parts:
        logits, wanted = network.guess(ids, targets, IGNORED)
        loss = functional.cross_entropy(logits.to(torch.float32), wanted, reduction="sum") / max(1, total)
        torch.autograd.backward(objectives.masked * loss)
        summed += loss.item()
        right += float((logits.argmax(1) == wanted).sum()) / max(1, total)
    return {"masked_loss": summed, "masked_accuracy": right}


def _kmers(fragments: Fragments, k: int) -> float:
    return float((fragments.lengths - k + 1).sum())


def _autocast(device: torch.device, bf16: bool) -> AbstractContextManager[object]:
    return torch.autocast(device.type, torch.bfloat16) if bf16 else nullcontext()
