"""Branches: case and merge, switch, and a filter."""

from prefect import Flow, Parameter, case, task
from prefect.tasks.control_flow import FilterTask, merge, switch


@task
def kind_of(number):
    return "even" if number % 2 == 0 else "odd"


@task
def halve(number):
    return number // 2


@task
def triple(number):
    return 3 * number + 1


@task
def small():
    return "small"


@task
def large():
    return "large"


@task
def is_large(number):
    return number > 10


@task
def words(number, size):
    return [str(number), None, size]


not_none = FilterTask(filter_func=lambda value: value is not None)

with Flow("one step of Collatz") as flow:
    number = Parameter("number")
    kind = kind_of(number)
    with case(kind, "even"):
        halved = halve(number)
    with case(kind, "odd"):
        tripled = triple(number)
    result = merge(halved, tripled)

    little, big = small(), large()
    switch(is_large(result), {False: little, True: big})
    line = not_none(words(result, merge(little, big)))

if __name__ == "__main__":
    for given in (7, 6):
        state = flow.run(number=given)
        print(given, state.result[result].result, state.result[line].result)
        print(state.result[halved].is_skipped(), state.result[tripled].is_skipped())
