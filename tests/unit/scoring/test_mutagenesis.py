import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.special import logit

from dnapair.embedding.encoder import Encoder
from dnapair.errors import DnapairError
from dnapair.interactions.alignment import best_match
from dnapair.interactions.layout import Layout
from dnapair.networks.spec import NetworkSpec
from dnapair.scoring.bundle import Settings
from dnapair.scoring.mutagenesis import (
    Explanation,
    Side,
    Stretch,
    explain,
    plot_explanation,
    strongest,
    write_table,
)
from dnapair.scoring.scorer import PairScorer
from tests.small_models import SEQUENCES, make_bundle, small_encoder

RNG = np.random.default_rng(0)
SPEC = NetworkSpec(16, (8,), 1, 0.0, "none", "tanh", symmetric=False)
MOTIF = "AACC"


def random_dna(length: int) -> str:
    return "".join(RNG.choice(list("ACGT"), length))


def make_scorer(folder: Path, encoder: Encoder, strand: str = "both", ambiguous: str = "error") -> PairScorer:
    settings = Settings("mean", strand, False, "float32", ambiguous, 0.5)
    sequences = [random_dna(30) for _ in range(20)] + [MOTIF]
    model = {"encoder": encoder, "spec": SPEC, "settings": settings, "sequences": sequences, "mode": "global"}
    return PairScorer(make_bundle(folder, **model))


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> PairScorer:
    encoder = small_encoder()
    return make_scorer(tmp_path_factory.mktemp("scorer"), encoder, ambiguous="keep")


def mutants(sequence: str, position: int) -> list[str]:
    others = [base for base in "ACGT" if base != sequence[position]]
    return [sequence[:position] + base + sequence[position + 1 :] for base in others]


def test_importance_is_that_of_brute_force(scorer: PairScorer):
    assert_importance(scorer, random_dna(33), random_dna(21))


@pytest.mark.parametrize("embeddings", [True, False])
def test_importance_is_that_of_brute_force_where_the_network_takes_interactions(
    tmp_path: Path, embeddings: bool
):
    layout = Layout(16, 16, aligned=True, symmetric=False)
    spec = replace(SPEC, embeddings=embeddings)
    assert_importance(PairScorer(make_bundle(tmp_path, spec=spec, layout=layout)), *SEQUENCES[:2])


def assert_importance(scorer: PairScorer, *pair: str) -> None:
    found = explain(scorer, *pair)
    whole = scorer.score([pair[0]], [pair[1]]).probability[0]
    assert found.probability == pytest.approx(whole, abs=1e-6)
    assert found.logit == pytest.approx(logit(float(whole)), abs=1e-5)
    for number, side in enumerate(found.sides):
        assert side.sequence == pair[number]
        for position in range(len(side.sequence)):
            columns = [[sequence] * 3 for sequence in pair]
            columns[number] = mutants(pair[number], position)
            mean = logit(scorer.score(*columns).probability.astype(np.float64)).mean()
            assert side.mean_logit[position] == pytest.approx(mean, abs=1e-5)
            assert side.importance[position] == pytest.approx(found.logit - mean, abs=1e-5)
    assert max(np.abs(side.importance).max() for side in found.sides) > 1e-3


@pytest.mark.slow
def test_a_sequence_of_several_windows_of_the_encoder_is_explained_like_any_other(scorer: PairScorer):
    pair = random_dna(700), random_dna(10)
    side = explain(scorer, *pair).sides[0]
    assert side.importance.shape == (700,)
    for position in (0, 511, 699):
        mean = logit(
            scorer.score(mutants(pair[0], position), [pair[1]] * 3).probability.astype(np.float64)
        ).mean()
        assert side.mean_logit[position] == pytest.approx(mean, abs=1e-5)


def test_only_the_bases_of_a_planted_motif_matter_where_only_it_has_a_meaning(tmp_path: Path):
    encoder = small_encoder()
    weights = encoder.weights
    weights["embeddings.position_embeddings.weight"][:] = 0
    weights["embeddings.word_embeddings.weight"][:] = weights["embeddings.word_embeddings.weight"][7]
    motif = encoder.vocabulary.encode(MOTIF)[0]
    weights["embeddings.word_embeddings.weight"][motif] *= -1
    for name in ("attention.output.dense", "output.dense"):
        # no k-mer learns of another
        weights[f"encoder.layer.0.{name}.weight"][:] = 0
    planted = "GTGTTGTGGTTG" + MOTIF + "TGTTGGTGTGGTGTT"
    found = explain(make_scorer(tmp_path, encoder, strand="forward"), planted, "TGGTGTGTTG")
    importance = found.sides[0].importance
    matters = np.array(
        [MOTIF in planted and all(MOTIF not in m for m in mutants(planted, p)) for p in range(31)]
    )
    assert np.flatnonzero(matters).tolist() == [12, 13, 14, 15]
    assert np.abs(importance[matters]).min() > 1e-3
    assert np.ptp(importance[matters]) == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(importance[~matters], 0, atol=1e-6)
    np.testing.assert_allclose(found.sides[1].importance, 0, atol=1e-6)
    (first,) = strongest(found.sides[0])[:1]
    assert MOTIF in planted[first.start - 4 : first.start + len(first.bases) + 4]
    assert strongest(found.sides[1]) == []


def test_bases_of_a_window_are_replaced_together_and_share_its_worth(scorer: PairScorer):
    pair = "ACGTTGCATCCGA", random_dna(12)
    found = explain(scorer, *pair, window=5)
    side = found.sides[0]
    circle = {"A": "CGT", "C": "GTA", "G": "TAC", "T": "ACG"}
    for start in (0, 5, 10):
        window = pair[0][start : start + 5]
        replaced = ["".join(circle[base][shift] for base in window) for shift in range(3)]
        changed = [pair[0][:start] + bases + pair[0][start + 5 :] for bases in replaced]
        mean = logit(scorer.score(changed, [pair[1]] * 3).probability.astype(np.float64)).mean()
        share = (found.logit - mean) / len(window)
        np.testing.assert_allclose(side.importance[start : start + 5], share, atol=1e-5)
        np.testing.assert_allclose(side.mean_logit[start : start + 5], mean, atol=1e-5)


def test_letters_outside_acgt_are_left_alone_where_the_model_lets_them_through(scorer: PairScorer):
    pair = "ACGTTNCATCCGA", "TTGCATTTGG"
    side = explain(scorer, *pair).sides[0]
    assert side.importance[5] == 0
    assert np.count_nonzero(side.importance) == 12
    # of the window TN, the T alone is replaced
    windows = explain(scorer, *pair, window=2).sides[0].importance
    assert windows[4] != 0
    assert windows[5] == 0


@pytest.mark.parametrize(
    ("bad", "words"), [("ACG", "4-mer"), ("", "4-mer"), ("ACGTNACGT", "'N' at position 5")]
)
def test_a_sequence_that_can_not_be_scored_is_refused_by_its_name(tmp_path: Path, bad: str, words: str):
    strict = make_scorer(tmp_path, small_encoder())
    with pytest.raises(DnapairError, match=f"(?s)seq2 of pair 3.*{words}|{words}.*seq2 of pair 3"):
        explain(strict, "ACGTACGT", bad, ("seq1 of pair 3", "seq2 of pair 3"))


def test_strongest_stretches_are_of_either_sign_and_apart():
    importance = np.zeros(400)
    importance[50:60] = 1
    importance[62:66] = 0.9
    importance[200:210] = -2
    importance[300] = 0.5
    side = Side("ACGT" * 100, importance, importance)
    found = strongest(side)
    assert found[0] == Stretch(200, "ACGTACGTAC", -20.0)
    assert found[1] == Stretch(50, "GTACGTACGT", 10.0)
    # the bases from 62 to 65 lie within 20 bases of a stronger stretch: the next is another
    assert found[2].importance == 0.5
    assert found[2].start <= 300 < found[2].start + 10


def test_a_short_sequence_has_short_stretches():
    found = strongest(Side("ACGTA", np.array([0.0, 0, 3, 0, -1]), np.zeros(5)))
    assert [len(stretch.bases) for stretch in found] == [2, 2]


def made_up(length: int) -> Explanation:
    rng = np.random.default_rng(length)
    sides = []
    for bases in (length, max(4, length // 2)):
        sequence = "".join(rng.choice(list("ACGT"), bases))
        sides.append(Side(sequence, rng.normal(0, 0.1, bases), rng.normal(1, 0.1, bases)))
    match = best_match(sides[0].sequence, sides[1].sequence)
    return Explanation(1.0, 0.731, 0.4, (sides[0], sides[1]), match)


def test_table_has_a_line_for_each_base(tmp_path: Path):
    explanation = made_up(20)
    write_table(explanation, tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["sequence", "position", "base", "importance", "mean_logit"]
    assert [(row["sequence"], int(row["position"])) for row in rows] == [
        *(("seq1", position) for position in range(1, 21)),
        *(("seq2", position) for position in range(1, 11)),
    ]
    assert "".join(row["base"] for row in rows) == "".join(side.sequence for side in explanation.sides)
    for key, position in (("importance", 1), ("mean_logit", 2)):
        wanted = np.concatenate([side[position] for side in explanation.sides])
        np.testing.assert_allclose([float(row[key]) for row in rows], wanted, atol=1e-6)


@pytest.mark.parametrize("length", [4, 20, 500, pytest.param(3000, marks=pytest.mark.slow)])
def test_picture_of_any_length_has_ink_and_the_same_bytes_every_time(length: int, tmp_path: Path):
    for name in ("a.png", "b.png"):
        plot_explanation(made_up(length), "scored by a test", tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as image:
        assert image.width == 1500
        assert image.height > 900
        colours = image.convert("RGB").getcolors(1 << 20)
    assert colours is not None
    blue = sum(count for count, (red, green, b) in colours if b > 150 and red < 60 and green < 140)
    assert blue > 500


def test_a_pair_in_which_no_base_matters_is_drawn_too(tmp_path: Path):
    nothing = Side("ACGTACGT", np.zeros(8), np.zeros(8))
    plot_explanation(
        Explanation(0.0, 0.5, 0.4, (nothing, nothing), None), "scored by a test", tmp_path / "a.png"
    )
    assert (tmp_path / "a.png").is_file()
