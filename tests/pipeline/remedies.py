"""The states in which messages' remedies are followed, and the messages whose remedies are not."""

from collections.abc import Callable
from typing import NamedTuple

from tests.pipeline.conftest import Project
from tests.pipeline.states import (
    FEWER,
    LOST,
    MORE,
    OWN,
    both,
    checkpoint_in_bin,
    cut,
    cut_champion,
    cut_rows,
    damage,
    false_shard,
    finetuned,
    from_elsewhere,
    garbage,
    huge_encoder,
    in_json,
    in_table,
    in_tensors,
    in_twos,
    lose_origin,
    met_otherwise,
    other_order,
    pretraining,
    settings,
    shared,
    table,
    take_away,
    tied,
    uncommitted,
    wider,
)
from tests.unit.registry.test_registry_remedies import REMEDIES as REGISTRY


class State(NamedTuple):
    """What brings a message, and what it promises.

    Attributes
    ----------
    words : str
        Of the message: they find it in the code, and in what was printed.
    make : callable
        Bring about the state in a project.
    command : str
        What ends with the message, and does not once the remedy was followed.
    remedy : str or None
        A regular expression, whose groups are the commands, in their order, in what was printed; None: a
        setting to set, to each of its values in turn.
    then : str
        What the remedy's commands say besides.
    """

    words: str
    make: Callable[[Project], object]
    command: str
    remedy: str | None = None
    then: str = ""


LAST = r": ([^:\n]+)\n?$"
PREPARE, SCALE, VALIDATE = "dnapair prepare", "dnapair scale", "dnapair validate"
OF_TABLE = "data/pairs.csv --sequences data/sequences.fasta"

STATES = {
    "a letter that is no base": State(
        "have letters other than A, C, G and T", table("ACGTNCGTACAA,TTGACCATGGAA,1,train"), PREPARE
    ),
    "both labels": State(
        "have both labels",
        table("AAGTACGTACAA,TTGACCATGGAA,1,train", "AAGTACGTACAA,TTGACCATGGAA,0,train"),
        PREPARE,
    ),
    "an unknown split": State(
        "in no split that dnapair knows", table("AAGTACGTACAA,TTGACCATGGAA,1,holdout"), PREPARE
    ),
    "no test pairs": State(
        "No pair is in the test split",
        both(table(), in_table("mine", lambda text: text.replace(",test", ",train"))),
        PREPARE,
    ),
    "no data there": State(
        "Name a folder or a file, or have DVC bring one",
        lambda project: project.set({"data.path": "nowhere"}),
        "dnapair locate data",
        r"\((dnapair use .*?)\)",
    ),
    "no data there, without DVC": State(
        "Name a folder or a file, or bring one",
        take_away("data", "data.dvc"),
        PREPARE,
        r"`(dnapair use .*?)`",
    ),
    "a flipped bit in a copy": State(
        "have all back", damage("data/sequences.fasta"), PREPARE, r"\((rm -r data)\).*(dvc checkout data.dvc)"
    ),
    "a flipped bit that was meant": State(
        "it is not what", in_table("data", other_order, time=False), PREPARE, r"(touch .*?)\. If not"
    ),
    "a file that was taken away": State(
        "it is not what", take_away("data/readme.md"), PREPARE, r"(dvc commit .*?)\. If not"
    ),
    "a copy that is lost": State(
        "does not bring a copy",
        take_away("data"),
        "dnapair run prepare",
        r"DVC has them: (dvc checkout data.dvc)",
    ),
    "a colleague's clone, the origin at hand": State(
        "as it is now", LOST, "dnapair run prepare", r": (dvc update data.dvc)"
    ),
    "a colleague's clone, a remote": State(
        "The remote may have them",
        both(from_elsewhere, shared, LOST, lose_origin),
        "dnapair run prepare",
        r": (dvc pull data.dvc)\.",
    ),
    "a colleague's clone, a copy elsewhere": State(
        "which this machine does not have",
        both(from_elsewhere, LOST, lose_origin),
        "dnapair run prepare",
        r"(dnapair use WHERE)",
    ),
    "use: changed data": State(
        "the changes would be lost", in_table("data", other_order), f"dnapair use ../{OWN}", LAST
    ),
    "use: data that the cache lacks": State(
        "cache does not have what lies in", take_away(".dvc/cache"), f"dnapair use ../{OWN}", LAST
    ),
    "use: data that DVC does not know": State(
        "DVC does not know these data",
        take_away("data.dvc"),
        f"dnapair use ../{OWN}",
        r"\((mv data mydata)\).*\((dnapair use mydata)\)",
    ),
    "use: a pointer in conflict": State(
        "so it is not known whether",
        lambda project: (project.root / "data.dvc").write_text("<<<<<<< HEAD\n"),
        f"dnapair use ../{OWN}",
        r"\((git checkout data.dvc)\)",
    ),
    "a pointer in conflict": State(
        "Put back what git has",
        lambda project: (project.root / "data.dvc").write_text("<<<<<<< HEAD\n"),
        PREPARE,
        LAST,
    ),
    "an encoder in a .bin": State("a format that can carry code", checkpoint_in_bin, "dnapair finetune"),
    "a shard that is cut": State(
        "its SHA-256 is not the manifest's",
        cut("artifacts/embeddings/shard-00000.npy"),
        SCALE,
        r"(dvc repro --force --single-item embed) \(",
    ),
    "a shard that is gone": State(
        "is missing. Make it again: dvc repro --force --single-item",
        take_away("artifacts/interactions/shard-00000.npy"),
        SCALE,
        LAST,
    ),
    "a manifest that is gone": State(
        "is missing. Make it first: dvc repro {}",
        take_away("artifacts/embeddings/manifest.json"),
        SCALE,
        LAST,
    ),
    "a damaged manifest": State(
        "is damaged. Delete {} and run",
        cut("artifacts/embeddings/manifest.json"),
        SCALE,
        LAST,
    ),
    "a flipped bit in what prepare wrote": State(
        "Make it again: dvc repro --force --single-item",
        damage("artifacts/dataset/pairs.parquet"),
        SCALE,
        LAST,
    ),
    "groups that hang together": State("so validation ({}) and test ({}) can't be cut off", tied, PREPARE),
    "groups drawn one by one": State("split.cross_pairs: drop left out", in_twos, PREPARE),
    "train of one label": State(
        "Name more pairs train in the data",
        both(table(), in_table("mine", lambda text: text.replace(",0,train", ",1,train"))),
        PREPARE,
    ),
    "an encoder without a mean": State(
        "learns the mean over a sequence's k-mers",
        settings(finetune__method="full", finetune__bag_epochs=1, encoder__pooling="cls"),
        "dnapair finetune",
    ),
    "an embedding beyond float16": State("Set encoder.normalize to true", huge_encoder, "dnapair embed"),
    "folds of what the encoder learnt": State(
        "would test pairs of train, whose labels", finetuned, "dnapair crossvalidate"
    ),
    "pretraining before the pairs are there": State(
        "pretraining is measured on the validation pairs",
        both(take_away("artifacts/dataset"), pretraining),
        "dnapair pretrain",
        r"`(dvc repro prepare)`",
    ),
    "a FASTA without a genome of the pairs": State(
        "no record is of a genome that a pair names",
        both(settings(pretrain__genome=r"(g\d+f)"), pretraining),
        "dnapair pretrain",
    ),
    "no pointer": State(
        "data.dvc is missing: bring data with",
        take_away("data", "data.dvc"),
        "dnapair doctor",
        r"`(dnapair use PATH)`",
    ),
    "no commit": State(
        "`dvc exp run` needs one. Make it", uncommitted, "dnapair doctor", r"Make it: (git init.*)\n"
    ),
    "nothing scaled": State(
        "is missing. Make it first: dvc repro scale",
        take_away("artifacts/normalized"),
        "dnapair export",
        LAST,
    ),
}

TRAIN = r"(dvc repro --force --single-item train)\n"
AGAIN = r"again: (dvc repro --force --single-item scale)\b"
WHOLE = r": (dvc repro)\n"
ANEW = r"(rm artifacts/\S+ && dvc repro)\n"

IN_A_ROW = {
    "what embed wrote": (
        State("is no shard: {}", false_shard, SCALE, LAST),
        State(
            "does not tell the encoder's k-mers and windows",
            in_json("artifacts/embeddings/manifest.json", "window", value=None),
            VALIDATE,
            r"(dvc repro --force --single-item embed)",
        ),
    ),
    "what the whole pipeline mends": (
        State(
            "The network was trained on interactions of other settings",
            met_otherwise,
            "dnapair score",
            r"(dvc repro train)\n",
        ),
        State("has {} pairs, but {} {}: they are", FEWER, SCALE, WHOLE),
        State(
            "This is no layout of interactions",
            in_json("artifacts/interactions/manifest.json", "made_by", "layout", value={}),
            SCALE,
            WHOLE,
        ),
        State("names sequence {}, but {} holds", MORE, SCALE, WHOLE),
        State(
            "is damaged, or no Parquet file of dnapair's",
            garbage("artifacts/dataset/pairs.parquet"),
            SCALE,
            ANEW,
        ),
        State(
            "another version of dnapair wrote it, or it is damaged",
            in_json("artifacts/models/torch/training.json", value={"threshold": 0.5}),
            "dnapair score",
            ANEW,
        ),
        State(
            "is damaged, or no JSON object",
            garbage("artifacts/models/torch/network.json"),
            "dnapair score",
            ANEW,
        ),
        State(
            "The stage that writes it comes first",
            take_away("reports/best_hyperparameters.json"),
            "dnapair train torch",
            WHOLE,
        ),
    ),
    "what scale wrote": (
        State(
            "was not fitted on train alone",
            in_tensors("artifacts/normalized/scaler.safetensors", wider),
            VALIDATE,
            AGAIN,
        ),
        State(
            "is damaged. Make it again: dvc repro --force --single-item scale",
            in_json("artifacts/normalized/interactions.json", "columns", value=[-1]),
            VALIDATE,
            LAST,
        ),
        State(
            "is missing or truncated. Make it again",
            cut_rows("artifacts/normalized/interactions.npy"),
            VALIDATE,
            LAST,
        ),
        State(
            "is no scaler, or is damaged", garbage("artifacts/normalized/scaler.safetensors"), VALIDATE, LAST
        ),
        State("is no matrix: {}", garbage("artifacts/normalized/embeddings.npy"), VALIDATE, LAST),
    ),
    "what train wrote": (
        State(
            "The threshold of the {} network",
            in_json("artifacts/models/torch/training.json", "threshold", value=0.123),
            "dnapair evaluate",
            TRAIN,
        ),
        State(
            "does not fit the network that network.json describes",
            in_tensors("artifacts/models/torch/weights.safetensors", lambda weights: weights.popitem()),
            "dnapair score",
            TRAIN,
        ),
        State(
            "can't be read: {}. Train again",
            garbage("artifacts/models/torch/weights.safetensors"),
            "dnapair score",
            TRAIN,
        ),
    ),
    "a champion that is cut": (
        State(
            "Register it again (dnapair register), and promote that version",
            cut_champion,
            f"dnapair predict {OF_TABLE} --output scored.csv",
            r"\((dnapair register)\).*: (dnapair models promote VERSION .*); or",
            "the champion can't be compared with",
        ),
    ),
}
"""Made one after the other in a finished pipeline: each is told before those above it, all are mended."""

NOT_FOLLOWED = {
    "it is no complaint; test_export.py scores in both ways": ["Score with it where dnapair is installed"],
    "test_export.py scores with what it makes": ["There is no model in the folder {}"],
    "needs a GPU, Ray, or another processor; test_ray.py and test_embedder.py bring these messages": [
        "embed.engine: ray needs Ray",
        "embed.ray.address: {}: Ray can't be had",
        "embed.ray.address: nothing answers",
        "embed.ray: {} actor(s)",
        "on a machine of the cluster, not over ray://",
    ],
    "it is to run the pipeline, which every other test of this room does": [
        "`dnapair run` makes one. Its name is set",
        "`dnapair run` makes and registers one",
        "has no versions. `dnapair run` makes one",
    ],
    "test_registry_remedies.py and test_absence.py follow it": [
        *REGISTRY,
        "dnapair models promote {}",
        "dnapair models restore {} && {}",
    ],
    "test_lifecycle.py reads the lines that it names": ["earlier: dnapair models history"],
    "test_pretrain.py follows it": [
        "names no genome: nothing in its header fits",
    ],
    "test_audit_advice.py follows what findings of the audit say": [
        "Set split.method: grouped, which never puts",
        "give the pair table columns cluster1 and cluster2",
        "et split.method: grouped, which makes others",
        "Set split.method: grouped and split.groups: [{}]",
        "by which no sequence of validation has labels in train",
    ],
    "an earlier dnapair's model brings it; a champion that is cut has the same remedy in the table": [
        "does not hold what its train sequences are like",
    ],
    "it is advice, and no error stands before it": [
        "Next: dvc repro, or dnapair run",
        "again with another setting",
        "The way back: dnapair use",
        "would do: nothing was changed",
        "experiment {}: dvc exp show",
        "Use `dvc push`",
        "(data itself is brought by the first `dvc repro`)",
        "`make server`, then http://",
        "Its pages list those there are",
        "A registered one is called models:/NAME/VERSION",
        "that reaches the same tracking store sends them",
        "Name one folder, file or address: dnapair use PATH",
        "Bring data: dnapair use WHERE",
    ],
    "the words before it have a state in the table": ["DVC has them: dvc checkout"],
    "it stands in the audit's report beside the checks that fail": ["Make them again: dvc repro"],
    "another processor or library brings it, no file": ["so it is not registered. Run: dvc repro"],
    "test_machines.py and test_store.py follow it": [
        "This folder is not in a git repository, and",
        "has no locks, which dvc needs",
        "with --temp or --queue works in a copy",
        "mlruns holds records of an earlier MLflow",
        "was deleted in the MLflow tracking store",
        "This folder can't be written to",
    ],
    "it asks for another installation, or a user of one's own": [
        "install it: pip install",
        "This folder belongs to another user",
        "Packages: {}. Run: pip install",
        "git lfs pull",
    ],
}
"""Messages whose remedies no state follows, by the reason."""
