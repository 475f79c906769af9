"""Is an earlier result still good? Plain values in, plain values out; the store is in `cache_store`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from . import clock
from .cache_validators import CacheValidator, Validator, all_inputs, never_use
from .fingerprint import Digest, fingerprint
from .state import Cached


@dataclass(frozen=True)
class Question:
    """What a task run asks the cache.

    Attributes:
        name: The task's cache key, or its name.
        code: Fingerprint of the task's code.
        inputs: Fingerprint of each input, by name.
        parameters: Fingerprint of each parameter of the flow, by name; "" of one that has none.
        is_child: Whether it is a child of a mapped task, for which all inputs have to be equal.
    """

    name: str
    code: str
    inputs: Mapping[str, str]
    parameters: Mapping[str, str] = field(default_factory=dict)
    is_child: bool = False

    @property
    def all_inputs(self) -> str:
        """One fingerprint of all inputs."""
        return _text_of(self.inputs)


@dataclass(frozen=True)
class Entry:
    """An earlier result, as the store has it.

    Attributes:
        made: The question that it would have answered.
        created: When, seconds since the epoch.
        expires: When it is no longer good, seconds since the epoch; None: never.
        file: Where the value lies; None once it was dropped.
        size_bytes: Of the file.
        checksum: SHA-256 of the file.
        number: Its place in the store.
    """

    made: Question
    created: float
    expires: float | None
    file: str | None
    size_bytes: int
    checksum: str
    number: int = 0

    def is_expired(self, now: float) -> bool:
        """Whether it is past its time, or its value was dropped."""
        return self.file is None or (self.expires is not None and self.expires <= now)

    def as_state(self, result: Any = None) -> Cached:
        """The state of the task run that made it, with digests for inputs and parameters."""
        state = Cached(
            "earlier result",
            result=result,
            cached_inputs=digests(self.made.inputs),
            cached_result_expiration=None
            if self.expires is None
            else clock.to_datetime(self.expires),
        )
        state.cached_parameters = digests(self.made.parameters)
        return state


def ask(
    name: str,
    code: str,
    inputs: Mapping[str, Any],
    parameters: Mapping[str, Any],
    *,
    is_child: bool,
    validator: CacheValidator,
) -> Question:
    """The question of a task run.

    Raises:
        NoFingerprint: An input has none, or a parameter that the validator heeds.
    """
    known = {}
    for parameter, value in parameters.items():
        if _heeds(validator, parameter):
            known[parameter] = fingerprint(value)
    return Question(
        name, code, {key: fingerprint(value) for key, value in inputs.items()}, known, is_child
    )


def _heeds(validator: CacheValidator, parameter: str) -> bool:
    if not isinstance(validator, Validator):
        return True
    return validator.parameters is None or parameter in validator.parameters


def rule_of(cache_validator: CacheValidator | None, cache_for: Any) -> CacheValidator:
    """The validator of a task that may not have said any: equal inputs, where it caches at all."""
    return cache_validator or (never_use if cache_for is None else all_inputs)


def heeds_all_inputs(question: Question, validator: CacheValidator) -> bool:
    """Whether only entries with the same inputs can be good."""
    return question.is_child or (isinstance(validator, Validator) and validator.inputs is None)


def differences(
    question: Question, entry: Entry, validator: CacheValidator, now: float
) -> list[str]:
    """Why an entry is no answer, in words: `code`, `input 'x'`, `parameter 'day'`, `expired`; [] when it is one.

    Of a function of the user's, that is asked apart, only what is not for it to decide.
    """
    if validator == never_use:
        return ["the validator never uses an earlier result"]
    found = []
    made = entry.made
    if isinstance(validator, Validator):
        if validator.heeds_code and made.code != question.code:
            found.append("code")
        found += _differing("parameter", made.parameters, question.parameters, validator.parameters)
    names: tuple[str, ...] | None = ()
    if heeds_all_inputs(question, validator):
        names = None
    elif isinstance(validator, Validator):
        names = validator.inputs
    found += _differing("input", made.inputs, question.inputs, names)
    if entry.is_expired(now):
        found.append("expired")
    return found


def _differing(
    kind: str, one: Mapping[str, str], other: Mapping[str, str], names: tuple[str, ...] | None
) -> list[str]:
    if names is None:
        names = tuple(dict.fromkeys([*other, *one]))
    return [f"{kind} {name!r}" for name in names if one.get(name) != other.get(name)]


def claim_key(question: Question, validator: CacheValidator) -> str:
    """What two task runs share of which one is to wait for the other's result."""
    parts: list[Any] = [question.name]
    if isinstance(validator, Validator):
        parts.append(question.code if validator.heeds_code else "")
        named = None if heeds_all_inputs(question, validator) else validator.inputs
        parts.append(_text_of(question.inputs, named))
        parts.append(_text_of(question.parameters, validator.parameters))
    else:
        parts += [question.all_inputs, _text_of(question.parameters)]
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:40]


def digests(texts: Mapping[str, str]) -> dict[str, Digest]:
    """Each fingerprint as what can be compared with a value."""
    return {name: Digest(text) for name, text in texts.items()}


def _text_of(texts: Mapping[str, str], names: tuple[str, ...] | None = None) -> str:
    chosen = sorted(texts) if names is None else sorted(set(names) & set(texts))
    whole = hashlib.sha256()
    for name in chosen:
        whole.update(f"{len(name)}:{name}={texts[name]};".encode("utf-8", "surrogatepass"))
    return whole.hexdigest()[:40]
