import pytest

from modeld.errors import ManifestInvalid
from modeld.repository.listing import list_compiled
from modeld.repository.manifest import FileEntry
from modeld.repository.nodes import read_document

OLD, NEW = "0" * 64, "ab" * 32
ENTRY = FileEntry("compiled.onnx", 7, NEW)
WRITTEN = f'{{size: 7, sha256: "{NEW}"}}'
MODEL = f"model.pkl: {{size: 3, sha256: {OLD}}}"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("format: pickle\n", "format: pickle\n", id="it lists no files"),
        pytest.param(
            f"# ours\nfiles:\n  {MODEL}  # the model\ncompile: auto\n",
            f"# ours\nfiles:\n  compiled.onnx: {WRITTEN}\n  {MODEL}  # the model\ncompile: auto\n",
            id="a block",
        ),
        pytest.param(
            f"files: {{{MODEL}}}  # flow\n",
            f"files: {{compiled.onnx: {WRITTEN}, {MODEL}}}  # flow\n",
            id="a line",
        ),
        pytest.param(
            f"files:\n    {MODEL}\n    compiled.onnx: {{size: 1, sha256: {OLD}}}  # old\nrank: 1\n",
            f"files:\n    {MODEL}\n    compiled.onnx: {WRITTEN}  # old\nrank: 1\n",
            id="one is listed already",
        ),
        pytest.param(
            f"files:\n  compiled.onnx:\n    size: 1\n    sha256: {OLD}\n  {MODEL}\n",
            f"files:\n  compiled.onnx:\n    {WRITTEN}\n  {MODEL}\n",
            id="one is listed on lines of its own",
        ),
        pytest.param(
            f"note: é\nx-é: 1\nfiles:\n  {MODEL}",
            f"note: é\nx-é: 1\nfiles:\n  compiled.onnx: {WRITTEN}\n  {MODEL}",
            id="letters of two bytes and no line end",
        ),
    ],
)
def test_the_compiled_file_is_listed_and_nothing_else_changes(before: str, after: str) -> None:
    found = list_compiled(before, ENTRY, "model.yaml")

    assert found == after
    read_document("model.yaml", found.encode())
    assert list_compiled(found, ENTRY, "model.yaml") == after


@pytest.mark.parametrize("text", ["files: []\n", "files: none\n", "[1]\n", "a: [\n"])
def test_what_lists_nothing_readable_is_refused(text: str) -> None:
    with pytest.raises(ManifestInvalid):
        list_compiled(text, ENTRY, "model.yaml")
