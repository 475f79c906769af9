"""Extract, transform, load: orders from CSV text into an SQLite table, with classes as tasks."""

import csv
import io
import sqlite3
from contextlib import closing

import prefect
from prefect import Flow, Parameter, Task, task

ORDERS = """\
id,customer,amount
1,ann,12.50
2,bob,7.00
3,ann,30.25
4,cleo,
"""


@task
def extract(text):
    rows = list(csv.DictReader(io.StringIO(text)))
    prefect.context.get("logger").info("%d rows", len(rows))
    return rows


@task(nout=2)
def transform(rows, smallest):
    good, bad = [], []
    for row in rows:
        amount = float(row["amount"] or "nan")
        (good if amount >= smallest else bad).append((int(row["id"]), row["customer"], amount))
    return good, bad


class Load(Task):
    def __init__(self, table, **kwargs):
        self.table = table
        super().__init__(**kwargs)

    def run(self, database, rows):
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.execute(f"create table if not exists {self.table} (id, customer, amount)")
            connection.executemany(f"insert into {self.table} values (?, ?, ?)", rows)
        self.logger.info("%d rows in table %s", len(rows), self.table)
        return len(rows)


load_good = Load("orders", name="load orders", tags=["database"])
load_bad = Load("rejects", name="load rejects", tags=["database"])


@task(name="total")
def total_of(database):
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute("select sum(amount) from orders").fetchone()[0]


with Flow("orders") as flow:
    database = Parameter("database", default="orders.db")
    smallest = Parameter("smallest", default=0)
    good, bad = transform(extract(ORDERS), smallest)
    loaded = load_good(database, good)
    rejected = load_bad(database, bad, upstream_tasks=[loaded])
    total = total_of(database, upstream_tasks=[loaded])

if __name__ == "__main__":
    state = flow.run(parameters={"smallest": 10})
    print(state.is_successful(), [task.name for task in flow.get_tasks(tags=["database"])])
    print("loaded", state.result[loaded].result, "rejected", state.result[rejected].result)
    print("total", state.result[total].result)
