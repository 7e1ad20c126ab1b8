"""Fork hosts from a process that has scikit-learn imported and never unpickled anything.

Importing scikit-learn takes seconds and 150 MB; a forked host is ready in 30 ms and
shares those pages. It is imported when the first host needs it: where everything is
ONNX or compiled, nothing waits for it. So is pandas, where model.yaml names columns of texts;
a host that needs it otherwise imports it by itself. The nursery has one thread, so that a fork
copies a process in a known state. It reports deaths, because only a parent can wait
for its children.
"""

import contextlib
import os
import selectors
import signal
import socket
import sys
from collections.abc import Iterator

from modeld import launch
from modeld.host.child import die_with_parent, reap, reset_signals
from modeld.host.process import main as run_host
from modeld.host.protocol import BlockingChannel
from modeld.messages import Exited, Fork, Forked


class Nursery:
    """The parent of all hosts."""

    def __init__(self, sock: socket.socket) -> None:
        self._control = BlockingChannel(sock)
        self._hosts: dict[int, int] = {}
        self._wake, self._alarm = socket.socketpair()
        self._wake.setblocking(False)
        self._alarm.setblocking(False)

    def run(self) -> None:
        """Fork on demand until the control process has gone."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._alarm.fileno())
        selector = selectors.DefaultSelector()
        selector.register(self._control.sock, selectors.EVENT_READ)
        selector.register(self._wake, selectors.EVENT_READ)
        # The control process may also go while it is being told something.
        with contextlib.suppress(ConnectionError):
            self._serve(selector)
        # A host that ends from now on must not be announced to a closed socket.
        signal.set_wakeup_fd(-1)

    def _serve(self, selector: selectors.BaseSelector) -> None:
        while True:
            ready = {key.fileobj for key, _ in selector.select()}
            if self._wake in ready:
                self._reap()
            if self._control.sock in ready and not self._take_orders():
                return

    def _take_orders(self) -> bool:
        try:
            frames = self._control.receive()
        except OSError:
            return False
        for frame in frames or ():
            if isinstance(frame.message, Fork):
                self._fork(frame.message, self._control.descriptors.popleft())
        return frames is not None

    def _fork(self, order: Fork, descriptor: int) -> None:
        if order.needs_libraries and "sklearn" not in sys.modules:
            _import_libraries()
        if order.needs_tables and "pandas" not in sys.modules:
            _import_tables()
        pid = os.fork()
        if pid == 0:
            self._become_host(order, descriptor)
        os.close(descriptor)
        self._hosts[pid] = order.host
        pidfd = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else -1
        self._control.send(Forked(order.host, pid), descriptors=[pidfd] if pidfd >= 0 else [])
        if pidfd >= 0:
            os.close(pidfd)

    def _become_host(self, order: Fork, descriptor: int) -> None:
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            reset_signals()
            os.setsid()
            for sock in (self._control.sock, self._wake, self._alarm):
                sock.close()
            run_host(socket.socket(fileno=descriptor), order.memory)
            status = 0
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.flush()
            os._exit(status)

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._wake.recv(4096)
        with contextlib.suppress(ChildProcessError):
            while ended := reap():
                pid, status = ended
                host = self._hosts.pop(pid, 0)
                self._control.send(Exited(host, status))


def _import_libraries() -> None:
    """Import what most pickles need, once for all hosts."""
    with launch.importing(), _hidden("pandas", "rich"):
        import joblib  # noqa: F401
        import sklearn.compose
        import sklearn.ensemble
        import sklearn.feature_extraction.text
        import sklearn.linear_model
        import sklearn.neighbors
        import sklearn.pipeline
        import sklearn.preprocessing
        import sklearn.svm  # noqa: F401


def _import_tables() -> None:
    """Import what models of tables need, once for all hosts."""
    with launch.importing():
        import pandas  # noqa: F401


@contextlib.contextmanager
def _hidden(*names: str) -> Iterator[None]:
    """Have modules that are not imported yet seem not to be installed.

    scikit-learn imports pandas to read data sets and rich to show how training goes, which is a
    quarter of the time that it takes.
    """
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def main() -> None:
    """Run as `python -m modeld.launch modeld.host.nursery FD PARENT`."""
    descriptor, parent = int(sys.argv[1]), int(sys.argv[2])
    reset_signals()
    die_with_parent(parent)
    Nursery(socket.socket(fileno=descriptor)).run()
