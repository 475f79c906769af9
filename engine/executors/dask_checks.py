"""What a cluster is asked before it is used: does anybody answer, and can all its parts run what we send."""

from __future__ import annotations

import asyncio
import pkgutil
import platform
import sys
import weakref
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import distributed
from distributed.comm import connect

from .. import clock
from ..errors import ClusterUnreachable, WorkersUnfit
from ..failures import text_of
from .dask_asking import ANSWER_SECONDS, ask_workers

#: How often it is looked whether anybody still waits for a scheduler to answer, seconds.
LOOK_SECONDS = 0.5

#: Looked up where the worker would import it from: installed or not, on its path is what counts.
OUR_VERSION = "prefect_dask.version:__version__"


def check_answer(
    address: str,
    timeout_seconds: float,
    security: Any = None,
    is_wanted: Callable[[], bool] = lambda: True,
) -> None:
    """See that a Dask scheduler answers at an address.

    A client alone would wait for ever for one that takes the connection and says nothing: a wrong port, a
    scheduler that is stopped, a proxy with nobody behind it.

    Args:
        address: Where it should be.
        timeout_seconds: How long it may take to answer.
        security: The client's, as `distributed.Client` takes it.
        is_wanted: Whether anybody wants to know still; asked again and again meanwhile.

    Raises:
        ClusterUnreachable: Nobody did, or it is not wanted any more.
    """
    if isinstance(security, Mapping):
        security = distributed.Security(**security)
    elif security is None:
        security = distributed.Security()
    elif not isinstance(security, distributed.Security):
        return  # made by Dask when it connects

    async def shake_hands() -> None:
        arguments = security.get_connection_args("client")
        comm = await connect(address, timeout=timeout_seconds, **arguments)
        await comm.close()

    async def shake_hands_in_time() -> None:
        hands = asyncio.ensure_future(shake_hands())
        until = clock.monotonic() + timeout_seconds + 1
        while not hands.done() and is_wanted() and clock.monotonic() < until:
            await asyncio.wait([hands], timeout=LOOK_SECONDS)
        await asyncio.wait_for(hands, 0)

    # In a thread of its own: here an event loop may be running.
    with ThreadPoolExecutor(1) as pool:
        try:
            pool.submit(asyncio.run, shake_hands_in_time()).result()
        except asyncio.TimeoutError as error:
            raise ClusterUnreachable(address, timeout_seconds, "it never says a word") from error
        except (OSError, ValueError) as error:
            # ValueError: it cannot be an address.
            raise ClusterUnreachable(address, timeout_seconds, text_of(error)) from error


#: The workers found fit, by client: each is asked once.
_fit: weakref.WeakKeyDictionary[distributed.Client, set[str]] = weakref.WeakKeyDictionary()


def check_fitness(client: distributed.Client) -> int:
    """See that all parts of a cluster can run what this process sends them; of those seen before, that is known.

    Returns:
        How many task runs it can run at a time; at least 1, for one whose workers are still to come.

    Raises:
        WorkersUnfit: Naming each that cannot, and both versions.
    """
    threads: dict[str, int] = client.nthreads()
    if client not in _fit or not threads.keys() <= _fit[client]:
        found = versions_on(client)
        check_versions(found)
        # One that does not answer is asked again by the next run.
        _fit[client] = {address for address in threads if f"worker {address}" in found}
    return max(1, sum(threads.values()))


def resources_of_workers(client: distributed.Client) -> dict[str, Mapping[str, float]]:
    """The resources that each worker of a cluster has, by its address.

    Raises:
        Exception: The scheduler does not answer.
    """
    assert client.scheduler is not None
    told = client.sync(client.scheduler.identity, n_workers=-1, callback_timeout=ANSWER_SECONDS)
    return {address: worker.get("resources") or {} for address, worker in told["workers"].items()}


def shortage_text(
    names: Sequence[str], needs: Mapping[str, float], there: Mapping[str, Mapping[str, float]]
) -> str:
    """What some task runs that have not begun wait for.

    Args:
        names: What they are called.
        needs: The resources that each asks of its worker.
        there: The resources of each worker.

    >>> shortage_text(["load[1]"], {"GPU": 1}, {"tcp://a:1": {}, "tcp://b:1": {"GPU": 2}})
    "'load[1]' has not begun: 1 worker of 2 has GPU=1, and is busy with something else"
    >>> shortage_text(["load[1]", "load[2]"], {"GPU": 1}, {"tcp://a:1": {}})
    "2 task runs, such as 'load[1]', have not begun: no worker of 1 has GPU=1"
    >>> shortage_text(["load[1]"], {}, {})
    "'load[1]' has not begun: the cluster has no worker"
    """
    if len(names) == 1:
        what = f"{names[0]!r} has not begun"
    else:
        what = f"{len(names)} task runs, such as {names[0]!r}, have not begun"
    if not there:
        return f"{what}: the cluster has no worker"
    asked = ", ".join(f"{name}={count:g}" for name, count in needs.items())
    fit = sum(
        all(have.get(name, 0) >= count for name, count in needs.items()) for have in there.values()
    )
    if not fit:
        return f"{what}: no worker of {len(there)} has {asked}"
    workers = "1 worker" if fit == 1 else f"{fit} workers"
    busy = "is" if fit == 1 else "are"
    if not needs:
        return f"{what}: the cluster has {workers}, which {busy} busy with something else"
    has = "has" if fit == 1 else "have"
    return f"{what}: {workers} of {len(there)} {has} {asked}, and {busy} busy with something else"


class Versions(NamedTuple):
    """What a scheduler or worker runs: Python's version, and this package's (None: it has none)."""

    python: str
    prefect_dask: str | None


def versions_on(client: distributed.Client) -> dict[str, Versions]:
    """What the scheduler and each worker of a cluster run; by name, such as "worker tcp://10.0.0.1:4321"."""
    # Functions of the standard library: ours would not arrive where we are missing.
    python = ask_workers(client, platform.python_version, seconds=ANSWER_SECONDS)
    ours = ask_workers(
        client, pkgutil.resolve_name, OUR_VERSION, seconds=ANSWER_SECONDS, workers=python
    )
    found = {
        f"worker {address}": Versions(python[address], _ours(answer))
        for address, answer in ours.items()
        # Else the worker came or went between the two questions, or hangs.
        if isinstance(python.get(address), str) and isinstance(answer, (str, ImportError))
    }
    try:
        answer = client.run_on_scheduler(pkgutil.resolve_name, OUR_VERSION)
    except ImportError as error:
        answer = error
    here = str(client.run_on_scheduler(platform.python_version))
    found["the scheduler"] = Versions(here, _ours(answer))
    return found


def check_versions(found: Mapping[str, Versions]) -> None:
    """See that all parts of a cluster can run what this process sends them.

    Args:
        found: What each runs, as `versions_on` gives it.

    Raises:
        WorkersUnfit: Naming each that cannot, and both versions.
    """
    here = "{}.{}".format(*sys.version_info)
    faults = []
    for place, versions in found.items():
        python = ".".join(versions.python.split(".")[:2])
        if python != here:
            faults.append(f"{place} has Python {python}, this process {here}")
        if versions.prefect_dask is None:
            faults.append(f"{place} has no prefect_dask")
    if faults:
        raise WorkersUnfit(faults)


def _ours(answer: str | ImportError) -> str | None:
    return answer if isinstance(answer, str) else None
