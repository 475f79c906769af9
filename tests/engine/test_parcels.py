"""What travels of a task: its code once, and what is its own."""

import datetime
import threading

import pytest

from prefect_dask import Flow, Task, task
from prefect_dask.engine.context import RunInfo
from prefect_dask.engine.errors import TaskNotPicklable
from prefect_dask.engine.parcels import PARCEL_SIZE, pack, unpack

INFO = RunInfo("f", "0" * 32, "f-0", {}, datetime.datetime.now(datetime.timezone.utc))


@task
def add(x, y=1):
    return x + y


class Holds(Task):
    def __init__(self, value, **settings):
        self.value = value
        super().__init__(**settings)

    def run(self):
        return self.value


def vars_of(label) -> tuple:
    return (label.index, label.name, label.slug, label.tags, label.is_secret)


def arrived(flow: Flow) -> list:
    """The runners of a flow after a journey, in the order of its tasks."""
    packed = pack(flow.describe(), INFO)
    found = {}
    for parcel in packed.parcels:
        found.update(zip(parcel.tasks, unpack(parcel, INFO), strict=True))
    return [found[index] for index in range(len(found))]


def test_a_task_arrives_with_what_it_takes_and_where_it_stands():
    with Flow("f") as flow:
        first = add(1, y=5)
        second = add(
            first,
            task_args={"name": "second", "max_retries": 3, "retry_delay": 0, "tags": {"here"}},
        )
        second.set_upstream(add(7))
    graph = flow.describe()

    runners = arrived(flow)

    for node, runner in zip(graph.nodes, runners, strict=True):
        assert vars_of(runner.node.label) == vars_of(node.label)
        assert runner.node.constants == node.constants
        assert runner.views == graph.views[node.label.index]
        sent = [(e.key, e.mapped, e.upstream_task.slug) for e in graph.edges_to[node.label.index]]
        assert [(e.key, e.mapped, e.upstream_task.slug) for e in runner.edges] == sent
    (runner,) = [each for each in runners if each.node.label.name == "second"]
    assert runner.node.task.max_retries == 3
    assert runner.node.task.tags == {"here"}
    assert runner.node.task.run(1, y=2) == 3


def test_what_is_one_tasks_own_does_not_arrive_with_another():
    values = [[1], [2], {"a": 3}, 4, "five", None]
    flow = Flow("f", tasks=[Holds(value, name=f"holds {value}") for value in values])

    assert [runner.node.task.value for runner in arrived(flow)] == values
    names = [f"holds {value}" for value in values]
    assert [runner.node.task.name for runner in arrived(flow)] == names


def test_tasks_of_one_kind_share_their_code():
    def large(x, padding="x" * 10_000):
        return x

    alike = task(large)
    with Flow("f") as flow:
        for i in range(PARCEL_SIZE + 1):
            alike(i)

    parcels = pack(flow.describe(), INFO).parcels

    assert [len(parcel.tasks) for parcel in parcels] == [PARCEL_SIZE, 1]
    assert len(parcels[0].pickled) < 200 * PARCEL_SIZE
    assert len(arrived(flow)) == PARCEL_SIZE + 1


def test_the_task_that_cannot_travel_is_named():
    flow = Flow("f", tasks=[Holds(1, name="fine"), Holds(threading.Lock(), name="locked")])

    with pytest.raises(TaskNotPicklable, match="locked"):
        pack(flow.describe(), INFO)
