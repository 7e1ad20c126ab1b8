"""What `model.yaml` and the golden samples may say, and how they are refused."""

import json
import os
import time
from pathlib import Path

import pytest
import yaml

from modeld.domain import InputColumn
from modeld.errors import ArtifactNotReady, ManifestInvalid
from modeld.repository import nodes
from modeld.repository.manifest import (
    MOST_BYTES,
    FileEntry,
    Manifest,
    Threshold,
    Trained,
    parse_manifest,
    read_manifest,
)
from modeld.repository.samples import Samples, read_samples

SHA = "9c" * 32
FILE = f"{{size: 3, sha256: {SHA}}}"

FULL = f"""\
format: joblib                   # a comment
files:
  model.joblib: {{size: 383401, sha256: "{SHA}"}}
  compiled.onnx: {{size: 91022, sha256: "{SHA.upper()}"}}
code: [features.py, lib/more.py]
environment: requirements.txt
inputs:
  - {{name: sepal_length, type: float64, nullable: true}}
  - {{name: no}}
extra_inputs: ignore
outputs:
  kind: classes
  classes: [0, 1, no, "2", 1.5, true, null]
  threshold: {{class: 1, at: 0.3}}
samples: samples.json
trained:
  at: 2026-01-02T03:04:05Z
  commit: 0123
  libraries: {{scikit-learn: 1.10, numpy: 2.0.0}}
  metrics: {{accuracy: 0.97, loss: -1e-3}}
batching: false
compile: required
trusted: [sklearn.tree._tree.Tree]
x-owner: [{{anything: goes}}]
"""


PARSERS = [yaml.BaseLoader, *([yaml.CBaseLoader] if yaml.__with_libyaml__ else [])]


@pytest.fixture(params=PARSERS)
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both parsers must read alike: which one is there depends on how PyYAML was built."""
    monkeypatch.setattr(nodes, "_LOADER", request.param)


with_both_parsers = pytest.mark.usefixtures("parser")


def write(folder: Path, text: str | bytes) -> Path:
    version = folder / "v2"
    version.mkdir()
    (version / "model.yaml").write_bytes(text.encode() if isinstance(text, str) else text)
    return version


def test_a_version_without_manifest_has_none(tmp_path: Path) -> None:
    assert read_manifest(tmp_path) is None


@with_both_parsers
def test_everything_that_a_manifest_says_is_read(tmp_path: Path) -> None:
    assert read_manifest(write(tmp_path, FULL)) == Manifest(
        format="joblib",
        files=(
            FileEntry("model.joblib", 383401, SHA),
            FileEntry("compiled.onnx", 91022, SHA),
        ),
        code=("features.py", "lib/more.py"),
        environment="requirements.txt",
        columns=(InputColumn("sepal_length", nullable=True, type="float64"), InputColumn("no")),
        ignores_extra=True,
        rank=1,
        kind="classes",
        classes=(0, 1, "no", "2", 1.5, True, None),
        threshold=Threshold(1, 0.3),
        samples="samples.json",
        batching=False,
        compile="required",
        trusted=("sklearn.tree._tree.Tree",),
        trained=Trained(
            at="2026-01-02T03:04:05Z",
            commit="0123",
            libraries=(("scikit-learn", "1.10"), ("numpy", "2.0.0")),
            metrics=(("accuracy", 0.97), ("loss", -0.001)),
        ),
    )


@with_both_parsers
def test_every_key_is_optional(tmp_path: Path) -> None:
    assert read_manifest(write(tmp_path, "format: onnx\n")) == Manifest(format="onnx")


@with_both_parsers
def test_classes_keep_their_types(tmp_path: Path) -> None:
    manifest = read_manifest(write(tmp_path, "outputs: {classes: [1, true, 1.0, '1', 010]}\n"))

    assert manifest is not None
    assert [repr(each) for each in manifest.classes] == ["1", "True", "1.0", "'1'", "'010'"]


def test_the_rank_may_be_given(tmp_path: Path) -> None:
    manifest = read_manifest(write(tmp_path, "rank: 0\n"))

    assert manifest is not None
    assert manifest.rank == 0


@with_both_parsers
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("format: pmml", "line 1: format: expected one of joblib, pickle"),
        ("formt: onnx", "line 1: formt: unknown key; did you mean format?"),
        ("trusted: ['a b']", "line 1: trusted[0]: expected the full name of a type"),
        ("trusted: true", "line 1: trusted: expected a list"),
        ("extra_inputs: yes", "line 1: extra_inputs: expected one of refuse, ignore"),
        ("zzz: 1", "line 1: zzz: unknown key; known are format"),
        ("format: onnx\nformat: onnx", 'line 2: the key "format" is given twice'),
        ("format: onnx\n---\nformat: onnx", "line 2: a second document"),
        ("format: &a onnx", "line 1: anchors and aliases"),
        ("x-a: &a onnx\nformat: *a", "line 1: anchors and aliases"),
        ("format: !!str onnx", "line 1: tags are not read"),
        ("format: !python/name:os.system x", "line 1: tags are not read"),
        ("- format", "line 1: expected keys and values, found a list"),
        ("format", 'expected keys and values, found "format"'),
        ("[format: onnx]: 1", "expected a text"),
        ("format: {a: b}", "line 1: format: expected a text, found keys and values"),
        ("format:", "line 1: format: it is empty"),
        ("a: [", "line "),
        ("a: b: c", "line 1: mapping values"),
        ("\tformat: onnx", "line 1"),
        ("hosts: 0", "hosts: expected 1 to 64, found 0"),
        ("max_memory: lots", "max_memory: "),
        ("max_memory: 511MiB", "max_memory: should be at least 512MiB"),
        ("hosts: 65", "hosts: expected 1 to 64, found 65"),
        ("batching: yes", 'batching: expected one of true, false, found "yes"'),
        ("compile: always", "compile: expected one of auto, never, required"),
        ("rank: 4", "rank: expected 0 to 3, found 4"),
        ("rank: -1", "rank: expected a whole number"),
        ("rank: 2\ninputs: [{name: a}]", "line 1: rank: inputs name the columns"),
        ("files: [model.pkl]", "files: expected keys and values, found a list"),
        ("files: {}", "files: it lists no file that holds the model"),
        (f"files: {{compiled.onnx: {FILE}}}", "it lists no file that holds the model"),
        ("files: {m.pkl: {size: 1}}", "files > m.pkl: the key sha256 is missing"),
        (f"files: {{m.pkl: {{sha256: {SHA}}}}}", "files > m.pkl: the key size is missing"),
        (f"files:\n  m.pkl: {{size: 1.5, sha256: {SHA}}}", "line 2: files > m.pkl > size:"),
        ("files: {m.pkl: {size: 1, sha256: 12}}", "expected 64 hexadecimal digits"),
        (f"files: {{m.pkl: {{size: 1, sha256: {SHA}, md5: 0}}}}", "md5: unknown key"),
        (f"files: {{m.pkl: {FILE}, m.pkl: {FILE}}}", 'the key "m.pkl" is given twice'),
        (f"files: {{m.py: {FILE}}}\nsamples: m.py", "m.py is named twice"),
        ("code: [a.py, a.py]", "a.py is named twice"),
        ("code: [a.json]\nsamples: a.json", "a.json is named twice"),
        ("code: a.py", 'code: expected a list, found "a.py"'),
        ("code: []", "code: it is empty"),
        ("inputs: [a]", "inputs[0]: expected keys and values"),
        ("inputs: [{type: float64}]", "inputs[0]: the key name is missing"),
        ("inputs: [{name: a}, {name: a}]", "inputs[1]: the input a is given twice"),
        ("inputs: [{name: a, type: real}]", "inputs[0] > type: expected one of bool"),
        ("outputs: {kind: colours}", "outputs > kind: expected one of classes, numbers"),
        ("outputs: {classes: [1, 1]}", "outputs > classes[1]: the class is given twice"),
        ("outputs: {classes: [1e999]}", "expected a number"),
        ("outputs: {kind: numbers, classes: [1]}", "need the kind classes"),
        ("outputs: {classes: [0, 1], threshold: {class: true, at: 0.5}}", "not among"),
        ("outputs: {threshold: {class: 1, at: 1.5}}", "a probability from 0 to 1"),
        ("trained: {metrics: {accuracy: good}}", "metrics > accuracy: expected a number"),
        ("trained: {metrics: {accuracy: .nan}}", "metrics > accuracy: expected a number"),
        ("trained: {libraries: {numpy: [2]}}", "libraries > numpy: expected a text"),
        ("x-deep: " + "[" * 40 + "]" * 40, "nested deeper than 16"),
        ("# only a comment", "it is empty"),
        (b"format: \xff", "it is not UTF-8"),
        (b"format: o\x00nnx", "model.yaml"),
        ("format: onnx".encode("utf-16"), "it is not UTF-8"),
    ],
)
def test_what_breaks_a_rule_is_refused_by_line_and_entry(
    tmp_path: Path, text: str | bytes, problem: str
) -> None:
    version = write(tmp_path, text)

    with pytest.raises(ManifestInvalid) as caught:
        read_manifest(version)

    assert str(caught.value).startswith("v2/model.yaml")
    assert problem in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_code_may_be_listed_with_its_digest() -> None:
    listed = f"files: {{m.pkl: {FILE}, a.py: {FILE}}}\ncode: [a.py]"

    manifest = parse_manifest("v1", listed.encode())

    assert manifest.paths() == ("m.pkl", "a.py")
    assert manifest.is_pinned


def test_code_without_a_digest_is_not_pinned() -> None:
    manifest = parse_manifest("v1", f"files: {{m.pkl: {FILE}}}\ncode: [a.py]".encode())

    assert not manifest.is_pinned


@pytest.mark.parametrize(
    "path",
    [
        *("../m.pkl", "a/../../m.pkl", "/etc/passwd", "..", ".", "./m.pkl", "a//m.pkl", "a/"),
        *('"a\\\\m.pkl"', '"m\\n.pkl"', '"m\\0.pkl"', '"\\u202Em.pkl"', "model.yaml", '""'),
    ],
)
@pytest.mark.parametrize(
    "entry", ["files: {%s: " + FILE + "}", "code: [%s]", "samples: %s", "environment: %s"]
)
def test_a_path_stays_inside_the_folder(tmp_path: Path, entry: str, path: str) -> None:
    version = write(tmp_path, entry % path)

    with pytest.raises(ManifestInvalid, match="line 1"):
        read_manifest(version)


def test_an_oversized_manifest_is_not_read(tmp_path: Path) -> None:
    version = write(tmp_path, "#" * (MOST_BYTES + 1))

    with pytest.raises(ManifestInvalid, match="more than the 1048576"):
        read_manifest(version)


def test_the_largest_manifest_is_read_quickly(tmp_path: Path) -> None:
    line = f"  f%06d.bin: {FILE}\n"
    version = write(tmp_path, "files:\n" + "".join(line % number for number in range(9_000)))
    started = time.perf_counter()

    manifest = read_manifest(version)

    assert manifest is not None
    assert len(manifest.files) == 9_000
    assert time.perf_counter() - started < 10


@with_both_parsers
def test_a_depth_bomb_is_refused_and_not_followed(tmp_path: Path) -> None:
    version = write(tmp_path, "a: " + "{a: " * 50_000)

    with pytest.raises(ManifestInvalid, match="nested deeper"):
        read_manifest(version)


def test_a_manifest_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.yaml").write_text("format: onnx\n")
    version = tmp_path / "v1"
    version.mkdir()
    (version / "model.yaml").symlink_to(tmp_path / "secret.yaml")

    with pytest.raises(ArtifactNotReady, match="symbolic link"):
        read_manifest(version)


def test_a_manifest_that_is_a_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.yaml")

    with pytest.raises(ArtifactNotReady, match="not a regular file"):
        read_manifest(tmp_path)


def test_the_folder_of_a_manifest_may_be_gone(tmp_path: Path) -> None:
    with pytest.raises(ArtifactNotReady, match="v1: its folder is missing"):
        read_manifest(tmp_path / "v1")


def samples(folder: Path, content: str | bytes) -> Path:
    path = folder / "samples.json"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_samples_are_rows_and_their_answers(tmp_path: Path) -> None:
    rows: dict[str, object] = {"inputs": [[5.1, None], {"a": "é"}], "outputs": [0, [0.5, True]]}

    found = read_samples(samples(tmp_path, json.dumps(rows, ensure_ascii=False)))

    assert found == Samples(inputs=([5.1, None], {"a": "é"}), outputs=(0, [0.5, True]))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "Expecting value"),
        ("{", "Expecting property name"),
        ("[]", "expected {"),
        ('{"inputs": [1]}', "expected {"),
        ('{"inputs": [1], "outputs": [1], "more": 1}', "expected {"),
        ('{"inputs": 1, "outputs": [1]}', "must be lists"),
        ('{"inputs": [], "outputs": []}', "found 0 inputs and 0 outputs"),
        ('{"inputs": [1, 2], "outputs": [1]}', "found 2 inputs and 1 outputs"),
        ('{"inputs": [NaN], "outputs": [1]}', "NaN is no JSON number"),
        ('{"inputs": [-Infinity], "outputs": [1]}', "-Infinity is no JSON number"),
        ('{"inputs": [1e999], "outputs": [1]}', "1e999 is too large"),
        ('{"inputs": [1], "outputs": [1], "inputs": [2]}', "a key is given twice"),
        ('{"inputs": [{"a": 1, "a": 2}], "outputs": [1]}', "a key is given twice"),
        ('{"inputs": [' + "1" * 5000 + '], "outputs": [1]}', "limit"),
        ('{"inputs": [' + "[" * 100_000, "nested too deeply"),
        (b'{"inputs": ["\xff"], "outputs": [1]}', "it is not UTF-8"),
        ('{"inputs": [1], "outputs": [1]}'.encode("utf-16"), "it is not UTF-8"),
        ('\ufeff{"inputs": [1], "outputs": [1]}', "BOM"),
    ],
)
def test_samples_that_break_a_rule_are_refused_by_name(
    tmp_path: Path, content: str | bytes, problem: str
) -> None:
    path = samples(tmp_path, content)

    with pytest.raises(ManifestInvalid, match=r"samples\.json: ") as caught:
        read_samples(path)

    assert problem in str(caught.value)


def test_missing_samples_are_not_ready(tmp_path: Path) -> None:
    with pytest.raises(ArtifactNotReady, match=r"samples\.json is missing"):
        read_samples(tmp_path / "samples.json")
