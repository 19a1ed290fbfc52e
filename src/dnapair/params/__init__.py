"""params.yaml, the only place with settings: what each may be, and how it is read and changed."""

from dnapair.params.reading import (
    champion_address,
    check_params,
    find_params,
    flatten,
    load_params,
    parse_yaml,
)
from dnapair.params.sections import Data, Embed, Encoder, Finetune, Params, Pretrain, Serve, Split, Train

__all__ = [
    "Data",
    "Embed",
    "Encoder",
    "Finetune",
    "Params",
    "Pretrain",
    "Serve",
    "Split",
    "Train",
    "champion_address",
    "check_params",
    "find_params",
    "flatten",
    "load_params",
    "parse_yaml",
]
