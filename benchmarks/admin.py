"""Use modeld's admin API: what runs, and switching."""

import json
from dataclasses import dataclass
from typing import Any

from benchmarks.contenders import Runs
from benchmarks.errors import BenchmarkError
from benchmarks.http import get, post


@dataclass(frozen=True, slots=True)
class Admin:
    """The admin API of the server on a port of this machine."""

    port: int

    def status(self) -> Any:
        """Give the status document."""
        return json.loads(get(self.port, "/admin/status")[1])

    def has_refused(self) -> bool:
        """Say whether the wish was refused, so that waiting for it is in vain."""
        return self.status()["last_refused"] is not None

    def runs(self) -> Runs | None:
        """Say how the one loaded version runs; nothing while there is none, or another one too."""
        status = self.status()
        loaded = status["models"]["default"]["loaded"]
        if len(loaded) != 1:
            return None
        workers = len(status["processes"]["workers"])
        return Runs(loaded[0]["runtime"], loaded[0]["runs"], workers)

    def runtimes(self) -> list[str]:
        """Give the runtime of each loaded version."""
        return [release["runtime"] for release in self.status()["models"]["default"]["loaded"]]

    def why_native(self) -> str:
        """Say why a loaded version was not compiled, and will not be; empty where it may be yet."""
        loaded = self.status()["models"]["default"]["loaded"]
        return next((why for release in loaded if (why := release.get("why_native", ""))), "")

    def set_active(self, version: str) -> None:
        """Make a version live, and return once every later request meets it."""
        self._change("/admin/set-active-version", {"version": version})

    def roll_back(self) -> None:
        """Go back to the version that was live before."""
        self._change("/admin/rollback", {})

    def _change(self, target: str, content: Any) -> None:
        status, body = post(self.port, target, content)
        if status != 200 or json.loads(body).get("unchanged"):
            raise BenchmarkError(f"{target} {content}: {status}: {body!r}")
