"""The cycle collector is held back while somebody holds it, and left as it was found."""

import gc

import pytest

from prefect_dask.engine.collector import CollectorHeld


@pytest.fixture(autouse=True)
def _collecting_again():
    yield
    gc.enable()


def test_it_collects_again_when_the_last_one_lets_go():
    with CollectorHeld():
        with CollectorHeld():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_who_has_switched_it_off_finds_it_off():
    gc.disable()
    with CollectorHeld():
        pass
    assert not gc.isenabled()


def test_an_error_lets_go_too():
    with pytest.raises(ValueError), CollectorHeld():
        raise ValueError
    assert gc.isenabled()
