"""How fast pretraining is, beside what the machine could do."""

import time

import torch
from transformers import BertConfig

_SIZE = {"cuda": 8192, "cpu": 1024}
_SECONDS = 0.5


def forward_flops(config: BertConfig, length: int) -> float:
    """Count the floating point operations of one token's way through a BERT.

    Parameters
    ----------
    config
        Its shape.
    length
        Tokens in a sequence: each attends to all.

    Returns
    -------
    float
        Those of the products of matrices; a step of training takes three times as many.
    """
    width = config.hidden_size
    dense = 2 * (4 * width**2 + 2 * width * config.intermediate_size)
    return float(config.num_hidden_layers * (dense + 4 * length * width))


def matrix_flops(device: torch.device, dtype: torch.dtype) -> float:
    """Measure how many floating point operations a second the device does in a large product of matrices."""
    size = _SIZE[device.type]
    left = torch.ones(size, size, device=device, dtype=dtype)
    left @ left
    products = 0
    started = time.monotonic()
    while time.monotonic() - started < _SECONDS:
        left @ left
        products += 1
        if device.type == "cuda":
            torch.cuda.synchronize()
    return products * 2.0 * size**3 / (time.monotonic() - started)
