"""Turn bytes into text that YAML can have, and name what nobody would recognise.

A byte order mark and both kinds of line ends are fine. What a parser would
complain about in riddles is told here in plain words: another encoding, control
characters, and the markers that git leaves in a file after a conflict.
"""

import re

from modeld.desired.yaml_nodes import show
from modeld.errors import Invalid

MAX_BYTES = 64 * 1024

_CONFLICT = re.compile(r"^(<{7}|>{7}|\|{7})(?= |\r?$)|^={7}(?=\r?$)", re.MULTILINE)
_NOT_TEXT = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def decode(data: bytes) -> str:
    """Decode the bytes of a desired state; a byte order mark stays in the text.

    Raises Invalid for bytes that no desired state can have.
    """
    if len(data) > MAX_BYTES:
        raise Invalid(f"{len(data)} bytes; a desired state has at most {MAX_BYTES}")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Invalid("the text is UTF-16; save it as UTF-8", line=1)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Invalid(f"not UTF-8: byte 0x{data[error.start]:02x}", line) from error
    _refuse_accidents(text)
    return text


def _refuse_accidents(text: str) -> None:
    """Name the two accidents whose YAML errors nobody would understand."""
    if found := _CONFLICT.search(text):
        raise Invalid(
            f"git conflict marker {found[0]!r}; finish the merge", _line_of(text, found.start())
        )
    if found := _NOT_TEXT.search(text):
        raise Invalid(
            f"control character {show(found[0])} is not allowed", _line_of(text, found.start())
        )


def _line_of(text: str, index: int) -> int:
    return text.count("\n", 0, index) + 1
