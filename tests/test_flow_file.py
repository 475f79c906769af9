"""Flows are written to files and read from them."""

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from prefect_dask import Flow, Parameter, task
from prefect_dask.errors import NotAFlowFile
from prefect_dask.executors import LocalExecutor


@task
def double(x: int) -> int:
    return 2 * x


@pytest.fixture
def flow() -> Flow:
    with Flow("saved") as flow:
        base = 3
        local = task(lambda x: x + base, name="local")
        local(double(Parameter("p", default=1)))
    return flow


def results(flow: Flow) -> dict[str, object]:
    state = flow.run(executor=LocalExecutor(), p=5)
    return {each.name: its.result for each, its in state.result.items()}


def test_a_saved_flow_runs_like_the_original(flow: Flow, tmp_path: Path):
    path = flow.save(tmp_path / "flow.bin")
    again = Flow.load(path)
    assert path == str(tmp_path / "flow.bin")
    assert again.name == "saved"
    assert list(again.slugs.values()) == list(flow.slugs.values())
    assert results(again) == results(flow) == {"p": 5, "double": 10, "local": 13}
    assert [entry.name for entry in tmp_path.iterdir()] == ["flow.bin"]


def test_a_flow_saved_while_it_is_written_is_not_being_written_when_loaded(
    flow: Flow, tmp_path: Path
):
    with flow:
        path = flow.save(tmp_path / "flow")
    assert results(Flow.load(path))["local"] == 13


def test_another_process_can_load_it(tmp_path: Path):
    script = dedent(
        """
        from prefect_dask import Flow, task

        @task
        def half(x: int) -> float:
            return x / 2

        with Flow("from main") as flow:
            half(half(8))
        flow.save("flow.bin")
        """
    )
    (tmp_path / "write.py").write_text(script, encoding="utf-8")
    subprocess.run([sys.executable, "write.py"], cwd=tmp_path, check=True, timeout=50)
    flow = Flow.load(tmp_path / "flow.bin")
    state = flow.run(executor=LocalExecutor())
    assert {its.result for its in state.result.values()} == {4.0, 2.0}


def test_saving_replaces_a_file_whole(flow: Flow, tmp_path: Path):
    path = tmp_path / "flow"
    flow.save(path)
    Flow("other").save(path)
    assert Flow.load(path).name == "other"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it does not begin with"),
        (b"\x80\x05N.", "it does not begin with"),
        (b"prefect-dask flow\n", "it does not begin with"),
        (b"prefect-dask flow 2 9.0 abc\n.", "by prefect-dask 9.0 in format 2.* reads format 1"),
        (b"prefect-dask flow 1 0.1 abc\n.", "its checksum is wrong, so it is damaged or cut short"),
    ],
)
def test_what_is_no_flow_file_is_refused_unread(tmp_path: Path, content: bytes, reason: str):
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(NotAFlowFile, match=f"other is not a flow file: .*{reason}"):
        Flow.load(path)


def test_a_damaged_flow_file_is_refused(flow: Flow, tmp_path: Path):
    path = Path(flow.save(tmp_path / "flow"))
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole + b".", whole[:-10] + b"0" + whole[-9:]):
        path.write_bytes(damaged)
        with pytest.raises(NotAFlowFile, match="checksum"):
            Flow.load(path)


def test_a_file_that_is_not_there_is_an_os_error(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        Flow.load(tmp_path / "missing")


def test_a_flow_that_cannot_be_written_leaves_the_old_file(tmp_path: Path):
    path = tmp_path / "flow"
    Flow("old").save(path)
    with Flow("new") as flow:
        double(5)
        flow.constants[flow.get_tasks()[0]]["x"] = sys.stdout
    with pytest.raises(TypeError):
        flow.save(path)
    assert Flow.load(path).name == "old"


def test_a_deep_flow_can_be_saved(tmp_path: Path):
    with Flow("deep") as flow:
        last = double(1)
        for _ in range(3_000):
            last = double(last)
    assert len(Flow.load(flow.save(tmp_path / "flow")).tasks) == 3_001
