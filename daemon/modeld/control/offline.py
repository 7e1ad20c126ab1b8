"""Open versions for a command, without a server: nothing is served, and nothing is left."""

import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from modeld.config import Settings
from modeld.control.compilations import Compilations
from modeld.control.intake import Intake
from modeld.control.ledger import Ledger
from modeld.control.loader import Loader
from modeld.control.nursery import Nursery
from modeld.repository.versions import Repository


class Offline(NamedTuple):
    """What a server would have for this, in a folder that goes away with it."""

    settings: Settings
    nursery: Nursery
    intake: Intake
    ledger: Ledger

    def loader(self) -> Loader:
        """Give one that uses what a server here has compiled, and compiles nothing."""
        settings = self.settings
        compiled = settings.runtime_dir / "compiled"
        compilations = Compilations(self.nursery, compiled, most_bytes=settings.runtime_max)
        return Loader(self.intake, self.nursery, compilations, self.ledger, settings)


@contextmanager
def offline(settings: Settings, repository: Repository) -> Iterator[Offline]:
    """Make it, and end every process of it afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="modeld-") as temporary,
        quiet_nursery(settings) as nursery,
        closing(Ledger(Path(temporary) / "modeld.sqlite")) as ledger,
    ):
        intake = Intake(repository, Path(temporary) / "staged")
        yield Offline(settings, nursery, intake, ledger)


@contextmanager
def quiet_nursery(settings: Settings) -> Iterator[Nursery]:
    """Start hosts that keep what models print to themselves."""
    nursery = Nursery(
        memory=settings.host_memory, environments=settings.environments, is_quiet=True
    )
    with closing(nursery):
        yield nursery
