"""Read what the system put into the environment, and choose what the children get of it.

Nothing that configures or authorises reaches a child.
"""

import os

from modeld import certificates

# Read by onnxruntime, which otherwise reports its use to its makers from a thread of its own.
_NO_TELEMETRY = {"ORT_DISABLE_TELEMETRY": "1"}
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_HOST_NAMES = frozenset(
    [
        "HOME",
        "LANG",
        "LC_ALL",
        "LD_LIBRARY_PATH",
        "LOGNAME",
        "PATH",
        "PYTHONPATH",
        "SHELL",
        "TMPDIR",
        "TZ",
        "USER",
        "VIRTUAL_ENV",
        "CUDA_VISIBLE_DEVICES",
    ]
)

_OF_LIBRARIES = frozenset(["LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV"])


def child_environment(*, is_host: bool = False, is_alone: bool = False) -> dict[str, str]:
    """Give a child's environment; a host, which runs somebody's code, gets a short list.

    What says where libraries are is left out for one that is `is_alone` with its own.
    """
    if is_alone:
        kept = child_environment(is_host=is_host)
        return {name: value for name, value in kept.items() if name not in _OF_LIBRARIES}
    if is_host:
        kept = {name: value for name, value in os.environ.items() if name in _HOST_NAMES}
        return kept | dict.fromkeys(_ONE_THREAD, "1") | _NO_TELEMETRY
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MODELD_")}
    # A worker asks nobody by https.
    return kept | _NO_TELEMETRY | certificates.NONE


def passed_sockets() -> int:
    """Say how many listening sockets the system passed to this process (systemd's protocol)."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return 0
    count = os.environ.get("LISTEN_FDS", "0")
    return int(count) if count.isdecimal() else 0


def notify_address() -> str:
    """Give the socket on which systemd is told about the service; empty where there is none."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    return address if address.startswith(("/", "@")) else ""


def watchdog_seconds() -> float:
    """Give the time after which systemd takes a silent service for hung; 0 where it does not."""
    text = os.environ.get("WATCHDOG_USEC", "")
    return int(text) / 1e6 if text.isascii() and text.isdecimal() else 0.0
