"""`python -m prefect_dask.compat FILE` runs a file as Python would, with old names at hand."""

from pathlib import Path

import pytest

RUNNER = ("-m", "prefect_dask.compat")


def test_a_file_gets_its_arguments_its_folder_and_its_exit_code(python, tmp_path: Path):
    (tmp_path / "beside.py").write_text("from prefect import Flow\n")
    (tmp_path / "main.py").write_text(
        "import sys, beside\n"
        "print(__name__, sys.argv[1:], beside.Flow.__module__, __file__ == sys.argv[0])\n"
        "sys.exit(3)\n"
    )
    done = python(*RUNNER, tmp_path / "main.py", "--fast", "x")
    assert done.stdout.strip() == "__main__ ['--fast', 'x'] prefect_dask.flow True", done.stderr
    assert done.returncode == 3


def test_a_file_that_is_not_there_is_named(python):
    done = python(*RUNNER, "nowhere.py")
    assert done.returncode == 1
    assert "nowhere.py cannot be read" in done.stderr


def test_without_a_file_it_says_how_it_is_used(python):
    assert python(*RUNNER).returncode == 2
    done = python(*RUNNER, "--help")
    assert done.returncode == 0
    assert "usage: python -m prefect_dask.compat FILE" in done.stdout


BESIDE = """\
from prefect import task, Task
from prefect.engine import signals

class Row:
    def __init__(self, number):
        self.number = number

class Double(Task):
    def run(self, row):
        import prefect.triggers
        prefect.context.get("logger").info("doubling")
        return Row(2 * row.number)

@task(timeout=20, isolation="process")
def add(row):
    from prefect.utilities.logging import get_logger
    get_logger().info("adding")
    return Row(row.number + 1)
"""

MAIN = """\
from beside import Double, Row, add
from prefect import Flow
from prefect.executors import DaskExecutor, LocalDaskExecutor, LocalExecutor

with Flow("by reference") as flow:
    last = add(Double()(Row(20)))

for executor in EXECUTORS:
    state = flow.run(executor=executor)
    print(state.result[last].result.number)
"""


@pytest.mark.parametrize(
    "executors",
    [
        "LocalExecutor(), LocalDaskExecutor(scheduler='processes', num_workers=1)",
        "DaskExecutor(cluster_kwargs={'n_workers': 1, 'threads_per_worker': 1})",
    ],
)
def test_modules_beside_the_file_find_old_names_in_every_process(
    executors: str, python, tmp_path: Path
):
    (tmp_path / "beside.py").write_text(BESIDE)
    (tmp_path / "main.py").write_text(MAIN.replace("EXECUTORS", f"[{executors}]"))
    done = python(*RUNNER, tmp_path / "main.py")
    assert set(done.stdout.split()) == {"41"}, done.stderr
