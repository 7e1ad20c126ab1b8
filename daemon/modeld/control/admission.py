"""Refuse a version for what is known of it before a byte of its model is interpreted."""

from modeld.domain import ModelVersion
from modeld.errors import ManifestInvalid, NotTrusted
from modeld.repository.manifest import Manifest
from modeld.runtimes.formats import executes_code


def check_trust(version: ModelVersion, format_name: str, trust: str, *, is_pinned: bool) -> None:
    """Raise `NotTrusted` for a format whose loading runs code, as far as `trust` forbids it."""
    if not executes_code(format_name) or trust == "any":
        return
    if trust == "safe":
        raise NotTrusted(
            f"{version} is a {format_name} file, whose loading runs code; MODELD_TRUST=safe takes "
            f"ONNX models, and compiled ones: modeld compile {version.version}"
        )
    if not is_pinned:
        raise NotTrusted(
            f"{version} is a {format_name} file without a committed digest; "
            "MODELD_TRUST=pinned wants one in pins: or model.yaml"
        )


def check_supported(version: ModelVersion, manifest: Manifest) -> None:
    """Raise `ManifestInvalid` for what it asks and nothing here does, rather than ignore it."""
    asked = {
        "outputs.threshold": manifest.threshold is not None,
        "code": bool(manifest.code),
        "environment": bool(manifest.environment),
    }
    for name, is_asked in asked.items():
        if is_asked:
            raise ManifestInvalid(f"{version}: model.yaml has {name}, which is not supported yet")
