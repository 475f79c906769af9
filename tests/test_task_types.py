"""What type checkers see; `make check` reads this file, nothing here has to run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect_dask import Flow, Parameter, Task, task

if TYPE_CHECKING:
    from typing_extensions import assert_type


@task
def load(path: str, limit: int = 5) -> list[int]:
    return [limit]


@task(max_retries=2, retry_delay=1, tags={"io"}, nout=2)
def split(rows: list[int]) -> tuple[int, int]:
    return rows[0], rows[1]


class Save(Task):
    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(name="save")

    def run(self, rows: list[int], path: str | None = None) -> None: ...


def types_of_tasks_and_calls() -> None:
    assert_type(load.run("a"), list[int])
    assert_type(split.run([1, 2]), tuple[int, int])
    load.run(3)  # type: ignore[arg-type]
    load.run("a", 3, 4)  # type: ignore[call-arg]
    task(load.run, name="other")
    task(load.run, nmae="other")  # type: ignore[call-overload]
    task(name=3)  # type: ignore[call-overload]

    with Flow("f") as flow:
        rows = load("a")
        assert_type(rows, Task)
        rows = load(rows, limit=split(rows))  # a task stands for a value of any type
        first, second = split(rows)
        assert_type(first, Task)
        assert_type(first + second, Task)
        assert_type(3 / first[0], Task)
        save = Save("here")
        save(rows)
        save.run([1])
        save.run("rows")  # type: ignore[arg-type]
        assert_type(save.copy(), Save)
        assert_type(save.bind(rows), Save)
        assert_type(Parameter("p")(), Parameter)
    assert_type(flow, Flow)
    flow.run(task_states={load: flow.run(), save: flow.run()})


def test_the_annotated_tasks_are_tasks():
    assert load.run("a") == [5]
    assert split.tags == {"io"}
