"""The source of both packages as data: modules, what they import, where they stand."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = {"prefect_dask": ROOT / "prefect_dask", "prefect_dask.engine": ROOT / "engine"}
"""Import name of each package that has a folder of its own, and that folder."""


@dataclass(frozen=True)
class Import:
    """One imported module, by its full name."""

    module: str
    line: int
    is_relative: bool
    is_at_top: bool
    """Runs when the module is imported: outside functions and `if TYPE_CHECKING`."""
    is_for_types: bool
    """Never runs: stands under `if TYPE_CHECKING`."""


@dataclass(frozen=True)
class Module:
    """One module of ours, by its full import name."""

    name: str
    path: Path
    tree: ast.Module

    @property
    def is_package(self) -> bool:
        return self.path.name == "__init__.py"

    @property
    def is_in_engine(self) -> bool:
        return (self.name + ".").startswith("prefect_dask.engine.")

    def imports(self) -> list[Import]:
        return list(self._imports_below(self.tree, at_top=True, for_types=False))

    def _imports_below(self, node: ast.AST, *, at_top: bool, for_types: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import | ast.ImportFrom):
                for name in self._imported_names(child):
                    is_relative = isinstance(child, ast.ImportFrom) and child.level > 0
                    yield Import(
                        name, child.lineno, is_relative, at_top and not for_types, for_types
                    )
            elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                body = ast.Module(child.body, [])
                yield from self._imports_below(body, at_top=at_top, for_types=True)
                rest = ast.Module(child.orelse, [])
                yield from self._imports_below(rest, at_top=at_top, for_types=for_types)
            else:
                is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                yield from self._imports_below(
                    child, at_top=at_top and not is_function, for_types=for_types
                )

    def _imported_names(self, node: ast.Import | ast.ImportFrom) -> list[str]:
        """Full names: of modules where we can tell, else of the package and the name in it."""
        if isinstance(node, ast.Import):
            return [alias.name for alias in node.names]
        base = node.module or ""
        if node.level:
            package = self.name.split(".")
            keep = len(package) - node.level + (1 if self.is_package else 0)
            base = ".".join(package[:keep] + ([node.module] if node.module else []))
        ours = module_names()
        return [f"{base}.{a.name}" if f"{base}.{a.name}" in ours else base for a in node.names]


def source_files() -> dict[str, Path]:
    """Every Python file of both packages, by import name; the link to the engine is not entered."""
    files = {}
    for package, folder in FOLDERS.items():
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            if package == "prefect_dask" and parts[0] == "engine":
                continue
            files[".".join((package, *(p for p in parts if p != "__init__")))] = path
    return files


@cache
def module_names() -> frozenset[str]:
    return frozenset(source_files())


@cache
def modules() -> tuple[Module, ...]:
    return tuple(
        Module(name, path, ast.parse(path.read_text(encoding="utf-8"), str(path)))
        for name, path in source_files().items()
    )
