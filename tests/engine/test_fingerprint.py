"""Equal values, and equal pieces of code, have equal fingerprints; others have not."""

import dataclasses
import enum
import pickle
import subprocess
import sys
import threading
from collections import OrderedDict, namedtuple
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_dask.engine.fingerprint import (
    Digest,
    NoFingerprint,
    code_fingerprint,
    fingerprint,
)

Point = namedtuple("Point", "x y")


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


@dataclasses.dataclass
class Record:
    name: str
    size: int


class Plain:
    def __init__(self, **facts):
        self.__dict__.update(facts)


DIFFERENT: list = [
    None, True, False, 0, 1, 1.0, -1, "1", b"1", "", b"", (), [], {}, set(), frozenset(), (1,), [1],
    [[1]], [[1], []], {1: 2}, {2: 1}, {"1": 2}, {1}, Point(1, 2), (1, 2), [1, 2], [2, 1],
    Colour.RED, Colour.BLUE, Record("a", 1), Record("a", 2), Plain(a=1), Plain(a=2), Plain(b=1),
    datetime(2024, 1, 1), datetime(2024, 1, 1, tzinfo=timezone.utc), timedelta(1), Decimal("1"),
    PurePosixPath("a"), "a", "\ud800", float("nan"), range(3), len, int, Record, ValueError("a"),
]  # fmt: skip


def test_values_that_differ_have_different_fingerprints():
    found = [fingerprint(value) for value in DIFFERENT]
    assert len(set(found)) == len(DIFFERENT)


@pytest.mark.parametrize("value", DIFFERENT)
def test_a_copy_has_the_fingerprint_of_the_value(value):
    assert fingerprint(pickle.loads(pickle.dumps(value))) == fingerprint(value)


def test_the_order_of_dicts_and_sets_does_not_count():
    assert fingerprint({"a": 1, "b": [2]}) == fingerprint({"b": [2], "a": 1})
    assert fingerprint({"a", "b", "c"}) == fingerprint({"c", "b", "a"})
    assert fingerprint(OrderedDict(a=1)) != fingerprint({"a": 1})


def test_what_is_shared_inside_does_not_count():
    part = [[1]]
    assert fingerprint([part, part]) == fingerprint([[[1]], [[1]]])


def test_a_value_that_holds_itself_has_a_fingerprint():
    loop: list = [1]
    loop.append(loop)
    other: list = [1]
    other.append(other)
    assert fingerprint(loop) == fingerprint(other)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
)


@given(values, values)
def test_fingerprints_are_equal_where_values_are(one, other):
    assert fingerprint(one) == fingerprint(pickle.loads(pickle.dumps(one)))
    same = repr(one) == repr(other)
    if same:
        assert fingerprint(one) == fingerprint(other)
    elif one != other:
        assert fingerprint(one) != fingerprint(other)


@pytest.mark.parametrize("value", [threading.Lock(), (n for n in range(3)), sys.stderr])
def test_what_cannot_be_told_from_others_has_none(value):
    with pytest.raises(NoFingerprint, match="has no fingerprint"):
        fingerprint([value])


def test_arrays_and_frames_count_by_what_is_in_them():
    import numpy

    array = numpy.arange(12).reshape(3, 4)
    assert fingerprint(array) == fingerprint(array.copy()) == fingerprint(array.T.copy().T)
    assert fingerprint(array) != fingerprint(array.reshape(4, 3))
    assert fingerprint(array) != fingerprint(array.astype(float))


def test_a_digest_stands_for_its_value():
    digest = Digest.of([1, {"a": 2}])
    assert digest == [1, {"a": 2}] and digest == Digest.of([1, {"a": 2}])
    assert digest != [1, {"a": 3}] and digest != threading.Lock()
    assert pickle.loads(pickle.dumps(digest)) == digest and len({digest, digest}) == 1


def test_fingerprints_are_the_same_in_another_process():
    code = (
        "from prefect_dask.engine.fingerprint import *; from tests.engine import test_fingerprint as t;"
        "print(fingerprint([{'a', 'b', 'c'}, t.Record('a', 1)]), code_fingerprint(t.written))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = [fingerprint([{"a", "b", "c"}, Record("a", 1)]), code_fingerprint(written)]
    assert done.stdout.split() == here


# ---- code

LIMIT = 3


def helper(x):
    return x + 1


def written(x, y=2):
    # A comment.
    return helper(x) * y if x > LIMIT else [x for _ in range(y)]


def made(source, **names):
    names |= {"__name__": "made"}
    exec(source, names)
    function = names["f"]
    assert callable(function)
    return code_fingerprint(function)


BASE = "def f(x, y=2):\n    return [x + y for _ in range(3)]"


@pytest.mark.parametrize(
    "source",
    [
        "# comment\n\n\ndef f(x, y=2):\n    # more\n    return [\n        x + y\n        for _ in range(3)\n    ]",
        'def f(x, y=2):\n    """What it does."""\n    return [x + y for _ in range(3)]',
        "def f(x: int, y: int = 2) -> list:\n    return [(x + y) for _ in range(3)]",
    ],
    ids=["comments and line breaks", "a docstring", "annotations"],
)
def test_how_code_is_written_down_does_not_count(source):
    assert made(source) == made(BASE)


SPREAD = """
def f(xs):
    with open(xs) as file:
        try: {0}rows = [{0}(a, b) for a, b in zip(file, {0}xs)]
        except (OSError,{0} ValueError) as e:
            {1}
            for x in xs: {0}
                if x > 3 {2} x < 9: continue
                return {{x: e,{0} **xs}}
        finally: xs = {0}(xs or {0} None)
    def g(y): return xs[y] if y else ({0}yield y)
    while xs: {0}
        xs, rows = rows,{0} xs
    return xs, {0}lambda z: z + {0}1, g
"""


def test_line_breaks_in_the_midst_of_branches_loops_and_handlers_do_not_count():
    def spread(break_, comment, operator="and"):
        return made(SPREAD.format(break_, comment, operator))

    assert spread("", "pass") == spread("\\\n          ", "pass")
    assert spread("", "pass") == spread("", "pass  # comment\n\n")
    assert spread("", "pass", "or") != spread("", "pass", "and")


@pytest.mark.parametrize(
    "source",
    [
        "def f(x, y=3):\n    return [x + y for _ in range(3)]",
        "def f(x, y=2):\n    return [x - y for _ in range(3)]",
        "def f(x, y=2):\n    return [x + y for _ in range(4)]",
        "def f(x, *, y=2):\n    return [x + y for _ in range(3)]",
        "def f(x, y=2):\n    return [str(x + y) for _ in range(3)]",
    ],
    ids=["default", "operator", "constant inside", "signature", "call"],
)
def test_what_code_does_counts(source):
    assert made(source) != made(BASE)


def test_values_of_the_closure_count():
    def of(value):
        return code_fingerprint(lambda x: x * value)

    assert of(2) == of(2) != of(3)
    assert of(helper) == of(helper) != of(written)


def test_functions_and_values_that_the_code_mentions_count():
    calls = "def h(x):\n    return x + {}\n\ndef f(x):\n    return h(x)"
    assert made(calls.format(1)) == made(calls.format(1)) != made(calls.format(2))
    reads = "LIMIT = {}\n\ndef f(x):\n    return x > LIMIT"
    assert made(reads.format(1)) == made(reads.format(1)) != made(reads.format(2))
    makes = "class A:\n    def go(self):\n        return {}\n\ndef f(x):\n    return A().go()"
    assert made(makes.format(1)) == made(makes.format(1)) != made(makes.format(2))


def test_functions_that_call_each_other_have_a_fingerprint():
    source = "def g(x):\n    return f(x)\n\ndef f(x):\n    return g(x + {})"
    assert made(source.format(1)) == made(source.format(1)) != made(source.format(2))


def test_functions_of_libraries_count_by_their_names():
    import json
    import shutil

    assert fingerprint(json.dumps) != fingerprint(json.dump)
    assert code_fingerprint(lambda: shutil.copy) != code_fingerprint(lambda: shutil.move)


def test_the_line_where_a_class_inside_begins_does_not_count():
    source = "def f():\n    {}class A:\n        x = 1\n    return A"
    assert made(source.format("")) == made(source.format("\n\n    "))
