"""The names of the executors that the contracts run on."""

LOCAL = "local"

#: In the process of the test: results need not travel.
INSIDE = (LOCAL, "threads", "synchronous")
#: A Dask cluster where task runs share nodes as they are seen to be worth it; never; and wherever they may.
APART, TOGETHER = "Dask, each alone", "Dask, together"
ELSEWHERE = ("processes", "a Dask address", "an ambient client", APART, TOGETHER)
PLACES = (*INSIDE, *ELSEWHERE)
