"""Each setting of pretraining reaches the phase that it is for, and no other."""

from pathlib import Path
from typing import Any

import pytest

from dnapair.commands.pretrain import plan
from dnapair.machine.processor import has_bfloat16
from dnapair.params import load_params

SETTINGS = load_params(Path(__file__).parents[3] / "params.yaml").pretrain
WARM_START, OBJECTIVES, SCHEDULE = 1, 2, 4


def changed(key: str, value: Any) -> int:
    """Which parts of the plan a setting changes."""
    section, _, name = key.rpartition(".")
    if section:
        value = getattr(SETTINGS, section).model_copy(update={name: value})
    after = plan(SETTINGS.model_copy(update={section or name: value}))
    return sum(2**place for place, part in enumerate(plan(SETTINGS)) if part != after[place])


@pytest.mark.parametrize(
    ("key", "value", "parts"),
    [
        ("warm_start.steps", 7, WARM_START),
        ("warm_start.batch_pairs", 7, WARM_START),
        ("warm_start.learning_rate", 0.7, WARM_START),
        ("warm_start.weight_decay", 0.7, WARM_START),
        ("warm_start.dropout", 0.7, WARM_START),
        ("contrastive.weight", 0.7, OBJECTIVES),
        ("contrastive.batch_pairs", 7, OBJECTIVES),
        ("masked.weight", 0.7, OBJECTIVES),
        ("masked.fragments", 7, OBJECTIVES),
        ("masked.share", 0.7, OBJECTIVES),
        ("masked.span", 7, OBJECTIVES),
        ("micro_batch", 7, OBJECTIVES),
        ("strand", "forward", OBJECTIVES),
        ("steps", 7, SCHEDULE),
        ("learning_rate", 0.7, SCHEDULE),
        ("weight_decay", 0.7, SCHEDULE),
        ("warmup_steps", 7, SCHEDULE | WARM_START),
        ("clip_norm", 7.0, SCHEDULE | WARM_START),
        ("precision", "float32" if has_bfloat16() else "bfloat16", WARM_START),
    ],
)
def test_a_setting_reaches_its_phase(key: str, value: Any, parts: int):
    assert changed(key, value) == parts
