"""What a row holds, whether the order of a pair matters, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from dnapair.embedding.scaling import Scaler
from dnapair.errors import DnapairError
from dnapair.interactions.layout import VERSION, Layout, fit_layout, sides_differ
from dnapair.interactions.scaling import LAYOUT, InteractionScaling


def test_names_are_as_many_as_the_numbers_and_each_another() -> None:
    for layout in (
        Layout(3, 7, False, False),
        Layout(4, 4, True, False),
        Layout(4, 4, True, True),
        Layout(3, 7, False, False, wobble=False, duplex=True),
        Layout(4, 4, True, True, wobble=False),
    ):
        names = layout.names()
        assert len(names) == len(set(names)) == layout.width
        first, second = layout.sides
        assert names[first - 1].endswith("length")
        assert names[first + second - 1].endswith("length")


def test_short_sequences_have_no_more_places_than_bases() -> None:
    lengths = np.array([20, 24]), np.array([50, 50])
    assert fit_layout(*lengths, 64, symmetric=False) == Layout(
        24, 50, False, False, wobble=False, duplex=True
    )
    assert fit_layout(*lengths, 30, symmetric=False) == Layout(
        24, 30, False, False, wobble=False, duplex=True
    )
    # both sides are laid upon each other
    assert fit_layout(*lengths, 64, symmetric=True) == Layout(50, 50, False, True, wobble=False)
    equal = fit_layout(np.array([20, 50]), lengths[1], 64, symmetric=False)
    assert equal == Layout(50, 50, True, False, wobble=False, duplex=True)


def kinds(lengths1: list[int], lengths2: list[int], shared: int = 0) -> bool:
    """Each pair has two sequences of its own, but for those of the first pairs, which are on both sides."""
    n = len(lengths1)
    rows1, rows2 = np.arange(n), np.arange(n) + n
    rows2[:shared] = rows1[:shared][::-1]
    return sides_differ(rows1, rows2, np.array(lengths1 + lengths2))


def test_sides_of_other_lengths_are_of_two_kinds_unless_they_share_sequences() -> None:
    assert kinds([22] * 300, [50] * 300)
    assert kinds([20, 22, 24] * 100, [50] * 300, shared=2)
    assert not kinds([22] * 300, [50] * 300, shared=30)
    assert not kinds([500] * 300, [500] * 300)
    assert not kinds([400, 500, 600] * 100, [400, 500, 600] * 100)


def test_a_few_sequences_against_many_are_of_two_kinds() -> None:
    rows2 = np.arange(5, 305)
    assert sides_differ(np.arange(300) % 5, rows2, np.full(305, 23))
    assert not sides_differ(np.arange(300) % 150, np.arange(150, 450), np.full(450, 23))


@pytest.mark.parametrize(
    "change",
    [
        {"bins1": 0},
        {"bins1": True},
        {"bins2": 5000},
        {"symmetric": 1},
        {"bins1": 5, "aligned": True},
        {"bins1": 5, "symmetric": True},
        {"duplex": 1},
        {"wobble": None},
        {"symmetric": True, "duplex": True},
        {"more": 1},
    ],
)
def test_what_is_no_layout_is_refused(change: dict[str, object]) -> None:
    content = Layout(8, 8, False, False)._asdict()
    assert Layout.from_json(content) == Layout(8, 8, False, False)
    with pytest.raises(DnapairError, match="no layout of interactions"):
        Layout.from_json(content | change)


def test_a_layout_of_before_there_were_duplexes_has_wobble_in_their_place() -> None:
    now = fit_layout(np.array([8]), np.array([8]), 64, symmetric=False)._asdict()
    before = {key: now[key] for key in ("bins1", "bins2", "aligned", "symmetric", "version")}
    names = Layout.from_json(before).names()
    assert any("wobble" in name for name in names)
    assert not any("duplex" in name for name in names)


def test_rows_of_another_version_are_refused() -> None:
    content = Layout(8, 8, False, False)._asdict() | {"version": VERSION + 1}
    with pytest.raises(
        DnapairError, match=rf"of version {VERSION + 1}, and this dnapair makes version {VERSION}"
    ):
        Layout.from_json(content)


def scaling(layout: Layout) -> InteractionScaling:
    fitted = Scaler(layout.width, "dimension")
    rows = np.random.default_rng(1).normal(size=(9, layout.width)).astype(np.float32)
    rows[:, [0, 4, layout.width - 1]] = 7
    fitted.partial_fit(rows)
    return InteractionScaling.of(layout, fitted)


def test_numbers_that_never_vary_are_left_out(tmp_path: Path) -> None:
    layout = Layout(3, 4, False, False)
    found = scaling(layout)
    assert set(range(layout.width)) - set(found.columns.tolist()) == {0, 4, layout.width - 1}
    assert found.names() == [layout.names()[column] for column in found.columns]
    assert not found.scaler.constant.size
    found.save(tmp_path)
    again = InteractionScaling.load(tmp_path)
    assert again.layout == layout
    np.testing.assert_array_equal(again.columns, found.columns)
    np.testing.assert_array_equal(again.scaler.minimum, found.scaler.minimum)


def test_where_nothing_varies_one_number_stays() -> None:
    fitted = Scaler(Layout(3, 4, False, False).width, "dimension")
    fitted.partial_fit(np.ones((3, fitted.minimum.size), np.float32))
    assert InteractionScaling.of(Layout(3, 4, False, False), fitted).columns.tolist() == [0]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"columns"', '"rows"'),
        ("    1,\n", ""),
        ("    1,\n", "    3,\n"),
        ("    1,\n", '    "1",\n'),
        ("    1,\n", "    [1],\n"),
        ("    1,\n", "    -1,\n"),
        ("    1,\n", "    36893488147419103232,\n"),
        ('"layout": {', '"layout": [], "more": {'),
        ('"layout": {', '"layout": "x", "more": {'),
        ('"layout": {', '"layout": null, "more": {'),
    ],
)
def test_a_damaged_layout_is_refused(tmp_path: Path, old: str, new: str) -> None:
    scaling(Layout(3, 4, False, False)).save(tmp_path)
    path = tmp_path / LAYOUT
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(DnapairError, match=r"is damaged|is no layout of interactions"):
        InteractionScaling.load(tmp_path)
