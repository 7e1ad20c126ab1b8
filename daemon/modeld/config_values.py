"""Work out what a setting means: as it is written, and on this machine when it is not.

The `parse_` functions are pure. None of them knows where a text came from: a
failure says only what would have been right, and `config` adds the rest. It
never repeats the text, which may be a secret in a wrong place.

Two defaults depend on where the server runs: the folder for its own files, which
should be one that no checkout touches, and the number of CPUs, of which a
container often has fewer than the machine.
"""

import ipaddress
import math
import os
import re
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

MINUTE: Final = 60.0
MIB: Final = 1024**2

_LEAST_MEMORY: Final = 512 * MIB
MIN_TOKEN_LENGTH: Final = 16
MAX_PORT: Final = 65535

_SECONDS: Final = {"": 1.0, "ms": 0.001, "s": 1.0, "m": MINUTE, "h": 3600.0}
_BYTES: Final = {
    "": 1,
    "b": 1,
    "kb": 1000,
    "mb": 1000**2,
    "gb": 1000**3,
    "kib": 1024,
    "mib": MIB,
    "gib": 1024**3,
}

# A bound on the digits keeps a value within what timers and counters can hold.
_COUNT: Final = re.compile(r"[0-9]{1,9}")
_AMOUNT: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?) ?([A-Za-z]*)")
_HOST_NAME: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_.])?")
_ORIGIN: Final = re.compile(
    r"(?P<scheme>https?)://(?:\[(?P<v6>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+))(?::(?P<port>[0-9]{1,5}))?/?"
)
_IMPLIED_PORTS: Final = {"http": 80, "https": 443}
_NO_ORIGIN: Final = "should be http://host[:port] or https://host[:port] with nothing after it"
_NO_RECEIVER: Final = (
    "should be https://host/path or ntfy+https://host/topic, several separated by commas; "
    "http only for this machine"
)
_TOKEN: Final = re.compile(r"[\x21-\x7e]+")
_LONGEST_DURATION: Final = 366 * 24 * 3600.0


def parse_duration(value: object) -> float:
    """Turn `30`, `30s`, `5m`, `1h` or `250ms` into seconds.

    Raises:
        ValueError: it is no duration, or one of more than a year.
    """
    number, unit = _amount(value)
    seconds = number * _SECONDS.get(unit, math.nan)
    if not 0 <= seconds <= _LONGEST_DURATION:
        message = "should be a duration such as 30s, 5m, 1h or 250ms, at most a year"
        raise ValueError(message)
    return seconds


def parse_size(value: object) -> int:
    """Turn `64MiB`, `16MB` or `1024` into bytes.

    Raises:
        ValueError: it is no whole number of bytes.
    """
    number, unit = _amount(value)
    size = number * _BYTES.get(unit.lower(), math.nan)
    if not size.is_integer():
        message = "should be a size in bytes such as 64MiB, 16MB or 1024"
        raise ValueError(message)
    return int(size)


def parse_memory(value: object) -> int:
    """Turn a size into the address space that a host may have; 0 is no limit.

    Raises:
        ValueError: it is no size, or too small for a host to say so.
    """
    size = parse_size(value)
    if 0 < size < _LEAST_MEMORY:
        message = "should be at least 512MiB: libraries map more than they use"
        raise ValueError(message)
    return size


def _amount(value: object) -> tuple[float, str]:
    """Split a number from its unit; what cannot be split is not a number."""
    found = _AMOUNT.fullmatch(str(value).strip())
    return (float(found[1]), found[2]) if found else (math.nan, "")


def parse_count(value: object) -> int:
    """Turn digits into a number.

    Raises:
        ValueError: there is something else than digits, or too many of them.
    """
    text = str(value).strip()
    if not _COUNT.fullmatch(text):
        message = "should be a whole number"
        raise ValueError(message)
    return int(text)


def parse_fraction(value: object) -> float:
    """Turn `0.01` into a number from 0 to 1.

    Raises:
        ValueError: it is none.
    """
    message = "should be a number from 0 to 1"
    try:
        number = float(str(value))
    except ValueError:
        raise ValueError(message) from None
    if not 0 <= number <= 1:
        raise ValueError(message)
    return number


def parse_workers(value: object) -> int | Literal["auto"]:
    """Turn `auto` or a number of processes into what it says.

    Raises:
        ValueError: it is neither.
    """
    text = str(value).strip()
    if text == "auto":
        return "auto"
    if not _COUNT.fullmatch(text) or int(text) < 1:
        message = "should be auto or a whole number from 1"
        raise ValueError(message)
    return int(text)


def parse_host(value: object) -> str:
    """Take an address or a name to listen on, with or without the brackets of IPv6.

    Raises:
        ValueError: it is neither, for example because a port or a scheme stands with it.
    """
    text = str(value).strip()
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    if not is_address(text) and not _HOST_NAME.fullmatch(text):
        message = "should be an address or a host name alone, such as 127.0.0.1 or 0.0.0.0"
        raise ValueError(message)
    return text


def is_address(text: str) -> bool:
    """Tell whether a text is an IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def is_loopback_host(host: str) -> bool:
    """Tell whether only this machine can reach a host; a name that is not known cannot."""
    if host.lower() == "localhost":
        return True
    return is_address(host) and ipaddress.ip_address(host).is_loopback


def url_of(host: str, port: int) -> str:
    """Give the address at which this machine reaches the server."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{port}"


def parse_origin(value: object) -> str:
    """Turn `http(s)://host[:port]` into what browsers send as `Origin`; empty stays empty.

    Raises:
        ValueError: it has another scheme, a path, or anything else around the host.
    """
    text = str(value).strip().lower()
    if not text:
        return ""
    found = _ORIGIN.fullmatch(text)
    if not found or (found["v6"] and not is_address(found["v6"])):
        raise ValueError(_NO_ORIGIN)
    host = f"[{ipaddress.ip_address(found['v6'])}]" if found["v6"] else found["name"]
    port = int(found["port"] or _IMPLIED_PORTS[found["scheme"]])
    if not 1 <= port <= MAX_PORT:
        raise ValueError(_NO_ORIGIN)
    shown = "" if port == _IMPLIED_PORTS[found["scheme"]] else f":{port}"
    return f"{found['scheme']}://{host}{shown}"


def check_receivers(urls: str) -> str:
    """Take the addresses that are notified, separated by commas.

    Raises:
        ValueError: one is no https address; http is for this machine alone.
    """
    for url in filter(None, map(str.strip, urls.split(","))):
        if not _is_receiver(url):
            raise ValueError(_NO_RECEIVER)
    return urls


def _is_receiver(url: str) -> bool:
    plain = url.removeprefix("ntfy+")
    try:
        parts = urlsplit(plain)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return False
    if not host or port == 0 or not plain.isascii() or any(map(str.isspace, plain)):
        return False
    if plain != url and not parts.path.strip("/"):
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback_host(host))


def check_token(token: str) -> str:
    """Take a token that cannot be guessed and fits in a header.

    Raises:
        ValueError: it is too short or has characters that a header cannot carry.
    """
    text = token.strip()
    if len(text) < MIN_TOKEN_LENGTH:
        message = f"should have at least {MIN_TOKEN_LENGTH} characters"
        raise ValueError(message)
    if not _TOKEN.fullmatch(text):
        message = "should have only visible ASCII characters"
        raise ValueError(message)
    return text


def default_runtime_dir(state_file: Path, models_dir: Path) -> Path:
    """Choose a folder that no checkout touches, else one beside the models."""
    found = git_directory(state_file)
    return found / "modeld" if found else models_dir.absolute().parent / "var"


def git_directory(path: Path) -> Path | None:
    """Find the folder that git writes to for the work tree that a path is in."""
    try:
        folder = path.parent.resolve()
        repositories = (_git_directory(each / ".git") for each in (folder, *folder.parents))
        return next(filter(None, repositories), None)
    except (OSError, RuntimeError):  # a folder that may not be entered, a loop of links
        return None


def _git_directory(git: Path) -> Path | None:
    """Follow `.git`, which is a file in a worktree, to the folder that git writes to."""
    if git.is_file():
        named = git.read_text(errors="replace").strip().removeprefix("gitdir:").strip()
        git = (git.parent / named).resolve()
    return git if git.is_dir() else None


def available_cpus(
    cgroups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")
) -> int:
    """Count the CPUs that this process may use: by affinity, and by the quota of its container."""
    affinity = getattr(os, "sched_getaffinity", None)
    allowed = len(affinity(0)) if affinity else os.cpu_count() or 1
    try:
        groups = [line.split(":", 2) for line in own.read_text().splitlines()]
    except OSError:
        groups = []
    quota = math.inf
    for number, controllers, path in groups:
        if number == "0" or "cpu" in controllers.split(","):
            root = cgroups if number == "0" else cgroups / "cpu"
            group = root / path.strip("/")
            above = [one for one in (group, *group.parents) if one.is_relative_to(root)]
            quota = min(quota, *map(_quota, above))
    return max(1, min(allowed, math.ceil(min(quota, allowed))))


def _quota(group: Path) -> float:
    """Read how many CPUs a control group may use at once."""
    v2 = (group / "cpu.max").exists()
    files = ("cpu.max",) if v2 else ("cpu.cfs_quota_us", "cpu.cfs_period_us")
    try:
        quota, period = " ".join((group / file).read_text() for file in files).split()
        share = int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):  # no such files, or `max`
        return math.inf
    return share if share > 0 else math.inf
