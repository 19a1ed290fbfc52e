"""What data are taken for before they are used: `dnapair use` shows it, and sets what follows."""

import re
from pathlib import Path

import numpy as np
import pytest

from dnapair.commands.look import look
from dnapair.errors import DnapairError
from dnapair.params import load_params
from dnapair.params.overrides import changed_settings
from dnapair.params.reading import check_params
from tests.unit.data.genome_writing import write_fasta

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def in_the_project(monkeypatch):
    monkeypatch.chdir(ROOT)


def dna(seed: int, length: int) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


def rows(number: int, *, guides: int = 0, more=lambda _: ()) -> list[list[str]]:
    return [
        [dna(1000 + (row % guides if guides else row), 20), dna(row, 50), str(row // 2 % 2), *more(row)]
        for row in range(number)
    ]


def write(path: Path, header: str, lines: list[list[str]]) -> Path:
    path.write_text("\n".join([header, *map(",".join, lines)]) + "\n")
    return path


def seen(path: Path, **given: str):
    overrides = {key.replace("__", "."): value for key, value in given.items()}
    return look(path, check_params(changed_settings(overrides), "params.yaml"), overrides)


def test_usual_names_need_no_setting_and_those_of_other_data_are_forgotten(tmp_path):
    path = write(
        tmp_path / "x.csv", "seq1,seq2,label,split", rows(60, more=lambda n: (["train", "test"][n % 2],))
    )
    params = load_params()
    columns = params.data.columns.model_copy(update={"seq1": "miRNA", "label": "bound"})
    evaluate = params.evaluate.model_copy(update={"slices": ["kind"], "groups": ["seq1"]})
    others = {"columns": columns, "positive_label": "binder", "contradictory": "drop", "ambiguous": "drop"}
    data = params.data.model_copy(update=others)
    found = look(path, params.model_copy(update={"data": data, "evaluate": evaluate}), ())
    assert {
        key for key, value in found.settings.items() if key.startswith("data.columns.") and value
    } == set()
    assert found.settings["data.positive_label"] is None
    assert found.settings["data.contradictory"] == found.settings["data.ambiguous"] == "error"
    assert found.settings["evaluate.slices"] is None
    assert "evaluate.groups" not in found.settings
    assert (found.settings["split.method"], found.settings["split.column"]) == ("predefined", "split")
    assert found.unsure == []


def test_columns_by_content_become_settings_with_a_word_on_their_order(tmp_path):
    path = write(tmp_path / "x.csv", "site,guide,cuts", [[b, a, label] for a, b, label in rows(60, guides=3)])
    found = seen(path)
    assert found.settings["data.columns.seq1"] == "site"
    assert found.settings["data.columns.seq2"] == "guide"
    assert found.settings["data.columns.label"] == "cuts"
    assert found.lines["first"] == "site: DNA, 60 of 50 bases"
    assert found.lines["second"] == "guide: DNA, 3 of 20 bases"
    assert "two kinds" in found.lines["sides"]
    assert "--data.columns.seq1 'guide' --data.columns.seq2 'site'" in found.unsure[0]
    turned = seen(path, data__columns__seq1="guide", data__columns__seq2="site")
    assert turned.lines["first"].startswith("guide")
    assert turned.unsure[:1] != found.unsure[:1]


def test_files_called_train_and_test_are_the_splits(tmp_path):
    for name, part in (("train", rows(60)), ("test", [[b, a, label] for a, b, label in rows(20)])):
        write(tmp_path / f"{name}.csv", "seq1,seq2,label", part)
    found = seen(tmp_path)
    assert (found.settings["split.method"], found.settings["split.column"]) == ("predefined", None)
    assert "drawn from train" in found.lines["splits"]


def test_a_column_of_splits_is_found_by_what_it_holds(tmp_path):
    names = ["Training", "Test", "dev"]
    path = write(tmp_path / "x.csv", "seq1,seq2,label,part", rows(60, more=lambda n: (names[n % 3],)))
    assert seen(path).settings["split.column"] == "part"


def test_groups_of_both_sides_are_kept_apart(tmp_path):
    # pairs of a genome with itself, so that genomes do not hang together
    path = write(
        tmp_path / "x.csv",
        "seq1,seq2,label,genome1,genome2,score",
        rows(120, more=lambda n: (f"g{n % 30}", f"g{n % 30}", f"{n / 7:.3f}")),
    )
    found = seen(path)
    assert found.settings["split.method"] == "grouped"
    assert found.settings["split.groups"] == ["genome1", "genome2"]
    assert found.lines["groups"] == "genome1: 30; genome2: 30"


def test_pairs_that_share_nothing_are_grouped_and_those_that_all_hang_together_drawn_with_a_word(tmp_path):
    free = seen(write(tmp_path / "x.csv", "seq1,seq2,label", rows(60)))
    assert (free.settings["split.method"], free.settings["split.groups"]) == ("grouped", [])
    tied_by_one = rows(240, guides=1, more=lambda n: (f"f{n % 24}",))
    path = write(tmp_path / "y.csv", "seq1,seq2,label,family", tied_by_one)
    tied = seen(path)
    assert tied.settings["split.method"] == "random"
    (doubt,) = tied.unsure
    assert "100% of the test pairs have a sequence that train has too" in doubt


def test_the_way_that_a_doubt_names_can_be_gone(tmp_path):
    # guides of a family, used with sites of their own and one that all share
    lines = rows(400, guides=40, more=lambda n: (f"f{n % 40 // 2}",))
    lines += [[dna(1000 + n, 20), dna(9999, 50), str(n % 2), f"f{n // 2}"] for n in range(40)]
    path = write(tmp_path / "x.csv", "seq1,seq2,label,family", lines)
    (doubt,) = seen(path).unsure
    given = dict(re.findall(r"--(\S+) '?(.*?)'?(?= --|$)", doubt))
    assert given["split.groups"] == "[family]"
    settled = seen(path, **{key.replace(".", "__"): value for key, value in given.items()})
    assert settled.unsure == []
    assert "grouped by family" in settled.lines["splits"]
    assert "pairs lie across the splits and are left out" in settled.lines["splits"]


def test_repeats_contradictions_and_letters_are_counted_and_set(tmp_path):
    clean = rows(60)
    odd = [clean[0], [*clean[1][:2], "1" if clean[1][2] == "0" else "0"], [dna(7, 20) + "N", dna(8, 50), "1"]]
    found = seen(write(tmp_path / "x.csv", "seq1,seq2,label", clean + odd))
    assert "1 repeats" in found.lines["pairs"]
    assert "2 rows of pairs with both labels" in found.lines["pairs"]
    assert found.settings["data.contradictory"] == "drop"
    assert found.settings["data.ambiguous"] == "keep"
    assert "1 sequences" in found.lines["letters"]


def test_what_was_given_is_obeyed_and_not_set(tmp_path):
    path = write(
        tmp_path / "x.csv", "seq1,seq2,label,split", rows(60, more=lambda n: (["train", "test"][n % 2],))
    )
    found = seen(path, split__method="random", data__header="true")
    assert not {"split.method", "data.header"} & set(found.settings)
    assert found.lines["splits"].startswith("at random")


@pytest.mark.parametrize(
    ("header", "given", "message"),
    [
        ("a,b,umi,label", {}, "3 columns hold DNA"),
        ("seq1,seq2,label,x", {"split__method": "predefined"}, "split.column"),
        ("seq1,seq2,label,x", {"data__positive_label": "bound"}, "None of them is 'bound'"),
    ],
)
def test_what_prepare_would_refuse_is_refused(tmp_path, header, given, message):
    dna_too = [[*pair[:2], dna(int(pair[2]) + 5, 12), pair[2]] for pair in rows(60)]
    path = write(tmp_path / "x.csv", header, dna_too if "umi" in header else rows(60, more=lambda _: ("z",)))
    with pytest.raises(DnapairError) as caught:
        seen(path, **given)
    assert message in str(caught.value)


def test_pairs_that_are_too_few_are_no_question_of_settings_that_nobody_gave(tmp_path):
    path = write(tmp_path / "x.csv", "seq1,seq2,label", rows(6))
    with pytest.raises(DnapairError, match="No pair is in the val split"):
        seen(path)


def test_places_of_a_genome_that_is_named_are_groups_by_chromosome_and_it_is_forgotten_after(tmp_path):
    genome = write_fasta(tmp_path / "genome.fa", {f"chr{n}": dna(n, 2000) for n in range(8)})
    lines = [
        [f"chr{n % 8}:{3 * n}-{3 * n + 90}", f"chr{n % 8}:{1000 + n}-{1090 + n}", str(n % 3 % 2)]
        for n in range(240)
    ]
    table = write(tmp_path / "pairs.csv", "enhancer,promoter,label", lines)
    found = seen(table, data__genome=str(genome))
    assert "data.genome" not in found.settings
    assert {found.settings[f"data.columns.{role}"] for role in ("id1", "id2", "seq1", "seq2")} == {None}
    assert found.settings["split.method"] == "grouped"
    assert found.settings["split.groups"] == ["chrom1", "chrom2"]
    assert found.lines["first"] == "sequence of place 1: DNA, 240 of 90 bases"
    without = write(tmp_path / "other.csv", "seq1,seq2,label", rows(60))
    assert seen(without).settings["data.genome"] is None
