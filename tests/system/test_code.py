"""Versions that bring code: each host has its own version's, and no other process has any."""

import hashlib
import json
from pathlib import Path

from tests.support.server import Server

MODULE = """
class Times:
    def predict(self, rows):
        return rows.sum(axis=1) * {factor}
"""


def write_version(folder: Path, factor: int) -> None:
    """A version whose class is in a module of its own, under the name that all of them use."""
    folder.mkdir()
    (folder / "features.py").write_text(MODULE.format(factor=factor))
    # A pickle that calls features.Times().
    (folder / "model.pkl").write_bytes(b"\x80\x02cfeatures\nTimes\n)R.")
    (folder / "model.yaml").write_text("code: [features.py]\n")


def test_two_versions_bring_different_code_under_one_name(repository: Server) -> None:
    write_version(repository.models / "v3", 3)
    write_version(repository.models / "v4", 4)
    repository.write_state("active: v3\nalso: [v4]\n")
    repository.start()
    repository.wait_until_live("v3")
    row = {"features": [1, 2]}

    answers = [repository.predict(row, f"?version={name}").json for name in ("v3", "v4", "v3")]

    assert [answer["prediction"] for answer in answers] == [9, 12, 9]
    assert not list(repository.models.rglob("__pycache__"))


def test_code_without_a_digest_is_not_trusted_where_a_digest_is_wanted(repository: Server) -> None:
    write_version(repository.models / "v3", 3)
    listed = json.dumps({"model.pkl": entry_of(repository.models / "v3" / "model.pkl")})
    manifest = repository.models / "v3" / "model.yaml"
    manifest.write_text(f"code: [features.py]\nfiles: {listed}\n")
    repository.write_state("active: v3\n")

    done = repository.command("verify", MODELD_TRUST="pinned")

    assert done.returncode == 1
    assert "v3 is a pickle file without a committed digest" in done.stdout


def entry_of(file: Path) -> dict[str, object]:
    content = file.read_bytes()
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
