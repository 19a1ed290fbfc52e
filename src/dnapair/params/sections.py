"""The sections of params.yaml, and what each setting may be."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from dnapair.params.kinds import (
    AboveZero,
    BatchSize,
    BelowOne,
    Count,
    NotNegative,
    Place,
    Positive,
    Rate,
    Seed,
    Share,
    Width,
)
from dnapair.params.names import Alias, ModelName

Precision = Literal["auto", "float32", "bfloat16"]
Device = Literal["auto", "cpu", "cuda"]
Strand = Literal["forward", "both"]
BERT_KMERS = 510


class Section(BaseModel):
    """A section of params.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Columns(Section):
    """Names of the pair table's columns; None where they are to be found by their usual names."""

    id1: str | None = None
    id2: str | None = None
    seq1: str | None = None
    seq2: str | None = None
    label: str | None = None


class Data(Section):
    """Where the raw data is and how it is read."""

    path: Place
    pairs: Place | list[Place] | None
    sequences: Place | list[Place] | None
    header: Literal["auto"] | bool
    columns: Columns
    positive_label: str | int | bool | None
    ambiguous: Literal["error", "drop", "keep"]
    contradictory: Literal["error", "drop"]
    genome: Annotated[str, Field(min_length=1)] | None
    width: Positive | None

    @model_validator(mode="after")
    def _fits_together(self) -> "Data":
        if self.width and not self.genome:
            raise ValueError("width is that of places, and genome names none to cut them out of")
        return self


class Split(Section):
    """How the pairs are divided into train, validation and test."""

    method: Literal["predefined", "random", "grouped"]
    column: str | None
    groups: list[str]
    cross_pairs: Literal["together", "drop"]
    strands: Strand
    validation: BelowOne
    test: BelowOne
    seed: Seed

    @model_validator(mode="after")
    def _fits_together(self) -> "Split":
        if self.validation + self.test >= 1:
            raise ValueError(f"validation + test = {self.validation + self.test:g} leaves nothing for train")
        if self.method == "grouped" and self.cross_pairs == "drop" and not self.groups:
            raise ValueError(
                "cross_pairs: drop draws groups, and groups names none. Name columns of the pair table, or "
                "seq1 or seq2 for that side's sequences"
            )
        return self


class Untrained(Section):
    """The shape of the encoder that is built, not loaded."""

    k: Annotated[int, Field(ge=3, le=6)]
    layers: Annotated[int, Field(ge=1, le=48)]
    hidden: Annotated[int, Field(ge=1, le=8192)]
    heads: Annotated[int, Field(ge=1, le=128)]
    seed: Seed

    @model_validator(mode="after")
    def _heads_divide_hidden(self) -> "Untrained":
        if self.hidden % self.heads:
            raise ValueError(f"hidden ({self.hidden}) is not a multiple of heads ({self.heads})")
        return self


class Encoder(Section):
    """The encoder, and what of its output is an embedding."""

    source: Place
    revision: str | None
    allow_pytorch_bin: bool
    pooling: Literal["mean", "cls", "max"]
    strand: Strand
    normalize: bool
    untrained: Untrained


class Ray(Section):
    """The Ray cluster, and the actors that embed on it."""

    address: Annotated[str, Field(min_length=1)] | None
    actors: Positive | tuple[Positive, Positive]
    num_cpus: Annotated[int | float, Field(gt=0)]
    num_gpus: Annotated[int | float, Field(ge=0)]

    @model_validator(mode="after")
    def _as_ray_takes_it(self) -> "Ray":
        if self.address and self.address.startswith("ray://"):
            raise ValueError(
                "address: the stage runs on a machine of the cluster, not over ray://. Join this one with "
                "`ray start --address=HEAD:PORT` and set address: auto"
            )
        if isinstance(self.actors, tuple) and self.actors[0] > self.actors[1]:
            raise ValueError(f"actors: the least ({self.actors[0]}) is above the most ({self.actors[1]})")
        if self.num_gpus > 1 and self.num_gpus % 1:
            raise ValueError(f"num_gpus ({self.num_gpus:g}): above 1, Ray gives whole GPUs only")
        return self


class Lora(Section):
    """Low-rank adaptation."""

    rank: Annotated[int, Field(ge=1, le=1024)]
    alpha: AboveZero
    dropout: BelowOne
    targets: Annotated[list[Place], Field(min_length=1)]


class PullTogether(Section):
    """The contrastive term of fine-tuning."""

    weight: NotNegative
    temperature: Annotated[float, Field(ge=0.01, le=1)]
    hard_negatives: Annotated[int, Field(ge=0, le=64)]


class FinetuneSearch(Section):
    """Other values of the same names, every combination of which is tried."""

    method: list[Literal["full", "lora"]]
    learning_rate: list[Rate]
    steps: list[Count]
    bag_learning_rate: list[Rate]


class Finetune(Section):
    """How the encoder learns from the train pairs."""

    method: Literal["none", "full", "lora", "auto"]
    bag_epochs: Count
    bag_learning_rate: Rate
    dropout: BelowOne
    steps: Count
    learning_rate: Rate
    batch_size: BatchSize
    micro_batch: Positive
    weight_decay: NotNegative
    clip_norm: AboveZero
    patience: Positive
    contrastive: PullTogether
    lora: Lora
    search: FinetuneSearch
    checkpoint_minutes: AboveZero
    precision: Precision
    device: Device
    seed: Seed

    @model_validator(mode="after")
    def _something_to_do(self) -> "Finetune":
        if self.method == "lora" and not self.steps:
            raise ValueError("method: lora learns as a BERT, and steps is 0. Set steps, say 1000")
        if self.method in ("full", "auto") and not self.steps and not self.bag_epochs:
            raise ValueError("steps and bag_epochs are both 0: there is nothing to do. Set method: none")
        lists = self.search
        if self.method == "none" and any(values for _, values in lists):
            raise ValueError("search lists what to try, and method is none. Set method: full, lora or auto")
        if 0 in lists.steps or (lists.method and not self.steps and not lists.steps):
            small = "lora" in (self.method, *lists.method)
            if small or not self.bag_epochs:
                what = "method: lora" if small else "bag_epochs: 0"
                raise ValueError(f"search would try {what} with steps: 0, which is nothing to do")
        return self


class Embed(Section):
    """How sequences are sent through the encoder."""

    precision: Precision
    device: Device
    batch_tokens: Literal["auto"] | Annotated[int, Field(ge=512)]
    shard_rows: Positive
    engine: Literal["local", "ray"]
    ray: Ray


class Interactions(Section):
    """How a pair is described base by base."""

    bins: Annotated[int, Field(ge=1, le=4096)]


class Scale(Section):
    """Min-max scaling."""

    mode: Literal["dimension", "global"]


class Checks(Section):
    """Limits that the scaled data is held to."""

    max_clipped_share: Share
    max_unknown_share: Share


class Finding(Section):
    """How grave a finding of the audit is, and from where on it is one."""

    level: Literal["info", "warn", "fail"]
    above: Share


class Audit(Section):
    """What validate looks for between the splits."""

    repeated_pairs: Finding
    repeated_sequences: Finding
    reverse_complements: Finding
    near_repeats: Finding
    groups: Finding
    single_side: Finding
    k: Annotated[int, Field(ge=8, le=31)]
    containment: Rate


class Network(Section):
    """The residual network's shape."""

    widths: Annotated[list[Width], Field(min_length=1)]
    depth: Annotated[int, Field(ge=1, le=64)]
    dropout: BelowOne
    normalization: Literal["layer", "batch", "none"]
    activation: Literal["relu", "gelu", "silu", "tanh"]
    symmetric: Literal["auto"] | bool
    inputs: Literal["auto", "embeddings", "interactions", "both"]


class Train(Section):
    """How the network is trained."""

    epochs: Positive
    batch_size: BatchSize
    learning_rate: Rate
    weight_decay: NotNegative
    positive_weight: Literal["balanced"] | AboveZero
    random_negatives: Literal["auto"] | Annotated[float, Field(ge=0, le=100)]
    clip_norm: AboveZero
    plateau_patience: Positive
    plateau_factor: Annotated[float, Field(gt=0, lt=1)]
    stop_patience: Positive
    precision: Precision
    calibration: Literal["temperature", "none"]
    repeats: Annotated[int, Field(ge=1, le=1024)]
    seed: Seed


class RateRange(Section):
    """Two ends of a range that the tuner searches on a logarithmic scale."""

    low: AboveZero
    high: Rate

    @model_validator(mode="after")
    def _ordered(self) -> "RateRange":
        if self.low > self.high:
            raise ValueError(f"low ({self.low:g}) is above high ({self.high:g})")
        return self


class ShareRange(RateRange):
    """Two ends of a range that the tuner searches evenly."""

    low: NotNegative
    high: Annotated[float, Field(gt=0, lt=1)]


class Space(Section):
    """What the tuner may choose from."""

    widths: Annotated[list[Annotated[list[Width], Field(min_length=1)]], Field(min_length=1)]
    dropout: ShareRange
    learning_rate: RateRange
    weight_decay: RateRange
    batch_size: Annotated[list[BatchSize], Field(min_length=1)]


class Tune(Section):
    """The hyperparameter search."""

    trials: Count
    method: Literal["random", "bayesian", "hyperband"]
    epochs: Positive
    seed: Seed
    space: Space


class Evaluate(Section):
    """How the test metrics are made."""

    bootstrap: Annotated[int, Field(ge=1000)]
    groups: list[str] | None
    slices: list[str] | None
    folds: Count
    original_recipe: bool
    map_pairs: Annotated[int, Field(ge=10)]
    seed: Seed

    @field_validator("folds")
    @classmethod
    def _at_least_two(cls, folds: int) -> int:
        if folds == 1:
            raise ValueError("one fold would leave nothing to train on. Use 0 for none, or 2 and more")
        return folds


class Watch(Section):
    """How far input may be from the train sequences."""

    max_outside_share: Share
    max_distance: Share
    max_clipped_share: Share


class Register(Section):
    """Where the better model goes."""

    name: ModelName
    alias: Alias
    challenger: Alias
    margin: Share
    baseline: Literal["estimate", "certain", "ignore"]

    @model_validator(mode="after")
    def _two_aliases(self) -> "Register":
        # some of MLflow's databases do not tell the case of letters
        if self.alias.lower() == self.challenger.lower():
            raise ValueError(f"alias and challenger are both {self.alias!r}: two versions need two names")
        return self


class Serve(Section):
    """What a request to `dnapair serve` may ask; the defaults are for a folder without params.yaml."""

    max_pairs: Positive = 1024
    max_bases: Positive = 100_000
    max_comparisons: AboveZero = 2.5e9
    max_megabytes: Annotated[float, Field(gt=0, le=1000)] = 2.0
    max_waiting: Count = 64


class WarmStart(Section):
    """The bag of k-mers that the BERT's weights are trained as first."""

    steps: Count
    batch_pairs: BatchSize
    learning_rate: Rate
    weight_decay: NotNegative
    dropout: BelowOne


class Contrastive(Section):
    """Two fragments of one genome are neighbours."""

    weight: NotNegative
    batch_pairs: BatchSize


class MaskedKmers(Section):
    """Hidden spans of k-mers are guessed."""

    weight: NotNegative
    fragments: Positive
    share: Annotated[float, Field(gt=0, lt=1)]
    span: Positive


class Pretrain(Section):
    """How an encoder of one's own is made."""

    fasta: Place
    output: Place
    description: str
    license: str | None
    genome: str
    unseen_genomes: list[str] | None
    held_out: BelowOne
    min_genome: Count
    crop: Annotated[int, Field(ge=16)]
    min_length: Annotated[int, Field(ge=16)]
    reverse_complement: bool
    strand: Strand
    k: Annotated[int, Field(ge=4, le=6)]
    layers: Annotated[int, Field(ge=1, le=48)]
    hidden: Annotated[int, Field(ge=8, le=8192)]
    heads: Annotated[int, Field(ge=1, le=128)]
    feed_forward: Annotated[int, Field(ge=8, le=65536)]
    dropout: BelowOne
    warm_start: WarmStart
    contrastive: Contrastive
    masked: MaskedKmers
    steps: Count
    micro_batch: Positive
    learning_rate: Rate
    warmup_steps: Count
    weight_decay: NotNegative
    clip_norm: AboveZero
    probe_steps: Positive
    checkpoint_minutes: AboveZero
    precision: Precision
    device: Device
    seed: Seed

    @field_validator("output")
    @classmethod
    def _inside_the_project(cls, output: str) -> str:
        if Path(output).is_absolute() or ".." in Path(output).parts or not Path(output).parts:
            raise ValueError("name a folder inside the project, such as encoders/own")
        return output

    @model_validator(mode="after")
    def _fits_together(self) -> "Pretrain":
        if self.hidden % self.heads:
            raise ValueError(f"hidden ({self.hidden}) is not a multiple of heads ({self.heads})")
        if self.warm_start.steps and self.hidden // self.heads < 4:
            raise ValueError(f"hidden ({self.hidden}) gives each of {self.heads} heads fewer than 4")
        if self.crop - self.k + 1 > BERT_KMERS:
            raise ValueError(
                f"crop ({self.crop}) has more than {BERT_KMERS} {self.k}-mers, and a BERT has 512 positions"
            )
        if not self.masked.span + self.k <= self.min_length <= self.crop:
            raise ValueError(
                f"min_length ({self.min_length}) is not between masked.span + k "
                f"({self.masked.span + self.k}) and crop ({self.crop})"
            )
        if not self.contrastive.weight and not self.masked.weight:
            raise ValueError("contrastive.weight and masked.weight are both 0: there is nothing to learn")
        if not self.steps and not self.warm_start.steps:
            raise ValueError("steps and warm_start.steps are both 0: there is nothing to do")
        return self


class Params(Section):
    """The whole of params.yaml."""

    data: Data
    split: Split
    encoder: Encoder
    finetune: Finetune
    embed: Embed
    interactions: Interactions
    scale: Scale
    checks: Checks
    audit: Audit
    network: Network
    train: Train
    tune: Tune
    evaluate: Evaluate
    watch: Watch
    registration: Annotated[Register, Field(alias="register")]
    serve: Serve
    pretrain: Pretrain
