"""Task runs share Dask nodes, and nobody notices: none waits for long behind another, none is run twice."""

import os
import time
from collections import defaultdict
from itertools import pairwise

from distributed import LocalCluster

from prefect_dask import Flow, task, unmapped
from prefect_dask.executors import DaskExecutor
from tests.waiting import wait_until

DEADLINE_SECONDS = 30.0


@task
def numbers(count):
    return list(range(count))


@task
def tick(i):
    return i


def node_of(i):
    """The Dask node that this runs in."""
    from distributed import get_worker

    return get_worker().get_current_task()


where = task(node_of, name="where")


#: For how long a task run waits at most behind a slow one, seconds.
PROMISED_SECONDS = 1.0

#: What a machine may take longer whose processors others keep: the word of the cut, and what is cut off, go through
#: four processes; 1.6 s were seen. Where nothing is cut they would wait for `DEADLINE_SECONDS`.
SLACK_SECONDS = 4.0


@task
def wait_for_the_others(i, folder, count):
    """The middle one waits for all others, those behind it in its batch too; tells for how long, and its node."""
    if i != count // 2:
        with open(os.path.join(folder, str(i)), "x"):  # fails where it is run twice
            return 0.0, node_of(i)
    began = time.monotonic()
    wait_until(lambda: len(os.listdir(folder)) == count - 1, DEADLINE_SECONDS)
    return time.monotonic() - began, node_of(i)


def test_nobody_waits_behind_a_slow_one_for_longer_than_a_second(tmp_path):
    count = 400
    with Flow("a slow one") as flow:
        waited = wait_for_the_others.map(
            numbers(count), unmapped(str(tmp_path)), unmapped(count), batch=200
        )
    records = []

    # A cluster of its own, of which both workers are free: the slow one is given up by nobody but its batch.
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as own:
        executor = DaskExecutor(address=own.scheduler_address)
        state = flow.run(executor=executor, on_state=records.extend)

    assert state.is_successful(), state.message
    seconds, nodes = zip(*state.result[waited].result, strict=True)
    # The first one of the second batch: all behind it were handed back, and ran in other nodes.
    assert nodes.count(nodes[count // 2]) == 1
    assert max(seconds) <= PROMISED_SECONDS + SLACK_SECONDS
    begun = [
        r.map_index for r in records if r.state == "Running" and r.task_name.startswith("wait")
    ]
    assert sorted(begun) == [-1, *range(count)][1:]


def lasts(i, seconds):
    """Takes so long, and tells its node."""
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() > end, DEADLINE_SECONDS)
    return node_of(i)


def test_of_a_batch_one_hears_every_second_and_of_each_body_while_it_runs(cluster):
    """Shorter than what is told by itself, longer than that, and as long as others may wait behind it."""
    widths = {0.02: 20, 0.15: 10, 0.3: 6}
    with Flow("batches") as flow:
        maps = [
            task(lasts, name=f"lasts {seconds}").map(
                list(range(width)), unmapped(seconds), batch=20
            )
            for seconds, width in widths.items()
        ]
    heard = []

    def listen(records):
        heard.extend((record, time.time()) for record in records)

    state = flow.run(
        executor=DaskExecutor(address=cluster.scheduler_address), on_state=listen, ledger="none"
    )

    assert state.is_successful(), state.message
    children = [(each, moment) for each, moment in heard if each.map_index >= 0]
    late = [moment - each.timestamp for each, moment in children if each.state == "Running"]
    assert len(late) == sum(widths.values())
    assert max(late) <= 1.0
    # Of a node: when its first body began, and each moment at which something was heard of it.
    moments = defaultdict(list)
    node_by_run = {
        (flow.slugs[each], i): node
        for each in maps
        for i, node in enumerate(state.result[each].result)
    }
    for each, moment in children:
        node = node_by_run[each.task_slug, each.map_index]
        moments[node] += [each.timestamp, moment] if not moments[node] else [moment]
    assert (
        max(later - earlier for times in moments.values() for earlier, later in pairwise(times))
        <= 1.0
    )
    # Batches they were: the short ones all in one node.
    assert len(set(state.result[maps[0]].result)) == 1


@task
def wait_a_second(x):
    end = time.monotonic() + 1.1
    wait_until(lambda: time.monotonic() > end, DEADLINE_SECONDS)
    return node_of(x)


def test_short_tasks_that_only_run_one_after_the_other_are_one_node(cluster):
    with Flow("chain") as flow:
        first = where(0)
        second = where(first)
        slow = wait_a_second(second)
        last = where(slow)
    executor = DaskExecutor(address=cluster.scheduler_address)

    def nodes():
        state = flow.run(executor=executor)
        return [state.result[each].result for each in (first, second, slow, last)]

    nodes()  # that where() is short, and wait_a_second() is not, is seen here
    keys = nodes()
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3


def test_short_children_share_nodes_once_they_are_known_to_be_short(cluster):
    with Flow("short") as flow:
        keys = where.map(tick.map(numbers(300)))
    executor = DaskExecutor(address=cluster.scheduler_address)

    state = flow.run(executor=executor)
    again = flow.run(executor=executor)

    assert len(set(state.result[keys].result)) < 100
    assert len(set(again.result[keys].result)) <= 16

    apart = flow.run(executor=DaskExecutor(address=cluster.scheduler_address, grouping="never"))
    assert len(set(apart.result[keys].result)) == 300


@task(durable=False)  # to write 200 MB to a file takes longer than a node may
def heavy(i):
    return bytes(10 * 2**20), node_of(i)


@task
def only_the_node(result):
    return result[1]


def test_a_node_begins_no_other_child_when_its_results_are_large(cluster):
    with Flow("heavy") as flow:
        results = heavy.map(numbers(20), batch=20)
        nodes = only_the_node.map(results)

    state = flow.run(executor=DaskExecutor(address=cluster.scheduler_address), return_tasks=[nodes])

    keys = state.result[nodes].result
    assert len(keys) == 20
    assert 2 <= len(set(keys)) <= 4


def test_batch_1_gives_each_child_a_node_of_its_own(cluster):
    with Flow("batch=1") as flow:
        keys = where.map(numbers(40), batch=1)

    state = flow.run(executor=DaskExecutor(address=cluster.scheduler_address))

    assert len(set(state.result[keys].result)) == 40
