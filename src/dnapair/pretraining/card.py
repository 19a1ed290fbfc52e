"""The encoder's folder: Hugging Face's layout, and a card that says what it is."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import BertModel

from dnapair.pretraining.network import PretrainingNetwork

GENOMES_FILE = "genomes.txt"


class Facts(NamedTuple):
    """What the card tells.

    Attributes
    ----------
    name : str
        Of the encoder.
    sources : dict
        SHA-256 by name of FASTA file.
    genomes : list of str
        It was trained on, all of them.
    records, bases : int
        It was trained on.
    left_out : int
        Records that were not used.
    seconds : float
        Time it took, over all runs.
    machine : str
        Where.
    settings : dict
        Every setting, by name.
    history : list of dict
        Probes, in order.
    kmers : dict
        The same probe for 4-mers; empty where there was no probe.
    """

    name: str
    sources: Mapping[str, str]
    genomes: Sequence[str]
    records: int
    bases: int
    left_out: int
    seconds: float
    machine: str
    settings: Mapping[str, Any]
    history: Sequence[Mapping[str, Any]]
    kmers: Mapping[str, float]


def write_encoder(folder: Path, network: PretrainingNetwork, facts: Facts) -> None:
    """Write config.json, model.safetensors in fp16, the tokenizer, genomes.txt and README.md.

    Parameters
    ----------
    folder
        An empty folder.
    network
        Its BERT is written; it is left as it is.
    facts
        For the card.
    """
    network.encoder(facts.name, torch.float16).save(folder)
    (folder / GENOMES_FILE).write_text("\n".join(facts.genomes) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(card(network.bert, facts), encoding="utf-8")


def card(bert: BertModel, facts: Facts) -> str:
    """Return the model card, in Markdown."""
    config = bert.config
    parameters = sum(parameter.numel() for parameter in bert.parameters())
    settings = facts.settings
    k = settings["pretrain.k"]
    warm, steps = settings["pretrain.warm_start.steps"], settings["pretrain.steps"]
    objectives = [
        f"{name} (weight {settings[f'pretrain.{key}.weight']:g})"
        for key, name in (
            ("contrastive", "contrastive: two fragments of one genome are neighbours"),
            ("masked", "masked k-mers: hidden spans are guessed"),
        )
        if settings[f"pretrain.{key}.weight"]
    ]
    lines = [
        "---",
        "library_name: transformers",
        "tags: [dna, bert, k-mers, dnapair]",
        *([f"license: {settings['pretrain.license']}"] if settings.get("pretrain.license") else []),
        "---",
        "",
        f"# {facts.name}",
        "",
        *([settings["pretrain.description"].strip(), ""] if settings.get("pretrain.description") else []),
        f"A BERT over overlapping {k}-mers of DNA, DNABERT's kind and vocabulary: {config.num_hidden_layers} "
        f"layer(s) x {config.hidden_size}, {config.num_attention_heads} head(s), {parameters / 1e6:.2f} M "
        "parameters, fp16.",
        "",
        "## Use",
        "",
        f"In dnapair: `encoder.source: <this folder>`, `encoder.pooling: mean`, `encoder.strand: "
        f"{settings['pretrain.strand']}`. In transformers, one strand:",
        "",
        *show_use(k),
        "",
        "## Training",
        "",
        f"- Data: {facts.records:,} records, {facts.bases / 1e6:,.1f} M bases of {len(facts.genomes):,} "
        f"genomes ([{GENOMES_FILE}]({GENOMES_FILE}) names each); {facts.left_out:,} records were left out.",
        *(f"  - `{name}`, SHA-256 `{digest}`" for name, digest in facts.sources.items()),
        *(
            [f"- {warm:,} steps as a net over bags of k-mers in each reading frame: contrastive."]
            if warm
            else []
        ),
        *([f"- {steps:,} steps as a BERT: {'; '.join(objectives)}."] if steps else []),
        f"- Budget: {facts.seconds / 60:.0f} minutes on {facts.machine}.",
        "- Settings: "
        + ", ".join(
            f"`{key.removeprefix('pretrain.')}: {value}`"
            for key, value in settings.items()
            if key not in ("pretrain.description", "pretrain.license", "pretrain.output")
        )
        + ".",
    ]
    if facts.kmers:
        lines += [
            "",
            "## Probe: cosine of the embeddings, validation pairs",
            "",
            "| phase | step | ROC-AUC | PR-AUC |",
            "|---|---|---|---|",
            *(_row(entry["phase"], f"{entry['step']:,}", entry) for entry in _thinned(facts.history)),
            _row("4-mers, logistic regression", "", facts.kmers),
        ]
    return "\n".join([*lines, ""])


def show_use(k: int) -> list[str]:
    """Return the lines of Markdown that show how transformers embed a sequence with an encoder of k-mers."""
    return [
        "```python",
        "import torch",
        "from transformers import AutoModel, AutoTokenizer",
        "",
        "tokenizer = AutoTokenizer.from_pretrained(folder)",
        "model = AutoModel.from_pretrained(folder, add_pooling_layer=False, dtype=torch.float32)",
        f'kmers = " ".join(dna[i : i + {k}] for i in range(len(dna) - {k - 1}))  # upper case, A, C, G, T',
        'hidden = model(**tokenizer(kmers, return_tensors="pt")).last_hidden_state',
        "embedding = hidden[:, 1:-1].mean(1)  # without [CLS] and [SEP]",
        "```",
    ]


def _row(phase: str, step: str, measured: Mapping[str, Any]) -> str:
    return f"| {phase} | {step} | {measured['val_roc_auc']:.3f} | {measured['val_pr_auc']:.3f} |"


def _thinned(history: Sequence[Mapping[str, Any]], most: int = 12) -> list[Mapping[str, Any]]:
    stride = -(-len(history) // most)
    return [entry for number, entry in enumerate(reversed(history)) if number % stride == 0][::-1]
