"""What is copied and hashed, and what is refused on the way."""

import hashlib
import os
import stat
import threading
from collections.abc import Iterable
from io import FileIO
from pathlib import Path

import pytest

from modeld.domain import ModelVersion
from modeld.errors import (
    ArtifactNotReady,
    DigestMismatch,
    LfsPointer,
    ManifestInvalid,
    RuntimeUnwritable,
    VersionError,
)
from modeld.repository import digest, files
from modeld.repository.digest import DigestCache, digest_of
from modeld.repository.files import Identity
from modeld.repository.manifest import FileEntry, Manifest
from modeld.repository.staging import Staged, discard, stage, sweep

V1 = ModelVersion("default", "v1")
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n"
YEAR_3000_NS = 32_503_680_000 * 10**9


def put(folder: Path, **contents: bytes) -> Path:
    """Write files; two underscores stand for a slash and one for a dot."""
    for name, content in contents.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def entry(path: str, content: bytes) -> FileEntry:
    return FileEntry(path, len(content), hashlib.sha256(content).hexdigest())


def by_hand(*contents: tuple[str, bytes]) -> str:
    """The digest as its definition reads."""
    lines = sorted(f"{entry(*c).sha256} {entry(*c).size} {c[0]}\n" for c in contents)
    return "sha256:" + hashlib.sha256("".join(lines).encode()).hexdigest()


@pytest.fixture
def version(tmp_path: Path) -> Path:
    return put(tmp_path / "models/v1", model_pkl=b"model", vocabulary_txt=b"words")


@pytest.fixture
def into(tmp_path: Path) -> Path:
    return tmp_path / "runtime/staged"


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def assert_nothing_left(into: Path) -> None:
    assert not into.exists() or list(into.iterdir()) == []


def test_a_bare_version_is_copied_whole(version: Path, into: Path) -> None:
    staged = stage(V1, version, None, into)

    assert names(staged.folder) == {"model.pkl", "vocabulary.txt"}
    assert staged == Staged(
        version=V1,
        folder=staged.folder,
        files=(entry("model.pkl", b"model"), entry("vocabulary.txt", b"words")),
        digest=by_hand(("model.pkl", b"model"), ("vocabulary.txt", b"words")),
        size=10,
        samples=None,
    )


def test_the_copy_is_private(version: Path, into: Path) -> None:
    put(version, lib__more_py=b"code")

    staged = stage(V1, version, None, into)

    assert stat.S_IMODE(staged.folder.stat().st_mode) == 0o700
    assert {
        stat.S_IMODE((staged.folder / name).stat().st_mode) for name in names(staged.folder)
    } == {0o400}


def test_two_copies_do_not_share_a_folder(version: Path, into: Path) -> None:
    assert stage(V1, version, None, into).folder != stage(V1, version, None, into).folder


def test_the_copy_does_not_follow_later_changes(version: Path, into: Path) -> None:
    staged = stage(V1, version, None, into)

    put(version, model_pkl=b"other")

    assert (staged.folder / "model.pkl").read_bytes() == b"model"


def test_what_tools_leave_behind_holds_no_model(version: Path, into: Path) -> None:
    before = digest_of(version, None)
    for name in (".DS_Store", ".model.pkl.swp", "model.pkl~", "#model#", "x.tmp", "y.part"):
        (version / name).write_bytes(b"noise")
    put(version, __pycache____x_pyc=b"noise", _git__config=b"noise")

    staged = stage(V1, version, None, into)

    assert names(staged.folder) == {"model.pkl", "vocabulary.txt"}
    assert staged.digest == before


def test_manifest_samples_and_compiled_file_do_not_change_the_digest(
    version: Path, into: Path
) -> None:
    before = stage(V1, version, None, into)
    put(version, model_yaml=b"format: pickle\n", samples_json=b"{}", compiled_onnx=b"onnx")

    after = stage(V1, version, None, into)

    assert after.digest == before.digest
    assert after.samples == after.folder / "samples.json"
    assert names(after.folder) == {"model.pkl", "vocabulary.txt", "samples.json", "compiled.onnx"}


def test_a_manifest_that_lists_all_files_gives_the_same_digest(version: Path, into: Path) -> None:
    manifest = Manifest(files=(entry("vocabulary.txt", b"words"), entry("model.pkl", b"model")))

    assert stage(V1, version, manifest, into).digest == digest_of(version, None)


def test_only_what_the_manifest_names_is_copied(version: Path, into: Path) -> None:
    put(version, features_py=b"code", lock_txt=b"env", gold_json=b"{}", compiled_onnx=b"onnx")
    manifest = Manifest(
        files=(entry("model.pkl", b"model"), entry("compiled.onnx", b"onnx")),
        code=("features.py",),
        environment="lock.txt",
        samples="gold.json",
    )

    staged = stage(V1, version, manifest, into)

    expected = {"model.pkl", "compiled.onnx", "features.py", "lock.txt", "gold.json"}
    assert names(staged.folder) == expected
    assert staged.samples == staged.folder / "gold.json"
    assert {each.path for each in staged.files} == expected - {"gold.json"}
    assert staged.digest == by_hand(
        ("model.pkl", b"model"), ("features.py", b"code"), ("lock.txt", b"env")
    )


def test_samples_that_the_manifest_does_not_name_are_used_too(version: Path, into: Path) -> None:
    put(version, samples_json=b"{}")
    manifest = Manifest(files=(entry("model.pkl", b"model"),))

    assert stage(V1, version, manifest, into).samples is not None


def test_samples_of_another_name_do_not_change_the_digest_of_a_bare_version(
    version: Path,
) -> None:
    before = digest_of(version, None)
    put(version, gold_json=b"{}")

    assert digest_of(version, Manifest(samples="gold.json")) == before


def test_a_name_is_part_of_the_digest(tmp_path: Path) -> None:
    one = put(tmp_path / "a", model_pkl=b"same")
    other = put(tmp_path / "b", model_bin=b"same")

    assert digest_of(one, None) != digest_of(other, None)


def refusals(version: Path) -> Iterable[tuple[type[VersionError], str]]:
    for work in (
        lambda: stage(V1, version, None, version.parent.parent / "into"),
        lambda: digest_of(version, None),
    ):
        with pytest.raises(VersionError) as caught:
            work()
        assert str(version.parent) not in str(caught.value)
        yield type(caught.value), str(caught.value)
    assert_nothing_left(version.parent.parent / "into")


@pytest.mark.parametrize("leave", ["", "model.yaml", "samples.json", ".hidden", "compiled.onnx"])
def test_a_folder_without_model_is_not_ready(tmp_path: Path, leave: str) -> None:
    folder = tmp_path / "models/v1"
    folder.mkdir(parents=True)
    if leave:
        (folder / leave).write_bytes(b"x")

    for kind, message in refusals(folder):
        assert kind is ArtifactNotReady
        assert message == "v1: its folder holds no model file yet"


def test_a_folder_that_is_gone_is_not_ready(tmp_path: Path) -> None:
    for kind, message in refusals(tmp_path / "models/v1"):
        assert kind is ArtifactNotReady
        assert message == "v1: its folder is missing"


@pytest.mark.parametrize("name", ["model.pkl", "deep/model.pkl"])
def test_a_lfs_pointer_is_not_the_model(tmp_path: Path, name: str) -> None:
    path = tmp_path / "models/v1" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(POINTER)

    for kind, message in refusals(tmp_path / "models/v1"):
        assert kind is LfsPointer
        assert name in message
        assert "git lfs pull" in message


def test_a_lfs_pointer_is_told_from_half_a_copy(version: Path, into: Path) -> None:
    put(version, model_pkl=POINTER)
    manifest = Manifest(files=(FileEntry("model.pkl", 10_000, "ab" * 32),))

    with pytest.raises(LfsPointer):
        stage(V1, version, manifest, into)


def test_samples_may_be_a_lfs_pointer_as_well(version: Path, into: Path) -> None:
    put(version, samples_json=POINTER)

    with pytest.raises(LfsPointer, match=r"samples\.json"):
        stage(V1, version, None, into)


def test_a_link_to_a_file_is_refused(version: Path) -> None:
    (version / "passwords").symlink_to("/etc/passwd")

    for kind, message in refusals(version):
        assert kind is ArtifactNotReady
        assert "passwords is a symbolic link" in message


def test_a_link_to_a_folder_is_refused(version: Path) -> None:
    (version / "etc").symlink_to("/etc")

    for kind, message in refusals(version):
        assert kind is ArtifactNotReady
        assert "etc is a symbolic link" in message


def test_a_listed_path_through_a_link_is_refused(version: Path, into: Path, tmp_path: Path) -> None:
    put(tmp_path / "outside", secret=b"secret")
    (version / "sub").symlink_to(tmp_path / "outside")
    manifest = Manifest(files=(entry("sub/secret", b"secret"),))

    with pytest.raises(ArtifactNotReady, match="symbolic links are not followed"):
        stage(V1, version, manifest, into)
    assert_nothing_left(into)


def test_a_version_folder_that_became_a_link_is_refused(version: Path, into: Path) -> None:
    version.rename(version.with_name("elsewhere"))
    version.symlink_to(version.with_name("elsewhere"))

    with pytest.raises(ArtifactNotReady, match="v1: its folder"):
        stage(V1, version, None, into)


def test_a_pipe_does_not_hang_and_is_refused(version: Path) -> None:
    os.mkfifo(version / "pipe")

    for kind, message in refusals(version):
        assert kind is ArtifactNotReady
        assert "pipe is not a regular file" in message


def test_a_listed_folder_is_no_file(version: Path, into: Path) -> None:
    (version / "lib").mkdir()

    with pytest.raises(ArtifactNotReady, match="lib is a folder"):
        stage(V1, version, Manifest(files=(FileEntry("lib", 1, "00" * 32),)), into)


@pytest.mark.parametrize("name", [b"line\nbreak", b"\xff\xfe", b"turn\xe2\x80\xaearound"])
def test_a_name_that_would_forge_a_line_is_refused(version: Path, name: bytes) -> None:
    (version / os.fsdecode(name)).write_bytes(b"x")

    for kind, message in refusals(version):
        assert kind is ManifestInvalid
        assert "printable" in message
        assert message.isascii()


def test_a_tree_without_end_is_refused(version: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST_FILES", 3)
    put(version, a=b"", b=b"", c=b"")

    for kind, message in refusals(version):
        assert kind is ManifestInvalid
        assert "list those of the model in model.yaml" in message


def test_a_tree_too_deep_is_refused(version: Path) -> None:
    (version / "/".join("d" * 20)).mkdir(parents=True)

    for kind, _message in refusals(version):
        assert kind is ManifestInvalid


@pytest.mark.parametrize(
    "manifest",
    [
        Manifest(files=(entry("gone.pkl", b"model"),)),
        Manifest(files=(entry("model.pkl", b"model"),), code=("gone.pkl",)),
        Manifest(code=("gone.pkl",)),
        Manifest(samples="gone.pkl"),
        Manifest(environment="gone.pkl"),
    ],
)
def test_a_listed_file_that_is_missing_is_named(
    version: Path, into: Path, manifest: Manifest
) -> None:
    with pytest.raises(ArtifactNotReady, match=r"v1: gone\.pkl is missing"):
        stage(V1, version, manifest, into)
    assert_nothing_left(into)


@pytest.mark.parametrize("size", [0, 1, 2, 4])
def test_half_a_copy_is_not_ready(version: Path, into: Path, size: int) -> None:
    put(version, model_pkl=b"model"[:size])
    manifest = Manifest(files=(entry("model.pkl", b"model"),))

    with pytest.raises(ArtifactNotReady, match=rf"model\.pkl has {size} of 5 bytes") as caught:
        stage(V1, version, manifest, into)

    assert caught.value.retryable
    assert_nothing_left(into)


@pytest.mark.parametrize("content", [b"modem", b"model and more"])
def test_other_bytes_than_those_listed_are_refused(
    version: Path, into: Path, content: bytes
) -> None:
    put(version, model_pkl=content)
    expected, found = entry("model.pkl", b"model"), entry("model.pkl", content)

    with pytest.raises(DigestMismatch) as caught:
        stage(ModelVersion("churn", "v1"), version, Manifest(files=(expected,)), into)

    message = str(caught.value)
    assert message.startswith("churn@v1: model.pkl: expected sha256 ")
    assert expected.sha256[:12] in message
    assert found.sha256[:12] in message
    assert "in a folder of its own" in message
    assert not caught.value.retryable
    assert_nothing_left(into)


def test_other_bytes_are_refused_without_copying_too(version: Path) -> None:
    manifest = Manifest(files=(entry("model.pkl", b"modem"),))

    with pytest.raises(DigestMismatch):
        digest_of(version, manifest)


def during_the_copy(monkeypatch: pytest.MonkeyPatch, change: object) -> None:
    """Do something once, after the first block of a file has been read."""
    read, pending = digest._blocks, [change]

    def blocks(file: FileIO) -> Iterable[bytes]:
        for block in read(file):
            yield block
            if pending:
                work = pending.pop()
                assert callable(work)
                work()

    monkeypatch.setattr(digest, "_blocks", blocks)


def swap(version: Path) -> None:
    (version / "new.tmp").write_bytes(b"evil!")
    (version / "new.tmp").rename(version / "model.pkl")


def grow(version: Path) -> None:
    with (version / "model.pkl").open("ab") as file:
        file.write(b"more")


def touch(version: Path) -> None:
    os.utime(version / "model.pkl", ns=(0, 0))


def rewrite_and_set_back_the_clock(version: Path) -> None:
    before = (version / "model.pkl").stat()
    (version / "model.pkl").write_bytes(b"evil!")
    os.utime(version / "model.pkl", ns=(before.st_atime_ns, before.st_mtime_ns))


def remove(version: Path) -> None:
    (version / "model.pkl").unlink()


def add(version: Path) -> None:
    (version / "second.bin").write_bytes(b"late")


def shrink_another(version: Path) -> None:
    (version / "vocabulary.txt").write_bytes(b"")


@pytest.mark.parametrize(
    "change",
    [swap, grow, touch, rewrite_and_set_back_the_clock, remove, add, shrink_another],
    ids=lambda change: change.__name__,
)
@pytest.mark.parametrize("copies", [True, False], ids=["copied", "hashed"])
def test_a_change_during_the_reading_is_noticed(
    version: Path, into: Path, monkeypatch: pytest.MonkeyPatch, change: object, copies: bool
) -> None:
    os.utime(version / "model.pkl", ns=(1, 1))
    assert callable(change)
    during_the_copy(monkeypatch, lambda: change(version))

    with pytest.raises(ArtifactNotReady, match=r"still being written|is missing"):
        _ = stage(V1, version, None, into).digest if copies else digest_of(version, None)

    assert_nothing_left(into)


def test_a_file_swapped_again_and_again_is_never_staged_under_a_wrong_digest(
    version: Path, into: Path
) -> None:
    contents = [b"good" * 1000, b"evil" * 1000]
    (version / "model.pkl").write_bytes(contents[0])
    stop = threading.Event()

    def swapper() -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            (version / ".new").write_bytes(contents[turn % 2])
            (version / ".new").rename(version / "model.pkl")

    thread = threading.Thread(target=swapper)
    thread.start()
    try:
        outcomes = {attempt(version, into, contents) for _ in range(300)}
    finally:
        stop.set()
        thread.join()

    assert outcomes <= {"staged", "refused"}
    assert_nothing_left(into)


def attempt(version: Path, into: Path, contents: list[bytes]) -> str:
    try:
        staged = stage(V1, version, None, into)
    except ArtifactNotReady:
        return "refused"
    held = (staged.folder / "model.pkl").read_bytes()
    agrees = held in contents and staged.digest == by_hand(
        ("model.pkl", held), ("vocabulary.txt", b"words")
    )
    discard(staged)
    return "staged" if agrees else "torn"


def test_a_runtime_folder_that_cannot_be_written_is_told_apart(
    version: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(RuntimeUnwritable, match="runtime folder"):
        stage(V1, version, None, tmp_path / "file")


def test_a_full_disk_leaves_nothing(
    version: Path, into: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def full(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if flags & os.O_CREAT and str(path).endswith("vocabulary.txt"):
            raise OSError(28, "No space left on device")
        return real(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", full)

    with pytest.raises(RuntimeUnwritable, match="No space left"):
        stage(V1, version, None, into)
    assert_nothing_left(into)


def open_handles() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_no_handle_is_left_open(version: Path, into: Path) -> None:
    (version / "link").symlink_to("model.pkl")
    put(version, deep__deeper__file=b"x")
    before = open_handles()

    for _ in range(5):
        with pytest.raises(ArtifactNotReady):
            stage(V1, version, None, into)
        with pytest.raises(ArtifactNotReady):
            stage(V1, version, Manifest(files=(entry("deep/gone/file", b""),)), into)

    assert open_handles() == before


def count_reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    read, seen = digest._blocks, list[str]()

    def blocks(file: FileIO) -> Iterable[bytes]:
        seen.append("read")
        return read(file)

    monkeypatch.setattr(digest, "_blocks", blocks)
    return seen


def test_a_remembered_digest_is_not_computed_again(
    version: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = count_reads(monkeypatch)
    cache = DigestCache(now_ns=lambda: YEAR_3000_NS)

    first = digest_of(version, None, cache)
    second = digest_of(version, None, cache)

    assert first == second == by_hand(("model.pkl", b"model"), ("vocabulary.txt", b"words"))
    assert len(reads) == 2


def test_a_changed_file_is_read_again(version: Path) -> None:
    cache = DigestCache(now_ns=lambda: YEAR_3000_NS)
    first = digest_of(version, None, cache)

    put(version, model_pkl=b"longer model")

    assert digest_of(version, None, cache) != first


def test_a_file_changed_a_moment_ago_is_not_remembered() -> None:
    """Two writes within one tick of the clock leave the same times."""
    cache = DigestCache(now_ns=lambda: 10_000_000_000)
    young, old = Identity(1, 1, 5, 9_000_000_000, 0), Identity(1, 2, 5, 7_000_000_000, 0)

    cache.put(young, "a")
    cache.put(old, "b")

    assert cache.get(young) is None
    assert cache.get(old) == "b"


def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest, "_MOST_CACHED", 10)
    cache = DigestCache(now_ns=lambda: YEAR_3000_NS)

    for inode in range(25):
        cache.put(Identity(1, inode, 0, 0, 0), "x")

    assert sum(cache.get(Identity(1, inode, 0, 0, 0)) is not None for inode in range(25)) <= 10


def test_a_disk_that_fails_to_read_is_told_apart(
    version: Path, into: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(file: FileIO) -> Iterable[bytes]:
        yield file.read(1)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(digest, "_blocks", broken)

    with pytest.raises(ArtifactNotReady, match=r"model\.pkl cannot be read: Input/output error"):
        stage(V1, version, None, into)
    assert_nothing_left(into)


def test_a_copy_can_be_discarded_twice(version: Path, into: Path) -> None:
    staged = stage(V1, version, None, into)

    discard(staged)
    discard(staged)

    assert_nothing_left(into)


def test_leftovers_are_swept_and_nothing_else(version: Path, into: Path, tmp_path: Path) -> None:
    stage(V1, version, None, into)
    stage(ModelVersion("churn", "v1"), version, None, into)
    put(into, keep_me=b"x")
    (into / "staged-link").symlink_to(version)

    assert sweep(into) == 2
    assert {path.name for path in into.iterdir()} == {"keep.me", "staged-link"}
    assert (version / "model.pkl").exists()
    assert sweep(tmp_path / "nowhere") == 0
