"""Operators between tasks: `a + b` is a task that adds what `a` and `b` return.

`a | b` is no sum: it makes b wait for a, and is b. `==` stays identity, so that tasks can be kept
in sets and dicts; `a.is_equal(b)` compares results.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from prefect_dask.naming import name_of_value

T = TypeVar("T", bound="Operators[Any]")


class Operators(Generic[T]):
    """What Python's operators do with a task; T is the kind of task that they make."""

    #: Keeps numpy from spreading `array + task` over the items of the array.
    __array_ufunc__ = None

    name: str

    def _operate(self, function: Callable[..., Any], name: str, /, **inputs: Any) -> T:
        """A task of this name that calls `function` with these inputs."""
        raise NotImplementedError

    def _wait_for(self, other: Any) -> None:
        raise NotImplementedError

    # ---- arithmetic

    def __add__(self, other: Any) -> T:
        return self._operate(add, "Add", x=self, y=other)

    def __radd__(self, other: Any) -> T:
        return self._operate(add, "Add", x=other, y=self)

    def __sub__(self, other: Any) -> T:
        return self._operate(subtract, "Sub", x=self, y=other)

    def __rsub__(self, other: Any) -> T:
        return self._operate(subtract, "Sub", x=other, y=self)

    def __mul__(self, other: Any) -> T:
        return self._operate(multiply, "Mul", x=self, y=other)

    def __rmul__(self, other: Any) -> T:
        return self._operate(multiply, "Mul", x=other, y=self)

    def __truediv__(self, other: Any) -> T:
        return self._operate(divide, "Div", x=self, y=other)

    def __rtruediv__(self, other: Any) -> T:
        return self._operate(divide, "Div", x=other, y=self)

    def __floordiv__(self, other: Any) -> T:
        return self._operate(divide_whole, "FloorDiv", x=self, y=other)

    def __rfloordiv__(self, other: Any) -> T:
        return self._operate(divide_whole, "FloorDiv", x=other, y=self)

    def __mod__(self, other: Any) -> T:
        return self._operate(remainder, "Mod", x=self, y=other)

    def __rmod__(self, other: Any) -> T:
        return self._operate(remainder, "Mod", x=other, y=self)

    def __pow__(self, other: Any) -> T:
        return self._operate(power, "Pow", x=self, y=other)

    def __rpow__(self, other: Any) -> T:
        return self._operate(power, "Pow", x=other, y=self)

    # ---- comparing

    def __gt__(self, other: Any) -> T:
        return self._operate(is_greater, "GreaterThan", x=self, y=other)

    def __ge__(self, other: Any) -> T:
        return self._operate(is_greater_or_equal, "GreaterThanOrEqual", x=self, y=other)

    def __lt__(self, other: Any) -> T:
        return self._operate(is_less, "LessThan", x=self, y=other)

    def __le__(self, other: Any) -> T:
        return self._operate(is_less_or_equal, "LessThanOrEqual", x=self, y=other)

    def is_equal(self, other: Any) -> T:
        """A task that compares the results with `==`."""
        return self._operate(are_equal, "Equal", x=self, y=other)

    def is_not_equal(self, other: Any) -> T:
        """A task that compares the results with `!=`."""
        return self._operate(are_not_equal, "NotEqual", x=self, y=other)

    # ---- logic

    def __and__(self, other: Any) -> T:
        return self._operate(both, "And", x=self, y=other)

    def __rand__(self, other: Any) -> T:
        return self._operate(both, "And", x=other, y=self)

    def or_(self, other: Any) -> T:
        """A task that is True when one of the results is; `|` means something else."""
        return self._operate(either, "Or", x=self, y=other)

    def not_(self) -> T:
        """A task that is True when the result is false."""
        return self._operate(negate, "Not", x=self)

    # ---- order

    def __or__(self, other: Any) -> Any:
        """Make `other` wait for this task; gives `other`."""
        if not isinstance(other, Operators):
            return NotImplemented
        other._wait_for(self)
        return other

    def __ror__(self, other: Any) -> Any:
        """Make this task wait for `other`, such as a list of tasks; gives this task."""
        self._wait_for(other)
        return self

    # ---- items

    def __getitem__(self, key: Any) -> T:
        shown = key.name if isinstance(key, Operators) else name_of_value(key)
        return self._operate(get_item, f"{self.name}[{shown}]", task_result=self, key=key)


def add(x: Any, y: Any) -> Any:
    return x + y


def subtract(x: Any, y: Any) -> Any:
    return x - y


def multiply(x: Any, y: Any) -> Any:
    return x * y


def divide(x: Any, y: Any) -> Any:
    return x / y


def divide_whole(x: Any, y: Any) -> Any:
    return x // y


def remainder(x: Any, y: Any) -> Any:
    return x % y


def power(x: Any, y: Any) -> Any:
    return x**y


def is_greater(x: Any, y: Any) -> Any:
    return x > y


def is_greater_or_equal(x: Any, y: Any) -> Any:
    return x >= y


def is_less(x: Any, y: Any) -> Any:
    return x < y


def is_less_or_equal(x: Any, y: Any) -> Any:
    return x <= y


def are_equal(x: Any, y: Any) -> Any:
    return x == y


def are_not_equal(x: Any, y: Any) -> Any:
    return x != y


def both(x: Any, y: Any) -> bool:
    return bool(x and y)


def either(x: Any, y: Any) -> bool:
    return bool(x or y)


def negate(x: Any) -> bool:
    return not x


def get_item(task_result: Any, key: Any) -> Any:
    return task_result[key]
