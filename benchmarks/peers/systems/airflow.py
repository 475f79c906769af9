"""Airflow: a DAG of tasks, each after those above it, run in this process by `dag.test()`, with an SQLite database.

Airflow wants a file in its folder of DAGs, and that file read into its database before a run: neither is timed.
"""

from __future__ import annotations

import json
import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

from ..shapes import Body, Shape

HOME = Path(os.environ["AIRFLOW_HOME"])
WANTED = HOME / "wanted.json"
DAG_FILE = HOME / "dags" / "airflow_dag.py"


class Airflow:
    def graph(self, shape: Shape, root: Body):
        return self.run_of({"shape": shape, "root": root.__name__})

    def mapped(self, count: int):
        return self.run_of({"count": count})

    def run_of(self, wanted: dict):
        text = json.dumps(wanted)
        if not WANTED.exists() or WANTED.read_text() != text:
            DAG_FILE.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path(__file__).with_name(DAG_FILE.name), DAG_FILE)
            WANTED.write_text(text)
            airflow("db", "migrate")
            airflow("dags", "reserialize")
        dag = runpy.run_path(str(DAG_FILE))["dag"]

        def run() -> None:
            ended = dag.test(logical_date=datetime.now(timezone.utc))
            if ended.state != "success":
                raise RuntimeError(f"the run ended as {ended.state}")

        return run


def airflow(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "airflow", *arguments], check=True)


@contextmanager
def started(place: str) -> Iterator[Airflow]:
    yield Airflow()
