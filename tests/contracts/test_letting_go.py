"""What many futures of a run on a cluster cost its scheduler when nobody needs them any more."""

import gc

import pytest

from prefect_dask.engine.executors.dask_letting_go import PORTION, LettingGo
from prefect_dask.engine.executors.dask_places import Places
from tests.waiting import wait_until

COUNT = 2 * PORTION + 500


def let_go_one_by_one(places):
    for index in range(COUNT):
        places.forget((0, index, 1))


def let_go_by_the_collector(places):
    cycle = [places]
    cycle.append(cycle)


@pytest.mark.parametrize("let_go", [let_go_one_by_one, let_go_by_the_collector])
def test_the_scheduler_hears_of_them_a_portion_at_a_time(client, let_go):
    places = Places(1, futures=LettingGo.of(client))
    futures = client.scatter(list(range(COUNT)), hash=False)
    keys = {future.key for future in futures}
    for index, future in enumerate(futures):
        places.put(future.key, future, [(0, index, 1)], 0)
    del future, futures
    sent = client.scheduler_comm.recent_message_log
    sent.clear()

    let_go(places)
    del places
    gc.collect()
    wait_until(lambda: keys.isdisjoint(known(client)))

    portions = [
        sum(message["op"] == "client-releases-keys" for message in payload) for payload in sent
    ]
    assert sum(portions) == COUNT
    assert max(portions) <= PORTION


def known(client):
    """The keys that the scheduler has."""
    return client.run_on_scheduler(lambda dask_scheduler: set(dask_scheduler.tasks))
