"""Values that nobody may read: each process knows those that it met, and masks them in all text that it makes.

A secret is known from the moment when a task of this process looked it up or received it. Text of three
characters or less is not masked: what it says stands in every second word.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeVar

MASK: Final = "***"

#: Shorter ones are not masked.
SHORTEST_CHARACTERS = 4

#: Lines of a secret that is a text of several, such as a key, are masked each when they are at least as long:
#: what is printed comes line by line.
SHORTEST_LINE_CHARACTERS = 12

T = TypeVar("T")


class _Hidden:
    """Stands where the result of a secret task was; the value is nowhere near."""

    __slots__ = ()

    def __repr__(self) -> str:
        return MASK

    def __reduce__(self) -> str:
        return "HIDDEN"


HIDDEN: Final = _Hidden()


# ---- what this process knows

_lock = threading.Lock()
_known: set[str] = set()
#: All forms of what is known, the longest first; None while nothing is known. One search for each is many times
#: as fast as one for any of them: a text of 50 MB takes 10 ms a form, a regular expression takes seconds.
_in_text: tuple[str, ...] | None = None
_in_bytes: tuple[bytes, ...] | None = None


def remember(value: Any) -> None:
    """From now on mask a value in the text that this process makes.

    Args:
        value: Text, bytes or a number, or lists and dicts of these; other things are no text, and left alone.
    """
    global _in_text, _in_bytes
    if value is None or isinstance(value, (bool, BaseException)):
        return
    texts = set(_texts_in(value))
    if texts <= _known:
        return
    with _lock:
        _known.update(texts)
        forms = sorted({form for text in _known for form in _forms(text)}, key=len, reverse=True)
        _in_bytes = tuple(form.encode("utf-8", "replace") for form in forms)
        _in_text = tuple(forms)


def are_known() -> bool:
    """Whether there is anything to mask."""
    return _in_text is not None


def forget_all() -> None:
    """Know nothing any more."""
    global _in_text, _in_bytes
    with _lock:
        _known.clear()
        _in_text = _in_bytes = None


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, (bytes, bytearray)):
        value = bytes(value).decode("utf-8", "replace")
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, str):
        if len(value) >= SHORTEST_CHARACTERS and value.strip():
            yield value
        lines = [line.strip() for line in value.splitlines()]
        if len(lines) > 1:
            yield from (line for line in lines if len(line) >= SHORTEST_LINE_CHARACTERS)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts_in(item)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            yield from _texts_in(item)


def _forms(text: str) -> Iterable[str]:
    """How a text may stand in another one: as it is, in a repr, in JSON, in a URL."""
    import json
    from urllib.parse import quote, quote_plus

    url = text.encode("utf-8", "replace")
    return (text, repr(text)[1:-1], json.dumps(text)[1:-1], quote(url, safe=""), quote_plus(url))


# ---- masking


def masked(text: str) -> str:
    """A text without the secrets that this process knows.

    >>> remember("open sesame")
    >>> masked("he said 'open sesame'")
    "he said '***'"
    >>> forget_all()
    """
    for form in _in_text or ():
        text = text.replace(form, MASK)
    return text


def is_in(data: bytes) -> bool:
    """Whether a secret stands in data, such as a pickle, as it is."""
    # Asked once a task run, and most processes know none.
    return _in_bytes is not None and any(form in data for form in _in_bytes)


def without(value: T) -> T:
    """A value with masked text in it: itself where there is nothing to mask.

    Looks into lists, tuples, sets and dicts, and into no other objects.
    """
    if _in_text is None:
        return value
    new = _without(value)
    same: T = value if new == value and type(new) is type(value) else new
    return same


def _without(value: Any) -> Any:
    kind = type(value)
    if kind is str:
        return masked(value)
    if kind is bytes:
        for form in _in_bytes or ():
            value = value.replace(form, MASK.encode())
        return value
    if kind in (int, float):
        text = str(value)
        return MASK if text in _known else value
    if kind in (list, tuple, set, frozenset):
        return kind(map(_without, value))
    if kind is dict:
        return {_without(key): _without(item) for key, item in value.items()}
    return value


def mask_record(record: logging.LogRecord) -> None:
    """Take the secrets out of a log record, before any handler sees it."""
    if _in_text is None:
        return
    try:
        message = record.getMessage()
        tells = any(masked(text) != text for text in (message, repr(record.args)))
    except Exception as error:  # the user's arguments do not fit; logging itself would print them
        message = f"{record.msg} (its arguments do not fit: {type(error).__name__})"
        tells = True
    if tells:
        record.msg, record.args = masked(message), ()
    if record.exc_info and not record.exc_text:
        told = _formatter.formatException(record.exc_info)
        if masked(told) != told:
            # Handlers that make their own text of an exception would make it of this one.
            record.exc_info, record.exc_text = None, masked(told)
    if record.exc_text:
        record.exc_text = masked(record.exc_text)
    if record.stack_info:
        record.stack_info = masked(record.stack_info)
    for name, value in record.__dict__.items():
        if name not in _OF_EVERY_RECORD:
            record.__dict__[name] = without(value)


_formatter = logging.Formatter()
_OF_EVERY_RECORD = frozenset(logging.LogRecord("", 0, "", 0, "", None, None).__dict__)
