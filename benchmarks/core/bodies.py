"""What the tasks do: next to nothing, so that what is left is overhead. Imports nothing, as workers import it."""


def start(i: int) -> int:
    """A task without upstream."""
    return i


def large(i: int) -> bytes:
    """A task that returns 100 kB."""
    return bytes([i % 256]) * 100_000


def one(x: int) -> int:
    """A task with one upstream."""
    return x


def add(x: int, y: int) -> int:
    """A task with two."""
    return x + y


def three(x: int, y: int, z: int) -> int:
    """A task with three."""
    return x


def total(xs: list[int]) -> int:
    """The reduce: takes the results of many as a list."""
    return sum(xs)


def numbers(count: int) -> list[int]:
    """A list whose length is known only when it runs."""
    return list(range(count))
