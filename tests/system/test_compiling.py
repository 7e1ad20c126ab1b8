"""Compile real pickles on a real server: before they serve, after, beside the model, or not."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from tests.support.server import Answer, Server, eventually
from tests.support.versions import write_model, write_pickle, write_samples

ROW = {"features": [6.3, 2.8, 5.1, 1.5]}
ROWS = np.random.default_rng(0).integers(0, 10, (200, 4)) / 10


def runtime(answer: Answer) -> str:
    return answer.headers["X-Model-Runtime"]


def compiled(server: Server, query: str = "") -> Answer:
    """Ask until the answer comes from the compiled model."""
    return eventually(
        lambda: answer if runtime(answer := server.predict(ROW, query)) == "compiled" else None,
        "a compiled answer",
    )


def release(server: Server, version: str) -> Any:
    loaded = server.status()["models"]["default"]["loaded"]
    return next((each for each in loaded if each["version"] == version), None)


def served_before_it_was_compiled(server: Server, version: str = "v2") -> bool:
    """Read the order of two lines in the log."""
    log = server.log.read_text()
    live, made = (log.index(f"version.{word} version={version}") for word in ("live", "compiled"))
    return live < made


@pytest.fixture
def compiling(repository: Server) -> Server:
    """A running server that compiles, and has compiled v1."""
    repository.start(MODELD_COMPILE="auto")
    repository.wait_until_live("v1")
    compiled(repository)
    return repository


def forest(classes: np.ndarray[Any, Any]) -> RandomForestClassifier:
    labels = classes[(ROWS[:, 0] * ROWS[:, 1] > 0.2).astype(int)]
    return RandomForestClassifier(10, random_state=0).fit(ROWS, labels)


# When


def test_a_first_boot_serves_natively_and_does_not_wait(repository: Server) -> None:
    repository.start(MODELD_COMPILE="auto")
    repository.wait_until_live("v1")
    first = repository.predict(ROW)

    last = compiled(repository)

    assert first.status == 200
    assert last.json == first.json
    assert served_before_it_was_compiled(repository, "v1")


def test_a_switch_without_hurry_waits_until_it_is_compiled(compiling: Server) -> None:
    compiling.write_state("active: v2\n")
    compiling.wait_until_live("v2")

    assert runtime(compiling.predict(ROW)) == "compiled"
    assert compiling.predict(ROW).json == {"prediction": 2, "model_version": "v2"}
    # It never served natively: the metrics would know.
    assert 'version="v2",runtime="native"' not in compiling.get("/metrics").body.decode()


def test_a_change_with_a_reason_does_not_wait(compiling: Server) -> None:
    answer = compiling.admin("set-active-version", {"version": "v2", "reason": "v1 is wrong"})

    assert answer.status == 200
    assert compiled(compiling).json["model_version"] == "v2"
    assert served_before_it_was_compiled(compiling)


def test_the_wait_for_compiling_is_bounded(repository: Server) -> None:
    repository.start(MODELD_COMPILE="auto", MODELD_COMPILE_TIMEOUT="0")
    repository.wait_until_live("v1")

    repository.write_state("active: v2\n")
    repository.wait_until_live("v2")

    assert compiled(repository).json["model_version"] == "v2"
    assert served_before_it_was_compiled(repository)


# What answers


def test_the_worker_answers_and_no_host_is_left(compiling: Server) -> None:
    """Nobody but the control process and the workers is there to answer."""
    eventually(lambda: len(compiling.family()) == 3, "control and two workers alone")

    answer = compiling.predict(ROW, "?proba=true")

    assert runtime(answer) == "compiled"
    assert release(compiling, "v1")["runs"] == "in the workers"
    assert compiling.host("v1") == 0
    assert answer.json["classes"] == [0, 1, 2]
    assert sum(answer.json["probabilities"]) == pytest.approx(1)


@pytest.mark.parametrize(
    "classes",
    [
        pytest.param(np.array([False, True]), id="bool"),
        pytest.param(np.array([1.0, 2.0]), id="float"),
        pytest.param(np.array([3, 7], dtype=np.int8), id="int8"),
        pytest.param(np.array(["no", "yes, é"]), id="text"),
    ],
)
def test_both_answer_with_the_same_bytes(repository: Server, classes: Any) -> None:
    write_pickle(repository.models / "v3", forest(classes))
    repository.write_state("active: v3\n")
    body = {"features": ROWS[:50].tolist()}
    repository.start()
    repository.wait_until_live("v3")
    native = repository.predict(body, "?proba=true")
    repository.stop()

    repository.start(MODELD_COMPILE="auto")
    repository.wait_until_live("v3")
    compiled(repository)
    ours = repository.predict(body, "?proba=true")

    assert (runtime(native), runtime(ours)) == ("native", "compiled")
    assert json.dumps(ours.json["predictions"]) == json.dumps(native.json["predictions"])
    assert ours.json["classes"] == native.json["classes"]
    np.testing.assert_allclose(
        ours.json["probabilities"], native.json["probabilities"], rtol=1e-5, atol=1e-6
    )


def test_what_the_native_model_refuses_is_refused(compiling: Server) -> None:
    """The graph itself would answer both."""
    compiling.write_state("active: v2\n")
    compiling.wait_until_live("v2")

    huge = compiling.predict({"features": [1e300, 1, 1, 1]})
    missing = compiling.predict({"features": [None, 1, 1, 1]}, "?version=v1")

    assert (runtime(huge), huge.status, huge.json["code"]) == ("compiled", 422, "out_of_range")
    assert (runtime(missing), missing.status) == ("compiled", 422)


# The cache


def test_a_restart_finds_what_was_compiled_and_opens_no_pickle(compiling: Server) -> None:
    compiling.stop()
    logged = len(compiling.log.read_text())

    compiling.start(MODELD_COMPILE="auto")
    compiling.wait_until_live("v1")

    assert runtime(compiling.predict(ROW)) == "compiled"
    log = compiling.log.read_text()[logged:]
    assert "format=compiled" in log
    assert "format=pickle" not in log


def test_a_broken_file_in_the_cache_is_made_again(compiling: Server) -> None:
    compiling.stop()
    (file,) = (compiling.runtime / "compiled").glob("*.onnx")
    file.write_bytes(file.read_bytes()[:100])

    compiling.start(MODELD_COMPILE="auto")
    compiling.wait_until_live("v1")

    assert compiled(compiling).status == 200


def test_a_death_while_compiling_costs_nothing(repository: Server) -> None:
    """The process that compiles may die of anything: the native model serves on."""
    rows = np.random.default_rng(1).normal(size=(2000, 20))
    labels = rows[:, 0] * rows[:, 1] > 0
    write_pickle(
        repository.models / "v3", RandomForestClassifier(300, max_depth=8).fit(rows, labels)
    )
    repository.start(MODELD_COMPILE="auto")
    repository.wait_until_live("v1")
    compiled(repository)
    eventually(lambda: len(repository.family()) == 3, "no host")
    answer = repository.admin("set-active-version", {"version": "v3", "reason": "try"})
    assert answer.status == 200
    host = repository.host("v3")

    def other() -> int:
        nursery = repository.status()["processes"]["nursery_pid"]
        known = {repository.process.pid if repository.process else 0, host, nursery}
        found = set(repository.family()) - known - set(repository.workers())
        return next(iter(found), 0)

    os.kill(eventually(other, "a host that compiles"), signal.SIGKILL)

    why = eventually(lambda: release(repository, "v3")["why_native"], "a reason")
    assert "SIGKILL" in why
    assert runtime(repository.call("POST", "/predict", json.dumps({"features": [0.0] * 20}))) == (
        "native"
    )


# What cannot be compiled


def squares() -> Any:
    """A pipeline with a step that no converter knows."""
    model = make_pipeline(FunctionTransformer(np.square), LogisticRegression())
    return model.fit(ROWS, ROWS[:, 0] > 0.5)


def test_what_cannot_be_compiled_serves_natively_and_says_why(compiling: Server) -> None:
    write_pickle(compiling.models / "v3", squares())

    compiling.write_state("active: v3\n")
    compiling.wait_until_live("v3")

    assert runtime(compiling.predict(ROW)) == "native"
    reason = release(compiling, "v3")["why_native"]
    assert "FunctionTransformer" in reason
    assert len(reason.splitlines()) == 1
    assert reason[:40] in compiling.command("versions").stdout


def test_a_class_of_somebody_is_not_even_tried(compiling: Server) -> None:
    write_model(compiling.models / "v3")

    compiling.write_state("active: v3\n")
    compiling.wait_until_live("v3")

    assert release(compiling, "v3")["why_native"] == (
        "only scikit-learn's models are compiled, and this is a Model"
    )


def test_why_it_cannot_be_is_remembered(repository: Server) -> None:
    write_pickle(repository.models / "v3", squares())
    repository.write_state("active: v3\n")
    repository.start(MODELD_COMPILE="auto")
    repository.wait_until_live("v3")
    first = eventually(lambda: release(repository, "v3")["why_native"], "a reason")
    repository.stop()
    (kept,) = (repository.runtime / "compiled").glob("*.reason")

    repository.start(MODELD_COMPILE="auto")
    repository.wait_until_live("v3")

    assert eventually(lambda: release(repository, "v3")["why_native"], "a reason") == first
    assert kept.read_text() == first


# What the manifest says


def test_required_refuses_what_cannot_be_compiled(compiling: Server) -> None:
    folder = write_model(compiling.models / "v3")
    (folder / "model.yaml").write_text("compile: required\n")

    answer = compiling.admin("set-active-version", {"version": "v3"})
    compiling.write_state("active: v3\n")
    refused = eventually(lambda: compiling.status()["last_refused"], "a refusal")

    assert (answer.status, answer.json["code"]) == (422, "compile_failed")
    assert "compile: required" in answer.json["error"]
    assert refused["reason"] == "CompileFailed"
    assert compiling.live() == "v1"


def test_required_waits_even_in_a_hurry(compiling: Server) -> None:
    (compiling.models / "v2" / "model.yaml").write_text("compile: required\n")

    answer = compiling.admin("set-active-version", {"version": "v2", "reason": "now"})

    assert answer.status == 200
    assert runtime(compiling.predict(ROW)) == "compiled"


def test_never_keeps_it_as_it_is(compiling: Server) -> None:
    (compiling.models / "v2" / "model.yaml").write_text("compile: never\n")

    compiling.write_state("active: v2\n")
    compiling.wait_until_live("v2")

    assert runtime(compiling.predict(ROW)) == "native"
    assert release(compiling, "v2")["why_native"] == "model.yaml has compile: never"


# The command


def test_a_version_compiled_by_hand_needs_no_pickle(repository: Server) -> None:
    done = repository.command("compile", "v2", "--json")
    told = json.loads(done.stdout)

    repository.start("--state", "state/active.yaml", MODELD_COMPILE="auto", MODELD_TRUST="safe")
    answer = repository.admin("set-active-version", {"version": "v2"})

    assert done.returncode == 0
    assert told["rows"] >= 1000
    assert told["files"] == ["models/v2/compiled.onnx"]
    assert answer.status == 200
    assert runtime(repository.predict(ROW)) == "compiled"
    refused = repository.admin("set-active-version", {"version": "v1"})
    assert refused.json["code"] == "not_trusted"
    assert "modeld compile v1" in refused.json["error"]


def test_a_compiled_file_of_other_bytes_is_not_used(repository: Server) -> None:
    repository.command("compile", "v2")
    target = repository.add_version("v3", repository.models / "v1")
    (target / "compiled.onnx").write_bytes(
        (repository.models / "v2" / "compiled.onnx").read_bytes()
    )
    repository.start(MODELD_COMPILE="auto")
    repository.wait_until_live("v1")

    repository.write_state("active: v3\n")
    repository.wait_until_live("v3")

    assert repository.predict(ROW).json == {"prediction": 1, "model_version": "v3"}
    assert "other files" in repository.log.read_text()


def test_a_compiled_file_that_answers_otherwise_than_the_samples_is_not_used(
    repository: Server,
) -> None:
    repository.command("compile", "v2")
    write_samples(repository.models / "v2", [[6.3, 2.8, 5.1, 1.5]], [1])
    repository.start(MODELD_COMPILE="auto")

    answer = repository.admin("set-active-version", {"version": "v2"})

    assert (answer.status, answer.json["code"]) == (422, "samples_differ")


@pytest.mark.parametrize("name", ["v9", "latest"])
def test_compile_names_what_is_wrong(repository: Server, name: str) -> None:
    done = repository.command("compile", name)

    assert done.returncode == 1
    assert name in done.stderr
    assert not list(repository.models.glob("*/compiled.onnx"))


def test_a_broken_model_is_one_line_and_no_traceback(repository: Server) -> None:
    folder = repository.add_version("v3")
    content = (repository.models / "v2" / "model.pkl").read_bytes()
    (folder / "model.pkl").write_bytes(content[: len(content) // 2])

    done = repository.command("compile", "v3")

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "v3 is not compiled: its file is damaged or cut off" in done.stderr


def test_a_class_of_somebody_is_refused_by_the_command(repository: Server) -> None:
    write_model(repository.models / "v3")

    done = repository.command("compile", "v3")

    assert done.returncode == 1
    assert "v3 is not compiled" in done.stderr
    assert not (repository.models / "v3" / "compiled.onnx").exists()


def test_a_manifest_that_lists_files_lists_the_compiled_one_too(repository: Server) -> None:
    folder = repository.models / "v2"
    data = (folder / "model.pkl").read_bytes()
    sha = __import__("hashlib").sha256(data).hexdigest()
    (folder / "model.yaml").write_text(
        f"# ours\nfiles:\n  model.pkl: {{size: {len(data)}, sha256: {sha}}}\n"
    )

    done = repository.command("compile", "v2")
    repository.start(MODELD_COMPILE="auto", MODELD_TRUST="safe")
    answer = repository.admin("set-active-version", {"version": "v2"})

    assert done.returncode == 0, done.stderr
    assert (folder / "model.yaml").read_text().startswith("# ours\nfiles:\n  compiled.onnx: {")
    assert answer.status == 200
    assert runtime(repository.predict(ROW)) == "compiled"
    assert Path(folder / "compiled.onnx").stat().st_size > 0
