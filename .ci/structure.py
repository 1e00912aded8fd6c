"""How the package is built, in figures: modules, lines, long functions, and the graph of its
imports.

    python .ci/structure.py [FOLDER]    of the package in FOLDER, or of this repository

Lines of code are those with a token of code on them: no blank lines, comments or docstrings. A room
is a folder of the package, or a module that stands outside of all folders; an arrow leads from a
room to one that it imports, at any depth in its source. The floors are the levels of the longest
chain of arrows; rooms that import each other share one.
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


def code_lines(source: str) -> int:
    """The lines of a module that hold code."""
    tree = ast.parse(source)
    docstrings: set[int] = set()
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and node.body
        ):
            first = node.body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                docstrings.update(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in _NO_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - docstrings)


def long_functions(source: str, most: int = 50) -> int:
    """How many functions span more than so many lines, their docstrings included."""
    functions = [
        n
        for n in ast.walk(ast.parse(source))
        if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return sum((node.end_lineno or node.lineno) - node.lineno + 1 > most for node in functions)


def imports(package: Path) -> dict[str, set[str]]:
    """What each module of a package imports of it, by dotted names."""
    files = {
        ".".join(p.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__"): p
        for p in package.rglob("*.py")
    }
    graph: dict[str, set[str]] = {}
    for module, path in files.items():
        names: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text("utf8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
            elif isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
        graph[module] = {name for name in names if name in files} - {module, package.name}
    return graph


def rooms(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """The graph of the folders, and of the modules outside of them."""

    def room(module: str) -> str:
        parts = module.split(".")
        return ".".join(parts[:2])

    arrows: dict[str, set[str]] = {room(module): set() for module in graph}
    for module, found in graph.items():
        arrows[room(module)] |= {room(name) for name in found} - {room(module)}
    return arrows


def floors(arrows: dict[str, set[str]]) -> int:
    """The length of the longest chain of arrows; a cycle counts as one floor."""

    @cache
    def reachable(name: str) -> frozenset[str]:
        seen, left = set(), [name]
        while left:
            for other in arrows[left.pop()] - seen:
                seen.add(other)
                left.append(other)
        return frozenset(seen)

    @cache
    def height(name: str) -> int:
        below = [
            other for other in reachable(name) if name not in reachable(other) and other != name
        ]
        return 1 + max((height(other) for other in below), default=0)

    return max(height(name) for name in arrows)


def main(arguments: list[str]) -> int:
    root = Path(arguments[0]) if arguments else ROOT
    package = root / "tootlearn"
    sources = [path.read_text("utf8") for path in sorted(package.rglob("*.py"))]
    tests = [path.read_text("utf8") for path in sorted((root / "tests").rglob("*.py"))]
    graph = imports(package)
    arrows = rooms(graph)
    print(
        f"modules            {len(sources)}, of them {len(list(package.glob('*.py')))} at the top"
    )
    print(f"lines of code      {sum(map(code_lines, sources))}")
    print(f"lines of tests     {sum(map(code_lines, tests))}")
    print(f"functions over 50  {sum(map(long_functions, sources))}")
    print(f"modules' arrows    {sum(map(len, graph.values()))} on {floors(graph)} floors")
    print(
        f"rooms              {len(arrows)}, {sum(map(len, arrows.values()))} arrows on "
        f"{floors(arrows)} floors"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
