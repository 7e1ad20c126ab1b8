"""Give the metrics of all processes as Prometheus text."""

import asyncio
import contextlib
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from modeld.control.holds import Holds
from modeld.control.loader import Loader
from modeld.control.nursery import Nursery
from modeld.control.progress import Progress
from modeld.control.publisher import Publisher
from modeld.control.status import Status
from modeld.control.supervisor import Supervisor
from modeld.control.switch import Switch
from modeld.control.web.calls import Answer, Call
from modeld.domain import ModelVersion
from modeld.http.auth import AdminAccess
from modeld.metrics import ReleaseLabels, Report, render
from modeld.slots import Slots

_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Sources:
    """Whose state the metrics show."""

    supervisor: Supervisor
    nursery: Nursery
    loader: Loader
    publisher: Publisher
    progress: Progress
    status: Status
    access: AdminAccess
    switch: Switch
    holds: Holds


class Metrics:
    """The route `/metrics`."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    async def get(self, _call: Call) -> Answer:
        """Render all metrics."""
        report = self._report()
        body = await asyncio.to_thread(render, report)
        return Answer(200, body, {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    def predictions_at(self, slot: int) -> int:
        """Count the predictions at a release's slot, over all workers."""
        return sum(sum(slots.outcomes(slot)) for slots in self._slots())

    def _slots(self) -> list[Slots]:
        return self._sources.supervisor.slots

    def _report(self) -> Report:
        progress = self._sources.progress
        live = {release.version for release in self._sources.publisher.live.values()}
        loaded = self._sources.publisher.loaded
        return Report(
            slots=tuple(self._slots()),
            releases=tuple(
                ReleaseLabels(version.model, version.version, runtime, slot)
                for (version, runtime), slot in self._sources.loader.metric_slots().items()
            ),
            active={version: version in live for version in _known(self._sources.loader, live)},
            loaded=len(loaded),
            load_seconds={v: release.loaded.seconds for v, release in loaded.items()},
            resident=self._resident(),
            reloads=dict(progress.reloads),
            last_reload_ok=progress.last_reload_ok,
            last_success=progress.last_success,
            generations={
                "observed": progress.generation,
                "attempted": progress.attempted,
                "applied": progress.applied_generation,
            },
            sync=self._sources.status.sync().status,
            is_fallback=bool(progress.applied and progress.applied.fallback),
            is_admin_open=self._sources.access.is_open,
            watch_missed=self._sources.status.watching.missed,
            worker_restarts=self._sources.supervisor.restarts,
            host_restarts=self._sources.publisher.host_restarts,
            holds=Counter(hold.model for hold in self._sources.holds.active),
            rollbacks={"call": self._sources.switch.rollbacks},
        )

    def _resident(self) -> dict[str, int]:
        """Sum the resident bytes of the processes of each role."""
        pids = {
            "control": ["self"],
            "worker": [str(worker.pid) for worker in self._sources.supervisor.living()],
            "nursery": [str(self._sources.nursery.pid)] if self._sources.nursery.pid else [],
            "host": [str(host.pid) for host in self._sources.nursery.hosts() if host.pid],
        }
        return {role: sum(map(_resident_bytes, numbers)) for role, numbers in pids.items()}


def _known(loader: Loader, live: set[ModelVersion]) -> set[ModelVersion]:
    return {version for version, _ in loader.metric_slots()} | live


def _resident_bytes(pid: str) -> int:
    with contextlib.suppress(OSError, IndexError, ValueError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    return 0
