"""A loop of unknown length: pages are fetched until one is empty."""

import prefect
from prefect import Flow, Parameter, task
from prefect.engine.signals import LOOP

PAGES = [["a", "b"], ["c"], ["d", "e", "f"], []]


@task
def fetch_all(start):
    found = prefect.context.get("task_loop_result", [])
    page = PAGES[start + prefect.context.get("task_loop_count", 1) - 1]
    if page:
        raise LOOP(message=f"a page of {len(page)}", result=found + page)
    return found


@task
def factorial(n):
    so_far = prefect.context.get("task_loop_result", 1)
    turn = prefect.context.get("task_loop_count", 1)
    if turn <= n:
        raise LOOP(result=so_far * turn)
    return so_far


with Flow("pages") as flow:
    start = Parameter("start", default=0)
    items = fetch_all(start)
    factorials = factorial.map([0, 1, 5, 20])

if __name__ == "__main__":
    state = flow.run()
    print(state.result[items].result)
    print(state.result[factorials].result)
    print(flow.run(start=2).result[items].result)
