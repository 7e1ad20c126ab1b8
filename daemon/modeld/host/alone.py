"""Run a host in an environment that is not modeld's own.

It is run by its path, with the Python of that environment. Of modeld's installation only
modeld itself is imported from where it is; every library comes from the environment, which
needs numpy and whatever the model needs.
"""

import importlib.util
import socket
import sys
from pathlib import Path


def main() -> None:
    """Run as `python -P alone.py FD PARENT MEMORY`."""
    descriptor, parent, memory = map(int, sys.argv[1:])
    _find_modeld()
    from modeld.host.child import die_with_parent, reset_signals
    from modeld.host.process import main as run_host

    reset_signals()
    die_with_parent(parent)
    run_host(socket.socket(fileno=descriptor), memory)


def _find_modeld() -> None:
    """Import the package from its folder; what lies beside that folder stays out of reach."""
    folder = Path(__file__).resolve().parent.parent
    spec = importlib.util.spec_from_file_location(
        "modeld", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{folder} holds no package")
    package = importlib.util.module_from_spec(spec)
    sys.modules["modeld"] = package
    spec.loader.exec_module(package)


if __name__ == "__main__":
    main()
