"""Results that outlive the run: a task's target, its entry in the cache, the place where it is written.

`Keeper` knows what a task says of these, `Kept` what one attempt finds and leaves there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import clock
from .cache import (
    Entry,
    Question,
    ask,
    claim_key,
    differences,
    digests,
    heeds_all_inputs,
    rule_of,
)
from .cache_validators import Validator, all_inputs, is_fresh, never_use
from .claims import Claim
from .fingerprint import CodeOf, NoFingerprint
from .graph import TaskLike
from .home import home_folder
from .result import Location, Result, ResultRules
from .results import LocalResult, result_at, result_for_target
from .state import Cached, LazyResult, State

if TYPE_CHECKING:
    from .cache_store import CacheStore


class Keeper:
    """What a task says of results that outlive the run.

    Args:
        task: The task.
        rules: Those of the flow run.
    """

    def __init__(self, task: TaskLike, rules: ResultRules) -> None:
        self.task, self.rules = task, rules
        self.target = task.target
        #: Where results are found and written; None where they are neither.
        self.result = _place_of(task, rules)
        self.must_write = (
            self.result is not None and self.result.is_writable and must_write(task, rules)
        )
        self.validator = rule_of(task.cache_validator, task.cache_for)
        self.cache_name = task.cache_key or task.name
        self.code = CodeOf(task)

    @classmethod
    def of(cls, task: TaskLike, rules: ResultRules) -> Keeper | None:
        """The keeper of a task; None where nothing of it is kept."""
        if task.cache_for is None and task.target is None and not must_write(task, rules):
            return None
        keeper = cls(task, rules)
        return keeper if keeper.result is not None or task.cache_for is not None else None

    @property
    def uses_cache(self) -> bool:
        """Whether entries of the cache are asked for and made."""
        return self.task.cache_for is not None and self.validator != never_use

    def question(
        self, inputs: Mapping[str, Any], parameters: Mapping[str, Any], *, is_child: bool
    ) -> Question:
        """What a run of the task with these inputs asks the cache.

        Raises:
            NoFingerprint: An input, or something in the code, cannot be told from others like it.
        """
        heeds_code = not isinstance(self.validator, Validator) or self.validator.heeds_code
        return ask(
            self.cache_name,
            self.code.fingerprint if heeds_code else "",
            inputs,
            parameters,
            is_child=is_child,
            validator=self.validator,
        )

    def cache_folder(self) -> Path:
        """The cache's folder: that of the machine where the run began, where it can be seen from here."""
        home = Path(self.rules.home)
        if not self.rules.home or not home.is_dir():
            home = home_folder()
        return home / "cache"


def must_write(task: TaskLike, rules: ResultRules) -> bool:
    """Whether a successful result is written."""
    if task.checkpoint is False or rules.checkpointing is False:
        return False
    is_wanted = rules.checkpointing or task.checkpoint
    names_place = task.result is not None or task.target is not None
    return bool(is_wanted or names_place or rules.flow_result is not None)


def _place_of(task: TaskLike, rules: ResultRules) -> Result | None:
    """Task before flow before configuration; None where the task reads and writes nothing."""
    base = task.result if task.result is not None else rules.flow_result
    result = None if base is None else result_at(base)
    if task.target is not None:
        return result_for_target(result or _home_result(rules), task.target)
    if not must_write(task, rules):
        return None
    return result or _home_result(rules)


def _home_result(rules: ResultRules) -> LocalResult:
    return LocalResult(Path(rules.home) / "results" if rules.home else None)


class Kept:
    """What one attempt finds and leaves of results that outlive the run.

    Args:
        keeper: The task's.
        facts: What locations are made from.
        inputs: Of the body. They are looked at before it runs, since it may change them.
        parameters: Of the flow.
        name: The task run's, for log lines.
        is_child: Whether it is a child of a mapped task.
        logger: Where lines go.
    """

    def __init__(
        self,
        keeper: Keeper,
        facts: Mapping[str, Any],
        inputs: Mapping[str, Any],
        parameters: Mapping[str, Any],
        *,
        name: str,
        is_child: bool,
        logger: logging.Logger,
    ) -> None:
        self.keeper, self.name, self.logger, self.is_child = keeper, name, logger, is_child
        self.facts, self.inputs, self.parameters = facts, inputs, parameters
        self.location: str | None = None
        self.question: Question | None = None
        self._claim: Claim | None = None

    def find(self) -> Cached | None:
        """An earlier result that makes the body needless.

        Without one, the right to make it is this attempt's until `close`; where another run has it, its end is
        waited for.

        Raises:
            StoreFailed: A target's place cannot be looked at.
            UnknownTemplateKey: A location names a fact that there is not.
            Exception: A function of the user's (location, validator) raised.
        """
        result = self.keeper.result
        if result is not None:
            self.location = result.written_location(self.facts)
            if self.keeper.target is not None and result.exists(self.location):
                value = result.read(self.location).value
                return Cached(f"the target {result.place(self.location)} exists", result=value)
        return self._find_in_cache() if self.keeper.uses_cache else None

    def write(self, value: Any) -> str | None:
        """Write a result where it belongs.

        Returns:
            Its location; None where it is not to be written.

        Raises:
            StoreFailed: It cannot be written.
        """
        result = self.keeper.result
        if result is None or not self.keeper.must_write or self.location is None:
            return None
        place = result.copy()
        place.location = self.location.replace("{", "{{").replace("}", "}}")
        location = place.write(value).location
        return location if isinstance(location, str) else None

    def remember(self, state: State) -> Cached | None:
        """The state of a result that was put into the cache; None where it could not be, or is not to be."""
        cache_for = self.keeper.task.cache_for
        if cache_for is None or (self.keeper.uses_cache and self.question is None):
            return None
        now = clock.now()
        expires = now + cache_for.total_seconds()
        inputs = None
        if self.question is not None:
            inputs = digests(self.question.inputs)
            try:
                self._store().add(self.question, state.result, now, expires)
            except (
                Exception
            ) as error:  # a full disk, a value without a pickle: the run goes on without
                self._warn(error)
                return None
        cached = Cached(
            state.message,
            result=state.result,
            cached_inputs=inputs,
            cached_result_expiration=clock.to_datetime(expires),
            context=state.context,
        )
        if self.question is not None:
            cached.cached_parameters = digests(self.question.parameters)
        return cached

    def explain(self) -> tuple[list[str], Any]:
        """Why the body would have to run now, and, where it would not, the result; claims and changes nothing.

        Returns:
            What differs from the earlier result that comes closest: `target`, `key` (there is none), `code`,
            `input 'x'`, `parameter 'day'`, `expired`, `validator`, or why nothing can be said; [] for a hit.

        Raises:
            Exception: As for `find`.
        """
        reasons: list[str] = []
        if self.keeper.target is not None and self.keeper.result is not None:
            location = self.keeper.result.written_location(self.facts)
            if self.keeper.result.exists(location):
                return [], self.keeper.result.read(location).value
            reasons.append("target")
        if not self.keeper.uses_cache:
            return reasons or ["the validator never uses an earlier result"], None
        try:
            self.question = self.keeper.question(
                self.inputs, self.parameters, is_child=self.is_child
            )
        except NoFingerprint as error:
            return [*reasons, str(error)], None
        found = self._look()
        if found is not None:
            return [], found.result
        return [*reasons, *self._nearest_differences(self.question)], None

    def _nearest_differences(self, question: Question) -> list[str]:
        store, validator = self._store(), self.keeper.validator
        entries = store.entries(question.name, question.all_inputs) + store.entries(question.name)
        if not entries:
            return ["key"]
        # The latest one of those that differ least.
        each = (differences(question, entry, validator, clock.now()) for entry in entries)
        return min(each, key=len) or ["validator"]

    def close(self) -> None:
        """Let another run make the result."""
        held, self._claim = self._claim, None
        if held is not None:
            held.release()

    # ---- the cache

    def _find_in_cache(self) -> Cached | None:
        try:
            self.question = self.keeper.question(
                self.inputs, self.parameters, is_child=self.is_child
            )
            found = self._look()
            if found is None:
                key = claim_key(self.question, self.keeper.validator)
                self._claim = self._store().claim(key, self._tell_waiting)
                # Another run may have made it meanwhile.
                found = self._look()
            if found is None:
                self._store().drop_expired(clock.now())
        except _UsersError as caught:
            raise caught.error from None
        except Exception as error:  # without its cache the task still runs
            self._warn(error)
            return None
        return found

    def _look(self) -> Cached | None:
        assert self.question is not None
        store, validator = self._store(), self.keeper.validator
        needs_same = heeds_all_inputs(self.question, validator)
        for entry in store.entries(
            self.question.name, self.question.all_inputs if needs_same else None
        ):
            if differences(self.question, entry, validator, clock.now()):
                continue
            if not isinstance(validator, Validator) and not self._ask_user(validator, entry):
                continue
            try:
                state = entry.as_state(store.read(entry))
            except Exception as error:  # damaged: it is of no use to anybody
                self._warn(error)
                store.drop(entry)
                continue
            state.message = "result of an earlier run"
            return state
        return None

    def _ask_user(self, validator: Callable[..., bool], entry: Entry) -> bool:
        state = entry.as_state()
        state._lazy = _InStore(self._store(), entry)
        try:
            return bool(validator(state, self.inputs, self.parameters))
        except Exception as error:  # the user's validator
            raise _UsersError(error) from error

    def _store(self) -> CacheStore:
        from .cache_store import CacheStore

        return CacheStore(self.keeper.cache_folder())

    def _tell_waiting(self) -> None:
        self.logger.info(
            "task %r waits for another run, which is making the same result", self.name
        )

    def _warn(self, error: Exception) -> None:
        what = "its inputs cannot be compared with those of other runs: " * isinstance(
            error, NoFingerprint
        )
        self.logger.warning("task %r runs without its cache: %s%s", self.name, what, error)


class _UsersError(Exception):
    """What a function of the user's raised."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class _InStore(LazyResult):
    """A result in the cache."""

    def __init__(self, store: CacheStore, entry: Entry) -> None:
        self.store, self.entry = store, entry

    def fetch_state(self) -> State:
        return self.entry.as_state(self.store.read(self.entry))


def is_still_good(
    state: Cached,
    task: TaskLike,
    inputs: Mapping[str, Any],
    parameters: Mapping[str, Any],
    *,
    is_child: bool,
) -> bool:
    """Whether a Cached state, with which a run is told to begin, is good for it."""
    validator = rule_of(task.cache_validator, task.cache_for)
    return (
        is_fresh(state, clock.now())
        and bool(validator(state, inputs, parameters))
        and (not is_child or all_inputs(state, inputs, parameters))
    )


def copy_of_cached(state: Cached) -> Cached:
    """The same state, as one that a run came to."""
    return Cached(
        state.message,
        result=state.result,
        cached_inputs=state.cached_inputs,
        cached_result_expiration=state.cached_result_expiration,
        context=state.context,
        cached_parameters=state.cached_parameters,
    )


def clash_in(locations: Iterable[str]) -> tuple[str, int, int] | None:
    """The first location that comes twice, and the two places where.

    >>> clash_in(["a", "b", "a"])
    ('a', 0, 2)
    """
    seen: dict[str, int] = {}
    for number, location in enumerate(locations):
        first = seen.setdefault(location, number)
        if first != number:
            return location, first, number
    return None


def names_of(location: Location) -> list[str] | None:
    """The facts that a location is made from; None where nobody can tell."""
    from .result import roots_of

    return None if callable(location) else roots_of(location)
