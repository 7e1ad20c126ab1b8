"""Read which names a pickle asks for, without executing anything; for advice only.

A pickle names the classes and functions that opening it calls. The opcodes are read and never
followed. joblib puts the bytes of arrays between them, which make no sense as opcodes: reading
goes on behind them, where a name begins again. Nothing is proven by finding nothing.
"""

import bz2
import io
import lzma
import pickletools
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

MOST_BYTES = 256 << 20
"""What is read of a file, unpacked."""

DANGEROUS = {
    "os": (),
    "posix": (),
    "nt": (),
    "subprocess": (),
    "pty": (),
    "socket": (),
    "ctypes": (),
    "importlib": (),
    "runpy": (),
    "shutil": (),
    "sys": (),
    "webbrowser": (),
    "urllib": (),
    "http": (),
    "requests": (),
    "code": (),
    "pip": (),
    "multiprocessing": (),
    "builtins": ("eval", "exec", "compile", "open", "__import__", "getattr", "setattr", "input"),
    "__builtin__": ("eval", "exec", "execfile", "compile", "open", "file", "__import__", "getattr"),
    "operator": ("attrgetter", "methodcaller"),
    "numpy.testing": (),
    "numpy.ctypeslib": (),
}
"""Modules, and the names in them that run code or reach out of the process; none: all."""

_UNPACK: dict[bytes, Callable[[], Any]] = {
    b"\x1f\x8b": lambda: zlib.decompressobj(_ANY_HEAD),
    b"\x78": lambda: zlib.decompressobj(_ANY_HEAD),
    b"BZh": bz2.BZ2Decompressor,
    b"\xfd7zXZ": lzma.LZMADecompressor,
    b"\x5d\x00\x00": lzma.LZMADecompressor,
}
_ANY_HEAD = 47
"""Tells zlib to take its own head or that of gzip."""

# A short text that could be a module's name, or the opcode that names one with its member.
_NAME = re.compile(rb"\x8c[\x01-\x7f][A-Za-z_][\w.]+|c[A-Za-z_][\w.]*\n[A-Za-z_][\w.]*\n")
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def find_globals(path: Path) -> tuple[str, ...]:
    """Name what a pickle or joblib file asks for, as `module.name`, in order."""
    content = _unpacked(path)
    return tuple(dict.fromkeys(f"{module}.{name}" for module, name in _globals(content)))


def dangerous(names: tuple[str, ...]) -> tuple[str, ...]:
    """Choose those that run code, or reach out of the process."""
    return tuple(name for name in names if _is_dangerous(name))


def _is_dangerous(name: str) -> bool:
    for module, members in DANGEROUS.items():
        if name.startswith(f"{module}."):
            rest = name.removeprefix(f"{module}.")
            if not members or rest.partition(".")[0] in members:
                return True
    return False


def _unpacked(path: Path) -> bytes:
    """Give the first bytes of what is in the file; nothing where that cannot be unpacked."""
    with path.open("rb") as file:
        content = file.read(MOST_BYTES)
    unpack = next((of for magic, of in _UNPACK.items() if content.startswith(magic)), None)
    if unpack is None:
        return content
    try:
        found: bytes = unpack().decompress(content, MOST_BYTES)
    except (OSError, zlib.error, lzma.LZMAError):
        return b""
    return found


def _globals(content: bytes) -> Iterator[tuple[str, str]]:
    reader = _Reader()
    opcodes = io.BytesIO(content)
    start = 0
    while 0 <= start < len(content):
        position = opcodes.seek(start)
        try:
            for opcode, argument, at in pickletools.genops(opcodes):
                position = at or position
                found = reader.read(opcode.name, argument)
                if found is not None:
                    yield found
        except (ValueError, IndexError, OverflowError, UnicodeDecodeError):
            pass  # the bytes of an array, or an end that is missing
        again = _NAME.search(content, position + 1)
        start = again.start() if again else -1


class _Reader:
    """Follows texts from opcode to opcode, as far as the names of globals need it."""

    def __init__(self) -> None:
        self._texts: list[str] = ["", ""]
        # One memory for each pickle that is open: joblib puts one into another.
        self._kept: list[dict[int, str]] = [{}]

    def read(self, opcode: str, argument: Any) -> tuple[str, str] | None:
        """Take one opcode; gives the global that it asks for."""
        if opcode in ("GLOBAL", "INST"):
            module, _, name = str(argument).partition(" ")
            return module, name
        if opcode == "STACK_GLOBAL":
            return _plain(*self._texts[-2:])
        if opcode == "PROTO":
            self._kept.append({})
        elif opcode == "STOP" and len(self._kept) > 1:
            self._kept.pop()
        else:
            self._remember(opcode, argument)
        return None

    def _remember(self, opcode: str, argument: Any) -> None:
        kept = self._kept[-1]
        if opcode == "MEMOIZE":
            kept[len(kept)] = self._texts[-1]
        elif opcode in ("PUT", "BINPUT", "LONG_BINPUT"):
            kept[int(argument)] = self._texts[-1]
        elif opcode in ("GET", "BINGET", "LONG_BINGET"):
            self._texts.append(kept.get(int(argument), ""))
        elif isinstance(argument, str):
            self._texts.append(argument)


def _plain(module: str, name: str) -> tuple[str, str] | None:
    is_name = _DOTTED.fullmatch(module) and _DOTTED.fullmatch(name)
    return (module, name) if is_name else None
