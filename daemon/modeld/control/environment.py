"""Read what the system put into the environment, and choose what the children get of it.

Nothing that configures or authorises reaches a child.
"""

import os

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


def child_environment(*, is_host: bool = False) -> dict[str, str]:
    """Give a child's environment; a host, which runs somebody's code, gets a short list."""
    if is_host:
        kept = {name: value for name, value in os.environ.items() if name in _HOST_NAMES}
        return kept | dict.fromkeys(_ONE_THREAD, "1") | _NO_TELEMETRY
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MODELD_")}
    return kept | _NO_TELEMETRY


def passed_sockets() -> int:
    """Say how many listening sockets the system passed to this process (systemd's protocol)."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return 0
    count = os.environ.get("LISTEN_FDS", "0")
    return int(count) if count.isdecimal() else 0
