"""What may cross from one process to another: results and exceptions that can, stand-ins for those that cannot."""

from __future__ import annotations

import io
import pickle
import sys
import traceback
from itertools import dropwhile
from pathlib import Path
from typing import Any

from . import secrets
from .errors import ResultNotPicklable, TaskException, dumps_exception

#: A text longer than this is cut in the middle, bytes. A person reads less, and a 50 MB text stalls a cluster.
TEXT_LIMIT_BYTES = 64 * 1024

#: An exception whose pickle is larger is replaced by a stand-in, bytes.
EXCEPTION_LIMIT_BYTES = 1024 * 1024

_ENGINE = Path(__file__).parent

_PLAIN = (type(None), bool, int, float, complex, str, bytes)


def cut(text: str, limit: int = TEXT_LIMIT_BYTES) -> str:
    """`text`, with its middle left out when it is longer than `limit` characters.

    >>> cut("abcdefghij", 4)
    'ab … 6 characters left out … ij'
    """
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]} … {len(text) - 2 * half} characters left out … {text[-half:]}"


def text_of(error: BaseException) -> str:
    """What an exception says, cut to a readable length; its type's name when it says nothing."""
    try:
        return cut(secrets.masked(str(error))) or type(error).__name__
    except Exception:  # the user's __str__ is broken; the failure must still be told
        return type(error).__name__


def type_and_text_of(error: BaseException) -> str:
    """An exception's type and text, as in the last line of a traceback.

    >>> type_and_text_of(ValueError("no rows")), type_and_text_of(AssertionError())
    ('ValueError: no rows', 'AssertionError')
    """
    name, text = type(error).__name__, text_of(error)
    return name if text == name else f"{name}: {text}"


def traceback_of(error: BaseException) -> str:
    """The traceback of an exception from the user's first line on, as text cut to a readable length."""
    try:
        # Without `str(error)`, which may be huge: the lines of code only, and the frames nearest to the fault.
        frames = traceback.extract_tb(error.__traceback__, limit=-50)
        users = list(dropwhile(lambda frame: _ENGINE in Path(frame.filename).parents, frames))
        return cut(secrets.masked("".join(traceback.format_list(users))))
    except Exception:  # source lines that cannot be read must not hide the failure
        return ""


def without_secrets(error: BaseException) -> BaseException:
    """`error` with secrets masked in its text, arguments, attributes and causes.

    Returns:
        Itself; or, where a secret cannot be taken out of it, a `TaskException` that tells of it.
    """
    if not secrets.are_known():
        return error
    seen: set[int] = set()
    stack: list[BaseException | None] = [error]
    while stack:
        each = stack.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            _mask(each)
            stack += [each.__cause__, each.__context__, *getattr(each, "exceptions", ())]
    return told_of(error) if _tells_a_secret(error) else error


#: Attributes that some of Python's exceptions keep beside `args` and `__dict__`, and tell.
_OWN = ("filename", "filename2", "strerror", "code", "value", "msg", "text", "name", "path")


def _mask(error: BaseException) -> None:
    try:
        error.args = secrets.without(error.args)
        for name, value in list(error.__dict__.items()):
            error.__dict__[name] = secrets.without(value)
        for name in _OWN:
            value = getattr(error, name, None)
            if isinstance(value, str) and secrets.masked(value) != value:
                setattr(error, name, secrets.masked(value))
    except Exception:  # user code may refuse; whether it tells is looked at after this
        pass


def _tells_a_secret(error: BaseException) -> bool:
    try:
        for text in (str(error), repr(error)):
            if secrets.masked(text) != text:
                return True
    except Exception:  # what cannot be told tells nothing
        pass
    try:
        return secrets.is_in(dumps_exception(error))
    except Exception:  # it travels as a stand-in, whose text is masked
        return False


def told_of(error: BaseException) -> TaskException:
    """What stands in for an exception: its type's name, its text and traceback as text."""
    kind = type(error)
    return TaskException(
        f"{kind.__module__}.{kind.__qualname__}", text_of(error), traceback_of(error)
    )


def portable_exception(error: BaseException) -> BaseException:
    """`error` itself where it can be pickled and read back, else a `TaskException` that tells of it."""
    try:
        data = dumps_exception(error)
        if len(data) <= EXCEPTION_LIMIT_BYTES and type(pickle.loads(data)) is type(error):
            return error
    except (Exception, SystemExit):  # user code runs in both directions, and may raise anything
        pass
    return told_of(error)


def check_portable(value: Any, task: str) -> None:
    """See that a result can leave this process, without copying large buffers.

    Raises:
        ResultNotPicklable: It cannot.
    """
    if is_plain(value):
        return
    try:
        _pickle_to_nowhere(value)
    except Exception as error:  # user code (`__reduce__`) runs here
        raise ResultNotPicklable(task, type(value).__qualname__, text_of(error)) from error


def is_plain(value: Any, budget: int = 100) -> bool:
    """Whether a value is surely picklable at one glance: scalars, numeric arrays, small plain collections."""
    kind = type(value)
    if kind in _PLAIN:
        return True
    if kind in (list, tuple, set, frozenset):
        return len(value) <= budget and all(type(item) in _PLAIN for item in value)
    if kind is dict:
        return len(value) <= budget and all(
            type(k) in _PLAIN and type(v) in _PLAIN for k, v in value.items()
        )
    numpy = sys.modules.get("numpy")
    return numpy is not None and kind is numpy.ndarray and not value.dtype.hasobject


class _Nowhere(io.RawIOBase):
    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        return len(data)


def _pickle_to_nowhere(value: Any) -> None:
    """Pickle without keeping a byte; large buffers are passed by (protocol 5, PEP 574)."""
    try:
        pickle.Pickler(_Nowhere(), protocol=5, buffer_callback=lambda _: None).dump(value)
    except Exception:  # plain pickle knows no lambdas and nothing of __main__; cloudpickle does
        import cloudpickle

        cloudpickle.Pickler(_Nowhere(), protocol=5, buffer_callback=lambda _: None).dump(value)
