"""A search tries the given values first, then every combination, and no training twice."""

from hypothesis import given
from hypothesis import strategies as st

from dnapair.finetuning.choice import Try, choose, let_go
from dnapair.finetuning.probe import Worth, compare
from dnapair.finetuning.search import Lists, Values, combinations
from dnapair.finetuning.tries import Learnt

from .test_finetuning import learn_nothing, make_lesson, tiny

GIVEN = Values("full", 0.001, 10, 0.01)


def test_every_combination_is_tried_and_the_given_one_first():
    lists = Lists(["full", "lora"], [0.001, 0.002], [10, 20], [])
    found = combinations(GIVEN, lists, bag_epochs=3)
    assert found[0] == GIVEN
    assert len(found) == len(set(found)) == 8
    assert [one.unlike(GIVEN) for one in found[:3]] == ["", "steps 20", "learning_rate 0.002"]
    assert found[-1].unlike(GIVEN) == "method lora, learning_rate 0.002, steps 20"
    assert combinations(GIVEN, Lists([], [], [], []), 3) == [GIVEN]


def test_what_has_no_part_in_a_training_makes_no_other_one():
    # without steps a BERT's learning rate is of no use; without the net over bags, its own
    assert combinations(GIVEN._replace(steps=0), Lists([], [0.001, 0.002], [], []), 3) == [
        GIVEN._replace(steps=0)
    ]
    assert combinations(GIVEN, Lists([], [], [], [0.1, 0.2]), bag_epochs=0) == [GIVEN]
    lora = GIVEN._replace(method="lora")
    assert combinations(lora, Lists([], [], [], [0.1, 0.2]), bag_epochs=3) == [lora]


@given(
    st.lists(st.sampled_from(["full", "lora"]), max_size=3),
    st.lists(st.sampled_from([0.1, 0.2, 0.3]), max_size=4),
    st.lists(st.sampled_from([0, 5, 10]), max_size=4),
    st.lists(st.sampled_from([0.01, 0.02]), max_size=3),
    st.integers(0, 1),
)
def test_no_try_is_missing_and_none_is_made_twice(
    methods: list[str], rates: list[float], steps: list[int], bag_rates: list[float], bag_epochs: int
):
    found = combinations(GIVEN, Lists(methods, rates, steps, bag_rates), bag_epochs)
    assert found[0] == GIVEN
    assert len({one.unlike(GIVEN) for one in found}) == len(found)
    trained = {(one.method, one.steps) for one in found[1:]} | {(GIVEN.method, GIVEN.steps)}
    wanted = {(method, step) for method in methods or [GIVEN.method] for step in steps or [GIVEN.steps]}
    assert trained == wanted | {(GIVEN.method, GIVEN.steps)}


def test_one_encoder_stays_in_memory_and_it_is_the_one_that_is_kept():
    lesson, _ = make_lesson(tiny())
    labels = lesson.val.labels.astype(float)
    frozen = Worth(labels, 0.5, 0.9, chance=False)

    def tried(name: str, pr_auc: float | None, *, eligible: bool = True) -> Try:
        found = None if pr_auc is None else Worth(labels, pr_auc, 0.9, chance=False)
        gain = None if found is None else compare(lesson, found, frozen, 1)
        return Try(name, Learnt(tiny(), learn_nothing(), ""), found, gain, eligible)

    tries: list[Try] = []
    for one in (
        tried("a", 0.7),
        tried("b", 0.9),
        tried("nothing", None),
        tried("baseline", 0.95, eligible=False),
        tried("c", 0.8),
        tried("d", 0.9),
    ):
        tries = let_go([*tries, one])
    assert [one.name for one in tries if one.learnt.encoder is not None] == ["b"]
    kept = choose(tries, asked=True).kept
    assert kept is not None
    assert kept.name == "b"
    assert kept.learnt.encoder is not None
