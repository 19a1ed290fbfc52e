"""What transformers makes of our encoders, to compare with."""

import tempfile
from pathlib import Path

import numpy as np
import torch
from transformers import BertModel

from dnapair.embedding.encoder import Encoder


def last_layer(encoder: Encoder, ids: np.ndarray) -> np.ndarray:
    """The last layer for windows of token ids, shape=(n, length), without a mask; shape=(n, length, d)."""
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        encoder.save(Path(folder))
        model = BertModel.from_pretrained(folder, add_pooling_layer=False).eval()
        return model(torch.from_numpy(ids).long()).last_hidden_state.numpy()
