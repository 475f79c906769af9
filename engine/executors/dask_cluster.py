"""Making a temporary Dask cluster, of whatever class, so that nothing is left of one that nobody waits for."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager, suppress
from importlib import import_module
from typing import Any, TypeAlias

import dask
import distributed

from .. import clock
from ..errors import ClusterNotStarted
from ..failures import text_of, type_and_text_of
from ..logs import get_logger
from . import dask_preload

Cluster: TypeAlias = AbstractContextManager[Any]

#: The longest wait at a stretch: on Windows, Ctrl-C is not seen before a wait is over; seconds.
SLICE_SECONDS = 0.2

#: How long a cluster whose start was interrupted is waited for, so that it can be closed, seconds.
CLOSE_GRACE_SECONDS = 20.0


def make_cluster(
    cluster_class: str | Callable[..., Any] | None, arguments: Mapping[str, Any], *, debug: bool
) -> Cluster:
    """A new cluster, its workers starting.

    Args:
        cluster_class: A class or function that makes it, or its import path; None for a LocalCluster.
        arguments: Its arguments.
        debug: Whether a LocalCluster shows its own log lines.

    Raises:
        ValueError: There is no such class.
        ClusterNotStarted: Its workers did not come up.
    """
    arguments = dict(arguments)
    if cluster_class is None:
        maker: Callable[..., Any] = distributed.LocalCluster
        # Any free port: several runs on one machine must not quarrel about 8787.
        arguments.setdefault("dashboard_address", "127.0.0.1:0")
        preload = dask.config.get("distributed.worker.preload")
        arguments.setdefault("preload", [*preload, dask_preload.__name__])
        if debug:
            arguments.setdefault("silence_logs", False)
    elif isinstance(cluster_class, str):
        maker = _imported(cluster_class)
    else:
        maker = cluster_class
    try:
        return _made_to_the_end(lambda: maker(**arguments))
    except RuntimeError as error:  # what a Dask cluster raises whose workers do not come up
        name, root = getattr(maker, "__name__", repr(maker)), _root_of(error)
        # Of these two Dask makes its own failures, such as that of a script without the guard.
        knows_why = not isinstance(root, (RuntimeError, AssertionError))
        cause = type_and_text_of(root) if knows_why else text_of(error)
        raise ClusterNotStarted(name, cause, knows_why=knows_why) from error


def _root_of(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _imported(path: str) -> Any:
    module, _, name = path.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"DaskExecutor: cluster_class {path!r} cannot be imported: {error}; give the full path, such as "
            f"'dask_kubernetes.operator.KubeCluster'"
        ) from error


def _made_to_the_end(make: Callable[[], Cluster]) -> Cluster:
    """What `make` makes; interrupted meanwhile, it is closed as soon as it is there.

    An exception in the middle of a cluster's constructor would leave its processes to nobody. So it runs in a
    thread of its own, where Ctrl-C does not reach it.
    """
    made: Future[Cluster] = Future()
    context = contextvars.copy_context()

    def work() -> None:
        try:
            made.set_result(context.run(make))
        except BaseException as error:
            made.set_exception(error)

    thread = threading.Thread(target=work, name="prefect-dask-cluster", daemon=True)
    thread.start()
    try:
        while not made.done():
            wait([made], SLICE_SECONDS)
        return made.result()
    except BaseException:
        made.add_done_callback(_close)
        until = clock.monotonic() + CLOSE_GRACE_SECONDS
        while thread.is_alive() and clock.monotonic() < until:
            thread.join(SLICE_SECONDS)
        raise


def close_scheduler(cluster: Any) -> None:
    """Have a temporary cluster know that its scheduler is gone: else its closing would wait for an answer.

    What is not one of `distributed`'s own kind is left as it is.
    """
    scheduler: Any = cluster.scheduler if isinstance(cluster, distributed.SpecCluster) else None
    if scheduler is not None:
        with suppress(Exception):  # it is gone anyway
            cluster.sync(scheduler.close)
        # Done: else it would be asked to end itself, for as long as a connection may take.
        cluster.shutdown_scheduler = False


def give_up(cluster: Any) -> None:
    """Have a cluster count as closed whose closing failed: nobody tries again, and that was told."""
    if isinstance(cluster, distributed.SpecCluster):
        cluster.status = distributed.core.Status.closed


def _close(made: Future[Cluster]) -> None:
    if made.exception() is not None:
        return
    try:
        with made.result():
            pass
    except Exception as error:
        get_logger("DaskExecutor").warning("closing the cluster failed: %s", text_of(error))
