"""Put versions before a server that must never serve, and see that nothing happens to it.

Each is refused in one clear line, the version before goes on serving, nothing of what was
refused is left running, and where the files alone tell, not a byte of the model was executed.
"""

import contextlib
import hashlib
import io
import itertools
import json
import os
import pickle
import shutil
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import joblib
import pytest

from tests.runtimes import onnx_files
from tests.support.server import (
    DEADLINE_SECONDS,
    ROOT,
    Server,
    cared_for,
    eventually,
    is_alive,
    make_server,
    parents_of_all,
)
from tests.support.versions import (
    Evaluated,
    write_code,
    write_model,
    write_onnx,
    write_pickle,
    write_samples,
)

pytestmark = pytest.mark.native

ROW = {"features": [1.0, 2.0, 3.0, 4.0]}
PAUSES = (0.0, 0.0, 0.001, 0.01, 0.03)
"""Between swaps, in seconds; an odd number of them, so that each of two files gets all."""
LFS_POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 123456\n"


def listed(folder: Path, **changes: object) -> None:
    """List the model in the manifest with its digest, or with something else in its place."""
    path = next(each for each in folder.iterdir() if each.name.startswith("model."))
    content = path.read_bytes()
    entry = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()} | changes
    (folder / "model.yaml").write_text(json.dumps({"files": {path.name: entry}}))


def good(folder: Path) -> Path:
    """A copy of an example: a pickle of scikit-learn."""
    folder.mkdir()
    shutil.copy(ROOT / "models" / "v1" / "model.pkl", folder)
    return folder / "model.pkl"


def cut(name: str, part: float, *, is_listed: bool) -> Callable[[Path], None]:
    """A model whose end is missing."""

    def make(folder: Path) -> None:
        folder.mkdir()
        whole = MAKERS[name]()
        (folder / name).write_bytes(whole[: min(int(len(whole) * part), len(whole) - 1)])
        if is_listed:
            content = whole
            entry = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            (folder / "model.yaml").write_text(json.dumps({"files": {name: entry}}))

    return make


def _joblib() -> bytes:
    with io.BytesIO() as file:
        joblib.dump(joblib.load(ROOT / "models" / "v1" / "model.pkl"), file, compress=3)
        return file.getvalue()


def _onnx() -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return (write_onnx(Path(folder)) / "model.onnx").read_bytes()


MAKERS: dict[str, Callable[[], bytes]] = {
    "model.pkl": (ROOT / "models" / "v1" / "model.pkl").read_bytes,
    "model.joblib": _joblib,
    "model.onnx": _onnx,
}


def holding(name: str, content: bytes, manifest: str = "") -> Callable[[Path], None]:
    """A version of one file."""

    def make(folder: Path) -> None:
        folder.mkdir()
        (folder / name).write_bytes(content)
        if manifest:
            (folder / "model.yaml").write_text(manifest)

    return make


def with_manifest(text: str) -> Callable[[Path], None]:
    """A good model with a manifest that is not."""

    def make(folder: Path) -> None:
        good(folder)
        (folder / "model.yaml").write_text(text)

    return make


def changed(**changes: object) -> Callable[[Path], None]:
    """A pickle that marks when it is opened, with other bytes than its manifest says."""

    def make(folder: Path) -> None:
        write_code(folder, marking(folder))
        listed(folder, **changes)

    return make


def marking(folder: Path) -> str:
    return f"open({str(folder) + '.opened'!r}, 'w').close()"


def running(code: str) -> Callable[[Path], object]:
    """A pickle that runs code when it is opened."""
    return lambda folder: write_code(folder, code)


def linked(folder: Path) -> None:
    """A link to a model outside."""
    folder.mkdir()
    (folder / "model.pkl").symlink_to(ROOT / "models" / "v1" / "model.pkl")


def a_pipe(folder: Path) -> None:
    folder.mkdir()
    os.mkfifo(folder / "model.pkl")


def wrong_answers(folder: Path) -> None:
    write_model(folder)
    write_samples(folder, [[1.0, 2.0]], [4.0])


def two_models(folder: Path) -> None:
    good(folder)
    shutil.copy(folder / "model.pkl", folder / "other.pkl")


def small(folder: Path) -> None:
    """A model that needs more memory than its own manifest allows."""
    write_code(folder, "bytearray(4 << 30)")
    (folder / "model.yaml").write_text("max_memory: 3GiB\n")


def with_weights(location: str, offset: int = 0) -> Callable[[Path], None]:
    """An ONNX model whose weights are in another file, which lies there."""

    def make(folder: Path) -> None:
        folder.mkdir()
        (folder / "weights.bin").write_bytes(bytes(16))
        if location == "link.bin":
            (folder / location).symlink_to(folder / "weights.bin")
        (folder.parent / "outside.bin").write_bytes(bytes(16))
        model = onnx_files.regression()
        tensor = onnx_files.external(model.graph.initializer[0], location)
        tensor.external_data.add(key="offset", value=str(offset))
        onnx_files.save(folder / "model.onnx", model)

    return make


def weights_not_listed(folder: Path) -> None:
    """An ONNX model whose weights lie beside it, but are none of the files of its manifest."""
    with_weights("weights.bin")(folder)
    listed(folder)


@dataclass(frozen=True)
class Case:
    """What is refused, by which code, and with which words."""

    make: Callable[[Path], object]
    code: str
    words: str


ELSEWHERE = "is no file of this version"
CUT = "damaged or cut off"
ENDED = "was ended by|exited with"
CASES = {
    "an empty pickle": Case(holding("model.pkl", b""), "artifact_not_ready|unknown_format", ""),
    "half a pickle": Case(cut("model.pkl", 0.5, is_listed=False), "load_failed", CUT),
    "nearly a pickle": Case(cut("model.pkl", 1, is_listed=False), "load_failed", CUT),
    "half a listed pickle": Case(cut("model.pkl", 0.5, is_listed=True), "artifact_not_ready", ""),
    "one byte of a joblib": Case(cut("model.joblib", 0.001, is_listed=False), "", ""),
    "half a joblib": Case(cut("model.joblib", 0.5, is_listed=False), "load_failed", ""),
    "half an onnx": Case(cut("model.onnx", 0.5, is_listed=False), "load_failed", "no whole ONNX"),
    "nearly an onnx": Case(cut("model.onnx", 1, is_listed=False), "load_failed", "no whole ONNX"),
    "a picture": Case(
        holding("model.joblib", b"\x89PNG\r\n\x1a\n"), "unknown_format", "model.joblib"
    ),
    "a pickle that is an onnx": Case(
        holding("model.onnx", pickle.dumps([1])), "unknown_format", "not an ONNX model"
    ),
    "an onnx that is a pickle": Case(holding("model.pkl", _onnx()), "unknown_format", "no pickle"),
    "a web page": Case(holding("model.pkl", b"<!DOCTYPE html>"), "unknown_format", "no pickle"),
    "a git lfs pointer": Case(
        holding("model.pkl", LFS_POINTER.encode()), "lfs_pointer", "git lfs pull"
    ),
    "no model": Case(holding("notes.txt", b"later"), "unknown_format|artifact_not_ready", ""),
    "two models": Case(two_models, "unknown_format", "several models"),
    "a link": Case(linked, "artifact_not_ready|unknown_format", ""),
    "a pipe": Case(a_pipe, "artifact_not_ready", ""),
    "a manifest that is no yaml": Case(with_manifest("{"), "manifest_invalid", "model.yaml"),
    "a manifest with an unknown key": Case(
        with_manifest("formt: pickle\n"), "manifest_invalid", "formt"
    ),
    "a path that leads out": Case(
        with_manifest(json.dumps({"files": {"../x.pkl": {"size": 1, "sha256": "0" * 64}}})),
        "manifest_invalid",
        "inside the version's folder",
    ),
    "an absolute path": Case(
        with_manifest(json.dumps({"files": {"/etc/passwd": {"size": 1, "sha256": "0" * 64}}})),
        "manifest_invalid",
        "inside the version's folder",
    ),
    "a file twice": Case(
        with_manifest("samples: model.pkl\ncode: [model.pkl]\n"), "manifest_invalid", "model.pkl"
    ),
    "a listed file that is missing": Case(
        with_manifest(json.dumps({"files": {"other.pkl": {"size": 1, "sha256": "0" * 64}}})),
        "artifact_not_ready",
        "other.pkl",
    ),
    "another digest": Case(changed(sha256="0" * 64), "digest_mismatch", "sha256"),
    "another size": Case(changed(size=3), "artifact_not_ready|digest_mismatch", "3"),
    "a bomb": Case(
        holding("model.joblib", zlib.compress(b"\x80\x04" + bytes(1 << 26))), "load_failed", ""
    ),
    "a package that is missing": Case(
        holding("model.pkl", b"\x80\x02cnowhere\nThing\n)R."), "load_failed", "nowhere"
    ),
    "a class of a notebook": Case(
        holding("model.pkl", b"\x80\x02c__main__\nThing\n)R."), "load_failed", "importable"
    ),
    "loading for ever": Case(running("__import__('time').sleep(60)"), "load_timeout", "within 6 s"),
    "loading for ever without python": Case(
        running("__import__('re').match('(a+)+$', 'a' * 64 + 'b')"), "load_timeout", "within 6 s"
    ),
    "too much memory": Case(small, "load_failed", "max_memory"),
    "a segmentation fault": Case(
        running("__import__('ctypes').string_at(0)"), "host_died", "SIGSEGV"
    ),
    "leaving at once": Case(running("__import__('os')._exit(0)"), "host_died", ENDED),
    "leaving politely": Case(running("__import__('sys').exit(3)"), "load_failed", "SystemExit"),
    "an interrupt": Case(
        running("(_ for _ in ()).throw(KeyboardInterrupt)"), "load_failed", "KeyboardInterrupt"
    ),
    "an error that cannot be told": Case(
        running(
            "(_ for _ in ()).throw(type('E', (Exception,), "
            "{'__str__': lambda self: 1 / 0, '__reduce__': lambda self: 1 / 0})())"
        ),
        "load_failed",
        "E: ",
    ),
    "a dict": Case(lambda f: write_pickle(f, {"a": 1}), "load_failed", "no predict"),
    "a class": Case(
        running("type('Model', (), {'predict': lambda self, rows: rows})"),
        "load_failed",
        "no predict",
    ),
    "a predict that is no function": Case(
        running("type('Model', (), {'predict': 3})()"), "load_failed", "no predict"
    ),
    "other answers than promised": Case(wrong_answers, "samples_differ", "expected 4"),
    "weights in a file outside": Case(with_weights("../outside.bin"), "load_failed", ELSEWHERE),
    "weights at an absolute path": Case(with_weights("/etc/passwd"), "load_failed", ELSEWHERE),
    "weights past the end": Case(
        with_weights("weights.bin", 1 << 40), "load_failed", "the file is not whole"
    ),
    "weights before the start": Case(
        with_weights("weights.bin", -8), "load_failed", "the file is not whole"
    ),
    "weights behind a link": Case(with_weights("link.bin"), "artifact_not_ready", "symbolic link"),
    "weights that are not listed": Case(weights_not_listed, "load_failed", ELSEWHERE),
    "a custom operator": Case(
        lambda folder: write_onnx(folder, "NoSuchOperator"),
        "load_failed",
        "NoSuchOperator",
    ),
}


def test_a_file_that_is_swapped_all_the_time_is_served_as_listed_or_not_at_all(
    repository: Server,
) -> None:
    version = write_model(repository.models / "swapped")
    listed(version)
    served = (version / "model.pkl").read_bytes()
    evil = pickle.dumps(Evaluated(marking(version)))
    repository.start(MODELD_KEEP_WARM="0", MODELD_WORKERS="1")
    repository.wait_until_live("v1")
    both = {"loaded", "digest_mismatch"}
    until = time.monotonic() + DEADLINE_SECONDS
    ends = threading.Event()
    swapper = threading.Thread(target=swap, args=(version, [evil, served], ends))
    swapper.start()
    try:
        outcomes = {set_and_back(repository, "swapped") for _ in range(60)}
        while not both <= outcomes and time.monotonic() < until:
            outcomes.add(set_and_back(repository, "swapped"))
    finally:
        ends.set()
        swapper.join()

    assert both <= outcomes <= {*both, "artifact_not_ready"}
    assert not (repository.models / "swapped.opened").exists()


def swap(folder: Path, contents: list[bytes], ends: threading.Event) -> None:
    """Replace a model's file again and again, at different paces."""
    new = folder.parent / "swapped.new"
    for content, pause in zip(itertools.cycle(contents), itertools.cycle(PAUSES), strict=False):
        new.write_bytes(content)
        new.replace(folder / "model.pkl")
        ends.wait(pause)
        if ends.is_set() and content == contents[-1]:
            return


def set_and_back(server: Server, version: str) -> str:
    """Load a version anew and serve it for a moment; gives what came of it."""
    answer = server.admin("set-active-version", {"version": version})
    if answer.status != 200:
        return str(answer.json["code"])
    assert server.predict(ROW).json == {"prediction": 10.0, "model_version": version}
    assert server.admin("set-active-version", {"version": "v1"}).status == 200
    return "loaded"


CHILD = "__import__('subprocess').Popen(['sleep', '987654'])"


@pytest.mark.parametrize(
    "code",
    [f"[{CHILD}, 1 / 0]", f"[{CHILD}, __import__('os')._exit(0)]", f"[{CHILD}, {CHILD}]"],
)
def test_what_a_refused_version_started_is_ended(serving: Server, code: str) -> None:
    version = f"starts-{hashlib.sha256(code.encode()).hexdigest()[:8]}"
    write_code(serving.models / version, code)

    assert serving.admin("set-active-version", {"version": version}).status == 422

    eventually(lambda: not sleeping(), "no process of the model left")


def sleeping() -> list[int]:
    """The processes that these models start, whoever their parent is by now."""
    found = []
    for pid in parents_of_all():
        with contextlib.suppress(OSError):
            if b"987654" in Path(f"/proc/{pid}/cmdline").read_bytes() and is_alive(pid):
                found.append(pid)
    return found


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("hostile") / "repository"
    with cared_for(make_server(folder, ("v1",), is_light=True)) as server:
        server.expects_tracebacks = True
        server.start(MODELD_LOAD_TIMEOUT="6")
        server.wait_until_live("v1")
        yield server


@pytest.mark.parametrize("name", CASES)
def test_a_bad_version_is_refused_in_one_line(serving: Server, name: str) -> None:
    case = CASES[name]
    version = "".join(letter if letter.isalnum() else "-" for letter in name)
    case.make(serving.models / version)

    answer = serving.admin("set-active-version", {"version": version})

    assert answer.status == (504 if case.code == "load_timeout" else 422), answer.json
    assert answer.json["code"] in case.code.split("|") or not case.code, answer.json
    message = answer.json["error"]
    assert message.startswith(version), message
    assert any(words in message for words in case.words.split("|")), message
    assert "\n" not in message
    assert len(message) < 500
    assert "Traceback" not in message
    assert str(serving.folder) not in message
    assert serving.predict(ROW).json == {"prediction": 10.0, "model_version": "v1"}
    assert not (serving.models / f"{version}.opened").exists()
    hosts_gone(serving)


def hosts_gone(server: Server) -> None:
    """Wait until nothing but the control process, its worker and the nursery is left."""
    eventually(lambda: len(server.family()) <= 3, "no host left")
