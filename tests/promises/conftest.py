"""One stormy run for all promises that it can show."""

import pytest

from tests.promises.storm import Storm, run_storm


@pytest.fixture(scope="session")
def storm(tmp_path_factory: pytest.TempPathFactory) -> Storm:
    return run_storm(tmp_path_factory.mktemp("storm") / "marks")
