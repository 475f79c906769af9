"""The file that `airflow.py` puts into Airflow's folder of DAGs; what the DAG is like stands in `wanted.json`."""

import json
import os
from pathlib import Path

from airflow.sdk import DAG, task
from peers import shapes

wanted = json.loads((Path(os.environ["AIRFLOW_HOME"]) / "wanted.json").read_text())


@task
def numbers():
    return list(range(wanted["count"]))


@task
def child(number):
    return None


with DAG("wanted", schedule=None) as dag:
    if "count" in wanted:
        child.expand(number=numbers())
    else:
        root, made = getattr(shapes, wanted["root"]), []
        for i, above in enumerate(wanted["shape"]):
            made.append(task(task_id=f"task_{i}")(shapes.noop if above else root)())
            for index in above:
                made[index] >> made[i]
