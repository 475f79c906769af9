"""Results in files: a task whose target exists is not run again."""

from pathlib import Path

from prefect import Flow, Parameter, task
from prefect.engine.results import LocalResult
from prefect.engine.serializers import JSONSerializer

results = LocalResult(dir="results", serializer=JSONSerializer())


@task(target="{task_name}-{parameters[year]}.json", checkpoint=True)
def count_days(year):
    with open("calls.txt", "a") as calls:
        calls.write(f"{year}\n")
    return 366 if year % 4 == 0 and (year % 100 or year % 400 == 0) else 365


@task(result=LocalResult(dir="results", location="weeks.txt", serializer=JSONSerializer()))
def count_weeks(days):
    return days // 7


with Flow("days", result=results) as flow:
    year = Parameter("year", default=2024)
    days = count_days(year)
    weeks = count_weeks(days)

if __name__ == "__main__":
    for given in (2024, 2024, 2025):
        state = flow.run(year=given)
        print(given, type(state.result[days]).__name__, state.result[days].result)
    print("calls", Path("calls.txt").read_text().split())
    print(sorted(path.name for path in Path("results").iterdir()))
