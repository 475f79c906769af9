"""The names of the executors that the contracts run on."""

LOCAL = "local"

#: In the process of the test: results need not travel.
INSIDE = (LOCAL, "threads", "synchronous")
ELSEWHERE = ("processes", "a Dask address", "an ambient client")
PLACES = (*INSIDE, *ELSEWHERE)
