"""Prepare servers of other projects, each at the settings that its documentation has for this.

Each lives in an environment of its own, since their requirements conflict; where pip could
not make that, or the server does not start, that is what its row says. They are asked for the
models that all of them can open: numbers in, a scikit-learn model, one label out.
"""

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contenders import Contender
from benchmarks.errors import BenchmarkError
from benchmarks.measure import Absence
from benchmarks.models import FOREST, REGRESSION, Model
from benchmarks.places import BUILD, SERVERS, clean_environment
from benchmarks.protocols import BENTOML, LITSERVE, MLFLOW, OPEN_INFERENCE, Protocol

_EXCUSE = "could not be run"
_PREPARING_SECONDS = 120
_KINDS = frozenset({REGRESSION, FOREST})

Prepare = Callable[[Model, Path], None]


@dataclass(frozen=True, slots=True)
class Peer:
    """A server of another project.

    In command and environment `{bin}`, `{servers}`, `{model}` and `{folder}` stand for its
    commands, our scripts, the model's file and a folder that `prepare` may fill.
    """

    server: str
    group: str
    protocol: Protocol
    command: tuple[str, ...]
    environment: Mapping[str, str]
    prepare: Prepare | None = None

    @property
    def build(self) -> Path:
        """The environment that it is installed in."""
        return BUILD / f"bench-{self.group}"


def _for_mlserver(model: Model, folder: Path) -> None:
    """Write the settings: no second process, nothing that a request does not need."""
    server = {
        "host": "127.0.0.1",
        "parallel_workers": 0,
        "debug": False,
        "gzip_enabled": False,
        "metrics_endpoint": None,
    }
    implementation = "mlserver_sklearn.SKLearnModel"
    served = {"name": "model", "implementation": implementation}
    where = {"parameters": {"uri": str(model.file)}}
    (folder / "settings.json").write_text(json.dumps(server))
    (folder / "model-settings.json").write_text(json.dumps(served | where))


def _for_mlflow(model: Model, folder: Path) -> None:
    """Store the model in MLflow's form."""
    python = BUILD / "bench-mlflow" / "bin" / "python"
    done = subprocess.run(
        [python, SERVERS / "save_for_mlflow.py", model.file, folder / "model"],
        env={**clean_environment(), "MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True,
        text=True,
        timeout=_PREPARING_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise BenchmarkError(done.stderr)


_PORT = ("--host", "127.0.0.1", "--port", "{port}")
_LOCAL = ("--env-manager", "local", "--workers", "1")

PEERS = (
    Peer(
        "MLServer",
        "mlserver",
        OPEN_INFERENCE,
        ("{bin}/mlserver", "start", "{folder}"),
        {"MLSERVER_HTTP_PORT": "{port}", "MLSERVER_GRPC_PORT": "{spare}"},
        _for_mlserver,
    ),
    Peer(
        "BentoML, adaptive batching",
        "bentoml",
        BENTOML,
        (
            "{bin}/bentoml",
            "serve",
            "bento_predictor:Predictor",
            "--working-dir",
            "{servers}",
            *_PORT,
        ),
        {"MODEL": "{model}", "BENTOML_HOME": "{folder}", "BENTOML_DO_NOT_TRACK": "True"},
    ),
    Peer(
        "LitServe, batching",
        "litserve",
        LITSERVE,
        ("{bin}/python", "{servers}/lit_predictor.py", "{model}", "{port}"),
        {},
    ),
    Peer(
        "MLflow models serve",
        "mlflow",
        MLFLOW,
        ("{bin}/mlflow", "models", "serve", "--model-uri", "{folder}/model", *_LOCAL, *_PORT),
        {"MLFLOW_DISABLE_TELEMETRY": "true", "UVICORN_ACCESS_LOG": "false"},
        _for_mlflow,
    ),
)


def peers(model: Model, folder: Path) -> Iterator[Contender | Absence]:
    """Prepare each of them with a model, or say why it cannot be run."""
    if model.kind not in _KINDS:
        return
    for peer in PEERS:
        try:
            yield _prepare(peer, model, folder / peer.group)
        except (BenchmarkError, OSError, subprocess.TimeoutExpired) as error:
            yield Absence(peer.server, model.kind.name, f"{_EXCUSE}: {error}")


def _prepare(peer: Peer, model: Model, folder: Path) -> Contender:
    check_installed(peer)
    folder.mkdir(parents=True)
    if peer.prepare is not None:
        peer.prepare(model, folder)
    fill = _filling(peer, model, folder)
    environment = {name: fill(value) for name, value in peer.environment.items()}
    environment["PATH"] = f"{peer.build / 'bin'}:{os.environ['PATH']}"  # it starts its own tools
    cases = tuple(case for case in model.kind.cases if case.rows == 1 or peer.protocol.many)
    return Contender(
        peer.server,
        peer.group,
        model,
        peer.protocol,
        tuple(map(fill, peer.command)),
        folder,
        environment,
        cases,
        excuse=_EXCUSE,
    )


def _filling(peer: Peer, model: Model, folder: Path) -> Callable[[str], str]:
    names = {
        "{bin}": peer.build / "bin",
        "{servers}": SERVERS,
        "{model}": model.file,
        "{folder}": folder,
    }

    def fill(text: str) -> str:
        for name, path in names.items():
            text = text.replace(name, str(path))
        return text

    return fill


def check_installed(peer: Peer) -> None:
    """Raise `BenchmarkError` unless its environment is there."""
    failure = peer.build / "failed.txt"
    if failure.exists():
        raise BenchmarkError(f"pip could not install it: {failure.read_text()[-500:]}")
    if not (peer.build / "bin" / "python").exists():
        raise BenchmarkError("it is not installed; run `make bench PEERS=1`")
