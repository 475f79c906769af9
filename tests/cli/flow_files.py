"""Flow files that the tests write into the folder of the program."""

ADD = """
from prefect_dask import Flow, Parameter, task

@task
def add(x, y):
    return x + y

with Flow("sums") as flow:
    add(Parameter("x"), Parameter("y", default=1))
"""

TWO = """
from prefect_dask import Flow, task

@task
def one():
    return 1

with Flow("first") as first:
    one()
with Flow("second") as second:
    one()
"""

#: Fails until a file is there; half of its children do.
MAPPED = """
from pathlib import Path
from prefect_dask import Flow, task, context

@task
def numbers():
    return list(range(6))

@task
def halve(x):
    context.logger.info("halving %s", x)
    if x % 2 and not Path("mended").exists():
        raise ValueError(f"{x} is odd")
    return x / 2

with Flow("halves") as flow:
    halve.map(numbers())
"""

PAUSED = """
from prefect_dask import Flow, task, triggers

@task(trigger=triggers.manual_only)
def publish():
    return "published"

with Flow("approval") as flow:
    publish()
"""

#: Says in a file that it runs, and waits until it is interrupted.
WAITING = """
import threading
from pathlib import Path
from prefect_dask import Flow, task

@task
def wait():
    Path("runs").write_text("now")
    threading.Event().wait(60)

with Flow("waits") as flow:
    wait()
"""

#: Two of three children say in files that they run, and wait for a file; the third is quick.
HELD = """
import threading
from pathlib import Path
from prefect_dask import Flow, task, context

@task
def hold(x):
    Path(f"holds-{x}").write_text("now")
    pause = threading.Event()
    while x and not Path("go").exists() and not context.cancelled:
        pause.wait(0.01)
    context.logger.info("let go of %s", x)
    return x

with Flow("held") as flow:
    hold.map([0, 1, 2])
"""

#: Written for Prefect 1; fails until a file is there.
OLD = """
from pathlib import Path
import prefect
from prefect import Flow, Parameter, task
from prefect.utilities.edges import unmapped

@task
def scale(x, by):
    prefect.context.get("logger").info("scaling %s", x)
    if not Path("mended").exists():
        raise ValueError("not yet")
    return x * by

with Flow("old") as flow:
    scale.map([1, 2], unmapped(Parameter("by", default=3)))
"""
