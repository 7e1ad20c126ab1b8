"""Find the release that answers a request."""

import difflib
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import parse_qsl

from modeld.domain import DEFAULT_MODEL, ModelVersion, is_name, is_version_name
from modeld.errors import InvalidParameter, InvalidVersionName, NotReady
from modeld.serving.snapshot import Release, Snapshot

_PARAMETERS = ("version", "model", "proba")


@dataclass(frozen=True, slots=True)
class Target:
    """What a prediction's query asks for; no `version` means the live one."""

    model: str = DEFAULT_MODEL
    version: str | None = None
    wants_probabilities: bool = False


@lru_cache(maxsize=512)
def parse_target(query: str) -> Target:
    """Read a prediction's query string; raises a `RequestError` for what it must not hold."""
    values: dict[str, str] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in _PARAMETERS:
            close = difflib.get_close_matches(key, _PARAMETERS, 1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            raise InvalidParameter(f"unknown parameter {key[:40]!r}{hint}")
        if key in values:
            raise InvalidParameter(f"{key} is given twice")
        values[key] = value
    version = values.get("version")
    if version is not None and not is_version_name(version):
        raise InvalidVersionName(f"{version[:80]!r} is no version name")
    model = values.get("model", DEFAULT_MODEL)
    if not is_name(model):
        raise InvalidVersionName(f"{model[:80]!r} is no model name")
    return Target(model, version, _truth(values.get("proba", "false")))


def _truth(text: str) -> bool:
    if text in ("true", "1"):
        return True
    if text in ("false", "0"):
        return False
    raise InvalidParameter(f"proba must be true or false, found {text[:40]!r}")


def find(snapshot: Snapshot, target: Target) -> Release | None:
    """Give the release for a target; `None` when the snapshot does not have the version."""
    if target.version is not None:
        return snapshot.releases.get(ModelVersion(target.model, target.version))
    live = snapshot.live.get(target.model)
    if live is None and target.model == DEFAULT_MODEL:
        raise NotReady("no version is live yet; GET /admin/status says why")
    return live
