"""Resources: set up before a block of tasks, cleaned up after it, whatever happens in between."""

from typing import Any

import pytest

from prefect_dask import Flow, case, resource_manager, task
from prefect_dask.engine.signals import SKIP
from prefect_dask.engine.state import Failed, Skipped, Success, TriggerFailed
from prefect_dask.errors import OutsideFlow, WrongArguments, WrongSetting
from prefect_dask.executors import LocalDaskExecutor, LocalExecutor


class Room:
    """Writes down who comes and goes."""

    def __init__(self, name="room", *, lock=None):
        self.name = name

    def setup(self):
        BOOK.append("open")
        return self.name

    def cleanup(self, room):
        BOOK.append(f"close {room}")


room = resource_manager(Room)
BOOK: list[str] = []


@pytest.fixture(autouse=True)
def empty_book():
    BOOK.clear()


@task
def enter(place, who="somebody"):
    BOOK.append(f"{who} in {place}")
    return who


@task
def trip(place):
    BOOK.append("trips")
    raise ValueError("tripped")


@task
def note(word="noted"):
    BOOK.append(word)
    return word


@pytest.mark.parametrize("executor", [LocalExecutor(), LocalDaskExecutor(num_workers=3)])
def test_clean_up_comes_after_all_tasks_of_the_block(executor):
    with Flow("f") as flow:
        with room("hall") as place:
            first = enter(place, "a")
            enter(place, "b").set_upstream(first)
            note("inside without the resource")
        note("outside")
    state = flow.run(executor=executor)
    assert state.is_successful()
    inside = [line for line in BOOK if line != "outside"]
    assert inside[0] == "open" and inside[-1] == "close hall"
    assert sorted(inside[1:-1]) == ["a in hall", "b in hall", "inside without the resource"]


def test_clean_up_comes_also_where_tasks_fail_and_what_fails_is_told():
    with Flow("f") as flow, room() as place:
        broken = trip(place)
        below = note(broken)
    state = flow.run()
    assert isinstance(state, Failed)
    assert isinstance(state.result[below], TriggerFailed)
    assert BOOK == ["open", "trips", "close room"]


def test_set_up_and_clean_up_do_not_decide_the_flows_state():
    class Sticky(Room):
        def cleanup(self, place):
            raise OSError("the door sticks")

    sticky = resource_manager(Sticky)
    with Flow("f") as flow:
        door = sticky()
        with door as place:
            last = enter(enter(place))
    assert flow.reference_tasks() == {last}
    state = flow.run()
    assert state.is_successful()
    assert isinstance(state.result[door.cleanup_task], Failed)


def test_what_hands_a_resource_its_arguments_decides_nothing_when_others_come_after_it():
    with Flow("f") as flow, room(note("hall")) as place:
        last = enter(place)
    assert flow.reference_tasks() == {last}


@pytest.mark.parametrize(
    ("error", "becomes"), [(ValueError("no key"), TriggerFailed), (SKIP(), Skipped)]
)
def test_where_nothing_was_set_up_nothing_is_cleaned_up(error, becomes):
    class Locked(Room):
        def setup(self):
            raise error

    locked = resource_manager(Locked)
    with Flow("f") as flow:
        door = locked()
        with door as place:
            inside = enter(place)
    state = flow.run()
    assert isinstance(state.result[inside], becomes)
    assert isinstance(state.result[door.cleanup_task], Skipped)
    assert BOOK == []


def test_a_manager_that_cannot_be_made_is_not_cleaned_up():
    class Impossible(Room):
        def __init__(self):
            raise ValueError("no plan")

    impossible = resource_manager(Impossible)
    with Flow("f") as flow:
        door = impossible()
        with door:
            note()
    state = flow.run()
    assert isinstance(state.result[door.init_task], Failed)
    assert isinstance(state.result[door.cleanup_task], Skipped)


def test_a_skipped_task_of_the_block_does_not_keep_the_resource_open():
    with Flow("f") as flow, room() as place, case(place, "another"):
        enter(place)
    assert flow.run().is_successful()
    assert BOOK == ["open", "close room"]


def test_a_resource_in_a_case_that_is_skipped_is_not_set_up():
    with Flow("f") as flow, case(False, True):
        door = room()
        with door as place:
            enter(place)
    assert isinstance(flow.run().result[door.cleanup_task], Skipped)
    assert BOOK == []


def test_resources_nest():
    with Flow("f") as flow, room("outer") as outer, room(outer) as inner:
        enter(inner)
    assert flow.run().is_successful()
    assert BOOK == ["open", "open", "somebody in outer", "close outer", "close outer"]


def test_clean_up_waits_for_all_children_of_a_map_and_for_retries():
    @task(max_retries=1, retry_delay=0)
    def twice(x):
        BOOK.append(f"turn {x}")
        if BOOK.count("turn 2") == 1:
            raise ValueError("once more")

    with Flow("f") as flow, room():
        twice.map([1, 2, 3])
    assert flow.run().is_successful()
    assert BOOK.count("turn 2") == 2
    assert BOOK[-1] == "close room"


def test_a_run_that_goes_on_from_earlier_states_sets_up_again():
    with Flow("f") as flow, room() as place:
        done = note("done")
        broken = trip(place)
    first = flow.run()
    assert BOOK == ["open", "done", "trips", "close room"]

    BOOK.clear()
    kept = {each: state for each, state in first.result.items() if each is not broken}
    again = flow.run(task_states=kept)
    assert BOOK == ["open", "trips", "close room"]
    assert again.result[done] == first.result[done]


def test_settings_and_names_of_the_three_tasks():
    door = resource_manager(
        name="door",
        setup_task_kwargs={"max_retries": 1, "retry_delay": 0},
        cleanup_task_kwargs={"tags": {"last"}, "name": "shut"},
        init_task_kwargs={"tags": {"first"}},
    )(Room)
    with Flow("f"):
        context = door("hall", lock=1)
    assert [t.name for t in (context.init_task, context.setup_task)] == ["door", "door.setup"]
    assert context.setup_task.max_retries == 1
    assert (context.cleanup_task.name, context.cleanup_task.tags) == ("shut", {"last"})
    assert context.init_task.tags == {"first"}
    assert repr(door) == "<ResourceManager: door>"
    assert door.__doc__ == "Writes down who comes and goes."


def test_wrong_arguments_and_wrong_classes_are_told_when_the_flow_is_written():
    class Half:
        def setup(self):
            pass

    with pytest.raises(WrongSetting, match="'cleanup'"):
        resource_manager(Half)
    with pytest.raises(WrongArguments, match="colour"), Flow("f"):
        room(colour="red")
    with pytest.raises(OutsideFlow, match="Room"):
        room()


def test_a_manager_and_its_resource_travel_between_processes(tmp_path):
    with Flow("f") as flow:
        with FOLDER(str(tmp_path / "made")) as folder:
            seen = exists(folder)
        gone = exists(str(tmp_path / "made"), upstream_tasks=[folder])
        gone.set_upstream(flow.get_tasks(name="Folder.cleanup")[0])
    state = flow.run(executor=LocalDaskExecutor("processes", num_workers=2))
    assert isinstance(state, Success)
    assert (state.result[seen].result, state.result[gone].result) == (True, False)


@task
def exists(path):
    import os

    return os.path.exists(path)


@resource_manager
class Folder:
    def __init__(self, path):
        self.path = path

    def setup(self):
        import os

        os.mkdir(self.path)
        return self.path

    def cleanup(self, path):
        import os

        os.rmdir(path)


#: Under the name of a class that is decorated stands its manager, which type checkers do not see.
FOLDER: Any = Folder
