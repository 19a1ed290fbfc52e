"""Low-rank adaptation of a BERT: small matrices learn beside large ones, and are added to these at the end.

Source: Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models".
"""

import warnings
from typing import Any, NamedTuple, cast

import torch
from torch import nn
from transformers import BertModel

from dnapair.errors import DnapairError


class LoraSettings(NamedTuple):
    """What learns.

    Attributes
    ----------
    rank : int
        Of the small matrices.
    alpha : float
        What they give counts ``alpha / rank`` times.
    dropout : float
        Share of their input that is left out in training.
    targets : tuple of str
        Last parts of the names of the layers that get them.
    """

    rank: int
    alpha: float
    dropout: float
    targets: tuple[str, ...]


def wrap(bert: BertModel, settings: LoraSettings, seed: int) -> nn.Module:
    """Freeze a BERT and put small matrices beside its layers, drawn by a seed.

    Raises
    ------
    DnapairError
        If a target is the name of no linear layer, or peft is not installed.
    """
    layers = {
        name.rpartition(".")[2] for name, module in bert.named_modules() if isinstance(module, nn.Linear)
    }
    unknown = [target for target in settings.targets if target not in layers]
    if unknown:
        raise DnapairError(
            f"finetune.lora.targets: the encoder has no layer {', '.join(unknown)}. There are: "
            f"{', '.join(sorted(layers))}."
        )
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError:
        raise DnapairError(
            "finetune.method: lora needs peft, which is not here; install it: pip install 'peft==0.21.0'"
        ) from None
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]  # a quotient is made of it
        lora_dropout=settings.dropout,
        target_modules=list(settings.targets),
    )
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        # peft calls a part of transformers by its name of before
        warnings.simplefilter("ignore", FutureWarning)
        return cast(nn.Module, get_peft_model(bert, config))


def merge(wrapped: nn.Module) -> BertModel:
    """Add what was learnt to the BERT's own weights, and return it without the small matrices."""
    return cast(BertModel, cast(Any, wrapped).merge_and_unload())
