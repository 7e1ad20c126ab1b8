"""Run a Prometheus of its own on a server, and ask it."""

import contextlib
import json
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support.server import ROOT, eventually

INTERVAL = "500ms"


@dataclass(frozen=True)
class Prometheus:
    """Where it listens."""

    port: int

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Give the series of an expression, as of now."""
        return self._ask("query", query=expression)

    def range(self, expression: str, start: float, end: float) -> list[dict[str, Any]]:
        """Give the series of an expression, twice a second."""
        return self._ask("query_range", query=expression, start=start, end=end, step="500ms")

    def _ask(self, path: str, **parameters: object) -> list[dict[str, Any]]:
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return found

    def is_ready(self) -> bool:
        with contextlib.suppress(OSError):
            url = f"http://127.0.0.1:{self.port}/-/ready"
            urllib.request.urlopen(url, timeout=2).close()
            return True
        return False


@contextlib.contextmanager
def prometheus(folder: Path, port: int, target: int) -> Iterator[Prometheus]:
    """Run it with the project's own configuration, scraping often, until the block ends."""
    folder.mkdir()
    content = yaml.safe_load((ROOT / "prometheus.yml").read_text())
    content["global"] = {"scrape_interval": INTERVAL, "evaluation_interval": INTERVAL}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(content))
    (folder / "grafana").mkdir()
    (folder / "grafana" / "alerts.yml").write_text((ROOT / "grafana" / "alerts.yml").read_text())
    targets = yaml.safe_dump([{"targets": [f"127.0.0.1:{target}"]}])
    (folder / "grafana" / "targets.yml").write_text(targets)
    arguments = (
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    )
    with subprocess.Popen(["prometheus", *arguments]) as process:
        try:
            found = Prometheus(port)
            eventually(found.is_ready, "Prometheus ready")
            yield found
        finally:
            process.terminate()
