"""Write `model.yaml` for a version, so that `manifest` reads from it what was meant.

Every text is quoted: what YAML takes for a word and what the manifest takes for one differ.
"""

from collections.abc import Mapping
from typing import Any

import yaml

from modeld.domain import Scalar
from modeld.repository.manifest import FileEntry, Manifest

_WIDTH = 100_000
"""No line is broken: a list of a thousand classes is one line of one thing."""


class _Text(str):
    """A value that is a text, whatever it looks like."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    """Writes no anchors, which the manifest does not take."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write each value out."""
        return True


_Dumper.add_representer(
    _Text, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')
)


class _Flow(dict[str, Any]):
    """Keys and values on one line."""


_Dumper.add_representer(
    _Flow,
    lambda dumper, entries: dumper.represent_mapping(
        "tag:yaml.org,2002:map", entries.items(), flow_style=True
    ),
)


def manifest_text(manifest: Manifest) -> str:
    """Write what a manifest says, leaving out what it does not."""
    entries = {name: value for name, value in _entries(manifest).items() if value or value == 0}
    return yaml.dump(entries, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH)


def _entries(manifest: Manifest) -> dict[str, Any]:
    return {
        "format": manifest.format,
        "files": {each.path: _file(each) for each in manifest.files},
        "code": list(map(_Text, manifest.code)),
        "environment": _Text(manifest.environment),
        "trusted": list(map(_Text, manifest.trusted)),
        "inputs": _inputs(manifest),
        "extra_inputs": "ignore" if manifest.ignores_extra else "",
        **({"rank": manifest.rank} if manifest.rank >= 0 and not manifest.columns else {}),
        "outputs": _outputs(manifest),
        "samples": manifest.samples,
        **_running(manifest),
        "trained": _trained(manifest),
    }


def _running(manifest: Manifest) -> dict[str, Any]:
    """Say how it is to be run, where that is not how all are."""
    usual = Manifest()
    said = {
        "batching": (manifest.batching, usual.batching),
        "hosts": (manifest.hosts, usual.hosts),
        "compile": (manifest.compile, usual.compile),
        "max_memory": (_Text(manifest.max_memory), _Text(usual.max_memory)),
        "device": (manifest.device, usual.device),
    }
    return {name: value for name, (value, default) in said.items() if value != default}


def _file(entry: FileEntry) -> _Flow:
    return _Flow(size=entry.size, sha256=_Text(entry.sha256))


def _inputs(manifest: Manifest) -> list[_Flow]:
    found = []
    for column in manifest.columns:
        typed = {"type": column.type} if column.type else {}
        found.append(_Flow(name=_Text(column.name), **typed, nullable=column.nullable))
    return found


def _outputs(manifest: Manifest) -> _Flow:
    kind = {"kind": manifest.kind} if manifest.kind else {}
    classes = {"classes": list(map(_scalar, manifest.classes))} if manifest.classes else {}
    return _Flow(**kind, **classes)


def _scalar(value: Scalar) -> Scalar:
    return _Text(value) if isinstance(value, str) else value


def _trained(manifest: Manifest) -> dict[str, Any]:
    trained = manifest.trained
    if trained is None:
        return {}
    entries: Mapping[str, Any] = {
        "at": _Text(trained.at),
        "commit": _Text(trained.commit),
        "libraries": _Flow((name, _Text(version)) for name, version in trained.libraries),
        "metrics": _Flow(trained.metrics),
    }
    return {name: value for name, value in entries.items() if value}
