"""The size and shape of the house, counted by the same rules every time:  make figures

    python benchmarks/figures.py [TREE …]      this tree, or others, such as a checkout of before, side by side

Counted is the code that is shipped: gateway/ and plugins/, without tests. A driver's lines are those of all files of its
folder without tests/ and cases/; its lines of code those that hold something else than blanks, comments and docstrings. None
of the figures is a mark; one that grows is a question.
"""

import ast
import io
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
FILES, METHODS, PARAMETERS = 20, 15, 7
"""Beyond so many there are too many: files of a folder, methods of a class, parameters of a constructor."""
NAMED_AFTER = {"cli", "operate", "testing"}
"""Rooms whose files are named after what they command, serve or stand for (gateway/README.md)."""
NOT_SHIPPED = {"tests", "cases", "templates"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """One file of the tree that is counted."""

    path: Path
    """From the tree's root on."""
    text: str
    tree: ast.Module

    @property
    def is_core(self) -> bool:
        return self.path.parts[0] == "gateway"

    def classes(self) -> Iterator[ast.ClassDef]:
        return (node for node in ast.walk(self.tree) if isinstance(node, ast.ClassDef))


def modules(root: Path) -> list[Module]:
    """What is shipped of a checkout."""
    paths = sorted(path for part in ("gateway", "plugins") for path in (root / part).rglob("*.py"))
    texts = [(path.relative_to(root), path.read_text(encoding="utf-8")) for path in paths]
    return [Module(path, text, ast.parse(text)) for path, text in texts if not NOT_SHIPPED & set(path.parts)]


def methods(of: ast.ClassDef) -> list[Function]:
    """Those that stand in the class itself; a property with a setter is one."""
    found = {node.name: node for node in of.body if isinstance(node, Function)}
    return list(found.values())


def parameters(of: ast.ClassDef) -> list[ast.arg]:
    """Of the constructor, without self."""
    for method in methods(of):
        if method.name == "__init__":
            return [*method.args.posonlyargs, *method.args.args, *method.args.kwonlyargs][1:]
    return []


def takes_call(parameter: ast.arg, aliases: Iterable[str]) -> bool:
    """Whether it is a Callable, or a name for one."""
    if parameter.annotation is None:
        return False
    names = {node.id for node in ast.walk(parameter.annotation) if isinstance(node, ast.Name)}
    return "Callable" in names or not names.isdisjoint(aliases)


def aliases(found: Sequence[Module]) -> set[str]:
    """Names that stand for a Callable, as `Spawn = Callable[…]`."""
    named = set()
    for module in found:
        for node in module.tree.body:
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.Subscript(value=ast.Name(id="Callable"))):
                    named.add(name)
    return named


def names_for_any(found: Sequence[Module]) -> set[str]:
    """Names that stand for a dict[str, Any]: what uses them is counted, too."""
    return {name for module in found for name in re.findall(r"^(\w+) = dict\[str, Any\]$", module.text, re.MULTILINE)}


def set_from_outside(module: Module) -> Iterator[str]:
    """`self.part.what = how`: an attribute of a part that the part did not set itself."""
    for node in ast.walk(module.tree):
        for target in node.targets if isinstance(node, ast.Assign) else ():
            match target:
                case ast.Attribute(attr=name, value=ast.Attribute(value=ast.Name(id="self"))):
                    yield name


def code_lines(module: Module) -> int:
    """Without blanks, comments, and texts that stand for themselves."""
    texts: set[int] = set()
    for node in ast.walk(module.tree):
        match node:
            case ast.Expr(value=ast.Constant(value=str())):
                texts |= {*range(node.lineno, (node.end_lineno or node.lineno) + 1)}
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(module.text).readline):
        if token.type not in _NO_CODE:
            lines |= {*range(token.start[0], token.end[0] + 1)}
    return len(lines - texts)


_NO_CODE = {
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE),
    *(tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER),
}


def of_drivers(found: Sequence[Module], count: Callable[[Module], int]) -> str:
    """Median, smallest and largest of the drivers' folders."""
    folders = {module.path.parent for module in found if not module.is_core and module.path.name == "driver.py"}
    sums = [sum(count(module) for module in found if folder in module.path.parents) for folder in folders]
    return f"{median(sums or [0]):.0f} ({min(sums, default=0)}, {max(sums, default=0)})"


def repeated(names: Iterable[str]) -> int:
    """How many of the names stand for more than one thing."""
    return sum(count > 1 for count in Counter(names).values())


def figures(root: Path) -> dict[str, str]:
    """By what is counted, in words."""
    found = modules(root)
    core = [module for module in found if module.is_core]
    folders = Counter(module.path.parent for module in found if module.path.name != "__init__.py")
    classes = [each for module in core for each in module.classes()]
    shipped = [each for module in found for each in module.classes()]
    public = [each.name for each in shipped if not each.name.startswith("_")]
    constructors = [parameters(each) for each in classes]
    calls = sum(takes_call(each, aliases(core)) for given in constructors for each in given)
    gateway = next((each for each in classes if each.name == "Gateway"), None)
    largest = max(len(module.text.splitlines()) for module in found)
    typed = [module.text for module in core if module.path.parts[1] != "cli"]
    named = re.compile(rf"[\[:>|] ?(?:{'|'.join(names_for_any(core)) or '(?!)'})\b")
    lines = sum(len(module.text.splitlines()) for module in found)
    named_files = [module for module in core if module.path.name != "__init__.py"]
    own_names = [module.path.name for module in named_files if module.path.parts[1] not in NAMED_AFTER]
    return {
        f"folders of more than {FILES} files (files of the largest)": (
            f"{sum(count > FILES for count in folders.values())} ({max(folders.values(), default=0)})"
        ),
        "files (lines of the longest)": f"{len(found)} ({largest})",
        "public classes that share their name": str(repeated(public)),
        f"files of gateway/ that share their name, without {', '.join(sorted(NAMED_AFTER))} (with them)": (
            f"{repeated(own_names)} ({repeated(module.path.name for module in named_files)})"
        ),
        "callables that constructors of gateway/ take": str(calls),
        "attributes of parts that are set from outside": str(sum(len([*set_from_outside(each)]) for each in core)),
        f"constructors of more than {PARAMETERS} parameters": str(
            sum(len(given) > PARAMETERS for given in constructors)
        ),
        f"classes of more than {METHODS} methods": str(sum(len(methods(each)) > METHODS for each in shipped)),
        "methods of Gateway": str(len(methods(gateway))) if gateway else "–",
        "dict[str, Any] in gateway/, without cli/ (and under a name)": (
            f"{sum(text.count('dict[str, Any]') for text in typed)} ({sum(len(named.findall(text)) for text in typed)})"
        ),
        "lines": f"{lines:,}",
        "lines of a driver: median (smallest, largest)": of_drivers(
            found, lambda module: len(module.text.splitlines())
        ),
        "lines of code of a driver: median (smallest, largest)": of_drivers(found, code_lines),
    }


def main() -> None:
    roots = [Path(argument) for argument in sys.argv[1:]] or [ROOT]
    counted = [figures(root) for root in roots]
    width = max(map(len, counted[0]))
    if len(roots) > 1:
        print(" " * width, *(f"{root.resolve().name:>12}" for root in roots))
    for what in counted[0]:
        print(f"{what:<{width}}", *(f"{each[what]:>12}" for each in counted))


if __name__ == "__main__":
    main()
