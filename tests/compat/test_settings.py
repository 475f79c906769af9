"""What the environment of an old installation says is taken as far as it makes sense here."""

import pytest

from prefect_dask.settings import UnknownSetting
from prefect_dask.settings.sources import environment_settings, read_schema


def test_what_only_a_server_of_prefect_1_needed_is_passed_over():
    environment = {
        "PREFECT__BACKEND": "server",
        "PREFECT__CLOUD__API": "http://localhost:4200",
        "PREFECT__CLOUD__USE_LOCAL_SECRETS": "true",
        "PREFECT__CONTEXT__SECRETS__TOKEN": "t",
        "PREFECT__FLOWS__CHECKPOINTING": "true",
        "PREFECT__SERVER__DATABASE__PORT": "5432",
    }
    assert environment_settings(read_schema(), environment) == {
        "context": {"secrets": {"TOKEN": "t"}},
        "flows": {"checkpointing": True},
    }


def test_a_misspelt_setting_is_still_refused():
    with pytest.raises(UnknownSetting):
        environment_settings(read_schema(), {"PREFECT__FLOWS__CHECKPOINTNIG": "true"})
