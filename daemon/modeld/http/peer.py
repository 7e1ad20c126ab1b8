"""Find out whose process is at the other end of a loopback connection.

The system's table of TCP connections names the user of each socket. A proxy that runs
as a user of its own is told from that user's own commands by nothing else.
"""

import contextlib
import ipaddress
import sys
from pathlib import Path

UNKNOWN = -1
_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))


def owner_of(address: str, port: int) -> int | None:
    """Give the uid of the socket with this local end, `UNKNOWN` when there is none.

    `None` where the system keeps no such table.
    """
    if sys.platform != "linux":
        return None
    wanted = {f"{written}:{port:04X}" for written in _written(address)}
    for table in _TABLES:
        with contextlib.suppress(OSError), table.open() as lines:
            next(lines)
            for line in lines:
                fields = line.split()
                # A closed socket that the kernel still holds belongs to nobody: uid and inode 0.
                if fields[1] in wanted and fields[9] != "0":
                    return int(fields[7])
    return UNKNOWN


def _written(address: str) -> set[str]:
    """Write an address as the table does: words in the machine's byte order, in hex."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return set()
    forms = [found.packed]
    if found.version == 4:
        # A socket for both families has IPv4 peers in the IPv6 table.
        forms.append(b"\0" * 10 + b"\xff\xff" + found.packed)
    return {_hex(packed) for packed in forms}


def _hex(packed: bytes) -> str:
    words = (packed[at : at + 4] for at in range(0, len(packed), 4))
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words)
