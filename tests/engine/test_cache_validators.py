"""What each rule asks of an earlier result."""

import pickle
from datetime import datetime, timedelta, timezone

import pytest

from prefect_dask.engine.cache_validators import (
    all_inputs,
    all_parameters,
    duration_only,
    never_use,
    partial_inputs_only,
    partial_parameters_only,
)
from prefect_dask.engine.fingerprint import Digest
from prefect_dask.engine.state import Cached


def earlier(*, age_hours: int = -1) -> Cached:
    until = datetime.now(timezone.utc) - timedelta(hours=age_hours)
    return Cached(
        cached_inputs={"x": 1, "y": Digest.of([2])},
        cached_parameters={"day": "monday", "limit": 3},
        cached_result_expiration=until,
    )


SAME = ({"x": 1, "y": [2]}, {"day": "monday", "limit": 3})
OTHER_X = ({"x": 5, "y": [2]}, SAME[1])
OTHER_Y = ({"x": 1, "y": [5]}, SAME[1])
MORE = ({**SAME[0], "z": 1}, SAME[1])
OTHER_DAY = (SAME[0], {"day": "tuesday", "limit": 3})


@pytest.mark.parametrize(
    ("validator", "good_for"),
    [
        (never_use, []),
        (duration_only, [SAME, OTHER_X, OTHER_Y, MORE, OTHER_DAY]),
        (all_inputs, [SAME, OTHER_DAY]),
        (all_parameters, [SAME, OTHER_X, OTHER_Y, MORE]),
        (partial_inputs_only(["y"]), [SAME, OTHER_X, MORE, OTHER_DAY]),
        (partial_inputs_only(validate_on="x"), [SAME, OTHER_Y, MORE, OTHER_DAY]),
        (partial_inputs_only(), [SAME, OTHER_X, OTHER_Y, MORE, OTHER_DAY]),
        (partial_parameters_only(["day"]), [SAME, OTHER_X, OTHER_Y, MORE]),
        (partial_parameters_only(["limit"]), [SAME, OTHER_X, OTHER_Y, MORE, OTHER_DAY]),
    ],
    ids=repr,
)
def test_an_earlier_result_is_good_for(validator, good_for):
    for now in (SAME, OTHER_X, OTHER_Y, MORE, OTHER_DAY):
        assert validator(earlier(), *now) == (now in good_for), now
    assert not validator(earlier(age_hours=1), *SAME), "expired"
    again = pickle.loads(pickle.dumps(validator))
    assert again(earlier(), *SAME) == validator(earlier(), *SAME)


def test_without_an_expiry_a_result_is_good_for_ever():
    assert all_inputs(Cached(cached_inputs={"x": 1}), {"x": 1}, {})


def test_inputs_that_nobody_noted_are_not_equal():
    assert not all_inputs(Cached(), {}, {})


def test_arrays_are_compared_as_a_whole():
    import numpy

    state = Cached(cached_inputs={"x": numpy.arange(3)})
    assert all_inputs(state, {"x": numpy.arange(3)}, {})
    assert not all_inputs(state, {"x": numpy.arange(4)}, {})
