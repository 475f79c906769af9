"""A program that starts writers, kills each at a random moment, and counts what can be read afterwards.

    python writing_until_killed.py FOLDER HOW_OFTEN

Each writer writes whole results over one name, as fast as it can; each result says its own length many times.
"""

import os
import random
import signal
import sys
import time

from prefect_dask.engine.results import LocalResult


def main(folder: str, how_often: int) -> None:
    result = LocalResult(folder, location="one.pickle")
    result.write([0])
    written = 0
    for _ in range(how_often):
        entered, enter = os.pipe()
        writer = os.fork()
        if not writer:
            write_without_end(result, enter)
        os.read(entered, 1)
        # The moment of the kill is what the test is about.
        time.sleep(random.uniform(0, 0.02))
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
        os.close(entered)
        os.close(enter)
        found = result.read("one.pickle").value
        assert found == [len(found)] * len(found) or found == [0], "half a result was read"
        written += found != [0]
    print(written)


def write_without_end(result: LocalResult, enter: int) -> None:
    os.write(enter, b"x")
    while True:
        length = random.randrange(1, 300_000)
        result.write([length] * length)


main(sys.argv[1], int(sys.argv[2]))
