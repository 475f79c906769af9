"""How much may die in a flow run before it is given up: a budget apart from the retries of its tasks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How much may die before a flow run, or a task run of it, is given up.

    Attributes:
        worker_deaths: How many workers may die on a task run and it is tried again, n >= 0. With the next one it
            is Crashed.
        lost_clusters: How often a recorded run goes on after it lost its cluster, n >= 0.
        reconnect_seconds: How long it waits each time for a cluster to go on with.
    """

    worker_deaths: int = 3
    lost_clusters: int = 3
    reconnect_seconds: float = 60.0
