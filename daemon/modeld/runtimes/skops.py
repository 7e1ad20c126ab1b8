"""Open skops files: estimators without pickles, made of types that somebody trusts.

A skops file is a zip archive that says of which types the model is made. skops makes none
that neither it nor the version's manifest trusts. Nothing is ever unpacked onto the disk;
what the archive would take in memory is counted first, so that a small file cannot
become a huge model.
"""

import json
import re
from typing import Any, NoReturn
from zipfile import BadZipFile, ZipFile

from modeld.domain import Artifact
from modeld.errors import LoadFailed
from modeld.runtimes.native import NativeModel, missing_package, wrap

_SCHEMA = "schema.json"
_MOST_SCHEMA = 512 << 20
_MOST_GROWTH = 100
_ALWAYS_FINE = 256 << 20
_SHOWN = 12
_PLAIN = re.compile(r"[\w.]+")


def open_skops(artifact: Artifact) -> NativeModel:
    """Make the model of a staged file; raises `LoadFailed` with the types that are not trusted."""
    from skops.io import get_untrusted_types, load
    from skops.io.exceptions import UntrustedTypesFoundException

    try:
        _check_size(artifact)
        estimator = load(artifact.path, trusted=list(artifact.trusted))
    except (LoadFailed, MemoryError):
        raise
    except UntrustedTypesFoundException:
        _refuse({*get_untrusted_types(file=artifact.path)} - {*artifact.trusted})
    except ModuleNotFoundError as error:
        raise missing_package(error) from error
    except Exception as error:
        # A damaged file may fail anywhere, with whatever error.
        text = " ".join(str(error).split())[:200]
        raise LoadFailed(f"skops cannot open it: {type(error).__name__}: {text}") from error
    return wrap(estimator, artifact)


def _check_size(artifact: Artifact) -> None:
    """Refuse an archive that would become far larger than it is."""
    try:
        with ZipFile(artifact.path) as archive:
            sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
            if sizes.get(_SCHEMA, 0) > _MOST_SCHEMA:
                raise LoadFailed(f"its {_SCHEMA} is larger than {_MOST_SCHEMA >> 20} MiB")
            schema = archive.read(_SCHEMA)
    except KeyError as error:
        raise LoadFailed(f"a zip archive without {_SCHEMA} is no skops file") from error
    except BadZipFile as error:
        raise LoadFailed(f"it is no whole skops file: {error}") from error
    total = _read_by(schema, sizes)
    if total > max(_ALWAYS_FINE, _MOST_GROWTH * artifact.size):
        raise LoadFailed(
            f"its {artifact.size:,} bytes would become {total:,} in memory; a model that is as "
            "repetitive as that must be saved uncompressed"
        )


def _read_by(schema: bytes, sizes: dict[str, int]) -> int:
    """Count the bytes that the schema has skops read: one entry may be named many times."""
    total = len(schema)

    def count(node: dict[str, Any]) -> None:
        nonlocal total
        name = node.get("file")
        if isinstance(name, str):
            total += sizes.get(name, 0)

    json.loads(schema, object_hook=count)
    return total


def _refuse(types: set[str]) -> NoReturn:
    names = sorted(types)
    listed = ", ".join(
        name if _PLAIN.fullmatch(name) else ascii(name[:80]) for name in names[:_SHOWN]
    )
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    raise LoadFailed(
        "it is made of types that nobody trusts yet; if you know them, modeld add --trust TYPE "
        f"names each, or put into model.yaml: trusted: [{listed}]{more}"
    )
