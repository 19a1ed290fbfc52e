import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dnapair import __version__
from dnapair.errors import DnapairError
from dnapair.interactions.layout import VERSION, Layout
from dnapair.scoring.bundle import FORMAT, write_bundle
from dnapair.scoring.scorer import PairScorer
from tests.small_models import (
    LAYOUT,
    SEQUENCES,
    as_format_2,
    as_format_3,
    as_version_0_1_0_wrote_it,
    fit_interactions,
    make_bundle,
    renew_manifest,
    small_encoder,
)

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
INTERACTIONS = ("interactions.json", "interactions.safetensors")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path)


@pytest.fixture
def interacting(tmp_path: Path) -> Path:
    return make_bundle(tmp_path, layout=LAYOUT)


@pytest.mark.parametrize("earlier", [as_format_3, as_format_2, as_version_0_1_0_wrote_it])
def test_a_bundle_of_an_earlier_format_loads_and_scores_the_same(
    bundle: Path, earlier: Callable[[Path], None]
) -> None:
    pairs = SEQUENCES[:50], SEQUENCES[50:100]
    expected = PairScorer(bundle).score(*pairs)
    earlier(bundle)
    old = PairScorer(bundle)
    assert old.score(*pairs).probability.tobytes() == expected.probability.tobytes()
    assert (old.reference is None) == (earlier is as_version_0_1_0_wrote_it)


def test_a_later_format_is_refused_with_the_version_to_install(bundle: Path) -> None:
    settings = json.loads((bundle / "settings.json").read_text())
    (bundle / "settings.json").write_text(
        json.dumps(settings | {"format": FORMAT + 1, "dnapair": "9.1.0", "new": 1})
    )
    (bundle / "manifest.json").unlink()
    with pytest.raises(DnapairError) as caught:
        PairScorer(bundle)
    message = str(caught.value)
    assert f"was made with dnapair 9.1.0, in format {FORMAT + 1}" in message
    assert (
        f"This is dnapair {__version__}, which reads formats 1 to {FORMAT}. Install dnapair 9.1.0 or later"
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


@pytest.mark.parametrize("damage", [cut, flip, Path.unlink])
@pytest.mark.parametrize("name", INTERACTIONS)
def test_damaged_interactions_of_a_bundle_are_named(
    interacting: Path, name: str, damage: Callable[[Path], None]
) -> None:
    files = {path.relative_to(interacting).as_posix() for path in interacting.rglob("*") if path.is_file()}
    assert files == {*FILES, *INTERACTIONS}
    damage(interacting / name)
    with pytest.raises(DnapairError, match=f"{name} is "):
        PairScorer(interacting)


def test_a_network_without_interactions_gets_no_layout(tmp_path: Path) -> None:
    fit_interactions().save(tmp_path)
    bundle = make_bundle(tmp_path)
    assert not [name for name in INTERACTIONS if (bundle / name).exists()]


@pytest.mark.parametrize("other", [Layout(6, 6, True, True), Layout(8, 8, False, True)])
def test_interactions_of_another_layout_than_the_networks_are_refused(
    tmp_path: Path, interacting: Path, other: Layout
) -> None:
    takes = json.loads((interacting / "network.json").read_text())["interactions"]
    scaling = fit_interactions(other)
    scaling.save(tmp_path)
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    settings = PairScorer(interacting).settings
    write_bundle(mixed, small_encoder(), tmp_path, tmp_path / "network", settings)
    with pytest.raises(DnapairError) as caught:
        PairScorer(mixed)
    assert f"{mixed} takes {takes} interactions of a pair, and its layout has {scaling.columns.size}" in str(
        caught.value
    )


def test_interactions_of_an_unknown_version_are_refused(interacting: Path) -> None:
    path = interacting / "interactions.json"
    content = json.loads(path.read_text())
    content["layout"]["version"] = VERSION + 1
    path.write_text(json.dumps(content))
    renew_manifest(interacting)
    with pytest.raises(DnapairError) as caught:
        PairScorer(interacting)
    assert (
        f"These interactions are of version {VERSION + 1}, and this dnapair makes version {VERSION}: the "
        "same pair has other numbers. Train and register the model again with this one, or use the "
        "dnapair that made it." in str(caught.value)
    )


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
