import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dnapair import __version__
from dnapair.errors import DnapairError
from dnapair.scoring.bundle import write_bundle
from dnapair.scoring.scorer import PairScorer
from tests.small_models import SEQUENCES, as_version_0_1_0_wrote_it, make_bundle, small_encoder

FILES = (
    "encoder/config.json",
    "encoder/model.safetensors",
    "encoder/tokenizer_config.json",
    "encoder/vocab.txt",
    "manifest.json",
    "network.json",
    "reference.json",
    "scaler.safetensors",
    "settings.json",
    "weights.safetensors",
)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path)


def test_a_bundle_without_a_format_loads_and_scores_the_same(bundle: Path) -> None:
    pairs = SEQUENCES[:50], SEQUENCES[50:100]
    expected = PairScorer(bundle).score(*pairs)
    as_version_0_1_0_wrote_it(bundle)
    old = PairScorer(bundle)
    assert old.score(*pairs).probability.tobytes() == expected.probability.tobytes()
    assert old.reference is None


def test_a_later_format_is_refused_with_the_version_to_install(bundle: Path) -> None:
    settings = json.loads((bundle / "settings.json").read_text())
    (bundle / "settings.json").write_text(json.dumps(settings | {"format": 3, "dnapair": "9.1.0", "new": 1}))
    (bundle / "manifest.json").unlink()
    with pytest.raises(DnapairError) as caught:
        PairScorer(bundle)
    message = str(caught.value)
    assert "was made with dnapair 9.1.0, in format 3" in message
    assert (
        f"This is dnapair {__version__}, which reads formats 1 to 2. Install dnapair 9.1.0 or later"
        in message
    )


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) * 2 // 3] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [cut, flip, Path.unlink])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_of_a_bundle_is_named(bundle: Path, name: str, damage: Callable[[Path], None]) -> None:
    assert {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()} == set(FILES)
    damage(bundle / name)
    with pytest.raises(DnapairError) as caught:
        PairScorer(bundle)
    # a flipped bit of the manifest is a wrong hash of the file that it is about
    if (name, damage) != ("manifest.json", flip):
        assert name in str(caught.value)
    assert str(bundle) in str(caught.value)


@pytest.mark.parametrize("name", ["settings.json", "weights.safetensors", "encoder/model.safetensors"])
def test_a_file_that_an_old_bundle_lacks_is_named(bundle: Path, name: str) -> None:
    as_version_0_1_0_wrote_it(bundle)
    (bundle / name).unlink()
    with pytest.raises(DnapairError, match=f"{name} is missing"):
        PairScorer(bundle)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"pooling": "mean"}',
        '{"format": [], "pooling": "mean"}',
        pytest.param("[" * 100_000, id="deep"),
    ],
)
def test_settings_of_no_bundle_are_refused(bundle: Path, text: str) -> None:
    as_version_0_1_0_wrote_it(bundle)
    (bundle / "settings.json").write_text(text)
    with pytest.raises(DnapairError, match=r"settings\.json is damaged|in format \[\]"):
        PairScorer(bundle)


def test_the_same_model_has_the_same_identity_wherever_it_is_written(bundle: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    again.mkdir()
    scorer = PairScorer(bundle)
    parts = (again, small_encoder(), tmp_path, tmp_path / "network", scorer.settings)
    assert write_bundle(*parts, scorer.reference)
    assert {path.relative_to(again): path.read_bytes() for path in again.rglob("*.*")} == {
        path.relative_to(bundle): path.read_bytes() for path in bundle.rglob("*.*")
    }
