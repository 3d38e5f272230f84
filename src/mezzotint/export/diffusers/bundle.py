"""One file from a module of this package and what it uses of the package's other modules.

A definition is copied as it is written, with its comments, if another one that is copied uses its name. Left
out are imports within the package, and jaxtyping, which the readers of the file need not have: an annotation
such as ``Float[Tensor, "batch"]`` becomes ``Tensor``.
"""

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import TopologicalSorter
from importlib.util import find_spec
from pathlib import Path

PACKAGE = __name__.partition(".")[0]

_FOR_TOOLS = re.compile(r"  # (type: ignore|noqa).*")


@dataclass(frozen=True)
class _Definition:
    """A function, a class or a variable of a module.

    Args:
        name: the name that it binds.
        text: its source, with the comments above it and the docstring below.
        uses: all names in it.
    """

    name: str
    text: str
    uses: frozenset[str]


@dataclass(frozen=True)
class _Module:
    """A module of this package.

    Args:
        name: its full name.
        docstring: its docstring.
        definitions: in the order of the source.
        internal: for each name that is imported from this package, the module that it is imported from.
        others: for each name that is imported from elsewhere, the import.
    """

    name: str
    docstring: str
    definitions: tuple[_Definition, ...]
    internal: dict[str, str]
    others: dict[str, ast.Import | ast.ImportFrom]


def bundle(root: str) -> str:
    """The text of one module that does what ``root`` does, without this package.

    Args:
        root: full name of a module of this package; all of its definitions are copied, and its docstring
            comes first.

    Returns:
        Python source.

    Raises:
        ValueError: if two modules define the same name.
    """
    modules: dict[str, _Module] = {}
    copied_names: dict[str, set[str]] = {}
    needs: dict[str, set[str]] = {root: set()}
    _collect(root, None, modules, copied_names, needs)
    homes: dict[str, str] = {}
    for module, names in copied_names.items():
        for name in names:
            if homes.setdefault(name, module) != module:
                raise ValueError(f"{name} is defined in {homes[name]} and in {module}")
    parts = [f'"""{modules[root].docstring}\n"""', _imports(modules, copied_names)]
    # In an order that is the same in each process, unlike that of sets.
    graph = {name: sorted(needed) for name, needed in needs.items()}
    for name in TopologicalSorter(graph).static_order():
        parts.append(_section(modules[name], copied_names[name], name == root))
    return "\n\n".join(parts) + "\n"


def _collect(
    name: str,
    names: set[str] | None,
    modules: dict[str, _Module],
    copied_names: dict[str, set[str]],
    needs: dict[str, set[str]],
) -> None:
    """Add a module's definitions, and those that they use.

    Args:
        name: of the module.
        names: of the definitions; None for all.
        modules: all modules so far, which are added to.
        copied_names: the names that are copied from each.
        needs: the modules whose definitions each uses.
    """
    if name not in modules:
        modules[name] = _read(name)
    module = modules[name]
    by_name = {definition.name: definition for definition in module.definitions}
    collected = copied_names.setdefault(name, set())
    open_names = sorted(by_name if names is None else names)
    while open_names:
        current = open_names.pop()
        if current in collected:
            continue
        collected.add(current)
        for use in sorted(by_name[current].uses):
            if use in by_name:
                open_names.append(use)
            elif use in module.internal:
                needs.setdefault(name, set()).add(module.internal[use])
                _collect(module.internal[use], {use}, modules, copied_names, needs)


def _read(name: str) -> _Module:
    """The definitions and imports of a module."""
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise ValueError(f"there is no module {name}")
    source = Path(spec.origin).read_text(encoding="utf-8")
    tree = ast.parse(source)
    package = name if spec.submodule_search_locations is not None else name.rpartition(".")[0]
    internal: dict[str, str] = {}
    others: dict[str, ast.Import | ast.ImportFrom] = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package.split(".")[: len(package.split(".")) - node.level + 1]
            place = ".".join([*base, *filter(None, [node.module])])
            internal |= {alias.name: place for alias in node.names}
        elif isinstance(node, ast.Import | ast.ImportFrom):
            others |= {alias.asname or alias.name: node for alias in node.names}
    definitions = tuple(_definitions(source, tree, others))
    return _Module(name, ast.get_docstring(tree) or "", definitions, internal, others)


def _definitions(
    source: str, tree: ast.Module, imports: dict[str, ast.Import | ast.ImportFrom]
) -> Iterator[_Definition]:
    """The definitions at the top of a module."""
    lines = source.splitlines(keepends=True)
    body = tree.body
    for node, after in zip(body, [*body[1:], None], strict=True):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                first = min([node.lineno, *(line.lineno for line in node.decorator_list)])
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                first = node.lineno
            case _:
                continue
        last = node.end_lineno
        if isinstance(after, ast.Expr) and isinstance(node, ast.Assign | ast.AnnAssign):
            last = after.end_lineno  # of the docstring of a variable
        while first > 1 and lines[first - 2].startswith("#"):
            first -= 1
        text = _without_shapes(lines[first - 1 : last], first, node, imports)
        uses = {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
        yield _Definition(name, text, frozenset(uses))


def _without_shapes(
    lines: list[str], first: int, node: ast.AST, imports: dict[str, ast.Import | ast.ImportFrom]
) -> str:
    """Source with ``Tensor`` in the place of jaxtyping's annotations, and without words for linters.

    Args:
        lines: the source of a definition.
        first: number of the first line in its file.
        node: the definition.
        imports: imports of its module, by name.

    Returns:
        The text.
    """
    encoded = [line.encode() for line in lines]  # columns are counted in bytes
    shapes = []
    for inner in ast.walk(node):
        match inner:
            case ast.Subscript(value=ast.Name(id=name), slice=ast.Tuple(elts=[ast.Name(), *_])):
                home = imports.get(name)
                if isinstance(home, ast.ImportFrom) and home.module == "jaxtyping":
                    shapes.append(inner)
    for shape in sorted(shapes, key=lambda shape: shape.col_offset, reverse=True):
        line = encoded[shape.lineno - first]
        start = line[: shape.col_offset]
        encoded[shape.lineno - first] = start + b"Tensor" + line[shape.end_col_offset :]
    return _FOR_TOOLS.sub("", b"".join(encoded).decode()).rstrip()


def _imports(modules: dict[str, _Module], copied_names: dict[str, set[str]]) -> str:
    """The imports of other packages that the definitions use: the standard library, then the rest."""
    plain: set[str] = set()
    names: dict[str, set[str]] = {}
    for module in modules.values():
        definitions = [d for d in module.definitions if d.name in copied_names[module.name]]
        words = {word for d in definitions for word in re.findall(r"\w+", d.text)}
        for name, node in module.others.items():
            if name.partition(".")[0] not in words:
                continue
            alias = next(alias for alias in node.names if (alias.asname or alias.name) == name)
            written = f"{alias.name} as {alias.asname}" if alias.asname else alias.name
            if isinstance(node, ast.Import):
                plain.add(written)
            elif node.module is not None and node.module != "jaxtyping":
                names.setdefault(node.module, set()).add(written)
    lines = [(word, f"import {word}") for word in sorted(plain)]
    lines += [
        (word, f"from {word} import {', '.join(sorted(names[word]))}") for word in sorted(names)
    ]
    library = [line for word, line in lines if word.split(".")[0] in sys.stdlib_module_names]
    rest = [line for _, line in lines if line not in library]
    return "\n".join([*library, "", *rest])


def _section(module: _Module, names: set[str], is_root: bool) -> str:
    """The definitions of a module, under its name, and its docstring if most of them are here."""
    definitions = [definition for definition in module.definitions if definition.name in names]
    title = "This file's own part" if is_root else module.name
    heading = [f"# --- {title} ".ljust(100, "-")]
    if not is_root and 2 * len(definitions) > len(module.definitions):
        heading += ["#", *(f"# {line}".rstrip() for line in module.docstring.splitlines())]
    text = "\n".join(heading)
    variable = True
    for definition in definitions:
        was_variable = variable
        variable = not definition.text.lstrip().startswith(("def ", "class ", "@"))
        close = was_variable and variable and definition is not definitions[0]
        text += ("\n" if close else "\n\n\n") + definition.text
    return "\n" + text
