"""`dnapair pretrain`: FASTA in, encoder folder out."""

import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from tqdm import tqdm

from dnapair import tracking
from dnapair.data.raw_files import fasta_files
from dnapair.embedding.embedder import choose_device
from dnapair.embedding.kmers import KmerVocabulary
from dnapair.errors import DnapairError
from dnapair.machine.processor import has_bfloat16
from dnapair.params import Pretrain, flatten, load_params
from dnapair.pretraining.card import Facts, write_encoder
from dnapair.pretraining.checkpoint import Standing, read_standing
from dnapair.pretraining.corpus import Corpus, held_out, pair_genomes, read_corpus
from dnapair.pretraining.fragments import Sampler
from dnapair.pretraining.loop import Schedule, Watch
from dnapair.pretraining.network import PretrainingNetwork, Shape
from dnapair.pretraining.phases import Objectives, WarmStart, run_phases
from dnapair.pretraining.probe import Probe, read_probe
from dnapair.pretraining.speed import forward_flops, matrix_flops
from dnapair.stages import paths
from dnapair.storage.files import atomic_folder, check_place, sha256, write_sums

CHECKPOINT = Path("artifacts/pretraining/checkpoint.safetensors")
_FREE = frozenset(
    f"pretrain.{key}"
    for key in ("output", "fasta", "description", "license", "checkpoint_minutes", "micro_batch", "device")
)
"""Settings that a resumed run may change."""


def run() -> None:
    """Pretrain an encoder and write it to `pretrain.output`."""
    settings = load_params().pretrain
    output = Path(settings.output)
    check_place(output, "pretrain.output", folder=True)
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
        probe, kmers = read_probe(_pairs(), paths.SEQUENCES, settings.seed)
        sizes = {"genomes": len(corpus.names), "records": corpus.records, "bases": len(corpus.bases)}
        record.log_metrics(sizes | {f"kmers/{name}": value for name, value in kmers.items()})
        watch = Watch(
            CHECKPOINT,
            identity,
            settings.checkpoint_minutes,
            settings.probe_steps,
            lambda phase, step, values: _log(record, phase, step, values),
        )
        network, standing, speed = _train(settings, corpus, probe, standing, watch)
        if speed:
            record.log_metrics(speed)
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
            write_encoder(folder, network, facts)
            # people mend the text of a card
            write_sums(folder, but="README.md")
        record.log_file(output / "README.md")
        record.describe(
            f"{output}: an encoder from {corpus.records:,} records of {len(corpus.names):,} genomes."
        )
        CHECKPOINT.unlink()
    print(f"{output}: ready. To use it, set encoder.source: {output} in params.yaml.")


def plan(settings: Pretrain) -> tuple[WarmStart, Objectives, Schedule]:
    """Return what the settings say of the warm start, of the BERT's objectives, and of its schedule."""
    warm, contrastive, masked = settings.warm_start, settings.contrastive, settings.masked
    schedule = Schedule(
        settings.steps,
        settings.learning_rate,
        settings.warmup_steps,
        settings.weight_decay,
        settings.clip_norm,
    )
    warm_schedule = schedule._replace(
        steps=warm.steps, learning_rate=warm.learning_rate, weight_decay=warm.weight_decay
    )
    objectives = Objectives(
        contrastive.weight,
        masked.weight,
        settings.strand == "both",
        contrastive.batch_pairs,
        masked.fragments,
        settings.micro_batch,
        masked.share,
        masked.span,
    )
    # the bag stays on the CPU
    bf16 = settings.precision == "bfloat16" or (settings.precision == "auto" and has_bfloat16())
    return WarmStart(warm_schedule, warm.batch_pairs, warm.dropout, bf16), objectives, schedule


def _train(
    settings: Pretrain, corpus: Corpus, probe: Probe, standing: Standing | None, watch: Watch
) -> tuple[PretrainingNetwork, Standing, dict[str, float]]:
    """Return the trained network, where it stands, and how fast it was."""
    device = torch.device(choose_device(settings.device, "pretrain.device"))
    bf16 = settings.precision == "bfloat16" or (settings.precision == "auto" and device.type == "cuda")
    shape = Shape(settings.layers, settings.hidden, settings.heads, settings.feed_forward, settings.dropout)
    network = PretrainingNetwork(KmerVocabulary.standard(settings.k), shape, settings.seed)
    standing = run_phases(
        network,
        Sampler(corpus, settings.crop, settings.reverse_complement, settings.seed),
        *plan(settings),
        bf16,
        device,
        probe,
        watch,
        standing,
    )
    if not settings.steps:
        return network, standing, {}
    speed = standing.history[-1]["tokens_per_s"]
    peak = matrix_flops(device, torch.bfloat16 if bf16 else torch.float32)
    done = 3 * speed * forward_flops(network.bert.config, settings.crop)
    return network, standing, {"tokens_per_s": speed, "teraflops": done / 1e12, "share_of_peak": done / peak}


def _corpus(settings: Pretrain, files: list[Path]) -> Corpus:
    columns = settings.unseen_genomes
    corpus = read_corpus(
        files,
        settings.genome,
        None if columns is None else pair_genomes(_pairs(), columns),
        settings.min_length,
        # masked k-mers are guessed whatever genome they are of
        settings.min_genome if settings.contrastive.weight else 0,
        named=settings.contrastive.weight > 0,
    )
    return corpus.without(held_out(corpus.names, settings.held_out, settings.seed))


def _pairs() -> Path:
    if not paths.PAIRS.is_file():
        raise DnapairError(
            f"{paths.PAIRS} is missing: pretraining is measured on the validation pairs, and takes no genome "
            "of val or test. Run `dvc repro prepare` first."
        )
    return paths.PAIRS


def _log(record: tracking.StageRun, phase: str, step: int, values: Mapping[str, float]) -> None:
    record.log_metrics({f"{phase.replace(' ', '_')}/{name}": value for name, value in values.items()}, step)
    auc = f", validation ROC-AUC of the cosine {values['val_roc_auc']:.3f}" if "val_roc_auc" in values else ""
    tqdm.write(f"{phase}, step {step}{auc}, {values['tokens_per_s']:,.0f} tokens/s", file=sys.stderr)


def _machine(device: str) -> str:
    if device == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{torch.get_num_threads()} CPU cores"
