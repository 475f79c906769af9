"""Inputs that nobody gives are taken from the task's attributes."""

import pickle

import cloudpickle
import pytest

from prefect_dask import Flow, Task
from prefect_dask.task_defaults import defaults_from_attrs


class Query(Task):
    def __init__(self, table=None, limit=None, **settings):
        self.table, self.limit = table, limit
        super().__init__(**settings)

    @defaults_from_attrs("table", "limit")
    def run(self, table=None, limit=None, order="id"):
        """Ask."""
        return table, limit, order


def test_what_a_call_gives_wins_and_the_rest_comes_from_the_task():
    query = Query("stars", limit=3)
    with Flow("queries") as flow:
        own, given, by_none = query(), query("moons", order="size"), query(None, limit=1)
    state = flow.run()
    assert state.result[own].result == ("stars", 3, "id")
    assert state.result[given].result == ("moons", 3, "size")
    assert state.result[by_none].result == ("stars", 1, "id")


def test_a_value_that_is_false_is_a_value():
    assert Query("stars", limit=3).run(limit=0) == ("stars", 0, "id")


def test_the_method_keeps_its_signature_and_its_docstring():
    assert list(Query().inputs()) == ["table", "limit", "order"]
    assert Query.run.__doc__ == "Ask."


def test_a_task_with_such_a_method_can_travel():
    assert pickle.loads(cloudpickle.dumps(Query("stars"))).run() == ("stars", None, "id")


def test_an_input_that_the_method_does_not_take_is_refused_when_the_class_is_made():
    with pytest.raises(ValueError, match="'tabel', which it does not take"):

        @defaults_from_attrs("tabel")
        def run(self, table=None):
            return table
