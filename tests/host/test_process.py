"""What a model may do to its host, and what it may not do to its neighbours."""

import os
import pickle
import signal
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from modeld.domain import Artifact
from modeld.host.failures import describe
from modeld.messages import Batch, Commit, Load, Loaded, LoadRefused
from tests.host.conftest import HostProcess, NurseryProcess, Talk, answers_in, ask
from tests.host.pickles import FIRST, artifact_of, on_trigger, write_model, write_source

GOOD = [[1.0, 2.0]]
BAD = [[666.0, 0.0]]
DIES = {
    "leaves at once": ("__import__('os')._exit(7)", "exited with 7"),
    "reads address 0": ("__import__('ctypes').string_at(0)", "SIGSEGV"),
    "aborts": ("__import__('os').abort()", "SIGABRT"),
}


def loaded(host: HostProcess, folder: Path, predict: str = FIRST, **attributes: str) -> Talk:
    """Load a model; gives a worker's connection to its host."""
    answer = host.load(write_model(folder, predict, **attributes))
    assert isinstance(answer, Loaded), answer
    return host.introduce()


def how_it_ended(status: int) -> str:
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    return f"exited with {os.WEXITSTATUS(status)}"


# Answers


def test_a_batch_is_answered_as_one(host: HostProcess, tmp_path: Path) -> None:
    peer = loaded(host, tmp_path)

    assert ask(peer, [[1.5, 0.0]], [[2.5, 0.0], [3.5, 0.0]]) == [[1.5, 2.5, 3.5]]


def test_probabilities_come_with_the_predictions(host: HostProcess, tmp_path: Path) -> None:
    peer = loaded(host, tmp_path, predict_proba="lambda self, rows: rows / 4")

    assert ask(peer, GOOD, proba=True) == [[1.0], [[0.25, 0.5]]]


def test_every_worker_gets_its_own_answers(host: HostProcess, tmp_path: Path) -> None:
    peers = [loaded(host, tmp_path), host.introduce(), host.introduce()]

    found = [ask(peer, [[float(n), 0.0]]) for n, peer in enumerate(peers)]

    assert found == [[[0.0]], [[1.0]], [[2.0]]]


def test_a_text_model_gets_texts(host: HostProcess, tmp_path: Path) -> None:
    """Its rank is the manifest's: nothing in a pickle tells a text model."""
    texts = write_model(tmp_path, "[text.upper() for text in rows]", n_features_in_="0")
    assert isinstance(host.load(_with_rank_0(texts)), Loaded)
    peer = host.introduce()

    peer.send(Batch(1, (1, 2), (3,), False, 10.0), '["ä", "b", "\\ud83d\\ude00"]'.encode())

    assert answers_in(peer.receive()) == [["Ä", "B", "😀"]]


def _with_rank_0(artifact: Artifact) -> Artifact:
    return replace(artifact, rank=0)


def test_a_model_may_change_its_rows_in_place(host: HostProcess, tmp_path: Path) -> None:
    """scikit-learn's transformers with copy=False do; the frame that came in is read-only."""
    predict = "(rows.__setitem__((slice(None), 0), rows[:, 0] + 1), rows[:, 0])[1]"
    peer = loaded(host, tmp_path, predict, predict_proba="lambda self, rows: rows")

    assert ask(peer, GOOD, GOOD, proba=True) == [[2.0, 2.0], [[1.0, 2.0], [1.0, 2.0]]]


# Failures that a host survives


@pytest.mark.parametrize(
    ("action", "code"),
    [
        pytest.param("1 / 0", "model_error", id="raises"),
        pytest.param("__import__('sys').exit(3)", "model_error", id="exits"),
        pytest.param("(_ for _ in ()).throw(KeyboardInterrupt)", "model_error", id="Ctrl-C"),
        pytest.param("bytearray(1 << 62)", "model_error", id="wants too much memory"),
        pytest.param("(_ for _ in ()).throw(ValueError('\\ud800'))", "model_error", id="no text"),
        pytest.param(
            "(_ for _ in ()).throw(type('E', (Exception,), {'__str__': lambda s: 1 / 0})())",
            "model_error",
            id="an error that fails when it is written",
        ),
        pytest.param("rows[:, 0] * float('nan')", "model_output_invalid", id="NaN"),
        pytest.param("rows[:, 0] / 0.0 if False else rows[:, 0] * 1e308 * 1e308",
                     "model_output_invalid", id="infinity"),
        pytest.param("rows[:0, 0]", "model_output_invalid", id="nothing"),
        pytest.param("list(rows[:, 0]) * 2", "model_output_invalid", id="twice as much"),
        pytest.param("None", "model_output_invalid", id="None"),
        pytest.param("7", "model_output_invalid", id="a number"),
        pytest.param("[object()] * len(rows)", "model_output_invalid", id="no JSON"),
    ],
)  # fmt: skip
def test_a_row_that_fails_does_not_fail_its_neighbours(
    host: HostProcess, tmp_path: Path, action: str, code: str
) -> None:
    peer = loaded(host, tmp_path, on_trigger(action))

    assert ask(peer, GOOD, BAD, [[2.0, 0.0], [3.0, 0.0]]) == [[1.0], code, [2.0, 3.0]]
    assert ask(peer, GOOD) == [[1.0]]


def test_one_request_that_fails_is_tried_once(host: HostProcess, tmp_path: Path) -> None:
    counter = "self.calls.append(1) or (1 / 0)"
    peer = loaded(
        host, tmp_path, on_trigger(counter), calls="[]", predict_proba="lambda s, r: [s.calls] * 2"
    )

    assert ask(peer, BAD) == ["model_error"]
    assert ask(peer, [*GOOD, *GOOD], proba=True) == [[1.0, 1.0], [[1], [1]]]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        pytest.param("1 / 0", "ZeroDivisionError", id="raises"),
        pytest.param("__import__('sys').exit(3)", "SystemExit: 3", id="exits"),
        pytest.param("(_ for _ in ()).throw(KeyboardInterrupt)", "KeyboardInterrupt", id="Ctrl-C"),
        pytest.param("__import__('no_such_package')", "no_such_package", id="lacks a package"),
        pytest.param("__import__('os').no_such_name", "no_such_name", id="lacks a name"),
        pytest.param("{'weights': [1, 2]}", "a dict has no predict", id="is a dict"),
        pytest.param("type('M', (), {'predict': 3})()", "no predict", id="predict is a number"),
        pytest.param("type('M', (), {'predict': print})", "no predict", id="is a class"),
        pytest.param("(_ for _ in ()).throw(ValueError('\\ud800'))", "ValueError", id="no text"),
    ],
)
def test_a_model_that_does_not_open_is_refused(
    host: HostProcess, tmp_path: Path, source: str, says: str
) -> None:
    answer = host.load(write_source(tmp_path, source))

    assert isinstance(answer, LoadRefused)
    assert answer.code == "load_failed"
    assert says in answer.message
    assert "\n" not in answer.message


def test_a_model_that_fails_on_a_first_row_is_refused(host: HostProcess, tmp_path: Path) -> None:
    answer = host.load(write_model(tmp_path, "1 / 0"))

    assert isinstance(answer, LoadRefused)
    assert answer.code == "load_failed"
    assert "fails on a first row: ZeroDivisionError" in answer.message


def test_a_refusal_leaves_the_host_usable(host: HostProcess, tmp_path: Path) -> None:
    assert isinstance(host.load(write_source(tmp_path, "1 / 0")), LoadRefused)
    assert isinstance(host.load(write_model(tmp_path)), Loaded)


def test_memory_is_bounded(nursery: NurseryProcess, tmp_path: Path) -> None:
    host = nursery.fork(memory=2 << 30)

    answer = host.load(write_source(tmp_path, "bytearray(3 << 30)"))
    host.close()

    assert isinstance(answer, LoadRefused)
    assert "MODELD_HOST_MEMORY" in answer.message


# Deaths


@pytest.mark.parametrize("name", DIES)
def test_a_model_that_kills_its_host_while_loading(
    nursery: NurseryProcess, host: HostProcess, tmp_path: Path, name: str
) -> None:
    source, ending = DIES[name]

    assert host.load(write_source(tmp_path, source)) is None
    assert how_it_ended(nursery.exit_of(host)) == ending


@pytest.mark.parametrize("name", DIES)
def test_a_model_that_kills_its_host_on_a_row(
    nursery: NurseryProcess, host: HostProcess, tmp_path: Path, name: str
) -> None:
    source, ending = DIES[name]
    peer = loaded(host, tmp_path, on_trigger(source))

    assert ask(peer, GOOD, BAD) is None
    assert host.control.receive() is None
    assert how_it_ended(nursery.exit_of(host)) == ending


HANGS = {
    "sleeps": "__import__('time').sleep(60)",
    "loops in Python": "[0 for _ in iter(int, 1)]",
    "hangs in C and keeps the interpreter": "__import__('ctypes').PyDLL(None).pause()",
}


@pytest.mark.parametrize("name", HANGS)
def test_a_batch_that_hangs_is_ended_by_the_kernel(
    nursery: NurseryProcess, host: HostProcess, tmp_path: Path, name: str
) -> None:
    """No supervisor has a part in it, nor does any Python of the host."""
    peer = loaded(host, tmp_path, on_trigger(HANGS[name]))

    assert ask(peer, BAD, seconds=0.1) is None
    assert how_it_ended(nursery.exit_of(host)) == "SIGALRM"


def test_a_load_that_hangs_is_ended_by_the_kernel(
    nursery: NurseryProcess, host: HostProcess, tmp_path: Path
) -> None:
    source = HANGS["hangs in C and keeps the interpreter"]

    assert host.load(write_source(tmp_path, source), seconds=0.3) is None
    assert how_it_ended(nursery.exit_of(host)) == "SIGALRM"


def test_the_timer_is_disarmed_after_each_batch(host: HostProcess, tmp_path: Path) -> None:
    peer = loaded(host, tmp_path, on_trigger("__import__('time').sleep(0.2) or rows[:, 0]"))
    ask(peer, GOOD, seconds=0.1)

    assert ask(peer, BAD, seconds=10) == [[666.0]]


# Peers


def test_a_host_ends_when_its_last_peer_has_gone(
    nursery: NurseryProcess, host: HostProcess, tmp_path: Path
) -> None:
    first, second = loaded(host, tmp_path), host.introduce()

    host.control.close()
    first.close()
    assert ask(second, GOOD) == [[1.0]]
    second.close()

    assert how_it_ended(nursery.exit_of(host)) == "exited with 0"


@pytest.mark.parametrize("kind", ["not a frame", "a wrong message", "a load by a worker"])
def test_a_peer_that_talks_nonsense_is_left(host: HostProcess, tmp_path: Path, kind: str) -> None:
    good, bad = loaded(host, tmp_path), host.introduce()

    if kind == "not a frame":
        bad.channel.sock.sendall(b"\xff" * 64)
    elif kind == "a wrong message":
        bad.send(Commit(1))
    else:
        bad.send(Load(write_model(tmp_path), 0, 1.0))

    assert bad.receive() is None
    assert ask(good, GOOD) == [[1.0]]


def test_a_peer_that_dies_while_its_batch_runs_hurts_nobody(
    host: HostProcess, tmp_path: Path
) -> None:
    good, other = loaded(host, tmp_path), host.introduce()

    other.send(Batch(1, (1,), (1, 2), False, 5.0), bytes(16))
    other.close()

    assert ask(good, GOOD) == [[1.0]]


def test_a_host_leads_a_session_of_its_own(host: HostProcess, tmp_path: Path) -> None:
    """A Ctrl-C reaches the control process alone."""
    answer = host.load(
        write_source(tmp_path, "(_ for _ in ()).throw(ValueError(str(__import__('os').getsid(0))))")
    )

    assert isinstance(answer, LoadRefused)
    assert answer.message == f"ValueError: {host.pid}"


def test_a_model_of_a_frame_does_not_warn_of_rows_without_names(
    nursery: NurseryProcess, host: HostProcess, tmp_path: Path
) -> None:
    frame = pd.DataFrame(GOOD + BAD, columns=["height", "width"])
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(LogisticRegression().fit(frame, ["good", "bad"])))
    assert isinstance(host.load(artifact_of(path, "pickle")), Loaded)

    assert ask(host.introduce(), GOOD, BAD) == [["good", "bad"]]
    assert "feature names" not in nursery.log.read_text()


# Words


class Unwritable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("one\n  two"), "ValueError: one two"),
        (ValueError(), "ValueError: "),
        (SystemExit(3), "SystemExit: 3"),
        (Unwritable(), "Unwritable: "),
    ],
)
def test_an_error_is_described_in_one_line(error: BaseException, text: str) -> None:
    assert describe(error) == text


@settings(max_examples=50)
@given(st.text(max_size=300))
def test_a_description_is_short(text: str) -> None:
    said = describe(ValueError(text))

    assert len(said) <= 200
    assert said.splitlines() == [said]
