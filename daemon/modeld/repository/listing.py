"""List a compiled file in the text of a `model.yaml` that lists its files.

Only those characters change: what people wrote around them stays. What comes out is read
again by the caller.
"""

from typing import cast

import yaml

from modeld.repository.manifest import COMPILED, FileEntry
from modeld.repository.nodes import Entry, read_document


def list_compiled(text: str, entry: FileEntry, file: str) -> str:
    """Return the manifest's text with this entry for the compiled file.

    One that lists no files needs none: then the text is returned as it is. Raises
    `ManifestInvalid`.
    """
    files = read_document(file, text.encode()).entries().get("files")
    if files is None:
        return text
    written = f'{COMPILED}: {{size: {entry.size}, sha256: "{entry.sha256}"}}'
    known = files.entries().get(COMPILED)
    if known is not None:
        return _replaced(text, known, written.removeprefix(f"{COMPILED}: "))
    return _inserted(text, files, written)


def _replaced(text: str, entry: Entry, written: str) -> str:
    start, end = entry.node.start_mark.index, entry.node.end_mark.index
    # The end of a block stands at the next thing that follows it.
    old = text[start:end]
    return text[:start] + written + old[len(old.rstrip()) :] + text[end:]


def _inserted(text: str, files: Entry, written: str) -> str:
    """Put it in front of the first entry, in the same style."""
    node = cast(yaml.MappingNode, files.node)
    first = node.value[0][0].start_mark
    gap = ", " if node.flow_style else "\n" + " " * first.column
    return text[: first.index] + written + gap + text[first.index :]
