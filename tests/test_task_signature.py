"""What a task's run method takes and returns."""

import functools
import inspect
from typing import Any

import pytest

from prefect_dask import Task, task
from prefect_dask.errors import WrongSignature
from prefect_dask.signature import length_of_returned_tuple


def test_a_task_from_a_function_keeps_its_signature_and_docstring():
    def scale(x: int, *, by: float = 2.0) -> float:
        """Multiply."""
        return x * by

    made = task(scale)
    assert inspect.signature(made.run) == inspect.signature(scale)
    assert inspect.signature(made) == inspect.signature(scale)
    assert made.__doc__ == "Multiply."
    assert made.__wrapped__ is scale  # type: ignore[attr-defined]
    assert made.run(3) == 6.0


def test_a_decorated_function_can_still_be_run_at_once():
    @task(name="add", tags={"sum"})
    def add(x: int, y: int = 1) -> int:
        return x + y

    assert add.run(1) == 2
    assert (add.name, add.tags) == ("add", {"sum"})


@pytest.mark.parametrize("name", ["upstream_tasks", "mapped", "task_args", "flow"])
def test_names_that_a_call_takes_for_itself_are_refused(name: str):
    namespace: dict[str, Any] = {}
    exec(f"def run({name}): ...\ndef method(self, {name}=None): ...", namespace)
    with pytest.raises(ValueError, match=f"task 'run': .*argument '{name}'"):
        task(namespace["run"])
    with pytest.raises(ValueError, match=f"task 'Odd': .*argument '{name}'"):
        type("Odd", (Task,), {"run": namespace["method"]})


def test_arguments_without_a_name_are_refused():
    def many(*items: int) -> None: ...

    def unnamed(x: int, /) -> None: ...

    with pytest.raises(ValueError, match=r"task 'many': its run method takes \*items"):
        task(many)
    with pytest.raises(ValueError, match="task 'unnamed': its run method takes 'x' by position"):
        task(unnamed)
    with pytest.raises(ValueError, match=r"task 'Many': its run method takes \*items"):

        class Many(Task):
            def run(self, *items: int) -> None: ...


def test_a_function_that_cannot_be_read_is_refused():
    with pytest.raises(WrongSignature, match="task 'range'"):
        task(range)


def test_what_is_no_function_makes_no_task():
    with pytest.raises(TypeError, match="makes a task from a function, got 3"):
        task(3)  # type: ignore[call-overload]


def test_an_async_function_makes_no_task():
    async def fetch() -> None: ...

    with pytest.raises(ValueError, match="<Task: fetch>: it is an async function"):
        task(fetch)


def test_partial_functions_bound_methods_and_callable_objects_make_tasks():
    def power(x: int, n: int) -> int:
        return int(x**n)

    class Shift:
        def __call__(self, x: int) -> int:
            return x + 1

        def back(self, x: int) -> int:
            return x - 1

    square = task(functools.partial(power, n=2))
    assert square.run(3) == 9
    assert list(square.inputs()) == ["x", "n"]
    assert task(Shift()).name == "Shift"
    assert task(Shift().back).run(3) == 2
    assert list(task(Shift().back).inputs()) == ["x"]


def test_static_and_class_methods_can_be_run_methods():
    class Static(Task):
        @staticmethod
        def run(x: int) -> int:
            return x

    class Class(Task):
        @classmethod
        def run(cls, x: int) -> str:
            return cls.__name__ * x

    assert Static().signature().names == ("x",)
    assert Class().signature().names == ("x",)
    assert Class().run(2) == "ClassClass"


def test_an_inherited_run_method_is_read_where_it_is_written():
    class Base(Task):
        def run(self, x: int) -> int:
            return x

    class Child(Base): ...

    assert Child().signature() is Base().signature()


def test_inputs_say_type_need_and_default():
    @task
    def load(path: str, limit: "int | None" = None, *, raw=False, **options: Any) -> list[str]:  # type: ignore[no-untyped-def]
        return []

    assert load.inputs() == {
        "path": {"type": str, "required": True, "default": None},
        "limit": {"type": int | None, "required": False, "default": None},
        "raw": {"type": Any, "required": False, "default": False},
    }
    assert load.outputs() == list[str]


def test_annotations_that_cannot_be_resolved_are_given_as_written():
    @task
    def load(path: "NoSuchThing") -> "AlsoNot":  # type: ignore[name-defined]  # noqa: F821
        return path

    assert load.inputs()["path"]["type"] == "NoSuchThing"
    assert load.outputs() == "AlsoNot"


def test_without_annotations_anything_goes_in_and_out():
    made = task(lambda x: x)
    assert made.name == "<lambda>"
    assert made.inputs()["x"]["type"] is Any
    assert made.outputs() is Any


@pytest.mark.parametrize(
    ("annotation", "length"),
    [
        (tuple[int, str], 2),
        ("tuple[int, str]", 2),
        ("typing.Tuple[int, dict[str, int], str]", 3),
        (tuple[int, ...], None),
        ("tuple[int, ...]", None),
        (tuple[()], 0),
        ("tuple[()]", 0),
        (tuple, None),
        ("tuple", None),
        (list[int], None),
        ("not an annotation", None),
        (None, None),
    ],
)
def test_a_fixed_length_tuple_says_how_many_values_come(annotation: Any, length: int | None):
    def run() -> None: ...

    run.__annotations__["return"] = annotation
    assert length_of_returned_tuple(run) == length
    assert task(run).nout == length


def test_nout_wins_over_the_annotation_and_must_be_a_number():
    def both() -> tuple[int, int]:
        return 1, 2

    assert task(both, nout=1).nout == 1
    for wrong in (-1, "2"):
        with pytest.raises(ValueError, match="nout is a number of values"):
            Task(nout=wrong)  # type: ignore[arg-type]
