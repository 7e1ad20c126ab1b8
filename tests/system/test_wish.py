"""Change the state file in every good and bad way: the last good version goes on serving."""

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.server import ROOT, Answer, Server, cared_for, eventually, is_alive, make_server
from tests.support.versions import (
    write_code,
    write_model,
    write_onnx,
    write_pickle,
    write_regression,
    write_samples,
    write_skops,
    write_slow,
)

pytestmark = pytest.mark.light

ROW = {"features": [6.3, 2.8, 5.1, 1.5]}
SUM = 15.7
V1 = {"prediction": 1, "model_version": "v1"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests that end with v1 live."""
    with cared_for(make_server(tmp_path_factory.mktemp("wish") / "repository")) as server:
        server.expects_tracebacks = True  # models that raise while they are opened
        write_bad_versions(server.models)
        server.start(MODELD_LOAD_TIMEOUT="6s")
        server.wait_until_live("v1")
        yield server
        log = server.log.read_text()
        assert "reconcile.failed" not in log, log
        assert "apply.failed" not in log, log


@pytest.fixture
def at_v1(running: Server) -> Server:
    """The shared server with v1 live, whatever the test before has left."""
    if running.state.is_dir():
        running.state.rmdir()
    apply(running, "active: v1\n")
    return running


def apply(server: Server, text: str) -> str:
    """Write the file and wait until it is applied; gives its blob."""
    blob = server.write_state(text)
    eventually(lambda: is_synced(server, blob), f"{text!r} applied")
    return blob


def is_synced(server: Server, blob: str) -> bool:
    return server.is_settled() and bool(server.status()["live"]["blob"] == blob)


def refusal(server: Server, text: str) -> Any:
    """Write the file and wait until it is refused; gives what the status says of it."""
    blob = server.write_state(text)
    return eventually(
        lambda: (found := server.status()["last_refused"]) and found["blob"] == blob and found,
        f"{text!r} refused",
    )


def check_still_serving(server: Server, part: str, health: str = "Degraded") -> None:
    """The last good version serves, and the server says what is wrong."""
    assert server.predict(ROW).json == V1
    status = server.status()
    assert status["summary"].startswith("Serving v1 since ")
    assert part in status["summary"]
    assert status["next"]
    assert status["health"]["status"] == health
    assert server.get("/readyz").status == 200
    word = "degraded" if health == "Degraded" else "ok"
    eventually(lambda: server.get("/healthz").json["status"] == word, f"{word} health")


# Bad texts

TEXTS: dict[str, tuple[str, int | None, str]] = {
    "active: [v1\n": ("Invalid", 2, "line 2"),
    "active: v1\nactive: v2\n": ("Invalid", 2, "active"),
    "acitve: v2\n": ("Invalid", 1, "active"),
    "active: v2\nnote: a\nfrost: true\n": ("Invalid", 3, "frost"),
    "note: nothing else\n": ("Invalid", 1, "active"),
    "- v2\n": ("Invalid", 1, ""),
    "v2\n": ("Invalid", 1, ""),
    "active: [v2]\n": ("Invalid", 1, ""),
    "active: null\n": ("Invalid", 1, ""),
    "active: latest\n": ("Invalid", 1, "latest"),
    "active: ../v2\n": ("Invalid", 1, ""),
    "active: v2\n---\nactive: v1\n": ("Invalid", 2, ""),
    "active: &a v2\nnote: *a\n": ("Invalid", 1, ""),
    "active: !!python/object/apply:os.abort []\n": ("Invalid", 1, ""),
    "<<<<<<< HEAD\nactive: v2\n=======\nactive: v1\n>>>>>>> x\n": ("Invalid", 1, ""),
    "schema: 2\nactive: v2\nnew: 1\n": ("NewerSchema", 1, "newer"),
    "active: v2\nfreeze: perhaps\n": ("Invalid", 2, "freeze"),
    "active: v2\npins: {v2: 'sha256:1'}\n": ("Invalid", 2, "pins"),
    "active: v2\nmodels: {'../x': {active: v1}}\n": ("Invalid", 2, ""),
    "active: v9\n": ("VersionNotFound", None, "v9"),
    "active: 1.10\n": ("VersionNotFound", None, "1.10"),
    "active: no\n": ("VersionNotFound", None, "no"),
    "active: v1\nmodels: {churn: {active: c1}}\n": ("ModelNotFound", None, "churn"),
}


@pytest.mark.parametrize("text", TEXTS)
def test_a_bad_text_is_refused_and_says_where(at_v1: Server, text: str) -> None:
    reason, line, part = TEXTS[text]

    found = refusal(at_v1, text)

    assert (found["reason"], found["line"]) == (reason, line)
    # What is not there may be on its way.
    check_still_serving(at_v1, part, "Progressing" if line is None else "Degraded")
    assert at_v1.status()["sync"]["status"] == ("OutOfSync" if line is None else "Invalid")


@pytest.mark.parametrize("data", [b"\0\1\2", "active: v2\n".encode("utf-16"), b"active: v\xff\n"])
def test_what_is_no_text_is_refused(at_v1: Server, data: bytes) -> None:
    at_v1.state.write_bytes(data)

    eventually(lambda: at_v1.status()["sync"]["status"] == "Invalid", "the refusal")
    check_still_serving(at_v1, "state/active.yaml")


@pytest.mark.parametrize("kind", ["a folder", "a pipe", "too large"])
def test_what_is_no_file_is_refused(at_v1: Server, kind: str) -> None:
    at_v1.state.unlink()
    if kind == "a folder":
        at_v1.state.mkdir()
    elif kind == "a pipe":
        os.mkfifo(at_v1.state)
    else:
        at_v1.state.touch()
        os.truncate(at_v1.state, 1 << 30)

    eventually(lambda: at_v1.status()["sync"]["reason"] == "StateUnreadable", "the refusal")
    check_still_serving(at_v1, "cannot be read")


def test_a_missing_or_empty_file_is_no_configuration(at_v1: Server) -> None:
    at_v1.state.unlink()
    eventually(lambda: at_v1.status()["sync"]["reason"] == "StateMissing", "it is missed")
    check_still_serving(at_v1, "is missing; found ")
    assert at_v1.status()["next"].startswith("echo 'active: ")

    at_v1.state.write_text("")
    eventually(lambda: at_v1.status()["sync"]["reason"] == "StateEmpty", "it is empty")
    check_still_serving(at_v1, "is empty; found ")

    at_v1.state.write_text("# only a comment\n")
    eventually(lambda: at_v1.status()["last_refused"], "it says nothing")
    check_still_serving(at_v1, "empty")


def test_a_bad_text_followed_by_a_good_one_recovers(at_v1: Server) -> None:
    refusal(at_v1, "active: [\n")

    apply(at_v1, "active: v2\n")

    assert at_v1.predict(ROW).json["model_version"] == "v2"
    eventually(lambda: at_v1.get("/healthz").json["status"] == "ok", "health restored")


def test_a_bad_text_followed_by_the_very_old_one_is_forgotten(at_v1: Server) -> None:
    before = at_v1.status()["models"]["default"]["since"]
    refusal(at_v1, "active: v9\n")

    apply(at_v1, "active: v1\n")

    status = at_v1.status()
    assert (status["last_refused"], status["health"]["status"]) == (None, "Healthy")
    assert status["models"]["default"]["since"] == before


@pytest.mark.parametrize(
    "text", ["active: v2", "active: v2\r\n", "\ufeffactive: 'v2'  # live\n", "x-a: 1\nactive: v2\n"]
)
def test_a_good_text_may_look_otherwise(at_v1: Server, text: str) -> None:
    apply(at_v1, text)

    assert at_v1.live() == "v2"


def test_a_file_may_be_replaced_or_written_in_place(at_v1: Server) -> None:
    at_v1.state.write_text("active: v2\n")
    at_v1.wait_until_live("v2")
    at_v1.git("checkout", "--", "state/active.yaml")
    at_v1.wait_until_live("v1")
    away = at_v1.state.parent.with_name("away")
    at_v1.state.parent.rename(away)
    (away / "active.yaml").write_text("active: v2\n")
    away.rename(at_v1.state.parent)
    at_v1.wait_until_live("v2")


def test_half_a_text_is_not_applied(at_v1: Server) -> None:
    """`active: v1` is the beginning of `active: v10`."""
    shutil.copytree(ROOT / "models" / "v2", at_v1.models / "v10")
    apply(at_v1, "active: v2\n")
    with at_v1.state.open("w") as file:
        file.write("active: v1")
        file.flush()
        file.write("0\n")

    eventually(lambda: switches(at_v1)[-1] == "v10", "v10 live and logged")

    assert switches(at_v1)[-2:] == ["v2", "v10"]


def switches(server: Server) -> list[str]:
    """The versions that became live, as the log has them."""
    return re.findall(r"version\.live version=(\S+)", server.log.read_text())


# Bad versions


def write_bad_versions(models: Path) -> None:
    whole = (ROOT / "models" / "v2" / "model.pkl").read_bytes()
    for name, data in {
        "truncated": whole[: len(whole) // 2],
        "nothing-in-it": b"",
        "picture": b"\x89PNG\r\n\x1a\n" + b"x" * 100,
        "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 1\n",
        "unknown-package": b"\x80\x04cno_such_package\nThing\n.",
    }.items():
        (models / name).mkdir()
        (models / name / "model.pkl").write_bytes(data)
    write_pickle(models / "no-model", {"a": 1})
    for name, code in {
        "raises": "1 / 0",
        "exits": "__import__('os')._exit(3)",
        "leaves": "__import__('sys').exit(0)",
        "segfaults": "__import__('ctypes').string_at(0)",
        "sleeps": "__import__('time').sleep(600)",
        "spins": "[None for _ in iter(int, 1)]",
    }.items():
        write_code(models / name, code)
    write_samples(write_model(models / "differs"), [[1, 2], [3, 4]], [3, 8])
    write_samples(write_model(models / "fails", "lambda s, rows: 1 / 0"), [[1, 2]], [3])
    write_manifest(write_regression(models / "other-bytes"), digest="0" * 64)
    write_manifest(write_regression(models / "half-a-copy"), more=1)
    (write_regression(models / "bad-manifest") / "model.yaml").write_text("formt: pickle\n")
    shutil.copy(write_regression(models / "two") / "model.pkl", models / "two" / "other.pkl")


def write_manifest(folder: Path, digest: str = "", more: int = 0) -> None:
    data = (folder / "model.pkl").read_bytes()
    digest = digest or hashlib.sha256(data).hexdigest()
    entry = f"{{size: {len(data) + more}, sha256: '{digest}'}}"
    (folder / "model.yaml").write_text(f"format: pickle\nfiles: {{model.pkl: {entry}}}\n")


VERSIONS: dict[str, tuple[str, int, str]] = {
    "truncated": ("LoadFailed", 422, "truncated"),
    "nothing-in-it": ("UnknownFormat", 422, "model.pkl"),
    "picture": ("UnknownFormat", 422, "model.pkl"),
    "pointer": ("LfsPointer", 422, "git lfs pull"),
    "unknown-package": ("LoadFailed", 422, "'no_such_package'"),
    "no-model": ("LoadFailed", 422, "no predict method"),
    "raises": ("LoadFailed", 422, "ZeroDivisionError"),
    "exits": ("HostDied", 422, "exited with 3"),
    "leaves": ("LoadFailed", 422, "SystemExit"),
    "segfaults": ("HostDied", 422, "SIGSEGV"),
    "sleeps": ("LoadTimeout", 504, "within 6 s"),
    "spins": ("LoadTimeout", 504, "within 6 s"),
    "differs": ("SamplesDiffer", 422, "golden sample 2 of 2: expected 8, the model answers 7"),
    "fails": ("LoadFailed", 422, "ZeroDivisionError"),
    "other-bytes": ("DigestMismatch", 422, "other-bytes"),
    "half-a-copy": ("ArtifactNotReady", 422, "half-a-copy"),
    "bad-manifest": ("ManifestInvalid", 422, "formt"),
    "two": ("UnknownFormat", 422, "several models"),
}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_bad_version_is_refused_in_the_file(at_v1: Server, version: str) -> None:
    reason, _, part = VERSIONS[version]

    found = refusal(at_v1, f"active: {version}\n")

    assert found["reason"] == reason
    assert part in found["message"]
    health = "Progressing" if reason in ("LfsPointer", "ArtifactNotReady") else "Degraded"
    check_still_serving(at_v1, part if reason != "LfsPointer" else "LFS", health)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_bad_version_is_refused_in_a_call(at_v1: Server, version: str) -> None:
    reason, status, part = VERSIONS[version]
    before = at_v1.state.read_bytes(), at_v1.state.stat().st_mtime_ns

    answer = at_v1.admin("set-active-version", {"version": version})

    assert answer.status == status, answer.body
    assert answer.json["code"].replace("_", "") == reason.lower()
    assert part in answer.json["error"]
    assert (at_v1.state.read_bytes(), at_v1.state.stat().st_mtime_ns) == before
    assert at_v1.is_settled()


@pytest.mark.parametrize("version", ["raises", "exits", "segfaults", "differs", "pointer"])
def test_a_bad_version_asked_for_by_name_disturbs_nobody(at_v1: Server, version: str) -> None:
    reason, status, _ = VERSIONS[version]

    answer = at_v1.predict(ROW, f"?version={version}")

    assert (answer.status, answer.json["code"].replace("_", "")) == (status, reason.lower())
    assert at_v1.get("/admin/status").json["health"]["status"] == "Healthy"


def test_no_host_is_left_of_what_failed_to_load(at_v1: Server) -> None:
    for version in ("sleeps", "raises", "segfaults"):
        at_v1.admin("set-active-version", {"version": version})
    apply(at_v1, "active: v1\n")

    def hosts() -> set[int]:
        status = at_v1.status()
        known = {worker["pid"] for worker in status["processes"]["workers"]}
        known |= {status["processes"]["nursery_pid"]}
        known |= {each["host_pid"] for each in status["models"]["default"]["loaded"]}
        assert at_v1.process is not None
        return {pid for pid in at_v1.family() if is_alive(pid)} - known - {at_v1.process.pid}

    eventually(lambda: not hosts(), "only hosts of what is loaded")


# Before its time


def test_a_wish_may_come_before_its_version(at_v1: Server) -> None:
    refusal(at_v1, "active: late\n")
    assert at_v1.status()["last_refused"]["retry_at"]

    shutil.copytree(ROOT / "models" / "v2", at_v1.models / "late")

    at_v1.wait_until_live("late")
    eventually(at_v1.is_settled, "synced")


def test_a_version_may_be_copied_slowly(at_v1: Server) -> None:
    folder = write_regression(at_v1.models / "in-pieces")
    write_manifest(folder)
    whole = (folder / "model.pkl").read_bytes()
    (folder / "model.pkl").write_bytes(whole[:100])
    found = refusal(at_v1, "active: in-pieces\n")
    assert found["reason"] == "ArtifactNotReady"

    (folder / "model.pkl").write_bytes(whole)

    at_v1.wait_until_live("in-pieces")


@pytest.mark.native
def test_a_newer_wish_overtakes_a_slow_load(repository: Server) -> None:
    write_slow(repository.models / "slow", 60)
    repository.start()
    repository.wait_until_live("v1")
    repository.write_state("active: slow\n")
    eventually(lambda: "Loading slow." in repository.status()["summary"], "the load begun")
    assert repository.predict(ROW).json == V1

    apply(repository, "active: v2\n")

    assert repository.live() == "v2"
    assert repository.status()["last_refused"] is None
    assert "version.live version=slow" not in repository.log.read_text()


def test_the_old_wish_overtakes_a_slow_load_as_well(repository: Server) -> None:
    write_slow(repository.models / "slow", 60)
    repository.start()
    repository.wait_until_live("v1")
    repository.write_state("active: slow\n")
    eventually(lambda: repository.status()["sync"]["status"] == "Progressing", "the load begun")

    apply(repository, "active: v1\n")

    assert repository.is_settled()
    assert repository.status()["models"]["default"]["rollback_target"] is None


def test_a_call_overtakes_a_slow_load(repository: Server) -> None:
    write_slow(repository.models / "slow", 60)
    repository.start()
    repository.wait_until_live("v1")
    repository.write_state("active: slow\n")
    eventually(lambda: repository.status()["sync"]["status"] == "Progressing", "the load begun")

    answer = repository.admin("set-active-version", {"version": "v2"})

    assert answer.status == 200
    assert repository.live() == "v2"
    assert repository.state.read_text() == "active: v2\n"


# A fresh start


@pytest.mark.parametrize(
    ("text", "sync"),
    [
        ("active: [\n", "Invalid"),
        ("active: v9\n", "OutOfSync"),
        ("", "Missing"),
        (None, "Missing"),
        ("active: v1\nfreeze: true\n", "Frozen"),
    ],
)
def test_a_start_with_a_bad_file_serves_the_last_good_version(
    server: Server, text: str | None, sync: str
) -> None:
    apply(server, "active: v2\n")
    assert server.stop() == 0
    if text is None:
        server.state.unlink()
    else:
        server.state.write_text(text)

    server.start()

    server.wait_until_live("v2")
    eventually(lambda: server.status()["sync"]["status"] == sync, f"sync {sync}")
    eventually(lambda: server.status()["live"]["is_fallback"], "it says that it fell back")
    assert "Serving v2 since" in server.status()["summary"]
    assert "the last good version" in server.status()["summary"]
    assert server.get("/readyz").status == 200
    apply(server, "active: v1\n")
    assert server.status()["live"]["is_fallback"] is False
    assert server.live() == "v1"


def test_after_a_start_with_a_refused_text_the_last_good_version_stays(server: Server) -> None:
    """The refused text is tried again, and no try may take away what was fallen back to."""
    apply(server, "active: v2\n")
    assert server.stop() == 0
    server.write_state("models: {nobody: {active: v1}}\n")
    server.start()
    server.wait_until_live("v2")
    first = eventually(lambda: server.status()["last_refused"], "the refusal")

    eventually(lambda: server.status()["last_refused"]["at"] != first["at"], "another try")

    assert server.predict(ROW).json["model_version"] == "v2"
    assert server.get("/readyz").status == 200


def test_a_first_start_with_a_bad_file_waits_for_a_good_one(repository: Server) -> None:
    repository.write_state("active: [\n")
    repository.git("commit", "-qa", "--amend", "-m", "Bad from the start")
    repository.start()
    eventually(lambda: repository.status()["sync"]["status"] == "Invalid", "the refusal")

    answer = repository.predict(ROW)

    assert (answer.status, answer.json["code"]) == (503, "not_ready")
    assert answer.headers["Retry-After"]
    assert repository.get("/healthz").status == 200
    assert repository.get("/readyz").status == 503
    assert repository.status()["summary"].startswith("Serving nothing.")
    assert repository.status()["health"]["status"] == "NotReady"
    apply(repository, "active: v1\n")
    assert repository.get("/readyz").status == 200


def test_a_folder_without_anything_gets_a_server_that_says_so(repository: Server) -> None:
    shutil.rmtree(repository.models)
    repository.state.unlink()
    repository.state.parent.rmdir()
    repository.start()
    eventually(lambda: repository.status()["sync"]["status"] == "Missing", "it is missed")

    assert "found no versions" in repository.status()["summary"]
    shutil.copytree(ROOT / "models", repository.models)
    repository.state.parent.mkdir()
    apply(repository, "active: v1\n")
    assert repository.predict(ROW).json == V1


# Freezing


def test_a_frozen_file_is_seen_and_not_applied(at_v1: Server) -> None:
    at_v1.write_state("active: v2\nfreeze: true\n")
    eventually(lambda: at_v1.status()["sync"]["status"] == "Frozen", "frozen")

    assert at_v1.predict(ROW).json == V1
    status = at_v1.status()
    assert status["models"]["default"]["desired"] == "v2"
    assert status["desired"]["freeze"] is True
    assert "is frozen" in status["summary"]
    assert "freeze" in status["next"]

    apply(at_v1, "active: v2\n")
    assert at_v1.live() == "v2"


# Pins


def digest_of(server: Server, version: str) -> str:
    versions = server.get("/admin/versions").json["models"]["default"]["versions"]
    return next(str(each["digest"]) for each in versions if each["version"] == version)


def test_a_pin_that_holds_is_no_obstacle(at_v1: Server) -> None:
    apply(at_v1, f"active: v2\npins: {{v2: '{digest_of(at_v1, 'v2')}'}}\n")

    assert at_v1.live() == "v2"


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_pin_that_does_not_hold_refuses(at_v1: Server, version: str) -> None:
    pin = "sha256:" + "0" * 64

    found = refusal(at_v1, f"active: {version}\npins: {{{version}: '{pin}'}}\n")

    assert found["reason"] == "DigestMismatch"
    check_still_serving(at_v1, pin[:19])


def test_a_pin_that_does_not_hold_refuses_a_call(at_v1: Server) -> None:
    pins = f"pins: {{v2: 'sha256:{'0' * 64}'}}\n"
    apply(at_v1, f"active: v1\n{pins}")

    answer = at_v1.admin("set-active-version", {"version": "v2"})

    assert (answer.status, answer.json["code"]) == (422, "digest_mismatch")
    assert at_v1.state.read_text() == f"active: v1\n{pins}"


def test_bytes_that_changed_are_refused_until_they_are_back(at_v1: Server) -> None:
    folder = at_v1.models / "changing"
    shutil.copytree(ROOT / "models" / "v2", folder)
    apply(at_v1, "active: changing\n")
    old = (folder / "model.pkl").read_bytes()
    write_regression(folder)
    assert at_v1.predict(ROW).json["model_version"] == "changing"  # its copy serves on
    apply(at_v1, "active: v1\n")

    found = refusal(at_v1, "active: changing\n")

    assert found["reason"] == "BytesChanged"
    assert "versions never change" in found["message"]
    (folder / "model.pkl").write_bytes(old)
    apply(at_v1, "active: v1\n")
    apply(at_v1, "active: changing\n")


# Several models, and versions beside the live one


def test_a_named_model_is_served_beside_the_default_one(at_v1: Server) -> None:
    for version in ("c1", "c2"):
        write_regression(at_v1.models / "churn" / version)
    apply(at_v1, "active: v1\nmodels: {churn: {active: c1}}\n")
    row = {"features": [1, 1]}

    assert at_v1.predict(row, "?model=churn").json["model_version"] == "c1"
    apply(at_v1, "active: v1\nmodels: {churn: {active: c2}}\n")
    assert at_v1.predict(row, "?model=churn").json["model_version"] == "c2"
    assert at_v1.status()["models"]["churn"]["active"] == "c2"
    apply(at_v1, "active: v1\n")
    assert at_v1.predict(row, "?model=churn").json["code"] == "model_not_found"


def test_one_model_that_fails_does_not_hold_back_another(at_v1: Server) -> None:
    write_regression(at_v1.models / "fraud" / "f1")

    found = refusal(at_v1, "active: v2\nmodels: {fraud: {active: f9}}\n")

    assert "f9" in found["message"]
    at_v1.wait_until_live("v2")


def test_a_refused_text_takes_nothing_down_that_it_does_not_name(at_v1: Server) -> None:
    found = refusal(at_v1, "models: {nobody: {active: v1}}\n")

    assert found["reason"] == "ModelNotFound"
    check_still_serving(at_v1, "nobody", "Progressing")


def test_a_model_is_dropped_once_all_that_a_text_names_loads(at_v1: Server) -> None:
    refusal(at_v1, "models: {prices: {active: f1}}\n")
    assert at_v1.live() == "v1"

    write_regression(at_v1.models / "prices" / "f1")

    eventually(lambda: at_v1.live() is None, "the default model dropped")
    assert at_v1.predict({"features": [1, 1]}, "?model=prices").json["model_version"] == "f1"


def test_after_half_a_wish_the_old_text_is_a_change(at_v1: Server) -> None:
    refusal(at_v1, "active: v2\nmodels: {nobody: {active: f9}}\n")
    at_v1.wait_until_live("v2")

    apply(at_v1, "active: v1\n")

    assert at_v1.predict(ROW).json == V1


def test_a_version_beside_the_live_one_holds_nothing_back(at_v1: Server) -> None:
    apply(at_v1, "active: v2\nalso: [v9, raises]\n")

    assert at_v1.live() == "v2"
    # They are loaded after what is live: the wish was applied before.
    warnings = eventually(
        lambda: " ".join(at_v1.status()["live"]["warnings"]), "what is beside it was tried"
    )
    assert "v9" in warnings
    assert "ZeroDivisionError" in warnings


# On demand


def loaded(server: Server) -> set[str]:
    return {each["version"] for each in server.status()["models"]["default"]["loaded"]}


@pytest.mark.native
def test_versions_are_loaded_on_demand_and_dropped_again(repository: Server) -> None:
    for number in range(3, 7):
        write_regression(repository.models / f"v{number}")
    repository.start(MODELD_MAX_LOADED="2")
    repository.wait_until_live("v1")
    for number in (3, 4, 5, 6, 3):
        answer = repository.predict({"features": [1, 1]}, f"?version=v{number}")
        assert (answer.status, answer.json["model_version"]) == (200, f"v{number}")
        assert answer.json["prediction"] == pytest.approx(3.0)

    assert loaded(repository) == {"v1", "v6", "v3"}
    assert repository.predict(ROW).json == V1


def test_a_crowd_that_asks_for_one_version_loads_it_once(repository: Server) -> None:
    write_slow(repository.models / "slow", 0.5)
    repository.start()
    repository.wait_until_live("v1")

    with ThreadPoolExecutor(20) as pool:
        answers: list[Answer] = list(
            pool.map(lambda _: repository.predict(ROW, "?version=slow"), range(20))
        )

    assert {answer.status for answer in answers} == {200}
    assert repository.log.read_text().count("version.loaded version=slow") == 1


def test_a_version_that_was_idle_for_long_is_dropped(repository: Server) -> None:
    repository.start(MODELD_KEEP_WARM="0s")
    repository.wait_until_live("v1")
    assert repository.predict(ROW, "?version=v2").status == 200

    eventually(lambda: loaded(repository) == {"v1"}, "v2 dropped")

    assert repository.predict(ROW, "?version=v2").status == 200


@pytest.mark.native
def test_where_only_live_versions_are_served_the_rest_is_not_there(repository: Server) -> None:
    write_regression(repository.models / "v3")
    repository.write_state("active: v1\nalso: [v2]\n")
    repository.start(MODELD_VERSIONS="live")
    repository.wait_until_live("v1")

    assert repository.predict(ROW, "?version=v2").json["model_version"] == "v2"
    answer = repository.predict(ROW, "?version=v3")
    assert (answer.status, answer.json["code"]) == (404, "version_not_found")
    assert "also" in answer.json["error"]
    assert refusal(repository, "active: v9\n")["reason"] == "VersionNotFound"
    assert repository.predict(ROW).json == V1
    assert repository.admin("set-active-version", {"version": "v3"}).status == 200
    assert repository.predict({"features": [1, 1]}).json["model_version"] == "v3"
    # What was live a moment ago is warm, and may be named.
    assert repository.predict(ROW, "?version=v1").json == V1


# Trust


@pytest.mark.native
def test_a_server_that_trusts_nothing_serves_onnx_alone(repository: Server) -> None:
    write_onnx(repository.models / "v3")
    repository.start(MODELD_TRUST="safe")
    eventually(lambda: repository.status()["last_refused"], "the refusal")

    assert repository.status()["last_refused"]["reason"] == "NotTrusted"
    answer = repository.admin("set-active-version", {"version": "v2"})
    assert (answer.status, answer.json["code"]) == (422, "not_trusted")
    apply(repository, "active: v3\n")
    assert repository.predict(ROW).headers["X-Model-Runtime"] == "onnx"


@pytest.mark.native
def test_a_server_that_trusts_nothing_serves_skops_without_types_of_its_own(
    repository: Server,
) -> None:
    """Compiled as any other estimator, once it was opened."""
    folder = repository.models / "v3"
    write_skops(folder)
    repository.write_state("active: v3\n")
    repository.start(MODELD_TRUST="safe", MODELD_COMPILE="auto")
    repository.wait_until_live("v3")
    shutil.copytree(folder, repository.models / "v4")
    (repository.models / "v4" / "model.yaml").write_text("trusted: [os.system]\n")

    answer = repository.admin("set-active-version", {"version": "v4"})

    assert (answer.status, answer.json["code"]) == (422, "not_trusted")
    assert "of types that model.yaml trusts (os.system)" in answer.json["error"]
    eventually(
        lambda: repository.predict(ROW).headers["X-Model-Runtime"] == "compiled", "the compiled"
    )


@pytest.mark.native
def test_a_server_that_trusts_what_is_pinned(repository: Server) -> None:
    repository.start(MODELD_TRUST="pinned")
    eventually(lambda: repository.status()["last_refused"], "the refusal")
    assert repository.status()["last_refused"]["reason"] == "NotTrusted"
    assert repository.status()["next"]

    apply(repository, f"active: v1\npins: {{v1: '{digest_of(repository, 'v1')}'}}\n")

    assert repository.predict(ROW).json == V1
    assert refusal(repository, "active: v2\n")["reason"] == "NotTrusted"


# ONNX


def test_an_onnx_model_is_served_in_place(server: Server) -> None:
    folder = write_onnx(server.models / "v3")
    write_samples(folder, [[1, 2, 3, 4], [0.5, 0, 0, 0]], [10.0, 0.5])

    answer = server.admin("set-active-version", {"version": "v3"})

    assert answer.status == 200, answer.body
    answer = server.predict(ROW)
    assert answer.json == {"prediction": pytest.approx(SUM), "model_version": "v3"}
    assert answer.headers["X-Model-Runtime"] == "onnx"
    assert server.predict({"features": [[1, 2, 3, 4]] * 2}).json["predictions"] == [10.0, 10.0]
    found = next(
        each for each in server.status()["models"]["default"]["loaded"] if each["version"] == "v3"
    )
    assert (found["runs"], found["host_pid"]) == ("in the workers", None)
    assert server.predict({"features": [1, 2, 3]}).json["code"] == "wrong_shape"


@pytest.mark.native
def test_without_native_models_no_host_and_no_nursery_is_left(repository: Server) -> None:
    write_onnx(repository.models / "v3")
    repository.write_state("active: v3\n")
    repository.start()
    repository.wait_until_live("v3")

    eventually(lambda: repository.status()["processes"]["nursery_pid"] is None, "no nursery")

    eventually(lambda: len([p for p in repository.family() if is_alive(p)]) == 3, "two workers")
    assert repository.predict(ROW).status == 200
    assert repository.predict(ROW, "?version=v1").json == V1


def test_an_onnx_model_that_could_cost_anything_is_served_by_a_host(server: Server) -> None:
    write_onnx(server.models / "v3", "Tile")

    assert server.admin("set-active-version", {"version": "v3"}).status == 200

    answer = server.predict(ROW)
    assert answer.json["prediction"] == pytest.approx(SUM)
    assert answer.headers["X-Model-Runtime"] == "onnx"
    found = next(
        each for each in server.status()["models"]["default"]["loaded"] if each["version"] == "v3"
    )
    assert found["runs"] == "in a host"
    assert is_alive(found["host_pid"])
    assert "Tile" in found["why_not_in_the_workers"]


def test_an_onnx_file_that_is_none_is_refused(at_v1: Server) -> None:
    folder = at_v1.add_version("broken-onnx")
    (folder / "model.onnx").write_bytes(b"\x08\x09" + b"\xff" * 100)

    answer = at_v1.admin("set-active-version", {"version": "broken-onnx"})

    assert (answer.status, answer.json["code"]) == (422, "load_failed")


def test_git_is_the_history(server: Server) -> None:
    server.state.write_text("active: v2\n")
    server.git("commit", "-qam", "state: v1 -> v2")
    server.wait_until_live("v2")
    server.git("revert", "--no-edit", "HEAD")
    server.wait_until_live("v1")

    blob = server.git("rev-parse", "HEAD:state/active.yaml")

    eventually(lambda: is_synced(server, blob), "the blob that git names is applied")
