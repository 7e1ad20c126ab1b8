"""Write the status document: what is wanted, what runs, and how the two differ."""

import socket
import time
from dataclasses import asdict, dataclass
from typing import Any

from modeld.control.emergency import hold_document
from modeld.control.following import Following
from modeld.control.history import rollback_target
from modeld.control.ledger import Ledger
from modeld.control.nursery import Nursery
from modeld.control.originals import Originals
from modeld.control.progress import Progress
from modeld.control.publisher import Publisher
from modeld.control.release import LoadedRelease
from modeld.control.retry import is_on_its_way
from modeld.control.summary import Facts, advise, summarise
from modeld.control.supervisor import Supervisor
from modeld.control.switch import Switch
from modeld.control.times import iso
from modeld.control.watching import Watching
from modeld.control.wish_facts import WishFacts
from modeld.domain import DEFAULT_MODEL, ModelVersion
from modeld.errors import Invalid, ModeldError, StateEmpty, StateUnreadable, VersionHeld
from modeld.http.auth import AdminAccess
from modeld.repository.versions import Repository

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sync:
    """How the wish and what runs compare: one word, its reason, the error behind it."""

    status: str
    reason: str
    error: ModeldError | None


class Status:
    """Reads everybody's state into one document."""

    def __init__(
        self,
        progress: Progress,
        publisher: Publisher,
        switch: Switch,
        ledger: Ledger,
        repository: Repository,
        wish: WishFacts,
    ) -> None:
        self._progress = progress
        self._publisher = publisher
        self._switch = switch
        self._ledger = ledger
        self._repository = repository
        self._path = wish.path
        self._wish = wish
        self.originals: Originals
        self.supervisor: Supervisor
        self.nursery: Nursery
        self.watching: Watching
        self.following: Following | None = None
        self.access: AdminAccess

    def sync(self) -> Sync:
        """Compare the wish with what runs. The first that holds is told."""
        progress = self._progress
        if progress.condition is not None:
            is_invalid = isinstance(progress.condition, StateUnreadable)
            return Sync(
                "Invalid" if is_invalid else "Missing",
                progress.condition.reason,
                progress.condition,
            )
        following = self.following.error if self.following else None
        error = progress.refusal.error if progress.refusal else following
        if error is not None:
            return Sync(_word_of(error), error.reason, error)
        if progress.is_frozen:
            return Sync("Frozen", "Frozen", None)
        if self._wish.overlay.override is not None:
            return Sync("Overridden", "NotWritable", None)
        if progress.is_loading or progress.applied is None:
            return Sync("Progressing", "Loading", None)
        reason = self._wish.not_in_git(progress.applied)
        return Sync("OutOfSync", reason, None) if reason else Sync("Synced", "Applied", None)

    def health(self) -> tuple[str, str]:
        """Say whether what is live can answer: a word and its reason."""
        if not self._publisher.live:
            return "NotReady", "NothingLive"
        live = {release.version for release in self._publisher.live.values()}
        if live & set(self._publisher.down):
            return "Degraded", "HostRestarting"
        if not self.supervisor.members():
            return "Degraded", "NoWorkers"
        sync = self.sync()
        if sync.error is not None and sync.status != "Held":
            is_early = is_on_its_way(sync.error, time.time() - self._progress.observed_at)
            return "Progressing" if is_early else "Degraded", sync.reason
        return "Healthy", "Serving"

    def facts(self) -> Facts:
        """Gather what the sentence is made from."""
        progress, sync = self._progress, self.sync()
        live = self._publisher.live.get(DEFAULT_MODEL)
        wanted = self._unmet()
        return Facts(
            sync=sync.status,
            reason=sync.reason,
            git=self._wish.committing.outcome.message,
            live=live.version.version if live else None,
            since=self._switch.since.get(DEFAULT_MODEL, 0.0),
            wanted=str(wanted) if wanted else None,
            folder=_folder(wanted),
            path=self._path,
            error=sync.error,
            retries=bool(progress.refusal and progress.refusal.retry_at),
            fallback=progress.applied.fallback if progress.applied else "",
            held=self._wish.held(progress.desired),
            down=self._publisher.down.get(live.version, "") if live else "",
            known=self._known() if sync.status == "Missing" else (),
        )

    def _known(self) -> tuple[str, ...]:
        try:
            return self._repository.listing().versions()
        except ModeldError:
            return ()

    def _unmet(self) -> ModelVersion | None:
        """Name the wanted version that is not live, or else the default model's."""
        wishes = self._progress.desired.models if self._progress.desired else ()
        live = self._publisher.live_versions()
        unmet = [wish for wish in wishes if live.get(wish.model) != wish.active]
        return next((ModelVersion(w.model, w.active) for w in (*unmet, *wishes)), None)

    def summary(self) -> str:
        """Give the sentence."""
        return self.sentences()["summary"]

    def sentences(self) -> dict[str, str]:
        """Give the sentence, and what to do next."""
        facts = self.facts()
        return {"summary": summarise(facts, time.time()), "next": advise(facts)}

    def document(self) -> Document:
        """Write all of it."""
        progress, sync = self._progress, self.sync()
        health, health_reason = self.health()
        applied = progress.applied
        return {
            **self.sentences(),
            "generation": progress.generation,
            "observed_generation": progress.generation if progress.observed else 0,
            "attempted_generation": progress.attempted,
            "applied_generation": progress.applied_generation,
            "sync": {
                "status": sync.status,
                "reason": sync.reason,
                "message": str(sync.error) if sync.error else "",
            },
            "health": {"status": health, "reason": health_reason},
            "desired": self._desired(),
            "watch": self._watch(),
            "live": {
                "blob": applied.wish.blob if applied else None,
                "is_fallback": bool(applied and applied.fallback),
                "comes_from": applied.fallback if applied else "",
                "applied_at": iso(applied.at) if applied else None,
                "warnings": [*(applied.warnings if applied else ()), *self._odd()],
            },
            "models": {model: self._model(model) for model in self._models()},
            "last_refused": self._refused(),
            "holds": [hold_document(hold) for hold in self._wish.holds.active],
            "override": self._wish.override_document(),
            "git": self._wish.git_document(),
            "following": self.following.document() if self.following else None,
            "processes": self._processes(),
            "admin": self.access.state,
            "instance": socket.gethostname(),
        }

    def _odd(self) -> list[str]:
        """Say what is odd about live versions."""
        live = self._publisher.live.values()
        made = [(each.version, text) for each in live for text in each.loaded.warnings]
        return [f"{version}: {text}" for version, text in (*made, *self.originals.problems.items())]

    def _models(self) -> tuple[str, ...]:
        desired = self._progress.desired
        wanted = [wish.model for wish in desired.models] if desired else []
        return tuple(dict.fromkeys([DEFAULT_MODEL, *wanted, *self._publisher.live]))

    def _model(self, model: str) -> Document:
        wish = self._progress.desired.model(model) if self._progress.desired else None
        release = self._publisher.live.get(model)
        held = [hold.version for hold in self._wish.holds.of(model)]
        target = rollback_target(self._ledger.history(model), held)
        loaded = [r for v, r in self._publisher.loaded.items() if v.model == model]
        return {
            "desired": wish.active if wish else None,
            "active": release.version.version if release else None,
            "since": iso(self._switch.since[model]) if model in self._switch.since else None,
            "rollback_target": target.version,
            "further_back": target.further,
            "loaded": [self._release(release) for release in loaded],
        }

    def _release(self, release: LoadedRelease) -> Document:
        is_down = release.version in self._publisher.down
        return {
            "version": release.version.version,
            "digest": release.spec.digest,
            "runtime": release.spec.runtime,
            "runs": "in a host" if release.spec.hosts else "in the workers",
            "why_not_in_the_workers": release.loaded.why_not,
            "host_pid": release.hosts[0].pid if release.hosts else None,
            "host_pids": [host.pid for host in release.hosts],
            "host": self._publisher.down[release.version] if is_down else "",
            "row_ms": round(release.loaded.row_seconds * 1e3, 4),
            "libraries": list(release.loaded.libraries),
            "warnings": list(release.loaded.warnings),
            "why_native": release.why_native,
            "proof": asdict(release.loaded.proof) if release.loaded.proof else None,
        }

    def _desired(self) -> Document:
        progress = self._progress
        return {
            "source": self._wish.source,
            "path": self._path,
            "blob": progress.observed.blob if progress.observed else None,
            "observed_at": iso(progress.observed_at) if progress.observed else None,
            "freeze": progress.is_frozen,
            "note": progress.desired.note if progress.desired else "",
        }

    def _watch(self) -> Document:
        watching = self.watching
        return {
            "mode": watching.mode,
            "last_event": iso(watching.last_event) if watching.last_event else None,
            "last_look": iso(watching.last_look) if watching.last_look else None,
            "missed": watching.missed,
        }

    def _refused(self) -> Document | None:
        refusal = self._progress.refusal
        if refusal is None:
            return None
        return {
            "blob": refusal.blob,
            "generation": refusal.generation,
            "reason": refusal.error.reason,
            "line": getattr(refusal.error, "line", None),
            "message": str(refusal.error),
            "at": iso(refusal.at),
            "retry_at": iso(refusal.retry_at) if refusal.retry_at else None,
        }

    def _processes(self) -> Document:
        workers = self.supervisor.living()
        return {
            "workers": [{"slot": w.slot, "pid": w.pid, "serves": w.is_member} for w in workers],
            "worker_restarts": self.supervisor.restarts,
            "nursery_pid": self.nursery.pid or None,
        }


def _word_of(error: ModeldError) -> str:
    """Say in the word of the status what an error of the newest text makes of it."""
    if isinstance(error, VersionHeld):
        return "Held"
    if isinstance(error, StateEmpty):
        return "Missing"
    return "Invalid" if isinstance(error, Invalid) else "OutOfSync"


def _folder(version: ModelVersion | None) -> str:
    if version is None:
        return ""
    is_default = version.model == DEFAULT_MODEL
    return version.version if is_default else f"{version.model}/{version.version}"
