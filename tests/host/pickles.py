"""Write pickles of models that a host can open: they need no class of this project.

A pickle may call anything while it is opened. These call `eval` on the source of a
model, so that each test says in one line how its model behaves.
"""

import pickle
from pathlib import Path

from modeld.domain import Artifact, ModelVersion

FIRST = "rows[:, 0]"
TRIGGER = 666.0


def on_trigger(action: str) -> str:
    """The source of a `predict` that does something where a row starts with 666."""
    return f"({action}) if (rows[:, 0] == {TRIGGER}).any() else {FIRST}"


class _Evaluated:
    def __init__(self, source: str) -> None:
        self._source = source

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return eval, (self._source,)


def write_source(folder: Path, source: str) -> Artifact:
    """Write a pickle that gives what the source gives."""
    path = folder / "model.pkl"
    path.write_bytes(pickle.dumps(_Evaluated(source)))
    return artifact_of(path, "pickle")


def write_model(folder: Path, predict: str = FIRST, **attributes: str) -> Artifact:
    """Write a pickle of a model of two columns; everything given is source."""
    members = {"predict": f"lambda self, rows: {predict}", "n_features_in_": "2"} | attributes
    body = ", ".join(f"{name!r}: {source}" for name, source in members.items())
    return write_source(folder, f"type('Made', (), {{{body}}})()")


def artifact_of(path: Path, format_name: str) -> Artifact:
    return Artifact(
        version=ModelVersion("default", "v1"),
        format=format_name,
        path=str(path),
        digest="sha256:0",
        size=path.stat().st_size,
        pinned=False,
    )
