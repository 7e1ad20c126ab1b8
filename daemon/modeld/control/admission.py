"""Refuse a version for what is known of it before a byte of its model is interpreted."""

from collections.abc import Sequence

from modeld.domain import Artifact, ModelVersion
from modeld.errors import ManifestInvalid, NotTrusted
from modeld.repository.manifest import Manifest
from modeld.runtimes.formats import HARMLESS, executes_code


def check_artifact(artifact: Artifact, trust: str) -> None:
    """Raise `NotTrusted` for what `trust` does not let a host open."""
    check_trust(
        artifact.version,
        artifact.format,
        trust,
        is_pinned=artifact.pinned,
        trusted=artifact.trusted,
    )


def check_trust(
    version: ModelVersion,
    format_name: str,
    trust: str,
    *,
    is_pinned: bool,
    trusted: Sequence[str] = (),
) -> None:
    """Raise `NotTrusted` for a format whose loading runs code, as far as `trust` forbids it."""
    if not executes_code(format_name, trusted) or trust == "any":
        return
    kind = f"a {format_name} file"
    if unknown := sorted(set(trusted) - HARMLESS):
        kind += f" of types that model.yaml trusts ({', '.join(unknown)})"
    if trust == "safe":
        raise NotTrusted(
            f"{version} is {kind}, whose loading runs code; MODELD_TRUST=safe takes ONNX and "
            f"skops models, and compiled ones: modeld compile {version.version}"
        )
    if not is_pinned:
        raise NotTrusted(
            f"{version} is {kind} without a committed digest; "
            "MODELD_TRUST=pinned wants one in pins: or model.yaml"
        )


def check_supported(version: ModelVersion, manifest: Manifest) -> None:
    """Raise `ManifestInvalid` for what it asks and nothing here does, rather than ignore it."""
    asked = {
        "outputs.threshold": manifest.threshold is not None,
    }
    for name, is_asked in asked.items():
        if is_asked:
            raise ManifestInvalid(f"{version}: model.yaml has {name}, which is not supported yet")
