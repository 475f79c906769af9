"""The table of lawful moves leads from every state to an end."""

from hypothesis import given
from hypothesis import strategies as st

from prefect_dask.engine.lawful import LAWFUL, is_lawful
from prefect_dask.engine.state import (
    STATES,
    Cancelled,
    Finished,
    Looped,
    Mapped,
    Paused,
    Pending,
    Running,
    Scheduled,
    Skipped,
    State,
    Success,
)

KINDS = sorted(STATES.values(), key=lambda kind: kind.__name__)


@given(st.sampled_from(KINDS))
def test_a_final_state_can_be_reached_from_every_state(kind):
    reached, border = {kind}, [kind]
    while border:
        old = border.pop()
        for new in KINDS:
            if new not in reached and is_lawful(old, new):
                reached.add(new)
                border.append(new)

    assert any(issubclass(state, Finished) and state is not Looped for state in reached)


@given(st.sampled_from(KINDS), st.sampled_from([Running, Scheduled, Paused]))
def test_what_is_over_never_goes_back(old, new):
    finished_for_good = issubclass(old, (Cancelled, Skipped)) or old in (Success, Mapped)
    if finished_for_good and not (old is Mapped and issubclass(new, Pending)):
        assert not is_lawful(old, new)


def test_the_table_speaks_of_states_only():
    assert set(LAWFUL) <= set(KINDS)
    assert all(issubclass(new, State) for follow in LAWFUL.values() for new in follow)
