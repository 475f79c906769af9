"""Tasks travel to other processes, by name where they can."""

import pickle
import subprocess
import sys
import threading
from pathlib import Path
from textwrap import dedent
from typing import Any

import cloudpickle
import pytest

from prefect_dask import Task, task

LOCK = threading.Lock()


@task(tags={"io"}, max_retries=1, retry_delay=1)
def guarded(x: int) -> int:
    """Works under a lock of its module."""
    with LOCK:
        return x + 1


class Shapes:
    @task
    def area(side: int) -> int:  # type: ignore[misc]  # in a class, without self
        return side**2


@pytest.mark.parametrize("library", [pickle, cloudpickle])
def test_a_task_of_a_module_travels_by_name(library: Any):
    data = library.dumps(guarded.copy(name="other"))
    again = pickle.loads(data)
    assert len(data) < 2_000
    assert again.run is guarded.run
    assert (again.name, again.tags, again.__doc__) == ("other", {"io"}, guarded.__doc__)
    assert again.__wrapped__ is guarded.run
    assert again.run(1) == 2


def test_a_task_of_a_class_body_travels_by_name_too():
    assert pickle.loads(pickle.dumps(Shapes.area)).run is Shapes.area.run


def test_a_task_made_inside_a_function_travels_by_value():
    base = 5

    @task
    def add(x: int) -> int:
        return x + base

    again = pickle.loads(cloudpickle.dumps(add))
    assert again.run is not add.run
    assert again.run(1) == 6
    assert again.signature() == add.signature()


def test_a_name_that_means_something_else_by_now_is_not_used(monkeypatch: pytest.MonkeyPatch):
    original = guarded.copy()
    monkeypatch.setattr(sys.modules[__name__], "LOCK", None)
    monkeypatch.setattr(sys.modules[__name__], "guarded", task(lambda x: x))
    assert pickle.loads(cloudpickle.dumps(original)).run is not original.run


def test_a_module_that_is_sent_by_value_is(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys.modules[__name__], "LOCK", None)
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    try:
        data = cloudpickle.dumps(guarded)
    finally:
        cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    assert pickle.loads(data).run is not guarded.run


def test_a_task_that_is_not_there_says_where_it_should_be():
    data = pickle.dumps(guarded).replace(b"guarded", b"vanishd")
    with pytest.raises(
        ImportError, match=r"the task tests.test_task_pickle.vanishd is not in this"
    ):
        pickle.loads(data)


def test_a_task_of_a_script_travels_by_value(tmp_path: Path):
    script = dedent(
        """
        import cloudpickle
        from prefect_dask import task

        @task
        def add(x):
            return x + 1

        open("task.bin", "wb").write(cloudpickle.dumps(add))
        """
    )
    (tmp_path / "script.py").write_text(script, encoding="utf-8")
    subprocess.run([sys.executable, "script.py"], cwd=tmp_path, check=True, timeout=50)
    assert pickle.loads((tmp_path / "task.bin").read_bytes()).run(1) == 2


class Scale(Task):
    def __init__(self, by: int, **settings: Any) -> None:
        self.by = by
        super().__init__(**settings)

    def run(self, x: int) -> int:
        return x * self.by


def test_a_task_of_a_class_travels_with_its_settings():
    again = pickle.loads(pickle.dumps(Scale(3, name="triple", timeout=2)))
    assert again.run(2) == 6
    assert (again.name, again.timeout_seconds) == ("triple", 2)
