"""Name the servers that are compared, and prepare what each one serves.

This module holds what a contender is, and the servers that stand in every table; those of
other projects are in `peers`. modeld's own rows are a table, `_OWN`.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.cases import BUSY, Case
from benchmarks.deployment import Deployment, compiled_file, deploy, drop_in, known_settings
from benchmarks.models import FOREST, REGRESSION, Model, Rows
from benchmarks.places import FASTAPI_PYTHON, IMPORTABLE, MODELD_PYTHON, PANDAS_PYTHON, SERVERS
from benchmarks.protocols import FASTAPI, MODELD, Protocol

EMPTY = "aiohttp, empty handler"
LIMIT = "limit: uvloop, httptools, ONNX"
FASTAPI_ASYNC = "FastAPI, async def"
FASTAPI_DEF = "FastAPI, def"
COMPILED = "modeld, compiled"
EXPRESS_OFF = "modeld, compiled, express lane off"
NATIVE = "modeld, native"
BOTH_CORES = "all on both cores"
ONE_WORKER = f"modeld, compiled, one worker, {BOTH_CORES}"
TWO_WORKERS = f"modeld, compiled, two workers, {BOTH_CORES}"

NO_MODEL = "no model"
_COMPILED_FOLDER = "compiled"
NOT_YET = "not supported yet"


@dataclass(frozen=True, slots=True)
class Runs:
    """What modeld must say of the version that it serves: which runtime, and where."""

    runtime: str
    where: str
    workers: int = 1


@dataclass(frozen=True, slots=True)
class Contender:
    """A server with a model, how it is started and asked, and what it is asked.

    In the command and the environment `{port}` and `{spare}` stand for two free ports.
    `excuse` is set where the server may fail, and says what that means.
    """

    server: str
    group: str
    model: Model
    protocol: Protocol
    command: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    cases: tuple[Case, ...] = ()
    runs: Runs | None = None
    excuse: str = ""
    shares_cores: bool = False
    model_name: str = ""

    def __str__(self) -> str:
        return f"{self.server}, {self.about}"

    @property
    def about(self) -> str:
        """The name of the model in the results."""
        return self.model_name or self.model.kind.name


@dataclass(frozen=True, slots=True)
class _Own:
    """A row of modeld's: its settings, what it must run, and which models it is measured with.

    Each compiled row but the plain one is measured with the models of `kinds` alone.
    """

    server: str
    settings: Mapping[str, str]
    runs: Runs
    kinds: frozenset[str] = frozenset()
    shares_cores: bool = False


_IN_HOST = Runs("native", "in a host")
_IN_WORKER = Runs("compiled", "in the workers")
_REGRESSION = frozenset({REGRESSION.name})

_OWN = (
    _Own(NATIVE, {"compile": "never"}, _IN_HOST),
    _Own(COMPILED, {}, _IN_WORKER),
    _Own(EXPRESS_OFF, {"express": "off"}, _IN_WORKER, _REGRESSION | {FOREST.name}),
    _Own(ONE_WORKER, {}, _IN_WORKER, _REGRESSION, shares_cores=True),
    _Own(TWO_WORKERS, {}, Runs("compiled", "in the workers", 2), _REGRESSION, shares_cores=True),
)
_ROWS = {row.server: row for row in _OWN}


def empty_handler(model: Model, folder: Path) -> Contender:
    """Prepare the handler without a model; it gets the requests of one, and answers 1."""
    command = (str(MODELD_PYTHON), str(SERVERS / "bare_aiohttp.py"), "{port}")
    cases = tuple(case for case in model.kind.cases if case.rows == 1)
    ones = Rows(model.samples.inputs, (1,) * len(model.samples.inputs))
    model = dataclasses.replace(model, samples=ones)
    return Contender(
        EMPTY, "empty", model, MODELD, command, folder, cases=cases, model_name=NO_MODEL
    )


def fastapi(model: Model, folder: Path) -> Iterator[Contender]:
    """Prepare both forms of the endpoint."""
    rows = "columns" if model.kind.has_text else "numbers"
    python = PANDAS_PYTHON if model.kind.has_text else FASTAPI_PYTHON
    for server, form in ((FASTAPI_ASYNC, "async"), (FASTAPI_DEF, "def")):
        script = str(SERVERS / "plain_fastapi.py")
        command = (str(python), script, str(model.file), rows, form, "{port}")
        environment = {"PYTHONPATH": str(IMPORTABLE)}
        yield Contender(
            server, "fastapi", model, FASTAPI, command, folder, environment, model.kind.cases
        )


def own(model: Model, folder: Path) -> Iterator[Contender]:
    """Prepare modeld's rows for a model. The rows that run a compiled file share one deployment."""
    yield own_of(NATIVE, {"v1": model}, folder / "native")
    if not model.kind.compiles:
        return
    first = own_of(COMPILED, {"v1": model}, folder / _COMPILED_FOLDER)
    yield first
    for row in _ROWS.values():
        if model.kind.name in row.kinds:
            yield _own(row, Deployment(first.folder), model)


def own_of(server: str, versions: Mapping[str, Model], folder: Path) -> Contender:
    """Prepare one of modeld's rows, with versions of its own; the first one is active."""
    first = next(iter(versions.values()))
    is_native = server == NATIVE or _compiles() or first.kind.has_text
    lays_out = deploy if is_native else drop_in
    return _own(_ROWS[server], lays_out(folder, versions), first)


def _compiles() -> bool:
    """Say whether this modeld compiles; where not, a converted file stands in."""
    return "compile" in known_settings()


def _own(row: _Own, deployment: Deployment, model: Model) -> Contender:
    settings = {
        name: row.settings[name] for name in row.settings if _compiles() or name != "compile"
    }
    is_unknown = not known_settings().issuperset(settings)
    server, runs = row.server, row.runs
    if not _compiles() and runs.runtime == "compiled":
        server = server.replace("compiled", "ONNX dropped in")
        runs = dataclasses.replace(runs, runtime="onnx")
    return Contender(
        server,
        "modeld",
        model,
        MODELD,
        deployment.command(runs.workers),
        deployment.folder,
        deployment.environment(settings),
        (BUSY,) if row.shares_cores else model.kind.cases,
        runs,
        excuse=NOT_YET if is_unknown else "",
        shares_cores=row.shares_cores,
    )


def limit(model: Model, folder: Path) -> Contender:
    """Prepare the limit row, with the very file that modeld runs; modeld must have made it."""
    file = str(compiled_file(Deployment(folder / _COMPILED_FOLDER)))
    command = (str(MODELD_PYTHON), str(SERVERS / "limit.py"), file, "{port}")
    return Contender(LIMIT, "limit", model, MODELD, command, folder, cases=model.kind.cases)
