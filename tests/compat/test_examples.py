"""The flow files in examples/old_style run as they are, and with `prefect` become `prefect_dask`."""

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "old_style"

PRINTED = {
    "etl": """\
        True ['load orders', 'load rejects']
        loaded 2 rejected 2
        total 42.75
        """,
    "map_reduce": """\
        [4, 3, 0, 2]
        ['brow.', 'dog', 'end', 'fox', 'lazy', 'quic.', 'the']
        ('the', 3)
        """,
    "retries": """\
        flaky Success Task run succeeded.
        broken Failed out of order
        alert Success Task run succeeded.
        TimedOut True
        alert: out of order
        ['answered at attempt 3'] cleaned up True
        """,
    "branches": """\
        7 22 ['22', 'large']
        True False
        6 3 ['3', 'small']
        False True
        """,
    "loop": """\
        ['a', 'b', 'c', 'd', 'e', 'f']
        [1, 1, 120, 2432902008176640000]
        ['d', 'e', 'f']
        """,
    "resources": """\
        4 Success 208 False
        0 Success 0 False
        Failed TypeError False
        """,
    "targets": """\
        2024 Success 366
        2024 Cached 366
        2025 Success 365
        calls ['2024', '2025']
        ['count_days-2024.json', 'count_days-2025.json', 'weeks.txt']
        """,
    "schedule": """\
        ['Ann', 'Bob'] True
        World True
        [2, 3, 4]
        [5, 8, 9]
        """,
    "handlers": """\
        check failed: nothing was found
        check: Failed
        handlers: Running
        handlers: Success
        last: Success
        look up: Failed
        optional: Skipped
        Success 1 of 2 failed True
        {} done
        """,
    "cluster": """\
        True 168 997
        in this process: False
        """,
}


def test_every_example_is_tried():
    assert {path.stem for path in FOLDER.glob("*.py")} == set(PRINTED)


@pytest.mark.parametrize("name", PRINTED)
def test_an_old_flow_file_runs_as_it_is(name: str, python):
    done = python("-m", "prefect_dask.compat", FOLDER / f"{name}.py")
    assert lines(done.stdout) == lines(PRINTED[name]), done.stderr
    assert done.returncode == 0


@pytest.mark.parametrize("name", PRINTED)
def test_an_old_flow_file_runs_with_the_new_name_in_it(name: str, python, tmp_path: Path):
    text = (FOLDER / f"{name}.py").read_text("utf-8")
    (tmp_path / f"{name}.py").write_text(re.sub(r"\bprefect\b", "prefect_dask", text), "utf-8")
    done = python(tmp_path / f"{name}.py")
    assert lines(done.stdout) == lines(PRINTED[name]), done.stderr
    assert done.returncode == 0


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().splitlines()]
