"""Flows and tasks as plain JSON data, and what may be shown of them."""

import json
from datetime import timedelta
from typing import Any

import pytest

from prefect_dask import Flow, Parameter, Task, mapped, task, triggers
from prefect_dask.diagnostics import diagnose
from prefect_dask.settings import set_temporary_config


@task(tags={"io"}, max_retries=2, retry_delay=timedelta(minutes=1), timeout=3)
def load(path: str, limit: int = 5) -> list[int]:
    return [limit]


class Save(Task):
    def run(self, rows: Any, to: Any = None) -> None: ...


@pytest.fixture
def flow() -> Flow:
    with Flow("etl") as flow:
        rows = load(Parameter("path", default="."), 7)
        Save(trigger=triggers.some_failed(1))(mapped(rows), to=print)
    return flow


def test_a_task_says_its_settings_inputs_and_output():
    document = load.serialize()
    assert json.loads(json.dumps(document)) == document
    assert document["type"] == "prefect_dask.task.FunctionTask"
    assert (document["name"], document["tags"]) == ("load", ["io"])
    assert (document["max_retries"], document["retry_delay"]) == (2, 60.0)
    assert document["timeout_seconds"] == 3
    assert document["trigger"] == "prefect_dask.engine.triggers.all_successful"
    assert document["inputs"] == {
        "path": {"type": "str", "required": True, "default": None},
        "limit": {"type": "int", "required": False, "default": 5},
    }
    assert document["outputs"] == "list[int]"


def test_what_json_cannot_say_is_given_by_name():
    made = Save(
        retry_on=[OSError],
        max_retries=1,
        retry_delay=lambda attempt: timedelta(seconds=attempt),
        target=str.upper,
        trigger=triggers.some_failed(2),
    ).serialize()
    assert made["retry_on"] == ["builtins.OSError"]
    assert made["retry_delay"].endswith("<lambda>")
    assert made["target"] == "str.upper"
    assert made["trigger"] == "some_failed(at_least=2)"
    json.dumps(made)


def test_a_flow_is_written_down_by_slugs(flow: Flow):
    document = flow.serialize()
    assert json.loads(json.dumps(document)) == document
    assert document["name"] == "etl"
    assert [each["slug"] for each in document["tasks"]] == ["path", "load-io-1", "Save-1"]
    assert document["edges"] == [
        {
            "upstream_task": "path",
            "downstream_task": "load-io-1",
            "key": "path",
            "mapped": False,
            "flattened": False,
        },
        {
            "upstream_task": "load-io-1",
            "downstream_task": "Save-1",
            "key": "rows",
            "mapped": True,
            "flattened": False,
        },
    ]
    assert document["constants"] == {
        "load-io-1": {"limit": 7},
        "Save-1": {"to": "builtins.print"},
    }
    assert document["parameters"] == [{"name": "path", "required": False, "default": "."}]
    assert document["reference_tasks"] == ["Save-1"]


def test_the_same_code_gives_the_same_document(flow: Flow):
    assert flow.serialize() == flow.copy().serialize()
    assert json.dumps(flow.serialize()) == json.dumps(flow.serialize())


def test_odd_numbers_and_values_are_still_json(flow: Flow):
    with flow:
        Save()({"a": float("nan"), "b": float("inf"), "c": {1: 2}, "d": object()})
    json.dumps(flow.serialize(), allow_nan=False)


# ---- diagnostics


def test_diagnostics_tell_versions_and_features(flow: Flow):
    document = json.loads(flow.diagnostics())
    assert document["libraries"]["dask"]
    assert document["flow"]["tasks"] == 3
    assert document["flow"]["mapped_edges"] == 1
    assert document["flow"]["retries"] is True
    assert document["flow"]["task_types"]["prefect_dask.parameter.Parameter"] == 1
    assert json.loads(diagnose())["python"]


def test_diagnostics_show_no_value_of_the_user(flow: Flow, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PREFECT__USER__PASSWORD", "hunter2")
    with flow:
        Save()("hunter2")
    with set_temporary_config(
        {"context.secrets.TOKEN_NAME": "hunter2", "logging.datefmt": "hunter2"}
    ):
        text = flow.diagnostics()
    assert "hunter2" not in text
    assert "TOKEN_NAME" not in text
    assert "logging.datefmt" in text
    assert "PREFECT__USER__PASSWORD" in text
