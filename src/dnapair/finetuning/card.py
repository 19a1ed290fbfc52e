"""The card of an encoder that has learnt from pairs."""

from collections.abc import Mapping, Sequence
from typing import Any

from dnapair.embedding.encoder import Encoder
from dnapair.finetuning.choice import Choice, Try
from dnapair.pretraining.card import show_use

_FORMS = {"bag": "a net over bags of k-mers", "bert": "a BERT"}


def card(encoder: Encoder, kept: Try, choice: Choice, settings: Mapping[str, Any], pairs: int) -> str:
    """Return the card, in Markdown.

    Parameters
    ----------
    encoder
        It is about.
    kept
        How it learnt.
    choice
        Why it was kept.
    settings
        All of ``finetune`` and ``encoder``, by name.
    pairs
        Number of train pairs.
    """
    k = encoder.vocabulary.k
    history = kept.learnt.standing.history
    phases = dict.fromkeys(entry["phase"] for entry in history)
    return "\n".join(
        [
            "---",
            "library_name: transformers",
            "tags: [dna, bert, k-mers, dnapair]",
            "---",
            "",
            f"# {encoder.name}",
            "",
            f"A BERT over overlapping {k}-mers of DNA that learnt from {pairs:,} labelled pairs of "
            "sequences, for this question and no other.",
            "",
            "## Use",
            "",
            f"In dnapair: `encoder.source: <this folder>`, `encoder.pooling: mean`, `encoder.strand: "
            f"{settings['encoder.strand']}`. It has seen the train pairs: measure what is made with it on "
            "test alone. In transformers, one strand:",
            "",
            *show_use(k),
            "",
            "## Training",
            "",
            *(_line([entry for entry in history if entry["phase"] == phase]) for phase in phases),
            f"- {choice.reason}",
            "- Settings: " + ", ".join(f"`{key}: {value}`" for key, value in settings.items()) + ".",
            "",
        ]
    )


def _line(looks: Sequence[Mapping[str, Any]]) -> str:
    best = max(looks, key=lambda look: look["val_pr_auc"])
    return (
        f"- As {_FORMS[best['phase']]}: {looks[-1]['step']:,} steps, the best look at validation after "
        f"{best['step']:,}: PR-AUC {best['val_pr_auc']:.3f}, by the network that learnt along."
    )
