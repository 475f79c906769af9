"""A resource that is set up before its tasks and cleaned up after them, whatever happens."""

import os
import shutil
import tempfile

from prefect import Flow, Parameter, resource_manager, task


@resource_manager
class ScratchFolder:
    def __init__(self, prefix):
        self.prefix = prefix

    def setup(self):
        return tempfile.mkdtemp(prefix=self.prefix)

    def cleanup(self, folder):
        shutil.rmtree(folder)


@task
def write(folder, size):
    path = os.path.join(folder, "numbers.txt")
    with open(path, "w") as file:
        file.writelines(f"{100 // (size - number)}\n" for number in range(size))
    return path


@task
def add_up(path):
    with open(path) as file:
        return sum(int(line) for line in file)


@task
def is_gone(folder):
    return not os.path.exists(folder)


with Flow("scratch") as flow:
    size = Parameter("size")
    with ScratchFolder("scratch-") as folder:
        path = write(folder, size)
        total = add_up(path)

if __name__ == "__main__":
    for size in (4, 0):
        state = flow.run(size=size)
        left = state.result[folder].result
        print(size, type(state).__name__, state.result[total].result, os.path.exists(left))
    state = flow.run(size="many")
    left = state.result[folder].result
    print(type(state).__name__, type(state.result[path].result).__name__, os.path.exists(left))
