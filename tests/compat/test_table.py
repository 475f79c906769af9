"""Each line of the tables leads somewhere, and what it leads to are our own things."""

import pickle
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import cloudpickle
import pytest

import prefect_dask
from prefect_dask import compat
from prefect_dask.compat.doors import served_module
from prefect_dask.compat.table import GONE, SERVED


@pytest.fixture
def installed() -> Iterator[None]:
    compat.install()
    yield
    compat.uninstall()


@pytest.mark.parametrize("old", SERVED)
def test_an_old_path_can_be_imported_and_so_can_all_its_names(old: str, installed: None):
    module = import_module(old)
    for name in dir(module):
        getattr(module, name)


@pytest.mark.parametrize("old", [name for name in GONE if name != "prefect.Flow.register"])
def test_an_old_name_that_is_gone_says_what_to_use_instead(old: str, installed: None):
    if old in SERVED:
        old += ".nonsense"
    with pytest.raises(compat.OldNameGone) as error:
        import_module(old)
    assert str(error.value).startswith(f"{old} is not in prefect_dask: ")
    assert error.value.name == old


def test_each_table_names_a_module_above_the_modules_it_names():
    for old in SERVED:
        assert old == "prefect" or old.rpartition(".")[0] in SERVED


def test_what_lies_below_a_module_that_is_served_as_it_is_lies_there_by_its_own_name():
    for old, behind in SERVED.items():
        above, _, name = old.rpartition(".")
        if isinstance(SERVED.get(above), str):
            assert behind == f"{SERVED[above]}.{name}"


def test_what_stands_under_old_and_new_names_is_the_same(installed: None):
    assert import_module("prefect.engine.state") is prefect_dask.engine.state
    assert import_module("prefect.triggers") is prefect_dask.triggers
    assert import_module("prefect").Flow is prefect_dask.Flow
    assert import_module("prefect.core").Task is prefect_dask.Task
    assert import_module("prefect.utilities.context").context is prefect_dask.context
    assert import_module("prefect.utilities.tasks").unmapped is prefect_dask.unmapped


def test_our_modules_keep_their_names_and_gain_none(installed: None):
    spec = prefect_dask.engine.state.__spec__
    assert import_module("prefect.engine.state").__name__ == "prefect_dask.engine.state"
    import_module("prefect.tasks.core.constants")
    import_module("prefect.utilities.logging")
    assert prefect_dask.engine.state.__spec__ is spec
    assert not hasattr(prefect_dask, "utilities")
    assert not hasattr(import_module("prefect_dask.tasks"), "core")


def test_who_looks_whether_a_module_is_there_gets_an_answer(installed: None):
    import_module("prefect.executors")
    for name in ("prefect", "prefect.executors", "prefect.core", "prefect.engine.state"):
        assert find_spec(name) is not None


def test_names_are_found_as_attributes_without_an_import_of_their_own(installed: None):
    prefect = import_module("prefect")
    assert prefect.engine.signals.SKIP is prefect_dask.engine.signals.SKIP
    assert prefect.executors.LocalExecutor.__module__.startswith("prefect_dask.")


def test_a_module_does_not_hide_what_goes_by_the_same_name(installed: None):
    module = import_module("prefect.tasks.control_flow.case")
    assert import_module("prefect.tasks.control_flow").case is module.case
    assert import_module("prefect.tasks").control_flow.case is prefect_dask.case


def test_a_name_that_never_was_is_told_with_its_neighbours(installed: None):
    with pytest.raises(ImportError, match="did you mean 'DaskExecutor'"):
        exec("from prefect.executors import DaskExecuter")
    with pytest.raises(AttributeError, match="did you mean 'Flow'"):
        _ = import_module("prefect").Flaw


def test_a_star_brings_what_flows_are_written_with(installed: None):
    names: dict[str, object] = {}
    exec("from prefect import *", names)
    assert names["Flow"] is prefect_dask.Flow and names["task"] is prefect_dask.task


def test_a_door_opens_from_a_pickle_where_nobody_asked_for_old_names():
    door = served_module("prefect.utilities.logging")
    there = pickle.loads(pickle.dumps(door))
    assert there.get_logger("x").name == "prefect_dask.x"
    assert "prefect.utilities.logging" not in sys.modules


def test_a_function_that_mentions_old_modules_comes_to_other_processes(
    installed: None, tmp_path: Path, python
):
    names: dict[str, object] = {"__name__": "__main__"}
    exec(
        "import prefect, prefect.utilities.logging\n"
        "def own_name(): return prefect.utilities.logging.get_logger('there').name\n",
        names,
    )
    (tmp_path / "function").write_bytes(cloudpickle.dumps(names["own_name"]))
    done = python(
        "-c",
        "import pathlib, pickle, sys\n"
        "print(pickle.loads(pathlib.Path(sys.argv[1]).read_bytes())())",
        tmp_path / "function",
    )
    assert done.stdout.strip() == "prefect_dask.there", done.stderr


def test_flows_cannot_be_registered_and_say_so(installed: None):
    with pytest.raises(compat.OldNameGone, match="without a server"):
        import_module("prefect").Flow("old").register(project_name="mine")


def test_a_description_keeps_what_it_was_told_and_shows_no_values(installed: None):
    run_configs = import_module("prefect.run_configs")
    config = run_configs.DockerRun(image="flows", env={"TOKEN": "planted"})
    assert config.image == "flows"
    assert repr(config) == "<DockerRun: env, image>"
    assert config == run_configs.DockerRun(image="flows", env={"TOKEN": "planted"})
    flow = prefect_dask.Flow(
        "old", run_config=config, storage=served_module("prefect.storage").S3("b")
    )
    assert flow.run().is_successful()


def test_a_secret_is_read_by_its_old_name(installed: None):
    client = import_module("prefect.client")
    with prefect_dask.context(secrets={"TOKEN": "open sesame"}):
        assert client.Secret("TOKEN").get() == "open sesame"
