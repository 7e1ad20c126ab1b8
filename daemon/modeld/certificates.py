"""Read the system's certificates where something is asked by https, and nowhere else.

aiohttp reads all of them twice when it is imported, which is a fifth of what a worker's imports
take and of no use to a process that only answers (ADR 0006).
"""

import contextlib
import os
import ssl
from collections.abc import Iterator
from typing import Final

NONE: Final = {"SSL_CERT_FILE": os.devnull, "SSL_CERT_DIR": os.devnull}
"""An environment in which OpenSSL finds no certificates."""


@contextlib.contextmanager
def unread() -> Iterator[None]:
    """Have what is imported in here find no certificates. For one thread, at the start."""
    before = {name: os.environ.get(name) for name in NONE}
    os.environ.update(NONE)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def trusted() -> ssl.SSLContext:
    """Read the certificates that the system trusts; takes some hundredths of a second."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
