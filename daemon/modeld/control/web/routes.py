"""Put the routes of the control process into one table."""

from dataclasses import dataclass

from pydantic import SecretStr

from modeld.control.following import Following
from modeld.control.ledger import Ledger
from modeld.control.operations import Operations
from modeld.control.reconciler import Reconciler
from modeld.control.traffic import Traffic
from modeld.control.web.admin import Admin
from modeld.control.web.badge import add_badge
from modeld.control.web.calls import Calls
from modeld.control.web.comparison import add_diff
from modeld.control.web.decisions import add_decisions
from modeld.control.web.events import Events
from modeld.control.web.git import GitCalls
from modeld.control.web.history import History
from modeld.control.web.holds import HoldRoutes
from modeld.control.web.index import add_index
from modeld.control.web.metrics import Metrics, Sources
from modeld.control.web.ui import add_ui
from modeld.control.web.versions import VersionRoutes
from modeld.control.wish_facts import WishFacts
from modeld.git.log import FileLog
from modeld.repository.versions import Repository


@dataclass(frozen=True, slots=True)
class Parts:
    """What the routes look at and act on, beside the sources of the metrics."""

    operations: Operations
    reconciler: Reconciler
    repository: Repository
    ledger: Ledger
    wish: WishFacts
    log: FileLog
    following: Following | None
    hook_secret: SecretStr | None


@dataclass(frozen=True, slots=True)
class Added:
    """Those routes that somebody else has to do with too."""

    metrics: Metrics
    events: Events


def add_routes(calls: Calls, parts: Parts, sources: Sources) -> Added:
    """Add all routes to the table."""
    progress, status, publisher = sources.progress, sources.status, sources.publisher
    metrics = Metrics(sources)
    traffic = Traffic(lambda: sources.supervisor.slots, sources.loader.metric_slots)
    events = Events(progress, status, traffic)
    Admin(parts.operations, parts.reconciler, progress, status).add_to(calls)
    VersionRoutes(parts.repository, progress, publisher).add_to(calls)
    HoldRoutes(parts.wish.holds, parts.operations, parts.reconciler).add_to(calls)
    History(parts.ledger, parts.log).add_to(calls)
    GitCalls(parts.following, parts.reconciler, parts.hook_secret).add_to(calls)
    events.add_to(calls)
    add_diff(calls, parts.repository, progress)
    calls.add("GET", "/metrics", metrics.get, is_public=True)
    add_decisions(calls)
    add_badge(calls, status, publisher)
    add_ui(calls)
    add_index(calls, status)
    return Added(metrics, events)
