"""A run is read from the ledger bit by bit, in columns, with short texts for what went in and came out."""

import pickle

from hypothesis import given
from hypothesis import strategies as st

from prefect_dask import Flow, Parameter, task
from prefect_dask.animation.timeline import STATE_NAMES, Reader
from prefect_dask.animation.values import LENGTH, plain_value, short_text
from prefect_dask.engine import secrets
from prefect_dask.ledger import Ledger


class UpTo:
    """A ledger in which nothing later than one change has happened yet."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger, self.last = ledger, 0

    def __getattr__(self, name):
        return getattr(self.ledger, name)

    def states(self, run_id, task=None, map_index=-1, *, after=-1):
        states = self.ledger.states(run_id, after=after)
        return [each for each in states if each.number <= self.last]


def test_read_bit_by_bit_it_is_what_it_is_at_once(recorded):
    whole = Reader(recorded.ledger, recorded.run.run_id).read().tables()
    states = recorded.ledger.states(recorded.run.run_id)
    growing = UpTo(recorded.ledger)
    reader = Reader(growing, recorded.run.run_id)
    grown: dict = {}
    for growing.last in range(0, states[-1].number + 1, 5):
        add(grown, reader.read().tables())
    growing.last = states[-1].number
    add(grown, reader.read().tables())

    assert grown == whole
    assert len(whole["events"]["at"]) == len(states)
    for state, number, run in zip(
        states, whole["events"]["state"], whole["events"]["run"], strict=True
    ):
        assert STATE_NAMES[number] == state.state
        assert whole["runs"]["task"][run] == state.task
        assert whole["runs"]["index"][run] == state.map_index
    assert add(grown, reader.read().tables()) == whole, "told once"


def add(grown, tables):
    for table, columns in tables.items():
        for name, column in columns.items():
            if table == "facts":
                grown.setdefault(table, {})[name] = column
            else:
                grown.setdefault(table, {}).setdefault(name, []).extend(column)
    return grown


def test_what_went_in_and_came_out_is_told_in_short():
    @task
    def words(count):
        return ["x" * 200, {"secret": "hunter2-of-the-night"}, *range(count)]

    @task
    def seen(word):
        return word

    with Flow("words") as flow:
        seen.map(words(Parameter("count", default=3)))
    ledger = Ledger(":memory:")
    flow.run(ledger=ledger)
    secrets.remember("hunter2-of-the-night")
    try:
        news = Reader(ledger, ledger.flow_runs(flow_name="words")[0].run_id).read()
    finally:
        secrets.forget_all()

    items = [news.texts[number] for number in news.items["value"]]
    assert items[0].startswith("'xxx") and len(items[0]) <= LENGTH
    assert items[2:] == ["0", "1", "2"]
    assert not any("hunter2" in text for text in news.texts)
    values = [news.texts[number] for number in news.events["value"] if number >= 0]
    assert "3" in values and items[0] in values
    assert news.widths == {"task": [2], "width": [5]}


class Calls:
    """A pickle of it calls something."""

    def __reduce__(self):
        return print, ("called",)


def test_what_a_pickle_would_call_is_not_called(capsys):
    assert plain_value(pickle.dumps([1, Calls()])) == (False, None)
    assert plain_value(b"no pickle") == (False, None)
    assert capsys.readouterr().out == ""


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda some: st.lists(some) | st.tuples(some)
    )
)
def test_every_plain_value_is_told_in_one_short_text(value):
    assert plain_value(pickle.dumps(value)) == (True, value)
    assert len(short_text(value)) <= LENGTH


def test_a_value_that_unfolds_without_end_is_told_in_short():
    folded: list = []
    for _ in range(60):
        folded = [folded, folded, folded]
    assert len(short_text(folded)) <= LENGTH
