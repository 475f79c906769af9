"""Rules by which an earlier result is still good: `cache_validator=all_inputs` on a task with `cache_for`.

A validator is called with (state, inputs, parameters): the earlier state, which is Cached and has
`cached_inputs` and `cached_parameters`, and what the task run would be given now. Those of this module also heed
the task's code, but for `duration_only`. A function of your own decides alone, and does not heed the code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from . import clock
from .state import Cached

#: Called with (state, inputs, parameters); whether the earlier state is still good.
CacheValidator = Callable[[Any, Mapping[str, Any], Mapping[str, Any]], bool]


@dataclass(frozen=True)
class Validator:
    """One of the rules of this module: what has to be equal for an earlier result to be good.

    Attributes:
        name: As it is called in this module.
        inputs: The inputs that have to be equal, by name; None: all.
        parameters: The parameters that have to be equal, by name; None: all.
        heeds_code: Whether the task's code has to be the same. A cache asks that; the call cannot.
        is_ever: Whether any earlier result is good at all.
    """

    name: str
    inputs: tuple[str, ...] | None = ()
    parameters: tuple[str, ...] | None = ()
    heeds_code: bool = True
    is_ever: bool = True

    def __call__(
        self, state: Any, inputs: Mapping[str, Any] | None, parameters: Mapping[str, Any] | None
    ) -> bool:
        """Whether an earlier state is still good for these inputs and parameters."""
        return (
            self.is_ever
            and is_fresh(state, clock.now())
            and _are_equal(getattr(state, "cached_inputs", None), inputs, self.inputs)
            and _are_equal(getattr(state, "cached_parameters", None), parameters, self.parameters)
        )

    def __repr__(self) -> str:
        return self.name


never_use = Validator("never_use", is_ever=False)
duration_only = Validator("duration_only", heeds_code=False)
all_inputs = Validator("all_inputs", inputs=None)
all_parameters = Validator("all_parameters", parameters=None)


def partial_inputs_only(validate_on: Iterable[str] | None = None) -> Validator:
    """A validator for which only some inputs have to be equal.

    Args:
        validate_on: Their names; none of them counts when not given.
    """
    return Validator("partial_inputs_only", inputs=_names(validate_on))


def partial_parameters_only(validate_on: Iterable[str] | None = None) -> Validator:
    """A validator for which only some parameters have to be equal.

    Args:
        validate_on: Their names; none of them counts when not given.
    """
    return Validator("partial_parameters_only", parameters=_names(validate_on))


def is_fresh(state: Any, now: float) -> bool:
    """Whether an earlier state is not past its time."""
    if not isinstance(state, Cached):
        return True
    until = state.cached_result_expiration
    return until is None or clock.to_seconds(until) > now


def _names(given: Iterable[str] | None) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given or ())


def _are_equal(
    earlier: Mapping[str, Any] | None,
    now: Mapping[str, Any] | None,
    names: tuple[str, ...] | None,
) -> bool:
    if names == ():
        return True
    if earlier is None:
        return False
    now = now or {}
    if names is None:
        names = tuple(dict.fromkeys([*earlier, *now]))
    return all(
        (name in earlier) == (name in now)
        and (name not in now or _is_equal(earlier[name], now[name]))
        for name in names
    )


def _is_equal(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except Exception:  # an array has no truth; the user's __eq__ may raise anything
        from .fingerprint import Digest, NoFingerprint

        try:
            return bool(Digest.of(one) == other)
        except NoFingerprint:
            return False
