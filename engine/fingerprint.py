"""Short texts that are equal where values, or pieces of code, are equal: in every process, and on every day.

A pickle is no such text: equal values may have different ones (the order of a set, what is shared inside). So
values are gone through by their structure, down to what an object says by `__reduce_ex__`.
"""

from __future__ import annotations

import dis
import hashlib
import inspect
import re
import sys
import sysconfig
import types
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from itertools import chain
from typing import Any

from .errors import PrefectDaskError
from .failures import text_of

#: Scalars whose repr tells them apart, also from those of another type.
_SCALARS = frozenset({type(None), bool, int, float, complex, str, bytes, type(...)})

#: Where Python's own modules are, and those that were installed.
_LIBRARY = (sysconfig.get_path("stdlib"), "<frozen")
_INSTALLED = ("site-packages", "dist-packages")


class NoFingerprint(PrefectDaskError, TypeError):
    """A value cannot be told from others like it: it is a lock, an open file, a generator, …"""

    def __init__(self, kind: str, cause: str) -> None:
        super().__init__(f"a {kind} has no fingerprint ({cause})")
        self.kind, self.cause = kind, cause


class Digest:
    """Stands for a value that is not at hand: equal to that value, and to the digest of an equal one.

    Example:
        >>> Digest.of([1, 2]) == [1, 2], Digest.of([1, 2]) == [2, 1]
        (True, False)
    """

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    @staticmethod
    def of(value: Any) -> Digest:
        """The digest of a value.

        Raises:
            NoFingerprint: It cannot be told from others.
        """
        return Digest(fingerprint(value))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Digest):
            return self.text == other.text
        try:
            return self.text == fingerprint(other)
        except NoFingerprint:
            return False

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"<Digest: {self.text[:8]}>"

    def __reduce__(self) -> tuple[type[Digest], tuple[str]]:
        return Digest, (self.text,)


def fingerprint(value: Any) -> str:
    """A text of 40 characters that equal values share, and no others.

    Dicts and sets are equal whatever their order; 1, 1.0 and True are different.

    Raises:
        NoFingerprint: The value, or something in it, cannot be told from others.

    >>> fingerprint({"a": 1, "b": {2, 3}}) == fingerprint({"b": {3, 2}, "a": 1})
    True
    """
    return _Walk().digest(value).hex()


def code_fingerprint(function: Callable[..., Any], owner: Any = None) -> str:
    """A text that functions with the same code share, however they are written down.

    Body, defaults and values of the closure count; comments, docstrings, line breaks and names of the file do not.
    Functions, classes and plain values count that the code mentions by their own names; what it reaches through a
    module (`tools.clean`), and what is installed or Python's own, counts by its name.

    Args:
        function: The function.
        owner: The object whose method it is: what other methods and attributes of it the code mentions counts.

    Raises:
        NoFingerprint: A value of the closure, or a default, cannot be told from others.
    """
    walk = _Walk(owner)
    return walk.digest(function).hex()


class _Walk:
    """One way through a value: knows what it has seen, so that shared parts cost once and cycles end."""

    def __init__(self, owner: Any = None) -> None:
        self.owner = owner
        #: By id; the value is kept, so that the id stays its own.
        self.seen: dict[int, tuple[Any, bytes]] = {}
        self.under_way: dict[int, int] = {}

    def digest(self, value: Any) -> bytes:
        kind = type(value)
        if kind in _SCALARS:
            return _sum(kind.__name__, repr(value).encode("utf-8", "surrogatepass"))
        if id(value) in self.seen:
            return self.seen[id(value)][1]
        if id(value) in self.under_way:
            # It holds itself, so many steps above.
            return _sum("above", str(len(self.under_way) - self.under_way[id(value)]).encode())
        self.under_way[id(value)] = len(self.under_way)
        try:
            found = self._digest(value, kind)
        except RecursionError as error:
            raise NoFingerprint(kind.__qualname__, "it is nested too deeply") from error
        finally:
            del self.under_way[id(value)]
        self.seen[id(value)] = (value, found)
        return found

    def _digest(self, value: Any, kind: type) -> bytes:
        if kind in (list, tuple):
            if all(type(item) in _SCALARS for item in value):
                return _sum(kind.__name__, repr(value).encode("utf-8", "surrogatepass"))
            return _sum(kind.__name__, *map(self.digest, value))
        if kind is dict:
            pairs = (self.digest(key) + self.digest(item) for key, item in value.items())
            return _sum("dict", *sorted(pairs))
        if kind in (set, frozenset):
            return _sum(kind.__name__, *sorted(map(self.digest, value)))
        if isinstance(value, types.FunctionType):
            if _is_of_library(value.__code__.co_filename):
                return _sum("library", name_of(value).encode())
            return self._digest_function(value)
        if isinstance(value, types.CodeType):
            return _sum("code", *self._parts_of_code(value))
        if isinstance(value, type):
            return self._digest_class(value)
        if isinstance(value, types.ModuleType):
            return _sum("module", value.__name__.encode())
        if isinstance(value, Digest):
            return bytes.fromhex(value.text)
        of_library = self._digest_array(value, kind)
        return of_library if of_library is not None else self._digest_object(value, kind)

    # ---- arrays and tables, whose pickles copy them or depend on how they came about

    def _digest_array(self, value: Any, kind: type) -> bytes | None:
        numpy, pandas = sys.modules.get("numpy"), sys.modules.get("pandas")
        if numpy is not None and kind is numpy.ndarray:
            head = (value.dtype.descr if value.dtype.names else value.dtype.str, value.shape)
            if value.dtype.hasobject:
                return _sum("ndarray", self.digest(head), self.digest(value.tolist()))
            flat = numpy.ascontiguousarray(value).reshape(-1).view(numpy.uint8)
            return _sum("ndarray", self.digest(head), memoryview(flat))
        if pandas is not None and kind in (pandas.DataFrame, pandas.Series):
            columns = [value] if kind is pandas.Series else [c for _, c in value.items()]
            return _sum(
                kind.__name__,
                self.digest(list(value.index)),
                *(self.digest([c.name, str(c.dtype), c.tolist()]) for c in columns),
            )
        return None

    # ---- objects

    def _digest_object(self, value: Any, kind: type) -> bytes:
        try:
            reduced = value.__reduce_ex__(4)
        except Exception as error:  # the user's classes are asked here
            raise NoFingerprint(kind.__qualname__, text_of(error)) from error
        if isinstance(reduced, str):
            return _sum("named", f"{kind.__module__}.{reduced}".encode())
        make, args, state, items, pairs = (*reduced, None, None, None)[:5]
        return _sum(
            "object",
            name_of(kind).encode(),
            # `make` is most often copyreg's; a class among the arguments is `kind` itself.
            self._digest_maker(make),
            *(b"" if arg is kind else self.digest(arg) for arg in args),
            self.digest(state),
            self.digest(list(items) if items is not None else None),
            self.digest(dict(pairs) if pairs is not None else None),
        )

    def _digest_maker(self, make: Any) -> bytes:
        return name_of(make).encode() if hasattr(make, "__qualname__") else self.digest(make)

    def _digest_class(self, value: type) -> bytes:
        # A class by its name; its code counts where a function's code mentions it.
        return _sum("class", name_of(value).encode())

    # ---- code

    def _digest_function(self, function: types.FunctionType) -> bytes:
        return _sum(
            "function",
            *self._parts_of_code(function.__code__, function),
            self.digest(function.__defaults__),
            self.digest(function.__kwdefaults__),
            *(self._digest_cell(cell) for cell in function.__closure__ or ()),
        )

    def _digest_cell(self, cell: types.CellType) -> bytes:
        try:
            value = cell.cell_contents
        except ValueError:
            return b"empty"
        if value is self.owner:
            return b"owner"
        return self._digest_class_code(value) if isinstance(value, type) else self.digest(value)

    def _parts_of_code(
        self, code: types.CodeType, function: types.FunctionType | None = None
    ) -> Iterator[bytes]:
        arguments = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        flags = code.co_flags & ~0x4000000  # not whether there is a docstring (Python 3.13)
        yield self.digest(
            (arguments, code.co_posonlyargcount, code.co_kwonlyargcount, flags, code.co_freevars)
        )
        yield from (self._digest_step(*step) for step in steps_of(code))
        if function is not None:
            for name in sorted(names_in(code, ("LOAD_GLOBAL", "LOAD_NAME"))):
                if name in function.__globals__:
                    yield name.encode()
                    yield self._digest_mentioned(function.__globals__[name])
            if self.owner is not None:
                for name in sorted(names_in(code, ("LOAD_ATTR", "LOAD_METHOD"))):
                    yield self._digest_attribute(name)

    def _digest_step(self, operation: str, argument: Any) -> bytes:
        if isinstance(argument, types.CodeType):
            return operation.encode() + self.digest(argument)
        try:
            return operation.encode() + self.digest(argument)
        except NoFingerprint:
            return operation.encode() + repr(argument).encode()

    def _digest_mentioned(self, value: Any) -> bytes:
        """A name of the module that the code mentions: a function or class by its code, data by its value."""
        value = getattr(value, "__wrapped__", value)
        if isinstance(value, type):
            return self._digest_class_code(value)
        if isinstance(value, types.FunctionType) or _is_data(value):
            return self.digest(value)
        # Some object of the module: another module, a logger, a connection.
        return name_of(type(value)).encode()

    def _digest_class_code(self, value: type) -> bytes:
        if id(value) in self.under_way:
            return b"above"
        self.under_way[id(value)] = len(self.under_way)
        try:
            members = [
                name.encode() + self._digest_mentioned(getattr(member, "__func__", member))
                for name, member in sorted(vars(value).items())
                if _is_function(getattr(member, "__func__", member))
                or (not name.startswith("__") and _is_data(member))
            ]
        finally:
            del self.under_way[id(value)]
        return _sum("class code", name_of(value).encode(), *members)

    def _digest_attribute(self, name: str) -> bytes:
        """A method of the owner, where its class has one of that name."""
        found = inspect.getattr_static(type(self.owner), name, None)
        function = getattr(found, "fget", None) or getattr(found, "__func__", found)
        if not isinstance(function, types.FunctionType) or id(function) in self.under_way:
            return b""
        return name.encode() + self.digest(function)


#: Pairs of steps that Python 3.13 and later put into one where both stand on one line.
_PAIR = re.compile(r"(LOAD_FAST|STORE_FAST)(?:_BORROW)?_(LOAD_FAST|STORE_FAST)(?:_BORROW)?")


def steps_of(code: types.CodeType) -> Iterator[tuple[str, Any]]:
    """What a piece of code does, step by step, with what each step is about; the same wherever its lines end.

    Constants that no step uses, such as the docstring, are left out. Jumps are told by the number of the step.
    """
    steps: list[tuple[str, Any, bool]] = []
    #: Where each step begins, and its number: some stand for none, and some for two.
    offsets, numbers = [], []
    for step in dis.get_instructions(code):
        offsets.append(step.offset)
        numbers.append(len(steps))
        pair = _PAIR.fullmatch(step.opname)
        if step.opname == "STORE_NAME" and step.argval == "__firstlineno__":
            steps.pop()  # the line where a class begins (Python 3.13)
        elif pair is not None:
            steps += [(pair[1], step.argval[0], False), (pair[2], step.argval[1], False)]
        elif step.opname != "NOP":
            is_jump = step.opcode in dis.hasjrel or step.opcode in dis.hasjabs
            steps.append((step.opname.removesuffix("_BORROW"), step.argval, is_jump))

    def number_at(offset: int) -> int:
        place = bisect_left(offsets, offset)
        return numbers[place] if place < len(numbers) else len(steps)

    for operation, argument, is_jump in steps:
        yield operation, number_at(argument) if is_jump else argument
    # What catches what, on Python 3.11 and later.
    for entry in getattr(dis.Bytecode(code), "exception_entries", ()):
        span = [number_at(offset) for offset in (entry.start, entry.end, entry.target)]
        yield "EXCEPTION", (*span, entry.depth, entry.lasti)


def names_in(code: types.CodeType, operations: tuple[str, ...]) -> set[str]:
    """The names that such steps of the code, or of functions inside it, are about."""
    names: set[str] = set()
    for operation, argument in steps_of(code):
        if operation in operations and isinstance(argument, str):
            names.add(argument)
        elif isinstance(argument, types.CodeType):
            names |= names_in(argument, operations)
    return names


class CodeOf:
    """The code of one task as the cache sees it, worked out when first asked for.

    Args:
        task: Has a `run`; what it says by `own_facts()` counts with its code.
    """

    def __init__(self, task: Any) -> None:
        self.task = task

    @cached_property
    def fingerprint(self) -> str:
        """The fingerprint.

        Raises:
            NoFingerprint: Something that the code holds cannot be told from others like it.
        """
        run = self.task.run
        function = inspect.unwrap(getattr(run, "__func__", run))
        if not isinstance(function, types.FunctionType):
            # A builtin, or an object that can be called.
            return fingerprint(
                [name_of(function) if hasattr(function, "__qualname__") else function]
            )
        walk = _Walk(self.task)
        facts: Mapping[str, Any] = self.task.own_facts()
        return _sum("task", walk.digest(function), _Walk(self.task).digest(dict(facts))).hex()


def name_of(thing: Any) -> str:
    """Module and qualified name; without the module for what was made in `__main__`."""
    module = getattr(thing, "__module__", None)
    return f"{module}.{thing.__qualname__}" if module else str(thing.__qualname__)


def _is_function(value: Any) -> bool:
    return isinstance(value, types.FunctionType) and not _is_of_library(value.__code__.co_filename)


def _is_of_library(file: str) -> bool:
    """Whether code is Python's own or was installed: it counts by its name, not by what it does."""
    return file.startswith(_LIBRARY) or any(folder in file for folder in _INSTALLED)


def _is_data(value: Any) -> bool:
    """Whether a value is plain data: what stands in capitals at the head of a module."""
    if type(value) in _SCALARS:
        return True
    if type(value) in (list, tuple, set, frozenset):
        return all(map(_is_data, value))
    if type(value) is dict:
        return all(map(_is_data, chain(value, value.values())))
    return type(value).__module__ in ("datetime", "decimal", "fractions", "pathlib", "re")


def _sum(kind: str, *parts: bytes | memoryview) -> bytes:
    """One digest of several; each is told from the next."""
    whole = hashlib.sha256(kind.encode())
    for part in parts:
        whole.update(b"%d:" % (part.nbytes if isinstance(part, memoryview) else len(part)))
        whole.update(part)
    return whole.digest()[:20]
