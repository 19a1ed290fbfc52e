"""`dnapair pretrain`: FASTA in, encoder folder out."""

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from dnapair import tracking
from dnapair.data.raw_files import fasta_files
from dnapair.data.splits import SPLITS
from dnapair.embedding.embedder import choose_device
from dnapair.embedding.kmers import KmerVocabulary
from dnapair.errors import DnapairError
from dnapair.evaluation.baselines import count_kmers, fit_kmers
from dnapair.params import Pretrain, flatten, load_params
from dnapair.pretraining.card import Facts, write_encoder
from dnapair.pretraining.checkpoint import Standing, read_standing
from dnapair.pretraining.corpus import Corpus, held_out, read_corpus
from dnapair.pretraining.fragments import Sampler
from dnapair.pretraining.loop import Schedule, Watch, run_phase
from dnapair.pretraining.network import PretrainingNetwork, Shape
from dnapair.pretraining.phases import (
    WARM_START,
    Objectives,
    pretraining_phase,
    warm_start_phase,
)
from dnapair.pretraining.probe import Probe
from dnapair.pretraining.speed import forward_flops, matrix_flops
from dnapair.pretraining.warm_start import BagOfKmers
from dnapair.stages import paths
from dnapair.storage.files import atomic_folder, sha256, write_sums
from dnapair.storage.numeric_columns import column_names, read_table
from dnapair.storage.sequence_file import SequenceFile
from dnapair.training.loop import Pairs

CHECKPOINT = Path("artifacts/pretraining/checkpoint.safetensors")
_FREE = frozenset(
    f"pretrain.{key}"
    for key in ("output", "fasta", "description", "license", "checkpoint_minutes", "micro_batch", "device")
)
"""Settings that a resumed run may change."""
_WARM_PROBES = 20
_MEASURED_ON = 512
"""Fragments."""


def run() -> None:
    """Pretrain an encoder and write it to `pretrain.output`."""
    settings = load_params().pretrain
    output = Path(settings.output)
    if output.exists():
        raise DnapairError(
            f"{output} (pretrain.output) is already there. Name a new folder, or remove this one: an encoder "
            "is never overwritten, because embeddings may have been made with it."
        )
    if settings.contrastive.weight == 0 and settings.warm_start.steps:
        raise DnapairError(
            "pretrain.warm_start.steps is above 0, but pretrain.contrastive.weight is 0, and the warm start "
            "is contrastive. Set both, or neither."
        )
    flat = flatten(settings, "pretrain")
    files = fasta_files(Path(settings.fasta), "pretrain.fasta")
    sources = {file.name: sha256(file) for file in files}
    identity = {key: value for key, value in flat.items() if key not in _FREE} | {"files": sources}
    with tracking.stage_run("pretrain", flat, {"pretrain": output / "model.safetensors"}) as record:
        standing = read_standing(CHECKPOINT, identity)
        corpus = _corpus(settings, files)
        probe, kmers = _probe(settings.seed)
        record.log_metrics(
            {"genomes": len(corpus.names), "records": corpus.records, "bases": len(corpus.bases)}
        )
        if kmers:
            record.log_metrics({f"kmers/{name}": value for name, value in kmers.items()})
        watch = Watch(
            CHECKPOINT,
            identity,
            settings.checkpoint_minutes,
            settings.probe_steps,
            lambda phase, step, values: _log(record, phase, step, values),
        )
        network, vocabulary, standing = _train(settings, corpus, probe, standing, watch, record)
        facts = Facts(
            name=output.name,
            sources=sources,
            genomes=corpus.names,
            records=corpus.records,
            bases=len(corpus.bases),
            left_out=corpus.left_out,
            seconds=standing.seconds,
            machine=_machine(choose_device(settings.device, "pretrain.device")),
            settings=flat,
            history=standing.history,
            kmers=kmers,
        )
        with atomic_folder(output) as folder:
            write_encoder(folder, network.bert, vocabulary, facts)
            # people mend the text of a card
            write_sums(folder, but="README.md")
        record.log_file(output / "README.md")
        record.describe(
            f"{output}: an encoder from {corpus.records:,} records of {len(corpus.names):,} genomes."
        )
        CHECKPOINT.unlink()
    print(f"{output}: ready. To use it, set encoder.source: {output} in params.yaml.")


def _train(
    settings: Pretrain,
    corpus: Corpus,
    probe: Probe,
    standing: Standing | None,
    watch: Watch,
    record: tracking.StageRun,
) -> tuple[PretrainingNetwork, KmerVocabulary, Standing]:
    device = choose_device(settings.device, "pretrain.device")
    bf16 = settings.precision == "bfloat16" or (settings.precision == "auto" and device.type == "cuda")
    sampler = Sampler(corpus, settings.crop, settings.reverse_complement, settings.seed)
    warm = settings.warm_start
    both_strands = settings.strand == "both"
    if settings.contrastive.weight:
        pairs = (settings.contrastive.batch_pairs, warm.batch_pairs if warm.steps else 0)
        sampler.check_pairs(max(pairs))
    vocabulary = KmerVocabulary.standard(settings.k)
    shape = Shape(settings.layers, settings.hidden, settings.heads, settings.feed_forward, settings.dropout)
    network = PretrainingNetwork(vocabulary, shape, settings.seed)
    standing = standing or Standing(WARM_START, 0, 0.0, [])
    if warm.steps and standing.phase == WARM_START:
        bag = BagOfKmers(network, vocabulary, both_strands, warm.dropout, settings.seed)
        rates = Schedule(
            warm.steps, warm.learning_rate, settings.warmup_steps, warm.weight_decay, settings.clip_norm
        )
        phase = warm_start_phase(bag, sampler, warm.batch_pairs, probe)
        # its steps are far shorter
        rarer = watch._replace(every=max(watch.every, warm.steps // _WARM_PROBES))
        standing = run_phase(phase, rates, rarer, standing, settings.seed)
        bag.hand_over(bag.count(sampler.single(0, _MEASURED_ON)))
    objectives = Objectives(
        settings.contrastive.weight,
        settings.masked.weight,
        both_strands,
        settings.contrastive.batch_pairs,
        settings.masked.fragments,
        settings.micro_batch,
        settings.masked.share,
        settings.masked.span,
    )
    main = pretraining_phase(network, vocabulary, sampler, objectives, bf16, device, probe)
    if device.type == "cuda":
        network.bert.compile()
    rates = Schedule(
        settings.steps,
        settings.learning_rate,
        settings.warmup_steps,
        settings.weight_decay,
        settings.clip_norm,
    )
    standing = run_phase(main, rates, watch, standing, settings.seed)
    if not settings.steps:
        return network, vocabulary, standing
    speed = standing.history[-1]["tokens_per_s"]
    peak = matrix_flops(device, torch.bfloat16 if bf16 else torch.float32)
    done = 3 * speed * forward_flops(network.bert.config, settings.crop)
    record.log_metrics({"tokens_per_s": speed, "teraflops": done / 1e12, "share_of_peak": done / peak})
    return network, vocabulary, standing


def _corpus(settings: Pretrain, files: list[Path]) -> Corpus:
    allowed = None if settings.train_genomes is None else allowed_genomes(settings.train_genomes)
    corpus = read_corpus(
        files, settings.genome, allowed, settings.min_length, named=settings.contrastive.weight > 0
    )
    return corpus.without(held_out(corpus.names, settings.held_out, settings.seed))


def allowed_genomes(columns: list[str]) -> set[str]:
    """Name the genomes of train pairs, less those that a val or test pair has too.

    Parameters
    ----------
    columns
        Columns of artifacts/dataset/pairs.parquet that name a pair's genomes.

    Raises
    ------
    DnapairError
        If there is no such column, or no genome is in train alone.
    """
    there = column_names(_prepared(paths.PAIRS))
    missing = [column for column in columns if column not in there]
    if missing:
        raise DnapairError(
            f"pretrain.train_genomes: the pairs have no column {missing[0]!r}; they have {', '.join(there)}. "
            "Name others, or set it to null to use every genome of the FASTA, val's and test's too."
        )
    table = read_table(paths.PAIRS, ["split", *columns]).to_pandas()
    train, *others = (set(table.loc[table["split"] == split, columns].to_numpy().ravel()) for split in SPLITS)
    allowed = train.difference(*others)
    if not allowed:
        raise DnapairError(
            "pretrain.train_genomes: every genome of train is in val or test as well. Split by genome "
            "(split.method: grouped)."
        )
    return allowed


def _probe(seed: int) -> tuple[Probe, dict[str, float]]:
    """Build the probe on the validation pairs, and give the figures of 4-mers on the same pairs."""
    table = read_table(_prepared(paths.PAIRS), ["row1", "row2", "label", "split"]).to_pandas()
    sequences = SequenceFile(paths.SEQUENCES)
    train, val = (_pairs(table[table["split"] == split]) for split in ("train", "val"))
    scores = fit_kmers(count_kmers(sequences), train, seed)(val)
    rows, places = np.unique(np.concatenate([val.rows1, val.rows2]), return_inverse=True)
    first, second = np.split(places, 2)
    probe = Probe(sequences.take(rows), Pairs(first, second, val.labels))
    return probe, probe.figures(scores)


def _pairs(table: pd.DataFrame) -> Pairs:
    return Pairs(*(table[column].to_numpy() for column in ("row1", "row2", "label")))


def _prepared(path: Path) -> Path:
    if not path.is_file():
        raise DnapairError(
            f"{path} is missing: pretraining is measured on the validation pairs, and takes no genome of val "
            "or test. Run `dvc repro prepare` first."
        )
    return path


def _log(record: tracking.StageRun, phase: str, step: int, values: Mapping[str, float]) -> None:
    record.log_metrics({f"{phase.replace(' ', '_')}/{name}": value for name, value in values.items()}, step)
    auc = f", validation ROC-AUC of the cosine {values['val_roc_auc']:.3f}" if "val_roc_auc" in values else ""
    tqdm.write(f"{phase}, step {step}{auc}, {values['tokens_per_s']:,.0f} tokens/s", file=sys.stderr)


def _machine(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{torch.get_num_threads()} CPU cores"
