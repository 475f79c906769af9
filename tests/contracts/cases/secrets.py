"""Secrets: what others see of them, on every executor the same."""

from prefect_dask import Flow, task
from prefect_dask.engine.secrets import HIDDEN
from prefect_dask.engine.state import Failed, Success
from prefect_dask.tasks.secrets import EnvVarSecret, PrefectSecret
from tests.contracts.flow_case import Case, flow_case
from tests.contracts.small_tasks import fail


@task
def length(value):
    return len(value)


@flow_case
def results_of_secrets_are_hidden_and_errors_tell_nothing():
    with Flow("secrets") as flow:
        login = PrefectSecret("CONTRACT_LOGIN")()
        user = login["user"]
        counts = length(user), length([user, login])
        broken = fail("no such user: " + user)
        missing = EnvVarSecret("NO_SUCH_VARIABLE_HERE", raise_if_missing=True)()
    wanted = {
        login: Success(result=HIDDEN),
        user: Success(result=HIDDEN),
        counts[0]: Success(result=8),
        counts[1]: Success(result=2),
        broken: Failed("***"),
        missing: Failed("no variable"),
    }
    secrets = {"CONTRACT_LOGIN": {"user": "xq8-user", "password": "xq8-password"}}
    return Case(flow, wanted, outcome=Failed, run={"context": {"secrets": secrets}})
