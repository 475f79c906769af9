"""Which systems are compared, with what is installed for each, where each runs, and how much it is given.

The pins are what was measured together; a pin with a reason beside it is there because the newest does not work.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Columns of the table: kinds of work, and the unit of what is printed for each.
WORKS = {
    "wide": "µs",
    "chain": "µs",
    "tree": "µs",
    "layered": "µs",
    "map": "µs",
    "work": "%",
    "hello": "s",
}

THIS_THREAD, THREADS, CLUSTER = "this thread", "2 threads", "cluster 2 × 1"

#: More tasks than any of the shapes has.
ALL = 10_001


@dataclass(frozen=True)
class Peer:
    """One system."""

    title: str
    module: str
    """Its file in `systems/`."""
    places: tuple[str, ...]
    package: str
    """The distribution whose version is shown."""
    requirements: tuple[str, ...] = ()
    """What pip installs into its environment; where there are none, it runs in the driver's own."""
    most: int = ALL
    """The most tasks that a graph of no-ops may have; chosen so that a round takes some seconds."""


PEERS = (
    Peer("prefect_dask", "ours", (THIS_THREAD, THREADS, CLUSTER), "prefect-dask"),
    Peer("Dask", "raw_dask", (THIS_THREAD, THREADS, CLUSTER), "dask"),
    Peer("Ray", "ray", ("2 processes",), "ray", ("ray==2.60.0",)),
    Peer("Parsl", "parsl", (THREADS, "HTEX 2 processes"), "parsl", ("parsl==2026.10.26",)),
    Peer("Luigi", "luigi", ("1 worker",), "luigi", ("luigi==3.8.1",), most=2_000),
    Peer(
        "Prefect 1",
        "prefect_1",
        (THIS_THREAD, THREADS, CLUSTER),
        "prefect",
        (
            "prefect==1.4.1",
            # Of its time: later ones took away what it imports.
            "pendulum<3",
            "marshmallow<3.20",
            "click<8.2",
            "urllib3<2",
            "setuptools<70",
            "dask[bag]==2023.3.2",
            "distributed==2023.3.2",
        ),
        most=200,
    ),
    Peer("Dagster", "dagster", ("this process",), "dagster", ("dagster==1.13.29",), most=500),
    Peer("redun", "redun", (THREADS,), "redun", ("redun==0.44.1",), most=200),
    Peer(
        "Prefect 3",
        "prefect_3",
        (THREADS, CLUSTER),
        "prefect",
        # 3.8.8 calls FastAPI in a way that 0.165 no longer takes.
        ("prefect==3.8.8", "prefect-dask==0.3.7", "fastapi==0.139.2"),
        most=100,
    ),
    Peer(
        "Airflow",
        "airflow",
        ("this process",),
        "apache-airflow",
        ("apache-airflow==3.3.2",),
        most=50,
    ),
)
