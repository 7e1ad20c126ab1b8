import os

import pytest

from modeld.control.environment import child_environment, passed_sockets

GIVEN = {
    "PATH": "/bin",
    "HOME": "/home/ann",
    "MODELD_ADMIN_TOKEN": "secret",
    "MODELD_HOST": "models.example.org",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "GITHUB_TOKEN": "secret",
    "OMP_NUM_THREADS": "8",
    "LISTEN_FDS": "1",
    "CUDA_VISIBLE_DEVICES": "0",
    "PYTHONSTARTUP": "/home/ann/start.py",
    "LD_PRELOAD": "/home/ann/load.so",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        monkeypatch.delenv(name)
    for name, value in GIVEN.items():
        monkeypatch.setenv(name, value)


def test_a_host_gets_a_short_list() -> None:
    """It runs somebody's code."""
    assert child_environment(is_host=True) == {
        "PATH": "/bin",
        "HOME": "/home/ann",
        "CUDA_VISIBLE_DEVICES": "0",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "ORT_DISABLE_TELEMETRY": "1",
    }


def test_a_worker_gets_none_of_our_settings() -> None:
    found = child_environment()

    assert not [name for name in found if name.startswith("MODELD_")]
    assert found["PATH"] == "/bin"


@pytest.mark.parametrize(
    ("pid", "count", "expected"),
    [
        ("ours", "1", 1),
        ("ours", "3", 3),
        ("ours", "x", 0),
        ("ours", "-1", 0),
        ("ours", None, 0),
        ("another", "1", 0),
        ("", "1", 0),
        (None, "1", 0),
    ],
)
def test_sockets_are_passed_to_the_process_that_is_named(
    monkeypatch: pytest.MonkeyPatch, pid: str | None, count: str | None, expected: int
) -> None:
    """A child inherits these names, not the sockets."""
    pids = {"ours": str(os.getpid()), "another": str(os.getpid() + 1)}
    for name, value in (("LISTEN_PID", pids.get(pid or "", pid)), ("LISTEN_FDS", count)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)

    assert passed_sockets() == expected
