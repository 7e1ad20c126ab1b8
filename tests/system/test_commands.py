"""Run the commands as people type them, with a server and without one."""

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.server import Server, cared_for, eventually, make_server
from tests.support.versions import (
    write_model,
    write_named,
    write_regression,
    write_samples,
    write_slow,
)

pytestmark = pytest.mark.light

ROW = {"features": [6.3, 2.8, 5.1, 1.5]}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests that do not stop it."""
    with cared_for(make_server(tmp_path_factory.mktemp("commands") / "repository")) as server:
        write_samples(write_model(server.models / "wrong"), [[1, 2]], [4])
        write_regression(server.models / "churn" / "c1")
        server.start()
        server.wait_until_live("v1")
        yield server


@pytest.fixture
def at_v1(running: Server) -> Server:
    apply(running, "active: v1\n")
    return running


def apply(server: Server, text: str) -> str:
    """Write the file and wait until it is applied; gives its blob."""
    blob = server.write_state(text)
    eventually(lambda: server.status()["live"]["blob"] == blob, f"{text!r} applied")
    return blob


# With a server


def test_status_says_what_serves(at_v1: Server) -> None:
    done = at_v1.command("status")

    assert done.returncode == 0
    assert re.fullmatch(r"Serving v1 since \d\d:\d\d\.\n", done.stdout)


def test_status_says_what_is_wrong_and_what_to_do(at_v1: Server) -> None:
    at_v1.write_state("active: v9\n")
    eventually(lambda: at_v1.status()["last_refused"], "the refusal")

    done = at_v1.command("status")

    assert done.returncode == 1
    first, second = done.stdout.splitlines()
    assert first.startswith("Serving v1 since ")
    assert "state/active.yaml asks for v9" in first
    assert second.startswith("Next: modeld versions")


def test_status_for_a_program_is_the_document(at_v1: Server) -> None:
    done = at_v1.command("status", "--json")

    assert json.loads(done.stdout)["models"]["default"]["active"] == "v1"
    assert json.loads(done.stdout)["summary"] == at_v1.status()["summary"]


def test_versions_are_listed(at_v1: Server) -> None:
    done = at_v1.command("versions")

    assert done.returncode == 0
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0][:6] == ["model", "version", "state", "format", "runs", "digest"]
    assert lines[0][6:] == ["native", "because"]
    assert [line[1] for line in lines[1:]] == ["v1", "v2", "wrong", "c1"]
    assert lines[1][2] == "live"
    assert "the running server" in done.stderr


def test_versions_for_a_program(at_v1: Server) -> None:
    content = json.loads(at_v1.command("versions", "--json").stdout)

    assert content["source"] == "the running server"
    assert content["models"] == at_v1.get("/admin/versions").json["models"]


def test_set_makes_a_version_live(at_v1: Server) -> None:
    done = at_v1.command("set", "v2", "--reason", "better", "--expect", "v1")

    assert (done.returncode, done.stdout) == (0, "v2 is live (before: v1).\n")
    assert at_v1.predict(ROW).json["model_version"] == "v2"
    assert at_v1.state.read_text() == "active: v2\n"
    again = at_v1.command("set", "v2")
    assert (again.returncode, again.stdout) == (0, "v2 stays live: it was live already.\n")


def test_set_takes_the_name_of_a_model(at_v1: Server) -> None:
    done = at_v1.command("set", "c1", "--model", "churn")

    assert done.returncode == 0
    assert at_v1.predict({"features": [1, 1]}, "?model=churn").status == 200


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["v9"], "there is no version v9"),
        (["wrong"], "golden sample 1 of 1"),
        (["../x"], "no version name"),
        (["v2", "--expect", "v0"], "expected v0 to be live, found v1"),
    ],
)
def test_set_that_is_refused_changes_nothing(
    at_v1: Server, arguments: list[str], part: str
) -> None:
    done = at_v1.command("set", *arguments)

    assert done.returncode == 1
    assert done.stdout.startswith("Refused, nothing changed: ")
    assert part in done.stdout
    assert (at_v1.live(), at_v1.state.read_text()) == ("v1", "active: v1\n")


def test_set_for_a_program(at_v1: Server) -> None:
    good = at_v1.command("set", "v2", "--json", "--dry-run")
    bad = at_v1.command("set", "v9", "--json")

    assert (good.returncode, json.loads(good.stdout)["dry_run"]) == (0, True)
    assert (bad.returncode, json.loads(bad.stdout)["code"]) == (1, "version_not_found")
    assert at_v1.live() == "v1"


def test_a_dry_run_says_so(at_v1: Server) -> None:
    done = at_v1.command("set", "v2", "--dry-run")

    assert done.stdout == "v2 loads and answers as it should; nothing was changed.\n"
    assert at_v1.live() == "v1"


def test_rollback_goes_back_once(at_v1: Server) -> None:
    at_v1.command("set", "v2")

    done = at_v1.command("rollback", "--reason", "p99")
    again = at_v1.command("rollback")

    assert (done.returncode, done.stdout) == (
        0,
        "v1 is live (before: v2).\nv2 is held; to let a deploy bring it back: modeld unhold v2\n",
    )
    assert again.returncode == 0
    assert again.stdout.startswith("v1 stays live: ")
    assert at_v1.live() == "v1"


def test_rollback_takes_a_target(at_v1: Server) -> None:
    done = at_v1.command("rollback", "--to", "v2", "--json")

    assert (done.returncode, json.loads(done.stdout)["active"]) == (0, "v2")


def test_wait_waits_for_the_file(at_v1: Server) -> None:
    at_v1.write_state("active: v2\n")

    done = at_v1.command("wait")

    assert done.returncode == 0
    assert done.stdout.startswith("Serving v2 since ")


@pytest.mark.parametrize(
    ("text", "code", "part"), [("active: [\n", 3, "line 2"), ("active: v9\n", 4, "within 0.5 s")]
)
def test_wait_says_why_not(at_v1: Server, text: str, code: int, part: str) -> None:
    at_v1.write_state(text)

    done = at_v1.command("wait", "--timeout", "0.5" if code == 4 else "30")

    assert done.returncode == code
    assert part in done.stdout


def test_wait_takes_a_blob(at_v1: Server) -> None:
    blob = at_v1.git("rev-parse", "HEAD:state/active.yaml")

    assert at_v1.command("wait", "--blob", blob, "--json").returncode == 0
    assert at_v1.command("wait", "--blob", "0" * 40, "--timeout", "0").returncode == 4


def test_wait_says_when_a_newer_text_overtook(at_v1: Server) -> None:
    write_slow(at_v1.models / "slow", 60)
    blob = at_v1.write_state("active: slow\n")
    eventually(lambda: at_v1.status()["desired"]["blob"] == blob, "the wish seen")

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(at_v1.command, "wait", "--blob", blob)
        eventually(lambda: "/admin/wait" in in_flight(at_v1) or waiting.done(), "it waits")
        at_v1.write_state("active: v1\n")
        assert waiting.result().returncode == 5


def in_flight(server: Server) -> str:
    """A command that waits has a connection to the control socket."""
    path = json.loads((server.runtime / "server.json").read_text())["socket"]
    table = Path("/proc/net/unix").read_text()
    return "/admin/wait" if table.count(path) > 1 else ""


# Without a server


def test_status_without_a_server_says_so(repository: Server) -> None:
    for command in ("status", "wait"):
        done = repository.command(command)
        assert done.returncode == 2
        assert "no server runs here" in done.stderr
        assert "modeld serve" in done.stderr
        assert "Traceback" not in done.stderr


def test_versions_without_a_server_come_from_the_files(repository: Server) -> None:
    done = repository.command("versions")
    content = json.loads(repository.command("versions", "--json").stdout)

    assert done.returncode == 0
    assert "the files in" in done.stderr
    assert [each["version"] for each in content["models"]["default"]["versions"]] == ["v1", "v2"]
    assert content["source"].startswith("the files in ")


def test_set_without_a_server_edits_the_file(repository: Server) -> None:
    repository.write_state("# live\nactive: v1  # now\n")

    done = repository.command("set", "v2")

    assert done.returncode == 0
    assert "No server runs here" in done.stdout
    assert repository.state.read_text() == "# live\nactive: v2  # now\n"
    repository.start()
    repository.wait_until_live("v2")


def test_set_without_a_server_for_a_program(repository: Server) -> None:
    done = repository.command("set", "v2", "--json")

    assert json.loads(done.stdout) == {"active": "v2", "written": True, "source": "file"}


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        (b"active: v1\n", ["v9"]),
        (b"active: v1\n", ["../x"]),
        (b"active: v1\n", ["c9", "--model", "churn"]),
        (b"active: v1\n", ["v2", "--expect", "v2"]),
        (b"active: [\n", ["v2"]),
        (b"active: v\xff\n", ["v2"]),
    ],
)
def test_set_without_a_server_is_refused_as_well(
    repository: Server, text: bytes, arguments: list[str]
) -> None:
    repository.state.write_bytes(text)

    done = repository.command("set", *arguments)

    assert done.returncode == 1
    assert done.stderr.startswith("modeld: refused, nothing changed: ")
    assert done.stderr.count("\n") == 1
    assert repository.state.read_bytes() == text


def test_set_without_a_server_makes_a_missing_file(repository: Server) -> None:
    repository.state.unlink()

    assert repository.command("set", "v2").returncode == 0

    assert repository.state.read_text() == "active: v2\n"


def test_a_dry_run_without_a_server_changes_nothing(repository: Server) -> None:
    done = repository.command("set", "v2", "--dry-run")

    assert done.returncode == 0
    assert "nothing was tried" in done.stdout
    assert repository.state.read_text() == "active: v1\n"


def test_rollback_without_a_server_uses_the_history(server: Server) -> None:
    server.admin("set-active-version", {"version": "v2"})
    assert server.stop() == 0

    done = server.command("rollback")

    assert done.returncode == 0
    assert server.state.read_text() == "active: v1\n"


def test_rollback_without_history_is_refused(repository: Server) -> None:
    done = repository.command("rollback")

    assert done.returncode == 1
    assert "history" in done.stderr


def test_after_a_server_was_killed_commands_use_the_files(server: Server) -> None:
    family = server.family()
    server.kill()
    for pid in family[1:]:
        eventually(lambda pid=pid: not Path(f"/proc/{pid}").exists(), "its processes ended")  # type: ignore[misc]

    assert server.command("status").returncode == 2
    assert server.command("set", "v2").returncode == 0
    server.start()
    server.wait_until_live("v2")


# Serving


def serve(server: Server, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `modeld serve` where it is to end by itself."""
    return server.command("serve", *arguments, **environment)


def test_a_port_in_use_stops_the_start_and_names_the_holder(
    running: Server, repository: Server
) -> None:
    assert running.process is not None

    done = serve(repository, "--port", str(running.port))

    assert done.returncode == 78
    assert re.fullmatch(
        rf"modeld: port {running.port} on 127.0.0.1 is in use by process \d+; .*MODELD_PORT.*\n",
        done.stderr,
    )
    holder = int(re.findall(r"process (\d+)", done.stderr)[0])
    assert holder in running.family()


def test_a_second_server_on_one_runtime_folder_is_refused(running: Server) -> None:
    done = serve(running, "--port", "0")

    assert done.returncode == 78
    assert "another modeld runs on" in done.stderr
    assert done.stderr.count("\n") == 1
    assert running.get("/healthz").status == 200
    assert running.command("status").returncode in (0, 1)


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("MODELD_PROT", "1", "did you mean MODELD_PORT?"),
        ("MODELD_NOTHING", "1", "no such setting"),
        ("MODELD_PORT", "high", "MODELD_PORT"),
        ("MODELD_WORKERS", "0", "MODELD_WORKERS"),
        ("MODELD_TRUST", "everybody", "MODELD_TRUST"),
        ("MODELD_LOAD_TIMEOUT", "soon", "MODELD_LOAD_TIMEOUT"),
        ("MODELD_ADMIN_TOKEN", "short", "MODELD_ADMIN_TOKEN"),
        ("MODELD_HOST", "no.such.host.invalid", "MODELD_HOST"),
        ("MODELD_RUNTIME_DIR", "/proc/none", "MODELD_RUNTIME_DIR"),
    ],
)
def test_a_bad_setting_stops_the_start_with_one_line(
    repository: Server, name: str, value: str, part: str
) -> None:
    done = serve(repository, **{name: value})

    assert done.returncode == 78
    assert part in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"modeld: {name}")


def test_what_kubernetes_injects_is_no_setting(repository: Server) -> None:
    repository.start(
        MODELD_PORT="tcp://10.0.0.1:8000",
        MODELD_SERVICE_HOST="10.0.0.1",
        MODELD_PORT_8000_TCP="tcp://10.0.0.1:8000",
    )

    assert repository.get("/healthz").status == 200


def test_a_runtime_folder_that_does_not_exist_is_made(repository: Server, tmp_path: Path) -> None:
    repository.runtime = tmp_path / "run" / "time" / "folder"

    repository.start(MODELD_RUNTIME_DIR=str(repository.runtime))

    assert repository.runtime.stat().st_mode & 0o777 == 0o700
    assert repository.command("status").returncode == 2
    environment = {"MODELD_RUNTIME_DIR": str(repository.runtime)}
    repository.wait_until_live("v1")
    assert repository.command("status", **environment).returncode == 0


def test_a_long_runtime_folder_still_has_a_control_socket(
    repository: Server, tmp_path: Path
) -> None:
    repository.runtime = tmp_path / ("long" * 30)
    environment = {"MODELD_RUNTIME_DIR": str(repository.runtime)}
    repository.start(**environment)
    repository.wait_until_live("v1")

    assert repository.command("set", "v2", **environment).returncode == 0

    path = Path(json.loads((repository.runtime / "server.json").read_text())["socket"])
    assert len(str(path)) <= 100
    assert path.parent.stat().st_mode & 0o077 == 0
    assert repository.stop() == 0
    assert not path.exists()


def greeting(server: Server) -> list[str]:
    """Give the lines that a server prints for the person who started it."""

    def lines() -> list[str]:
        found = server.log.read_text().splitlines()
        return [line for line in found if line.startswith(("modeld on ", "Try: "))]

    eventually(lambda: len(lines()) == 2, "the greeting")
    return lines()


def run_in_a_shell(line: str) -> object:
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, timeout=30, check=True
    )
    return json.loads(done.stdout)


@pytest.mark.native
def test_serve_prints_what_is_live_and_a_line_that_works(repository: Server) -> None:
    repository.start()

    live, line = greeting(repository)

    assert re.fullmatch(
        rf"modeld on http://127\.0\.0\.1:{repository.port}: Serving v1 since \d\d:\d\d\.", live
    )
    assert run_in_a_shell(line.removeprefix("Try: ")) == {"prediction": 1, "model_version": "v1"}


@pytest.mark.parametrize("kind", ["text", "named", "bare"])
def test_the_line_works_for_every_kind_of_row(repository: Server, kind: str) -> None:
    folder = repository.models / kind
    expected: object = pytest.approx(0.0, abs=1e-9)
    if kind == "text":
        write_model(folder, "lambda self, rows: [len(text) for text in rows]")
        (folder / "model.yaml").write_text("rank: 0\nsamples: samples.json\n")
        write_samples(folder, ['it\'s "$HOME" \\ é!'], [17])
        expected = 17
    elif kind == "named":
        write_samples(write_named(folder), [{"a": 1, "b": 1}], [3.0])
        expected = pytest.approx(3.0)
    else:
        write_regression(folder)
    repository.write_state(f"active: {kind}\n")
    repository.start()

    line = greeting(repository)[1]

    assert run_in_a_shell(line.removeprefix("Try: ")) == {
        "prediction": expected,
        "model_version": kind,
    }


def test_ctrl_c_ends_a_server_well(server: Server) -> None:
    assert server.process is not None
    family = server.family()

    server.process.send_signal(signal.SIGINT)

    assert server.process.wait(30) == 0
    server.process, server.port = None, 0
    eventually(lambda: not any(Path(f"/proc/{p}").exists() for p in family[1:]), "all ended")
    assert not (server.runtime / "server.json").exists()
