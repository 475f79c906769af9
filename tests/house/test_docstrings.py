"""The examples in docstrings run and print what they say."""

import doctest
import importlib

import pytest

from tests.house.source import modules

WITH_EXAMPLES = [
    module.name for module in modules() if ">>> " in module.path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_examples_in_a_module_print_what_they_say(name: str):
    failed, tried = doctest.testmod(
        importlib.import_module(name), optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    )
    assert tried and not failed
