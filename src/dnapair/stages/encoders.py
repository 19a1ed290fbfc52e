"""The encoder, for the stages that need it: the one in the settings, and the one that the pipeline uses."""

from dnapair.embedding.checkpoint import load_encoder
from dnapair.embedding.encoder import Encoder, build_untrained
from dnapair.embedding.hub import UNTRAINED
from dnapair.params import Encoder as EncoderParams
from dnapair.stages import paths
from dnapair.storage.files import read_json

FACTS = "encoder.json"
"""Beside the encoder in artifacts/encoder: what reports call it, and whether it learnt from the pairs."""


def open_source(settings: EncoderParams) -> Encoder:
    """Load a checkpoint, or build the untrained encoder.

    Parameters
    ----------
    settings
        The section ``encoder`` of params.yaml.

    Returns
    -------
    Encoder
        Ready to embed.

    Raises
    ------
    DnapairError
        If the checkpoint is missing or does not fit.
    """
    if settings.source == UNTRAINED:
        return build_untrained(**settings.untrained.model_dump())
    return load_encoder(settings.source, settings.revision, settings.allow_pytorch_bin)


def open_encoder() -> Encoder:
    """Load artifacts/encoder, which the stage `finetune` left.

    Raises
    ------
    DnapairError
        If it is missing or changed.
    """
    paths.check(paths.ENCODER)
    return load_encoder(str(paths.ENCODER))._replace(name=read_json(paths.ENCODER / FACTS)["name"])
