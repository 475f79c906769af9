"""Flows to make pictures of."""

from prefect_dask import Flow, Parameter, case, resource_manager, task, unmapped
from prefect_dask.tasks.control_flow import merge
from prefect_dask.triggers import always_run


class Database:
    """Stands for a connection."""

    def __init__(self, url):
        self.url = url

    def setup(self):
        return self.url

    def cleanup(self, url):
        pass


database = resource_manager(Database)


@task
def list_files(folder):
    return [f"{folder}/{number}" for number in range(200)]


@task
def load(file, db):
    if file.endswith("7"):
        raise ValueError(f"{file} is broken")
    return len(file)


@task
def scale(x, by):
    return x * by


@task(trigger=always_run)
def report(rows):
    return sum(row for row in rows if isinstance(row, int))


@task
def mail(total):
    return f"{total} mailed"


@task
def log(total):
    return f"{total} logged"


def nightly() -> Flow:
    """All that pictures tell apart: parameters, constants, cases, a merge, a resource, maps, and kinds of edges."""
    with Flow("nightly") as flow:
        notify = Parameter("notify", default=True)
        with database("sqlite://") as db:
            rows = load.map(list_files(Parameter("folder", default="data")), db=unmapped(db))
            scaled = scale.map(rows, [1, 2] * 100)
        total = report(scaled)
        with case(notify, True):
            mailed = mail(total)
        with case(notify, False):
            logged = log(total)
        merge(mailed, logged)
    return flow
