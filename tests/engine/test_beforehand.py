"""What has to be done beforehand is done in each process to which something is sent, first of all."""

import pickle
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from prefect_dask.engine.beforehand import Beforehand, do_beforehand, no_longer_beforehand
from prefect_dask.engine.child import Child, dumps_call


def make_importable() -> None:
    import types

    sys.modules["made_beforehand"] = types.ModuleType("made_beforehand")


class NeedsThatModule:
    """Opens only where the module is."""

    def __reduce__(self):
        return __import__, ("made_beforehand",)


@pytest.fixture
def noted() -> Iterator[None]:
    do_beforehand("make_importable", make_importable)
    yield
    no_longer_beforehand("make_importable")


def name_of(thing: Any) -> bytes:
    return thing.__name__.encode()


def test_a_helper_process_is_made_ready_before_a_call_is_opened_there(noted: None):
    with Child(name="helper") as child:
        assert child.call(dumps_call(name_of, NeedsThatModule())) == b"made_beforehand"
    assert "made_beforehand" not in sys.modules


def test_nothing_is_sent_along_once_it_is_taken_back(noted: None):
    no_longer_beforehand("make_importable")
    assert pickle.loads(pickle.dumps(Beforehand())).steps == ()
