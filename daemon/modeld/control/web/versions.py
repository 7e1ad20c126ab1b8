"""`/admin/versions` and `/admin/samples`: what could be served, and rows to try it with."""

import asyncio
from pathlib import Path
from typing import Any

from modeld.control.progress import Progress
from modeld.control.publisher import Publisher
from modeld.control.release import LoadedRelease
from modeld.control.web.calls import Answer, Call, Calls, json_answer
from modeld.domain import DEFAULT_MODEL, ModelVersion
from modeld.errors import InvalidParameter, ModeldError
from modeld.repository.digest import DigestCache, digest_of
from modeld.repository.manifest import SAMPLES, Manifest, Trained, read_manifest
from modeld.repository.samples import Samples, read_samples
from modeld.repository.versions import Repository
from modeld.runtimes.formats import detect

Document = dict[str, Any]

_MOST_SAMPLES = 20
_LARGEST_SAMPLES = 4 << 20
"""Reading more would hold up the event loop, and nobody tries so many rows by hand."""


class VersionRoutes:
    """The routes, on the repository and what is loaded of it."""

    def __init__(self, repository: Repository, progress: Progress, publisher: Publisher) -> None:
        self._repository = repository
        self._progress = progress
        self._publisher = publisher
        self._digests = DigestCache()

    def add_to(self, calls: Calls) -> None:
        """Add the routes to the table."""
        calls.add("GET", "/admin/versions", self._get_versions)
        calls.add("GET", "/admin/samples", self._get_samples)

    def _named(self) -> tuple[str, ...]:
        desired = self._progress.desired
        return tuple(wish.model for wish in desired.models) if desired else ()

    async def _get_versions(self, _call: Call) -> Answer:
        return json_answer(await asyncio.to_thread(self._versions))

    def _versions(self) -> Document:
        named = self._named()
        listing = self._repository.listing(named)
        models = dict.fromkeys((DEFAULT_MODEL, *listing.models))
        return {
            "models": {
                model: {
                    "active": self._publisher.live_versions().get(model),
                    "versions": [
                        self._version(ModelVersion(model, version))
                        for version in listing.versions(model)
                    ],
                }
                for model in models
            }
        }

    def _version(self, version: ModelVersion) -> Document:
        release = self._publisher.loaded.get(version)
        document: Document = {"version": version.version, "state": "on disk"}
        try:
            found = self._look(self._repository.path(version), is_loaded=bool(release))
        except (ModeldError, OSError) as error:
            found = {"state": "unusable", "error": str(error), "trained": None}
        if release is not None:
            # What serves was proven; what became of its folder since is another matter.
            return document | {"trained": found["trained"]} | self._loaded(release)
        return document | found

    def _look(self, folder: Path, *, is_loaded: bool) -> Document:
        manifest = read_manifest(folder)
        trained = _trained(manifest.trained if manifest else None)
        if is_loaded:
            return {"trained": trained}
        names = [path.name for path in folder.iterdir()]
        format_name, path = detect(folder, names, manifest.format if manifest else None)
        return {
            "format": format_name,
            "digest": digest_of(folder, manifest, self._digests),
            "size": path.stat().st_size,
            "trained": trained,
        }

    def _loaded(self, release: LoadedRelease) -> Document:
        is_live = self._publisher.live.get(release.version.model) is release
        return {
            "state": "live" if is_live else "warm",
            "format": release.artifact.format,
            "runtime": release.spec.runtime,
            "digest": release.spec.digest,
            "size": release.artifact.size,
            "why_not_in_the_workers": release.loaded.why_not,
            "why_native": release.why_native,
        }

    async def _get_samples(self, call: Call) -> Answer:
        """Give golden rows of a version, or the row that it was tried with."""
        version = call.query.get("version", "")
        if not version:
            raise InvalidParameter("name a version: /admin/samples?version=v1")
        named = ModelVersion(call.query.get("model") or DEFAULT_MODEL, version)
        folder = await asyncio.to_thread(self._repository.folder, named, self._named())
        samples = await asyncio.to_thread(_samples, folder)
        release = self._publisher.loaded.get(named)
        return json_answer(
            {
                "model": named.model,
                "version": named.version,
                "samples": _rows(samples) if samples else [],
                "example": release.loaded.example if release else None,
            }
        )


def _samples(folder: Path) -> Samples | None:
    manifest = read_manifest(folder) or Manifest()
    path = folder / (manifest.samples or SAMPLES)
    if not path.is_file() or path.stat().st_size > _LARGEST_SAMPLES:
        return None
    return read_samples(path)


def _rows(samples: Samples) -> list[Document]:
    pairs = zip(samples.inputs, samples.outputs, strict=True)
    return [{"input": row, "output": answer} for row, answer in pairs][:_MOST_SAMPLES]


def _trained(trained: Trained | None) -> Document | None:
    if trained is None:
        return None
    return {
        "at": trained.at,
        "commit": trained.commit,
        "libraries": dict(trained.libraries),
        "metrics": dict(trained.metrics),
    }
