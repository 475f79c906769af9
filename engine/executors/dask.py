"""Running nodes on a Dask cluster: one graph, extended while it runs."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, Literal, get_args

import dask
import distributed
from dask.utils import parse_timedelta

from .. import clock
from ..errors import (
    ClientBusy,
    ClusterLost,
    ClusterNotStarted,
    ClusterUnreachable,
    PrefectDaskError,
    RunNotOpened,
)
from ..failures import text_of
from ..grouping import Grouping
from ..logs import get_logger
from ..node import RunPackage
from .base import Executor, GraphRun, call_in_context, starting
from .dask_checks import check_answer, check_fitness
from .dask_cluster import close_scheduler, give_up, make_cluster
from .dask_connection import Connection, OnceConnected
from .dask_report import PerformanceReport
from .dask_run import DaskRun

#: How often it is looked for a cluster where one was lost, seconds.
LOOK_FOR_CLUSTER_SECONDS = 0.5

#: Dask's setting: how long a client tries to connect where nobody says another time.
CONNECT_TIMEOUT = "distributed.comm.timeouts.connect"


class DaskExecutor(Executor):
    """Runs nodes on a Dask cluster.

    With no argument: on the cluster of the current `distributed.Client` where there is one, else on a temporary
    `LocalCluster`, which goes when the run ends.

    Args:
        address: A scheduler's address, such as "tcp://host:8786".
        cluster_class: A class or function that makes a cluster, or its import path as text.
        cluster_kwargs: Its arguments.
        adapt_kwargs: Arguments for the cluster's `adapt`, such as `{"minimum": 1, "maximum": 10}`.
        client_kwargs: Arguments for `distributed.Client`, such as `timeout` (seconds) or `security`.
        debug: Whether a temporary cluster's own log lines are shown.
        performance_report_path: Where Dask's performance report of each run is written, with "{flow_run_id}" for
            the run's id; True: into `reports` of the home folder. The run's record has a link to it.
        grouping: When task runs share a Dask task: "auto" where one can only run after the other, and where many
            short ones are of one kind; "never" (but for `batch=`); or "always".

    Raises:
        ValueError: `address` together with `cluster_class`, `cluster_kwargs` or `adapt_kwargs`, or a `grouping`
            that there is not.
    """

    is_on_cluster = True

    def __init__(
        self,
        address: str | None = None,
        cluster_class: str | Callable[..., Any] | None = None,
        cluster_kwargs: Mapping[str, Any] | None = None,
        adapt_kwargs: Mapping[str, Any] | None = None,
        client_kwargs: Mapping[str, Any] | None = None,
        debug: bool = False,
        performance_report_path: str | os.PathLike[str] | Literal[True] | None = None,
        grouping: Grouping = "auto",
    ) -> None:
        if grouping not in get_args(Grouping):
            raise ValueError(
                f"DaskExecutor: there is no grouping {grouping!r}; give 'auto', 'never' or 'always'"
            )
        if address is not None and (cluster_class or cluster_kwargs or adapt_kwargs):
            raise ValueError(
                "DaskExecutor: address names a cluster that runs already, cluster_class, cluster_kwargs and "
                "adapt_kwargs make a new one; give one or the other"
            )
        self.address = address
        self.cluster_class = cluster_class
        self.cluster_kwargs = dict(cluster_kwargs or {})
        self.adapt_kwargs = dict(adapt_kwargs or {})
        self.client_kwargs = dict(client_kwargs or {})
        self.debug = debug
        if isinstance(performance_report_path, os.PathLike):
            performance_report_path = os.fspath(performance_report_path)
        self.performance_report_path = performance_report_path or None
        self.grouping = grouping
        self._reset()

    def _reset(self) -> None:
        self._client: distributed.Client | None = None
        #: The connection that it had at first.
        self._comm: object = None
        self._owns_client = False
        self._cluster: Any = None
        self._resources = ExitStack()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()

    @property
    def client(self) -> distributed.Client:
        """The client of the cluster; only within `start()`."""
        if self._client is None:
            raise RuntimeError(
                "DaskExecutor: there is a client only within `with executor.start():`"
            )
        return self._client

    def submit(
        self, fn: Any, *args: Any, extra_context: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> distributed.Future[Any]:
        """Run one function on the cluster; returns a distributed Future."""
        return self.client.submit(
            call_in_context, fn, extra_context, args, kwargs, pure=False, key=_key_of(fn)
        )

    def wait(self, futures: Any) -> Any:
        """The values of what `submit` returned: one, or a collection of them at any depth."""
        return self.client.gather(futures)

    def open(self, package: RunPackage) -> GraphRun:
        """Begin a flow run on the cluster.

        Raises:
            WorkersUnfit: The scheduler or a worker lacks this package, or has another Python.
            TaskNotPicklable: A task cannot be sent to workers.
            ReportNotPossible, NoPlaceForReport: A performance report was asked for that cannot be.
            RunNotOpened: The scheduler was lost meanwhile, or a question to it broke off.
        """
        connection = Connection(self.client)
        try:
            connection.check()  # else what is asked would wait for one that is looked for
            return self._open(package)
        except ClusterLost as error:
            raise RunNotOpened(error.address, error.cause) from error
        except PrefectDaskError:
            raise
        except (OSError, asyncio.TimeoutError, asyncio.CancelledError) as error:
            raise RunNotOpened(connection.address, text_of(error)) from error

    def _open(self, package: RunPackage) -> GraphRun:
        threads = check_fitness(self.client)
        path = self.performance_report_path
        return DaskRun(
            self.client,
            package,
            owns_client=self._owns_client,
            grouping=self.grouping,
            threads=threads,
            report=None if path is None else PerformanceReport(self.client, path, package.info),
        )

    def reopen(
        self, package: RunPackage, within_seconds: float, is_wanted: Callable[[], bool]
    ) -> GraphRun | None:
        """Begin a flow run anew where the cluster is lost: at the same address, or on a new temporary cluster.

        Returns:
            None where it is lost and of the user's client: who made that knows where to find another one. The same
            where the run is not wanted any more.

        Raises:
            PrefectDaskError: There is none within the time, or it cannot run what is sent to it.
        """
        until = clock.monotonic() + within_seconds
        if not self._has_lost_client():
            # A question broke off. Where that is because the scheduler is gone, its connection is told of it just
            # now, and to ask again would be to wait for one that does not come back.
            clock.wait_for(LOOK_FOR_CLUSTER_SECONDS)
        while is_wanted():
            if not self._owns_client and self._has_lost_client():
                return None
            try:
                if self.address is not None and self._has_lost_client():
                    self._check_answer(self.address, is_wanted)
                with starting:
                    # Another run on this executor may have found one already.
                    if self._has_lost_client():
                        if self._cluster is not None:
                            close_scheduler(self._cluster)
                        self._clear_away()
                        self._set_up()
                    return self.open(package)
            except (OSError, ClusterNotStarted, ClusterLost) as error:
                if clock.monotonic() >= until:
                    raise
                get_logger("DaskExecutor").debug("no cluster yet: %s", text_of(error))
            clock.wait_for(LOOK_FOR_CLUSTER_SECONDS)
        return None

    def _has_lost_client(self) -> bool:
        """Whether the client is of no use any more; also one that came back by itself.

        The scheduler may hear of the end of its old connection after the beginning of the new one, and forget it.
        """
        client = self._client
        return (
            client is None or client.status != "running" or client.scheduler_comm is not self._comm
        )

    # ---- set-up

    def _set_up(self) -> None:
        try:
            self._client = self._find_client()
            self._comm = self._client.scheduler_comm
        except BaseException:
            self._clear_away()
            raise

    def _clear_away(self) -> None:
        resources = self._resources
        cluster = self._cluster
        self._reset()
        try:
            resources.close()
        except Exception as error:  # a cluster that is lost cannot be closed either
            get_logger("DaskExecutor").warning("closing the cluster failed: %s", text_of(error))
            give_up(cluster)

    def _find_client(self) -> distributed.Client:
        if self.address is not None:
            return self._connect(self.address)
        if not (self.cluster_class or self.cluster_kwargs or self.adapt_kwargs):
            ambient = current_client()
            if ambient is not None:
                return ambient
        cluster = self._cluster = self._resources.enter_context(
            make_cluster(self.cluster_class, self.cluster_kwargs, debug=self.debug)
        )
        if self.adapt_kwargs:
            cluster.adapt(**self.adapt_kwargs)
        arguments = self._client_arguments()
        try:
            return self._make_client(cluster, arguments)
        except (OSError, asyncio.TimeoutError) as error:
            close_scheduler(cluster)
            seconds = arguments.get("timeout") or dask.config.get(CONNECT_TIMEOUT)
            address = str(cluster.scheduler_address)
            raise ClusterUnreachable(address, _seconds(seconds), text_of(error)) from error

    def uses_current_client(self) -> bool:
        """Whether it would use the current `distributed.Client` of this process, were it started now."""
        makes_one = self.cluster_class or self.cluster_kwargs or self.adapt_kwargs
        return self.address is None and not makes_one and current_client() is not None

    def _make_client(self, where: Any, arguments: Mapping[str, Any]) -> distributed.Client:
        make: Any = OnceConnected  # its base has no types
        client: distributed.Client = make(where, **arguments)
        self._owns_client = True
        self._resources.callback(client.close)
        return client

    def _connect(self, address: str) -> distributed.Client:
        seconds = self._check_answer(address)
        try:
            return self._make_client(address, {"timeout": seconds, **self._client_arguments()})
        except (OSError, asyncio.TimeoutError) as error:
            raise ClusterUnreachable(address, seconds, text_of(error)) from error

    def _check_answer(self, address: str, is_wanted: Callable[[], bool] = lambda: True) -> float:
        """See that a scheduler answers there; within how many seconds it is to, as for the client."""
        seconds = _seconds(self.client_kwargs.get("timeout", 10))
        check_answer(address, seconds, self.client_kwargs.get("security"), is_wanted)
        return seconds

    def _client_arguments(self) -> dict[str, Any]:
        return {"set_as_default": False, **self.client_kwargs}

    def __repr__(self) -> str:
        where = self.address or self.cluster_class or "local"
        return f"<Executor: DaskExecutor, {where}>"


def current_client() -> distributed.Client | None:
    """The current `distributed.Client` of this thread or process; None when there is none.

    Raises:
        ClientBusy: It belongs to the event loop that runs in this thread.
    """
    try:
        client: distributed.Client = distributed.Client.current()
    except ValueError:
        return None
    if client.status != "running":
        return None
    if client.asynchronous:
        raise ClientBusy
    return client


def _seconds(given: Any) -> float:
    return float(parse_timedelta(given))


def _key_of(fn: Any) -> str:
    return f"{getattr(fn, '__name__', 'submit')}-{uuid.uuid4().hex}"
