"""Random sequences of wishes, calls and faults against a model of what must be served."""

import contextlib
import http.client
import os
import random
import signal
from collections.abc import Callable

import pytest

from tests.support.load import DEMO_ROW, GOLDEN
from tests.support.server import Server, eventually

pytestmark = pytest.mark.serial

STEPS = 25
BAD_TEXTS = (
    "active: v1\nactive: v2\n",
    "active: [v1]\n",
    "acitve: v2\n",
    "active: ../v2\n",
    "active: v2\ncanary: {version: v1}\n",
    "<<<<<<< HEAD\nactive: v1\n",
    "active: {{{\n",
    "active: v2\nschema: 99\n",
    "\x00\x01",
)


class Model:
    """What must be served after each step, in a few lines."""

    def __init__(self, server: Server, chance: random.Random) -> None:
        self.server = server
        self.chance = chance
        self.live = "v1"

    def steps(self) -> list[Callable[[], None]]:
        return [
            self.write_good,
            self.write_good,
            self.write_bad,
            self.write_missing_version,
            self.delete,
            self.post,
            self.post,
            self.post_unknown,
            self.kill_a_worker,
            self.kill_the_host,
            self.restart,
            self.crash,
        ]

    def write_good(self) -> None:
        self.live = self.chance.choice(("v1", "v2"))
        self.server.write_state(f"active: {self.live}\n")

    def write_bad(self) -> None:
        self.server.write_state(self.chance.choice(BAD_TEXTS))
        self.settle_refused()

    def write_missing_version(self) -> None:
        self.server.write_state("active: v404\n")
        self.settle_refused()

    def settle_refused(self) -> None:
        blob = self.server.blob()
        eventually(lambda: (self.status()["last_refused"] or {}).get("blob") == blob, "refusal")

    def delete(self) -> None:
        self.server.state.unlink(missing_ok=True)

    def post(self) -> None:
        version = self.chance.choice(("v1", "v2"))
        answer = self.server.admin("set-active-version", {"version": version})
        assert answer.status == 200, answer.body
        self.live = version
        assert self.server.predict({"features": DEMO_ROW}).json["model_version"] == version

    def post_unknown(self) -> None:
        assert self.server.admin("set-active-version", {"version": "v404"}).status == 404

    def kill_a_worker(self) -> None:
        os.kill(self.chance.choice(self.server.workers()), signal.SIGKILL)

    def kill_the_host(self) -> None:
        host = self.server.host(self.live)
        if host:
            os.kill(host, signal.SIGKILL)

    def restart(self) -> None:
        assert self.server.stop() == 0
        self.server.start()

    def crash(self) -> None:
        family = self.server.family()
        self.server.kill()
        eventually(lambda: not any(map(lives, family)), "all processes gone")
        self.server.start()

    def status(self) -> dict[str, dict[str, str]]:
        content: dict[str, dict[str, str]] = self.server.status()
        return content

    def is_served(self) -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException):
            answer = self.server.predict({"features": DEMO_ROW})
            if answer.status != 200:
                return False
            version = answer.json["model_version"]
            assert answer.json["prediction"] == GOLDEN[version]
            return bool(version == self.live) and len(self.server.workers()) == 2
        return False


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("seed", [1, 3])
@pytest.mark.timeout(300)
def test_what_is_served_is_what_must_be_after_every_step(server: Server, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - a test repeats, it keeps no secret
    model = Model(server, chance)
    done = []

    for _ in range(STEPS):
        step = chance.choice(model.steps())
        done.append(step.__name__)
        step()
        eventually(model.is_served, f"{model.live} after {done}")
