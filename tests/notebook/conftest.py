"""A kernel for the tests of one file."""

from collections.abc import Iterator

import pytest

from tests.notebook.kernel import Kernel, running_kernel


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """A kernel in which the cells of all tests of a file run, as in a notebook that is kept open."""
    with running_kernel(tmp_path_factory.mktemp("notebook")) as kernel:
        yield kernel
