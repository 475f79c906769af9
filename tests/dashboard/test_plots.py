"""Dask's own plots show a flow in its user's words: names of tasks, and a span for each run."""

import distributed
import pytest

from prefect_dask import Flow, task
from prefect_dask.executors import DaskExecutor, LocalExecutor


@pytest.fixture
def cluster(request):
    """A cluster of two threads in this process, whose client is the current one."""
    # Any free port: with no address, Dask would take 8787, and complain where that is in use.
    kwargs = {
        "dashboard_address": "127.0.0.1:0",
        "scheduler_kwargs": getattr(request, "param", {}),
    }
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, **kwargs
        ) as cluster,
        distributed.Client(cluster),
    ):
        yield cluster


def same(name):
    @task(name=name)
    def body(x):
        return x

    return body


def names_flow():
    """load-2024 -> clean-up -> count;  each one (mapped) -> next-step (mapped);  <b>, alone"""
    with Flow("names") as flow:
        same("count")(same("clean-up")(same("load-2024")(1)))
        same("next-step").map(same("each one").map([1, 2, 3]))
        same("a <b> task")(1)
    return flow


def shown_by(cluster):
    return set(cluster.scheduler.task_prefixes)


def test_dask_shows_the_names_of_tasks_and_of_all_in_a_chain(cluster):
    alone = {"load\N{HYPHEN}2024", "clean-up", "count", "each one", "next-step", "a <b> task"}

    assert names_flow().run(executor=DaskExecutor(grouping="never")).is_successful()
    assert alone <= shown_by(cluster)

    assert names_flow().run(executor=DaskExecutor()).is_successful()
    assert shown_by(cluster) >= {
        "load\N{HYPHEN}2024+clean\N{HYPHEN}up+count",
        "each one+next-step",
    }


def test_the_children_of_a_map_that_share_a_node_have_the_name_of_its_task(cluster):
    with Flow("batches") as flow:
        xs = task(lambda: list(range(100)), name="list")()
        task(lambda x: x, name="double", batch=10).map(xs)

    assert flow.run(executor=DaskExecutor()).is_successful()

    assert {"list", "double"} <= shown_by(cluster) <= {"list", "double", "list+double"}
    assert cluster.scheduler.task_prefixes["double"].state_counts["memory"] < 20


def test_the_tasks_of_a_run_are_in_a_span_of_its_flow_and_id(cluster):
    flow, ids = names_flow(), []

    with distributed.span("nightly"):
        flow.run(executor=DaskExecutor(), on_state=lambda records: ids.append(records[0][0]))
    flow.run(executor=DaskExecutor())

    spans = cluster.scheduler.extensions["spans"]
    span = spans.spans[ids[0]]
    assert span.name == ("nightly", "names", ids[0])
    assert span.done
    assert {group.prefix.name for group in span.groups} >= {"a <b> task"}
    assert sum(span.states.values()) > 0
    assert spans.merge_by_tags("names").all_durations["compute"] > 0
    assert len(list(spans.find_by_tags("names"))) == 2


@pytest.mark.parametrize("cluster", [{"extensions": {}}], ids=["no-extensions"], indirect=True)
def test_a_scheduler_without_spans_runs_flows_all_the_same(cluster):
    assert "spans" not in cluster.scheduler.extensions

    assert names_flow().run(executor=DaskExecutor()).is_successful()


def test_what_the_nodes_of_a_map_have_in_common_the_scheduler_keeps_once(cluster):
    def look(records):
        if not seen and any(r.task_name == "double" and r.state == "Success" for r in records):
            tasks = [t for k, t in cluster.scheduler.tasks.items() if k[0].startswith("double")]
            seen.append([(id(t.annotations), id(t.run_spec.dependencies)) for t in tasks])

    with Flow("one by one") as flow:
        xs = task(lambda: list(range(100)), name="list")()
        task(lambda x: x, name="double", batch=1).map(xs)
    seen: list[list[tuple[int, int]]] = []

    assert flow.run(executor=DaskExecutor(), on_state=look).is_successful()

    [pairs] = seen
    assert len(pairs) >= 50
    annotations, needs = map(set, zip(*pairs, strict=True))
    assert max(len(annotations), len(needs)) < 10, "once for all that came together"


def test_the_children_of_a_map_that_is_given_are_one_dask_task(cluster):
    with Flow("given") as flow:
        doubled = task(lambda x: 2 * x, name="double").map(list(range(200)))
        total = task(lambda xs: sum(xs), name="total")(doubled)
    given = flow.run(executor=LocalExecutor()).result[doubled]
    counts: list[int] = []

    state = flow.run(
        task_states={doubled: given},
        executor=DaskExecutor(),
        on_state=lambda records: counts.append(len(cluster.scheduler.tasks)),
    )

    assert state.result[total].result == 2 * sum(range(200))
    assert 1 <= max(counts) < 10
