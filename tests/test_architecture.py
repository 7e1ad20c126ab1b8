"""The rules of the house, read from the source.

The layer table of CONTRIBUTING is `LAYERS`: a module imports from lower layers and from
its own package only. Imports inside functions count as well, unless a rule says otherwise.
"""

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "daemon"

# From the top down. A module stands where its longest listed prefix does.
LAYERS = (
    ("__main__",),
    ("cli",),
    ("control.app", "serving.worker"),
    ("control", "serving"),
    ("http",),
    ("host",),
    ("compiler",),
    ("desired", "repository", "runtimes", "metrics", "log", "git"),
    ("messages", "config"),
    ("certificates", "config_sources", "config_values", "launch", "locks", "slots"),
    ("domain",),
    ("errors",),
    ("",),  # `modeld` itself, which holds the version number
)
HEIGHTS = {unit: height for height, layer in enumerate(reversed(LAYERS)) for unit in layer}

# Libraries that shape the code around them, and the only places that may know them.
HOMES = {
    "aiohttp": ("serving", "control.app", "control.notifying", "control.web", "http", "cli"),
    "httptools": ("serving", "http"),
    "uvloop": ("serving.worker", "control.app", "cli"),
    "prometheus_client": ("metrics",),
    "pydantic": ("config", "desired", "repository", "control"),
    "watchfiles": ("desired", "control"),
    "sqlite3": ("control",),
    "yaml": ("desired", "repository"),
    "click": ("cli",),
    "rich": ("cli",),
    "segno": ("cli",),
    "pickle": ("runtimes", "compiler", "host"),
    "joblib": ("runtimes", "compiler", "host"),
    "sklearn": ("runtimes", "compiler", "host"),
    "pandas": ("runtimes", "host"),
    "pyarrow": ("runtimes", "host"),
    "skops": ("runtimes",),
    "torch": ("runtimes",),
    "transformers": ("runtimes",),
    "onnx": ("runtimes", "compiler", "host"),
    "onnxruntime": ("runtimes", "compiler", "host"),
    "skl2onnx": ("compiler",),
}

# A worker answers HTTP. It must stay small, and never be able to unpickle.
NOT_IN_A_WORKER = {
    *("joblib", "sklearn", "pandas", "scipy", "pickle", "cloudpickle", "skops", "pydantic"),
    "torch",
    "transformers",
}

# A host may run in an environment of its own, with little else installed. What these import
# at their start is the standard library, numpy and each other; a format's library is imported
# when a model of that format comes.
IN_A_HOST = ("host", "runtimes", "compiler", "messages", "domain", "errors", "launch")

# Modules that import their library at their start, and so are themselves imported late.
WITH_ITS_LIBRARY = {
    "runtimes.onnx": ("onnxruntime",),
    "runtimes.compiled": ("onnxruntime",),
    "compiler.tree_converters": ("onnx", "skl2onnx", "sklearn"),
    "compiler.encoders": ("onnx", "skl2onnx", "sklearn"),
    "compiler.column_parser": ("skl2onnx",),
    "compiler.tensors": ("skl2onnx",),
    "compiler.writer": ("onnx",),
}

ENVIRONMENT = {f"os.{name}" for name in ("environ", "environb", "getenv", "getenvb", "putenv")}
MAY_READ_THE_ENVIRONMENT = ("certificates", "config", "control.environment", "git.command")

# Catalogues: a class for every failure and for every message, no code.
MAY_BE_LONG = ("errors", "messages")

MAX_MODULE_LINES = 300
MAX_FUNCTION_LINES = 40

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """One source file, under its name without `modeld.`."""

    name: str
    path: Path

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def imports(self) -> frozenset[str]:
        """Everything that it imports anywhere, as full dotted names."""
        return frozenset(_imported(ast.walk(self.tree)))

    @cached_property
    def imports_at_start(self) -> frozenset[str]:
        """What it imports when it is imported."""
        return frozenset(_imported(_run_on_import(self.tree)))

    def ours(self, *, at_start: bool = False) -> set[str]:
        """The modules of ours among its imports."""
        imports = self.imports_at_start if at_start else self.imports
        return {_our_module(name) for name in imports if _library(name) == "modeld"}

    def libraries(self, *, at_start: bool = False) -> set[str]:
        """The top-level names among its imports that are not ours."""
        imports = self.imports_at_start if at_start else self.imports
        return {_library(name) for name in imports} - {"modeld"}


def _imported(nodes: Iterator[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _run_on_import(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        is_for_types = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        if not is_for_types and not isinstance(child, FunctionNode | ast.Lambda):
            yield child
            yield from _run_on_import(child)


def _library(name: str) -> str:
    return name.partition(".")[0]


def _our_module(name: str) -> str:
    """Cut `modeld.domain.ModelVersion` down to the module `domain`."""
    short = name.removeprefix("modeld").removeprefix(".")
    while short not in MODULES:
        short = _parent(short)
    return short


def _parent(name: str) -> str:
    return name.rpartition(".")[0]


def _package(name: str) -> str:
    return name.partition(".")[0]


def _is_in(name: str, places: Iterable[str]) -> bool:
    return any(name == place or name.startswith(f"{place}.") for place in places)


def _height(name: str) -> int:
    """The layer of a module, counted from the bottom."""
    unit = name
    while unit not in HEIGHTS:
        unit = _parent(unit)
    assert unit or not name, f"modeld.{name} has no place in LAYERS"
    return HEIGHTS[unit]


def _find_modules() -> dict[str, Module]:
    modules = {}
    for path in sorted((ROOT / "modeld").rglob("*.py")):
        if "starter" in path.parts:
            continue  # what `modeld init` copies is nobody's module
        parts = path.relative_to(ROOT / "modeld").with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        modules[name] = Module(name, path)
    return modules


MODULES = _find_modules()

every_module = pytest.mark.parametrize(
    "module", [pytest.param(module, id=name or "modeld") for name, module in MODULES.items()]
)


@every_module
def test_imports_go_downward_only(module: Module) -> None:
    height = _height(module.name)
    others = {name for name in module.ours() if _package(name) != _package(module.name)}

    assert not [name for name in sorted(others) if _height(name) >= height]


@every_module
def test_control_and_serving_never_import_each_other(module: Module) -> None:
    """They share messages, nothing else."""
    stranger = {"control": "serving", "serving": "control"}.get(_package(module.name))

    assert stranger not in {_package(name) for name in module.ours()}


@every_module
def test_imports_are_absolute(module: Module) -> None:
    imports = [node for node in ast.walk(module.tree) if isinstance(node, ast.ImportFrom)]

    assert not [node.lineno for node in imports if node.level]


@every_module
def test_a_library_is_known_only_where_it_belongs(module: Module) -> None:
    known = module.libraries() & HOMES.keys()

    assert not {library for library in known if not _is_in(module.name, HOMES[library])}


@every_module
def test_the_environment_is_read_in_one_place(module: Module) -> None:
    """`config` reads it; the supervisor scrubs it for its children."""
    attributes = {
        ast.unparse(node) for node in ast.walk(module.tree) if isinstance(node, ast.Attribute)
    }
    names = ENVIRONMENT & (attributes | module.imports)

    assert not names or _is_in(module.name, MAY_READ_THE_ENVIRONMENT)


@every_module
def test_what_a_host_imports_at_its_start_is_numpy_at_most(module: Module) -> None:
    if not _is_in(module.name, IN_A_HOST):
        return
    allowed = {*sys.stdlib_module_names, "numpy", *WITH_ITS_LIBRARY.get(module.name, ())}
    ours = module.ours(at_start=True) - {""}

    assert not module.libraries(at_start=True) - allowed
    assert not {name for name in ours if not _is_in(name, IN_A_HOST)}
    assert module.name in WITH_ITS_LIBRARY or not ours & WITH_ITS_LIBRARY.keys()


def test_nothing_that_a_worker_imports_can_unpickle() -> None:
    """Neither at its start nor in a function: what is not there cannot be called."""
    reached = _reachable({name for name in MODULES if _package(name) == "serving"})

    assert not {name for name in reached if _package(name) in {"config", "control"}}
    assert not {
        (name, library)
        for name in reached
        for library in MODULES[name].libraries() & NOT_IN_A_WORKER
    }


def test_the_control_process_does_without_numpy() -> None:
    """It starts in half the time, and no library of models can hurt what decides."""
    code = "import modeld.cli, modeld.control.app, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert not {"numpy", "sklearn", "onnx", "onnxruntime", "joblib"} & set(done.stdout.split())


def _reachable(starts: set[str]) -> set[str]:
    """The modules of ours that importing these brings along, packages above them included."""
    reached: set[str] = set()
    waiting = set(starts)
    while waiting:
        name = waiting.pop()
        reached.add(name)
        waiting |= {_parent(name), *MODULES[name].ours()} - reached
    return reached


@every_module
def test_a_module_is_short(module: Module) -> None:
    length = len(module.text.splitlines())

    assert length <= MAX_MODULE_LINES or module.name in MAY_BE_LONG


@every_module
def test_functions_are_short(module: Module) -> None:
    functions = [node for node in ast.walk(module.tree) if isinstance(node, FunctionNode)]

    assert not [
        f"{function.name} has {_length(function)} lines"
        for function in functions
        if _length(function) > MAX_FUNCTION_LINES
    ]


def _length(function: FunctionNode) -> int:
    """Lines from `def` to the end, without the docstring."""
    start, end = function.lineno, function.end_lineno or 0
    first = function.body[0]
    is_documented = ast.get_docstring(function) is not None
    docstring = (first.end_lineno or 0) - first.lineno + 1 if is_documented else 0
    return end - start + 1 - docstring


def test_every_error_says_what_it_means() -> None:
    classes = [node for node in ast.walk(MODULES["errors"].tree) if isinstance(node, ast.ClassDef)]

    assert classes
    assert not [node.name for node in classes if not ast.get_docstring(node)]


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Each can then be imported first, and what order they come in changes nothing."""
    imports = {name: module.ours(at_start=True) - {name} for name, module in MODULES.items()}

    TopologicalSorter(imports).prepare()
