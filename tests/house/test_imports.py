"""Imports point one way, and what is heavy is imported where it belongs."""

import subprocess
import sys
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.house.source import Module, module_names, modules

LAYERS = (
    "cli agents viz server client compat",
    "resuming replaying by_hand detached",
    "recorded",
    "apply_map tasks.prefect",
    "flow",
    "detaching awaiting",
    "steering",
    "running cache_answers dask_collection flow_task flow_file diagnostics",
    "block resources tasks.control_flow",
    "task_graph inputs",
    "edge parameter tasks",
    "task",
    "documents operators pickling signature mapping schedules tagging task_defaults retry_settings raising"
    " naming order origin",
    "limits recovering artifacts",
    "recorded_states kept_results recorded_progress",
    "resumption",
    "progress progress.watching notebook.screen notebook.live notebook.graph",
    "ledger pictures animation",
    "dashboard",
    "progress.counting progress.drawing progress.lines progress.terminal progress.watch notebook",
    "pictures.outline",
    "executors triggers settings logs errors version",
    "engine.flow_runner",
    "engine.advancing",
    "engine.intake engine.steering engine.stall_report",
    "engine.task_runner engine.attempt engine.prepared engine.body engine.node engine.parcels engine.group_run"
    " engine.grouping engine.staging engine.compile engine.executors",
    "engine.held_slots engine.telling engine.flow_handlers engine.needless_results",
    "engine.book engine.sources engine.outcome engine.hand_over engine.task_runs engine.folded engine.columns"
    " engine.early_end engine.losses engine.due_times engine.in_flight engine.wanted_slots",
    "engine.slots engine.recovery",
    "engine.stream engine.child engine.child_main engine.child_process engine.timeouts engine.moves",
    "engine.keeping engine.durable",
    "engine.triggers engine.cache engine.cache_store engine.cache_validators engine.claims"
    " engine.result engine.results engine.context engine.widths",
    "engine.graph engine.state engine.errors engine.clock engine.signals engine.failures"
    " engine.beforehand engine.logs engine.prints engine.home engine.files engine.serializers engine.secrets"
    " engine.finish_log engine.frames engine.fingerprint engine.retry engine.durations engine.worker_resources"
    " engine.collector engine.stall engine.cancellation engine.tolerance"
    " engine.sent_code"
    " engine.artifacts engine.lawful",
)
"""A module may import from its own line and those below. A package stands for its modules."""

DOORS = {"prefect_dask", "prefect_dask.engine"}
"""Packages that hand on names; they have no place in the order."""

DASK = {"dask", "distributed"}
DATABASES = {"sqlite3", "psycopg", "sqlalchemy"}
WEB = {"http", "httpx", "starlette", "fastapi", "uvicorn", "aiohttp", "flask"}
NOTEBOOKS = {"IPython", "ipywidgets", "ipykernel"}
HOME_OF = {
    **dict.fromkeys(
        DASK,
        (
            *("engine.compile", "engine.stream", "engine.executors.dask", "dask_collection"),
            "settings.dask_section",
            *("dashboard.plugin", "dashboard.reporting", "dashboard.server"),
        ),
    ),
    **dict.fromkeys(
        DATABASES,
        ("ledger", "engine.cache_store", "server", "tasks.database", "tasks.postgres"),
    ),
    **dict.fromkeys(WEB, ("server", "client", "tasks.http")),
    "bokeh": ("animation", "server", "dashboard.server"),
    "click": ("cli",),
    "rich": ("progress.terminal",),
    **dict.fromkeys(NOTEBOOKS, ("notebook.kernel",)),
}
"""Which of our modules may import what; a name also stands for `name.…` and `name_…`."""


def short(name: str) -> str:
    """The name within prefect_dask."""
    return name.removeprefix("prefect_dask.")


def layer_of(name: str) -> int | None:
    """How high a module stands: 0 is the top."""
    parts = short(name).split(".")
    for length in range(len(parts), 0, -1):
        for layer, names in enumerate(LAYERS):
            if ".".join(parts[:length]) in names.split():
                return layer
    return None


def test_every_module_has_a_place_in_the_order():
    homeless = [name for name in module_names() - DOORS if layer_of(name) is None]
    assert not homeless, f"give these a place in LAYERS: {', '.join(sorted(homeless))}"


def test_imports_point_down():
    wrong = [
        f"{module.path}:{imported.line}: {short(module.name)} imports {short(imported.module)}"
        for module in modules()
        for imported in module.imports()
        if module.name not in DOORS and imported.module in module_names() - DOORS
        if (layer_of(imported.module) or 0) < (layer_of(module.name) or 0)
    ]
    assert not wrong, "a lower module wants a higher one:\n" + "\n".join(wrong)


def test_imports_make_no_knot():
    needs = {
        module.name: {i.module for i in module.imports() if i.module in module_names()} - DOORS
        for module in modules()
        if module.name not in DOORS
    }
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        pytest.fail(f"modules import each other: {' <- '.join(map(short, error.args[1]))}")


def test_the_engine_imports_nothing_of_ours_but_itself_and_by_relative_names():
    wrong = [
        f"{module.path}:{imported.line}: {imported.module}"
        for module in modules()
        for imported in module.imports()
        if module.is_in_engine and imported.module.split(".")[0] == "prefect_dask"
        if not imported.is_relative
        or not (imported.module + ".").startswith("prefect_dask.engine.")
    ]
    assert not wrong, "the engine could not be lifted out:\n" + "\n".join(wrong)


def test_outside_the_engine_our_modules_are_imported_by_full_name():
    wrong = [
        f"{module.path}:{imported.line}: {imported.module}"
        for module in modules()
        for imported in module.imports()
        if not module.is_in_engine and imported.is_relative
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("library", sorted(HOME_OF))
def test_a_library_is_imported_only_where_it_belongs(library: str):
    def may(module: Module) -> bool:
        name = short(module.name)
        return any(
            name == home or name.startswith((home + ".", home + "_")) for home in HOME_OF[library]
        )

    wrong = [
        f"{module.path}:{imported.line}: {imported.module}"
        for module in modules()
        for imported in module.imports()
        if imported.module.split(".")[0] == library and not imported.is_for_types
        if not may(module)
    ]
    assert not wrong, f"{library} belongs in {', '.join(HOME_OF[library])}:\n" + "\n".join(wrong)


HEAVY = {"dask", "distributed", "bokeh", "cloudpickle", "msgpack", "click"}
SLOW_IN_SUM = {"asyncio", "concurrent.futures", "sqlite3", "http", "multiprocessing", "unittest"}


def python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=50
    )
    return done.stdout


def test_importing_the_package_loads_nothing_heavy():
    loaded = "import sys; print(*sys.modules)"
    bare = set(python(loaded).split())
    ours = set(python(f"import prefect_dask; {loaded}").split())
    heavy = sorted((HEAVY | SLOW_IN_SUM) & (ours - bare))
    assert not heavy, f"import prefect_dask loads {', '.join(heavy)}"


def test_importing_the_package_costs_less_than_100_ms_of_cpu():
    used = "import time; print(time.process_time())"

    def seconds(code: str) -> float:
        return min(float(python(code)) for _ in range(5))

    cost_ms = 1000 * (seconds(f"import prefect_dask; {used}") - seconds(used))
    assert cost_ms < 100, f"import prefect_dask takes {cost_ms:.0f} ms of CPU above bare Python"
