"""Where the stages leave their files; dvc.yaml names the same places."""

from pathlib import Path

from dnapair.storage.files import check_sums

FRAMEWORKS = ("torch", "tensorflow")
LOCATED = Path("artifacts/located")
DATASET = Path("artifacts/dataset")
SEQUENCES = DATASET / "sequences.parquet"
PAIRS = DATASET / "pairs.parquet"
ENCODER = Path("artifacts/encoder")
EMBEDDINGS = Path("artifacts/embeddings")
INTERACTIONS = Path("artifacts/interactions")
NORMALIZED = Path("artifacts/normalized")
SCALED = NORMALIZED / "embeddings.npy"
SCALER = NORMALIZED / "scaler.safetensors"
SCALED_INTERACTIONS = NORMALIZED / "interactions.npy"
INTERACTION_LAYOUT = NORMALIZED / "interactions.json"
NEGATIVES = NORMALIZED / "negatives.parquet"
MODELS = Path("artifacts/models")
SCORES = Path("artifacts/scores")
BASELINES = Path("artifacts/baselines")
REPORTS = Path("reports")
DATASET_REPORT = REPORTS / "dataset.json"
FINETUNING_REPORT = REPORTS / "finetuning.json"
SCALING_REPORT = REPORTS / "scaling.json"
VALIDATION_REPORT = REPORTS / "validation.json"
AUDIT_REPORT = REPORTS / "audit.json"
TOKENS_REPORT = REPORTS / "tokens.json"
FOLDS_REPORT = REPORTS / "folds.json"
BEST_HYPERPARAMETERS = REPORTS / "best_hyperparameters.json"
REGISTRATION = REPORTS / "registration.json"


def split_file(split: str) -> Path:
    """Return where the rows and labels of one split lie."""
    return NORMALIZED / f"{split}.parquet"


def model_folder(framework: str) -> Path:
    """Return where a framework's trained network lies."""
    return MODELS / framework


def score_folder(framework: str) -> Path:
    """Return where a framework's scores of the validation and test pairs lie."""
    return SCORES / framework


def report_folder(framework: str) -> Path:
    """Return where a framework's evaluation lies."""
    return REPORTS / framework


MADE_BY = {
    DATASET: "prepare",
    ENCODER: "finetune",
    NORMALIZED: "scale",
    BASELINES: "baselines",
    model_folder("torch"): "train@torch",
    model_folder("tensorflow"): "train@tensorflow",
    score_folder("torch"): "score",
    score_folder("tensorflow"): "score",
}
"""The stage that fills each folder that has a SHA256SUMS."""


def check(*folders: Path) -> None:
    """Hash every file of artifacts that a stage is about to read.

    DVC trusts a file whose time and size are as they were: bits that flipped on the disk pass it.

    Raises
    ------
    DnapairError
        If one is missing, truncated or changed.
    """
    for folder in folders:
        check_sums(folder, f"Make it again: dvc repro --force --single-item {MADE_BY[folder]}")


IDENTITIES = {
    "prepare": DATASET_REPORT,
    "finetune": FINETUNING_REPORT,
    "embed": EMBEDDINGS / "manifest.json",
    "interact": INTERACTIONS / "manifest.json",
    "scale": SCALING_REPORT,
    "validate": VALIDATION_REPORT,
    "tune": BEST_HYPERPARAMETERS,
    "train@torch": model_folder("torch") / "weights.safetensors",
    "train@tensorflow": model_folder("tensorflow") / "weights.safetensors",
    "score@torch": score_folder("torch") / "test.parquet",
    "score@tensorflow": score_folder("tensorflow") / "test.parquet",
    "baselines": BASELINES / "test.parquet",
    "crossvalidate": FOLDS_REPORT,
    "evaluate@torch": report_folder("torch") / "metrics.json",
    "evaluate@tensorflow": report_folder("tensorflow") / "metrics.json",
    "register": REGISTRATION,
}
"""The file whose content stands for all that was written, by the name that a stage's run has in MLflow."""
