"""The same work in other workflow systems, side by side: `python -m benchmarks.peers`, from the repository's top.

`catalogue.py` lists the systems and what is installed for each; `systems/` holds a file for each, which says the
same shapes in that system's words, written from its documentation alone. `measure.py` and `hello.py` run in the
environment of the system, so they and `shapes.py` need nothing but Python.
"""
