"""Notebooks in the repository hold what somebody wrote, and nothing that a kernel left in them."""

import json

import pytest

from tests.house.source import ROOT

NOTEBOOKS = sorted((ROOT / "examples").rglob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_has_no_outputs(path):
    document = json.loads(path.read_text(encoding="utf-8"))

    assert set(document["metadata"]) <= {"kernelspec", "language_info"}, (
        "widgets, or a person's settings"
    )
    assert set(document["metadata"]["language_info"]) == {"name"}, (
        "the version of somebody's Python"
    )
    for cell in document["cells"]:
        assert set(cell["metadata"]) <= {"tags"}, cell["id"]
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None, (
                f"{path.name}, {cell['id']}: clear all outputs, then save"
            )


def test_the_readme_of_the_examples_names_each_notebook():
    text = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    assert NOTEBOOKS
    assert not [path.name for path in NOTEBOOKS if f"notebooks/{path.name}" not in text]
