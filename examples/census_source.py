"""Counts what is in a Python source text, and names what keeps one from being counted."""

from __future__ import annotations

import ast
from collections import Counter

from census_report import LINES, Row


def count_source(text: str) -> Row:
    """Parse a source text and count what is in it; raise what the parser raises."""
    if "\0" in text:
        raise ValueError("source code with null bytes")
    nodes = nodes_that_count(ast.parse(text, filename="<census>"))
    kinds = kinds_of_lines(text, nodes)
    functions = [
        (node.end_lineno - node.lineno + 1, node.name, node.lineno)
        for node in nodes
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]
    longest = max(functions, key=lambda function: function[0], default=(0, None, None))
    imports = [node for node in nodes if isinstance(node, (ast.Import, ast.ImportFrom))]
    return {
        "lines": kinds.total(),
        **{kind: kinds[kind] for kind in LINES},
        "functions": len(functions),
        "classes": sum(isinstance(node, ast.ClassDef) for node in nodes),
        "imports": sum(len(node.names) for node in imports),
        **dict(zip(("longest_lines", "longest_function", "longest_line"), longest, strict=True)),
    }


def nodes_that_count(tree: ast.Module) -> list[ast.AST]:
    """List the nodes of a tree but for expressions on one line: nothing in those is counted."""
    nodes: list[ast.AST] = [tree]
    for node in nodes:  # it grows on the way
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, ast.expr) or child.end_lineno > child.lineno:
                nodes.append(child)
    return nodes


def kinds_of_lines(text: str, nodes: list[ast.AST]) -> Counter[str]:
    """Count the lines of each kind: code, docstring, comment, blank."""
    docstring: set[int] = set()
    inside_text: set[int] = set()  # lines that begin inside a string: a # there is no comment
    for node in nodes:
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            if ast.get_docstring(node, clean=False) is not None:
                first, last = node.body[0].lineno, node.body[0].end_lineno
                on_def_line = first == getattr(node, "lineno", 0)
                docstring.update(range(first + on_def_line, last + 1))
        elif isinstance(node, (ast.Constant, ast.JoinedStr)) and node.end_lineno > node.lineno:
            inside_text.update(range(node.lineno + 1, node.end_lineno + 1))
    kinds: Counter[str] = Counter()
    for number, line in enumerate(text.removesuffix("\n").split("\n") if text else [], start=1):
        bare = line.strip()
        if number in docstring:
            kinds["docstring"] += 1
        elif not bare:
            kinds["blank"] += 1
        elif bare.startswith("#") and number not in inside_text:
            kinds["comment"] += 1
        else:
            kinds["code"] += 1
    return kinds


def kind_of_problem(error: BaseException) -> str:
    """Name what kept a file from being counted."""
    if isinstance(error, OSError):
        return "unreadable"
    if isinstance(error, (RecursionError, MemoryError)):
        return "too deep"
    if isinstance(error, UnicodeError) or "encoding" in str(error):
        return "encoding"
    if "null bytes" in str(error):
        return "null bytes"
    return "indentation" if isinstance(error, IndentationError) else "syntax"


def words_of(error: BaseException, path: str) -> str:
    """Say what an error says, without the place, so that equal problems read the same."""
    if isinstance(error, UnicodeDecodeError):
        return f"not {error.encoding}: {error.reason}"
    said = getattr(error, "msg", None) or getattr(error, "strerror", None) or str(error)
    return said.replace(f" for {path!r}", "") or type(error).__name__
