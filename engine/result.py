"""Result: a value, or the place where it lies."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from string import Formatter
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

from .errors import PrefectDaskError, nearest
from .serializers import PickleSerializer, Serializer

if TYPE_CHECKING:
    from typing_extensions import Self

#: Where a result lies: text with `{names}` of facts of the run in it, or a function that is given these facts.
Location: TypeAlias = str | Callable[..., str]


class Result:
    """A value with the place where it lies: a template for that place, or the place itself.

    This class holds a value and knows no place; the subclasses in `results` do.

    Args:
        value: The value.
        location: Text such as "{flow_name}/{task_name}.pickle", or a function of the same facts. They are those of
            `prefect_dask.context`, the parameters of the flow and the inputs of the task.
        serializer: How values are written; as pickles when not given.

    Example:
        >>> Result(3), Result(location="{x}.json").format(x=1).location
        (<Result: 3>, '1.json')
    """

    #: Whether there is a place to write to.
    is_writable: ClassVar[bool] = True

    def __init__(
        self,
        value: Any = None,
        location: Location | None = None,
        serializer: Serializer | None = None,
    ) -> None:
        self.value = value
        self.location = location
        self.serializer: Serializer = serializer or PickleSerializer()

    # ---- what each kind of place says

    def read(self, location: str) -> Result:
        """The result that lies at a place, with its value.

        Raises:
            StoreFailed: It cannot be read.
        """
        raise NotImplementedError(f"{type(self).__name__} knows no place to read from")

    def write(self, value: Any, **facts: Any) -> Result:
        """Put a value in its place; there it is whole, or not at all.

        Args:
            value: The value.
            facts: What the location is made from.

        Returns:
            The result with its value and location.

        Raises:
            UnknownTemplateKey: The location names a fact that there is not.
            StoreFailed: It cannot be written; what lay there before does so still.
        """
        raise NotImplementedError(f"{type(self).__name__} knows no place to write to")

    def exists(self, location: str, **facts: Any) -> bool:
        """Whether a result lies at a place, given as it is or as a template with its facts."""
        raise NotImplementedError(f"{type(self).__name__} knows no place to look at")

    def place(self, location: str) -> str:
        """The whole name of a place, for people: a path or an URL, without secrets."""
        return location

    # ---- the same for all

    def format(self, **facts: Any) -> Self:
        """This result with a location made from `facts`, and without a value.

        Raises:
            UnknownTemplateKey: The location names a fact that there is not.
        """
        new = self.copy()
        new.value = None
        if self.location is not None:
            new.location = fill(self.location, facts)
        return new

    def from_value(self, value: Any) -> Self:
        """This result with another value."""
        new = self.copy()
        new.value = value
        return new

    def copy(self) -> Self:
        """A result of its own with the same settings."""
        return copy.copy(self)

    def written_location(self, facts: Mapping[str, Any]) -> str:
        """The location that the template means; a name that nothing else has where there is none."""
        return fill(self.location if self.location is not None else default_location, facts)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.value!r}>"


@dataclass(frozen=True)
class ResultRules:
    """What a flow run says of the results of its tasks.

    Attributes:
        flow_result: Where they are written, unless a task says otherwise.
        checkpointing: True: all are written; False: none; None: those of tasks and flows that name a result or
            target.
        home: The home folder of prefect_dask on the machine where the run began; "" where it has none.
        durable: Whether results are kept so that the run can be taken up again, where the task says nothing of
            it: True fails a task run whose result cannot be kept. None, for all tasks, where nothing is recorded.
    """

    flow_result: Result | None = None
    checkpointing: bool | None = None
    home: str = ""
    durable: bool | Literal["auto"] | None = None


def default_location(
    flow_run_id: str, task_slug: str, map_index: int | None = None, **_: Any
) -> str:
    """Where a result lies for which no place was told: by run, task and child."""
    from urllib.parse import quote

    child = "" if map_index is None else f"-{map_index}"
    return f"{flow_run_id}/{quote(task_slug, safe=' ')[:150]}{child}.pickle"


def fill(location: Location, facts: Mapping[str, Any]) -> str:
    """The location that a template means.

    Args:
        location: Text with `{names}`, or a function.
        facts: What it is made from; only what is named is asked for.

    Raises:
        UnknownTemplateKey: It names what is not among them.

    >>> fill("{day}/{sizes[0]}.pickle", {"day": "monday", "sizes": [5]})
    'monday/5.pickle'
    """
    if callable(location):
        made = location(**facts)
        if not isinstance(made, str):
            raise TypeError(
                f"a function that gives a location must return text, got {type(made).__name__}"
            )
        return made
    try:
        return Formatter().vformat(location, (), facts)
    except KeyError as error:
        key = error.args[0] if error.args else ""
        if key in roots_of(location) and key in facts:
            raise  # the user's mapping inside a fact lacks a key
        raise UnknownTemplateKey(location, str(key), sorted(facts)) from None
    except IndexError as error:
        # `{}` and `{0}`: there are no facts by number.
        if any(root == "" or root.isdigit() for root in roots_of(location)):
            raise UnknownTemplateKey(location, "{}", sorted(facts)) from error
        raise


def roots_of(template: str) -> list[str]:
    """The facts that a template names.

    >>> roots_of("{day:%Y}/{sizes[0]}-{x.name}")
    ['day', 'sizes', 'x']
    """
    return [
        name.split(".")[0].split("[")[0]
        for _, name, _, _ in Formatter().parse(template)
        if name is not None
    ]


class Facts(Mapping[str, Any]):
    """Several mappings as one, the first one asked first; what is not asked for is not made."""

    def __init__(self, *mappings: Mapping[str, Any]) -> None:
        self._mappings = mappings

    def __getitem__(self, key: str) -> Any:
        for mapping in self._mappings:
            if key in mapping:
                return mapping[key]
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        seen: dict[str, None] = {}
        for mapping in self._mappings:
            seen.update(dict.fromkeys(mapping))
        return iter(seen)

    def __len__(self) -> int:
        return sum(1 for _ in self)


# ---- what goes wrong


class UnknownTemplateKey(PrefectDaskError, KeyError):
    """A template names what the run has not."""

    def __init__(self, template: str, key: str, known: Sequence[str]) -> None:
        near = nearest(key, known)
        there = ", ".join(repr(name) for name in known)
        hint = f"{near} There are {there}" if near.startswith("did") else f"there are {there}"
        super().__init__(
            f"the template {template!r} names {key!r}, which this task run has not; {hint}"
        )
        self.template, self.key, self.known = template, key, list(known)

    def __str__(self) -> str:
        # A KeyError would show its sentence in quotes.
        return str(self.args[0])


class StoreFailed(PrefectDaskError, OSError):
    """A result cannot be written to its place, or read from it."""

    def __init__(self, act: str, place: str, cause: str) -> None:
        super().__init__(
            f"cannot {act} {place}: {cause}; check that the place can be reached, and that this user may use it"
        )
        self.act, self.place, self.cause = act, place, cause


class TargetsClash(PrefectDaskError, ValueError):
    """Two children of one mapped task have the same target."""

    def __init__(self, task: str, location: str, one: int, other: int) -> None:
        super().__init__(
            f"task {task!r}: its children {one} and {other} have the same target {location!r}; put what "
            f"tells them apart into the template, such as {{map_index}} or an input"
        )
        self.task, self.location, self.one, self.other = task, location, one, other
