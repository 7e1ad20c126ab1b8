"""A server that follows a remote branch, and the remote."""

from typing import Any

from tests.support.remotes import Remote
from tests.support.server import Server, eventually

ROW = {"features": [6.3, 2.8, 5.1, 1.5]}


class Followed:
    """A server without files of its own, and the remote that it follows."""

    def __init__(self, server: Server, remote: Remote) -> None:
        self.server = server
        self.remote = remote

    def start(self, **settings: str) -> Server:
        """Start, without waiting for anything to be live."""
        return self.server.start(**self.settings(**settings))

    def settings(self, **settings: str) -> dict[str, str]:
        names = {f"MODELD_{name}": value for name, value in settings.items()}
        return {
            "MODELD_SOURCE": "git",
            "MODELD_GIT_URL": str(self.remote.bare),
            "MODELD_GIT_LOCAL": "on",
            "MODELD_GIT_INTERVAL": "1s",
            "MODELD_WORKERS": "1",
        } | names

    def git(self) -> Any:
        """Give what the status says of git."""
        return self.server.status()["following"]

    def wait_until_followed(self, commit: str) -> None:
        eventually(lambda: self.git()["commit"] == commit, f"{commit} followed")

    def error(self, reason: str) -> str:
        """Wait for an error and give its message."""

        def look() -> str | None:
            error = self.git()["error"]
            return error["message"] if error and error["reason"] == reason else None

        return eventually(look, reason)

    def version(self) -> str:
        return str(self.server.predict(ROW).json["model_version"])
