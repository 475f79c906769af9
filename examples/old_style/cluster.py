"""The same flow on a Dask cluster: a temporary one, with a result from every worker."""

import os

import prefect
from prefect import Flow, Parameter, Task, task, unmapped
from prefect.executors import DaskExecutor

executor = DaskExecutor(
    cluster_class="distributed.LocalCluster",
    cluster_kwargs={"n_workers": 2, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"},
)


class Sieve(Task):
    def run(self, start, width):
        from prefect.engine.signals import SKIP  # also a body on a worker finds it

        if start + width <= 2:
            raise SKIP("no primes there")
        primes = [
            number
            for number in range(max(start, 2), start + width)
            if all(number % divisor for divisor in range(2, int(number**0.5) + 1))
        ]
        prefect.context.get("logger").info("%d primes from %d", len(primes), start)
        return primes, os.getpid()


sieve = Sieve()


@task
def starts(last, width):
    return list(range(0, last, width))


@task(skip_on_upstream_skip=False)
def collect(parts):
    primes = [prime for part in parts if part for prime in part[0]]
    return primes, {part[1] for part in parts if part}


with Flow("primes", executor=executor) as flow:
    last = Parameter("last", default=1000)
    parts = sieve.map(starts(last, 100), width=unmapped(100))
    collected = collect(parts)

if __name__ == "__main__":
    state = flow.run()
    primes, processes = state.result[collected].result
    print(state.is_successful(), len(primes), primes[-1])
    print("in this process:", os.getpid() in processes)
