"""R4: when faults stop, every run ends, or is Paused or Scheduled; nothing stays Running without a holder."""


def test_the_run_ended_and_nothing_is_left_running(storm):
    assert storm.state.is_successful()
    for state in storm.state.result.values():
        assert state.is_finished()
    for name in storm.names.values():
        assert storm.history(name)[-1] == "Success"
