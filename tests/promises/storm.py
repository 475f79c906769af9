"""A flow run during which workers die again and again, and all that can be known of it afterwards."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect_dask import Flow, Task, task
from prefect_dask.engine.state import State
from prefect_dask.engine.stream import StateRecord
from prefect_dask.executors import DaskExecutor
from prefect_dask.ledger import Ledger
from tests.faults.bodies import marks, note
from tests.faults.cluster import Cluster, cluster_of
from tests.faults.watching import Watch

LAYERS, WIDTH = 4, 12

#: After so many finished task runs a worker is killed, while others are under way.
DEATHS_AFTER = (5, 16, 30)


@dataclass
class Storm:
    """What is known of the run.

    Attributes:
        state: The flow's last state.
        names: The name of each task; they differ.
        kept: The names of those whose results the ledger keeps; the others' lie in the memory of workers alone.
        ledger: Where the run is recorded.
        records: All that the listener heard, in order.
        executions: How often each body was begun, by name.
        deaths: How many workers were killed.
    """

    state: State
    names: dict[Task, str]
    kept: set[str]
    ledger: Ledger
    records: list[StateRecord]
    executions: Counter[str]
    deaths: int

    def history(self, name: str) -> list[str]:
        """The states that a task came to, in order."""
        return [record.state for record in self.records if record.task_name == name]

    def losses(self, name: str) -> list[str]:
        """Why executions of a task, or their results, were lost."""
        told = [record for record in self.records if record.task_name == name]
        return [record.message or "" for record in told if record.state == "Pending"]


@task(max_retries=1, retry_delay=0)
def work(folder: Path, name: str, above: list[int]) -> int:
    """Leaves a mark; each fifth one fails the first time."""
    note(folder, name)
    if name.endswith(("-0", "-5", "-10")) and len(marks(folder, name)) == 1:
        raise ValueError("the first attempt fails")
    return 1 + sum(above)


def layered_flow(folder: Path) -> Flow:
    """LAYERS x WIDTH tasks; each takes the results of three of the layer above. Each second result is kept."""
    with Flow("storm") as flow:
        above: list[Any] = []
        for layer in range(LAYERS):
            row = []
            for i in range(WIDTH):
                name = f"work-{layer}-{i}"
                inputs = [above[(i + k) % WIDTH] for k in range(3)] if above else []
                settings = {"name": name, "durable": i % 2 == 0}
                row.append(work(folder, name, inputs, task_args=settings))
            above = row
    return flow


class Killer(Watch):
    """A listener that kills a worker at each of some moments, and puts a new one in its place."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__()
        self.cluster, self.finished, self.deaths = cluster, 0, 0

    def __call__(self, records: Any) -> None:
        super().__call__(records)
        for record in records:
            self.finished += record.state == "Success"
            if self.deaths < len(DEATHS_AFTER) and self.finished >= DEATHS_AFTER[self.deaths]:
                self.deaths += 1
                name = next(iter(self.cluster.workers))
                self.cluster.workers.pop(name).kill()
                self.cluster.add_worker(f"new-{self.deaths}")


def run_storm(folder: Path) -> Storm:
    """Run the flow on a cluster whose workers die."""
    folder.mkdir()
    flow = layered_flow(folder)
    with cluster_of(
        folder.parent / "cluster", "one", "two", "three", allowed_failures=10
    ) as cluster:
        killer = Killer(cluster)
        ledger = Ledger(folder.parent / "ledger.sqlite")
        executor = DaskExecutor(cluster.address)
        state = flow.run(executor=executor, ledger=ledger, on_state=killer)
    names = {task: task.name for task in flow.tasks if task.name.startswith("work-")}
    executions = Counter({name: len(marks(folder, name)) for name in names.values()})
    kept = {task.name for task in names if task.durable}
    return Storm(state, names, kept, ledger, killer.records, executions, killer.deaths)
