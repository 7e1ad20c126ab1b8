import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modeld.desired.document import (
    DesiredState,
    ModelWish,
    Pin,
    blob_id,
    parse,
    set_active,
)
from modeld.errors import Invalid, NewerSchema, StateEmpty, WishError

DIGEST = "sha256:" + "9c1f" * 16
GROWN = f"""\
# who is live
active: v1                       # the default model
pins: {{v1: "{DIGEST}"}}
also: [v0, "v2"]
models:
  churn:
    active: 'v7'
    # kept for the report
    also:
      - v6
  fraud: {{active: v3}}
freeze: false
note: "free text"
x-owner: [{{team: ml}}]
schema: 1
"""
KIB = 1024


def only(version: str) -> DesiredState:
    return DesiredState((ModelWish("default", version),))


def refused(text: str | bytes) -> str:
    with pytest.raises(Invalid) as caught:
        parse(text if isinstance(text, bytes) else text.encode())
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_every_key_is_read() -> None:
    state = parse(GROWN.encode())

    assert state == DesiredState(
        models=(
            ModelWish("default", "v1", pins=(Pin("v1", DIGEST),), also=("v0", "v2")),
            ModelWish("churn", "v7", also=("v6",)),
            ModelWish("fraud", "v3"),
        ),
        freeze=False,
        note="free text",
    )


def test_a_state_finds_its_models_and_their_pins() -> None:
    state = parse(GROWN.encode())
    default = state.model("default")

    assert default is not None
    assert default.pin_of("v1") == DIGEST
    assert default.pin_of("v2") is None
    assert state.model("unknown") is None


def test_a_blob_id_is_what_git_computes(tmp_path: Path) -> None:
    file = tmp_path / "active.yaml"
    file.write_text(GROWN)
    command = ["git", "hash-object", "--no-filters", str(file)]

    git = subprocess.run(command, capture_output=True, text=True, check=True)

    assert blob_id(GROWN.encode()) == git.stdout.strip()


@pytest.mark.parametrize(
    "written", ["1.10", "no", "010", "2024-01-01", "0x10", "1_0", "1e3", '"null"', "'v1'", "true"]
)
def test_a_version_is_the_text_that_was_written(written: str) -> None:
    assert parse(f"active: {written}".encode()) == only(written.strip("'\""))


@pytest.mark.parametrize(
    "data",
    [
        b"active: v1",
        b"\xef\xbb\xbfactive: v1\n",
        b"active: v1\r\n# \xc3\xa9\r\n",
        b"# first\n\n---\nactive:   v1   \n...\n",
        b'{"active": "v1"}',
        b"active: |-\n  v1\n",
        b"x-a: {b: [c, {d: null}]}\nactive: v1\nfreeze: False\nschema: '1'\n",
    ],
)
def test_spellings_of_the_same_state(data: bytes) -> None:
    assert parse(data) == only("v1")


@pytest.mark.parametrize(
    "data", [b"", b"\n \n", b"# nothing\n", b"---", b"---\n# x\n", b"null", b"~\n", b"\xef\xbb\xbf"]
)
def test_a_text_that_says_nothing_is_empty(data: bytes) -> None:
    with pytest.raises(StateEmpty, match="active: VERSION"):
        parse(data)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("active: v1\nactive: v2\n", 2, "'active' is already given on line 1"),
        ("acitve: v2\n", 1, "'acitve'; did you mean 'active'"),
        ("active: v1\nzzz: 1\n", 2, "known keys: active, pins"),
        ("active: v1\nmodels:\n  a:\n    activ: v1\n", 4, "models.a: unknown key 'activ'"),
        ("active: v1\ncanary: {version: v2}\n", 2, "canary is not supported by this version"),
        ("active: v1\nmodels: {a: {active: v1, shadow: v2}}\n", 2, "models.a: shadow is not sup"),
        ("active: v1\nguard: {}\n", 2, "guard is not supported"),
        ("active: &a v1\nalso: [*a]\n", 1, "anchors and aliases"),
        ("active: v1\nalso: [*a]\n", 2, "anchors and aliases"),
        ("<<: {active: v1}\n", 1, "unknown key '<<'"),
        ("active: !!python/object/apply:os.abort []\n", 1, "tags are not allowed"),
        ("active: v1\n---\nactive: v2\n", 2, "second document"),
        ("active: v1\nnote: " + "[" * 5000, 2, "nested deeper than"),
        ("active: v1\n<<<<<<< HEAD\nnote: a\n", 2, "conflict marker '<<<<<<<'"),
        ("note: a\r\n=======\r\nnote: b\r\n", 2, "conflict marker '======='"),
        ("active: v1\nnote: a\n>>>>>>> topic\n", 3, "conflict marker '>>>>>>>'"),
        ("active: v1\nnote: \0\n", 2, "control character '\\x00'"),
        ('note: x\nactive: "v1\n', 2, "not valid YAML"),
        ("active: v1\nnote x\n# c\n", 2, "could not find expected ':'"),
        ("active: v1\n\tnote: x\n", 2, "not valid YAML"),
        ("active: v1\nnote: @x\n", 2, "cannot start any token"),
        ("[v1]\n", 1, "expected keys and values, found a list"),
        ("v1\n", 1, "expected keys and values, found a text alone"),
        ("? [a]\n: b\n", 1, "a key must be a plain word"),
        ("note: x\nactive:\n", 2, "active: expected the name of a version, found nothing"),
        ("active: ~\n", 1, "found nothing"),
        ("active: [v1]\n", 1, "found a list"),
        ("active: {a: v1}\n", 1, "found a mapping"),
        ("active: ../x\n", 1, "'../x' is no version name"),
        ('active: "v1\\n"\n', 1, "'v1\\n' is no version name"),
        ("active: v\u0430\n", 1, "'v\\u0430' is no version name"),
        ("active: " + "a" * 300, 1, "aaa...' is no version name"),
        ("active: latest\n", 1, "'latest' is a reserved word"),
        ("note: x\n", 1, "active is missing"),
        ("models: {a: {active: v1}}\nalso: [v1]\n", 1, "active is missing"),
        ("models: {a: {also: [v1]}}\n", 1, "models.a.active is missing"),
        ("models: {}\n", 1, "no model has an active version"),
        ("models: {default: {active: v1}}\n", 1, "keys at the top"),
        ("models: {a/b: {active: v1}}\n", 1, "'a/b' is no model name"),
        ("models: {a: v1}\n", 1, "models.a: expected keys and values, found 'v1'"),
        ("active: v1\nmodels:\n", 2, "models: expected keys and values, found nothing"),
        ("active: v1\nalso: v2\n", 2, "also: expected a list"),
        ("active: v1\nalso:\n- v2\n- default\n", 4, "'default' is a reserved word"),
        ("active: v1\npins: [v1]\n", 2, "pins: expected keys and values"),
        ("active: v1\npins: {v1: 9c1f}\n", 2, "expected sha256: and 64"),
        ("active: v1\npins: {v1: " + DIGEST[:-1] + "}\n", 2, "expected sha256: and 64"),
        ("active: v1\npins: {latest: " + DIGEST + "}\n", 2, "'latest' is a reserved word"),
        ("active: v1\nfreeze: yes\n", 2, "freeze: expected true or false, found 'yes'"),
        ("active: v1\nnote: [a]\n", 2, "note: expected a text"),
        ("active: v1\nschema: one\n", 2, "schema: expected 1, found 'one'"),
        ("active: v1\nschema: 1.0\n", 2, "schema: expected 1"),
        ("active: v1\nschema: 0\n", 2, "schema: expected 1"),
    ],
)
def test_a_broken_rule_is_named_with_its_line(text: str, line: int, words: str) -> None:
    message = refused(text)

    assert message.startswith(f"line {line}: ")
    assert words in message


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("active: v1\n".encode("utf-16"), "UTF-16"),
        (b"active: v1\nnote: \xff\n", "line 2: not UTF-8: byte 0xff"),
        (b"#" * (64 * KIB + 1), "65537 bytes"),
    ],
)
def test_bytes_that_are_no_text_are_refused(data: bytes, words: str) -> None:
    assert words in refused(data)


@pytest.mark.parametrize("schema", ["2", "007", "9" * 5000])
def test_a_newer_schema_is_told_apart_even_with_keys_unknown_here(schema: str) -> None:
    with pytest.raises(NewerSchema, match=r"line 2: .* upgrade"):
        parse(f"active: v1\nschema: {schema}\nsplit: [a]\n".encode())


@pytest.mark.parametrize(
    "text",
    [
        "[" * 64,
        "{" * 64,
        "? " * 32,
        "- " * 32,
        "- a\n" * 16,
        "a: \n" * 16,
        "%TAG ! x\n" * 7,
        "x " * 32,
    ],
)
def test_a_text_made_to_be_slow_is_answered_at_once(text: str) -> None:
    """A folder of brackets takes libyaml seconds and a recursive reader its stack."""
    started = time.perf_counter()

    refused(text * KIB)

    assert time.perf_counter() - started < 0.5


@settings(max_examples=300, deadline=None, database=None)
@given(st.binary(max_size=300) | st.text(alphabet=":-[]{}&*!|>'\"%@?#, \nav1", max_size=80))
def test_any_bytes_give_a_state_or_one_error(data: bytes | str) -> None:
    parse_or_refuse(data if isinstance(data, bytes) else data.encode())


@settings(max_examples=300, deadline=None, database=None)
@given(
    at=st.integers(0, len(GROWN)),
    removed=st.integers(0, 20),
    new=st.text(alphabet=":-[]{}&*!|>'\"%@?#, \n\r\tav1\0\ufeff\x85", max_size=5),
)
def test_any_damage_gives_a_state_or_one_error(at: int, removed: int, new: str) -> None:
    text = GROWN[:at] + new + GROWN[at + removed :]

    parse_or_refuse(text.encode())
    set_or_refuse(text)


def parse_or_refuse(data: bytes) -> None:
    try:
        assert isinstance(parse(data), DesiredState)
    except WishError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either outcome is right


def set_or_refuse(text: str) -> None:
    try:
        after = set_active(text, "churn", "v9")
    except WishError:
        return
    assert "v9" in after


def test_setting_the_active_version_changes_one_word() -> None:
    after = set_active(GROWN, "default", "v2")

    assert after == GROWN.replace("active: v1 ", "active: v2 ")


@pytest.mark.parametrize(
    ("before", "model", "after"),
    [
        ("active: v1 # live\r\nnote: x\r\n", "default", "active: v9 # live\r\nnote: x\r\n"),
        ('\ufeffactive: "v1"', "default", '\ufeffactive: "v9"'),
        ("'active':   'v1'\n", "default", "'active':   'v9'\n"),
        ("{active: v1, note: x}\n", "default", "{active: v9, note: x}\n"),
        ("active: |-\n  v1\nnote: x\n", "default", "active: v9\nnote: x\n"),
        ("active: v1\nx-a: x\n", "default", "active: v9\nx-a: x\n"),
        ("active:\nnote: x\n", "default", "active: v9\nnote: x\n"),
        ("active: ../x\n", "default", "active: v9\n"),
        ("", "default", "active: v9\n"),
        ("# c", "default", "# c\nactive: v9\n"),
        ("---\n", "default", "---\nactive: v9\n"),
        ("--- null\n", "default", "--- {active: v9}\n"),
        ("{}", "default", "{active: v9}"),
        ("# c\nmodels:\n  a: {active: v1}\n", "default",
         "# c\nactive: v9\nmodels:\n  a: {active: v1}\n"),
        ("{models: {a: {active: v1}}}\n", "default", "{active: v9, models: {a: {active: v1}}}\n"),
        ("", "a", "models: {a: {active: v9}}\n"),
        ("active: v1\n", "a", "active: v1\nmodels: {a: {active: v9}}\n"),
        ("active: v1\n...\n", "a", "active: v1\nmodels: {a: {active: v9}}\n...\n"),
        ("active: v1\nnote: |\n  x", "a", "active: v1\nnote: |\n  x\nmodels: {a: {active: v9}}"),
        ("active: v1\nnote: |\n  x\n\n", "a",
         "active: v1\nnote: |\n  x\n\nmodels: {a: {active: v9}}\n"),
        ("{active: v1} # c\n", "a", "{active: v1, models: {a: {active: v9}}} # c\n"),
        ("active: v1\nmodels:\n", "a", "active: v1\nmodels: {a: {active: v9}}\n"),
        ("active: v1\nmodels: {}\n", "a", "active: v1\nmodels: {a: {active: v9}}\n"),
        ("active: v1\nmodels:\n  a:\n", "a", "active: v1\nmodels:\n  a: {active: v9}\n"),
        ("models: {a: {active: v1}}\n", "a", "models: {a: {active: v9}}\n"),
        ("models: {b: {active: v1}} # c\n", "a",
         "models: {b: {active: v1}, a: {active: v9}} # c\n"),
        ("models:\r\n  b: # c\r\n    active: v1 # d\r\n  # e\r\n\r\nnote: x\r\n", "a",
         "models:\r\n  b: # c\r\n    active: v1 # d\r\n  a: {active: v9}\r\n  # e\r\n\r\n"
         "note: x\r\n"),
        ("models:\n  b:\n    active: v1\n    also:\n      - v2\n", "a",
         "models:\n  b:\n    active: v1\n    also:\n      - v2\n  a: {active: v9}\n"),
        ("active: v1\nmodels:\n  a:\n    # c\n    also: []\n", "a",
         "active: v1\nmodels:\n  a:\n    # c\n    active: v9\n    also: []\n"),
    ],
)  # fmt: skip
def test_setting_a_version_keeps_the_rest_of_the_text(before: str, model: str, after: str) -> None:
    assert set_active(before, model, "v9") == after


def test_a_version_called_null_is_quoted() -> None:
    assert set_active("active: v1\n", "default", "null") == 'active: "null"\n'


@pytest.mark.parametrize(
    ("text", "model", "version"),
    [
        ("active: v1\n", "default", "v2\nfreeze: true"),
        ("active: v1\n", "default", "latest"),
        ("active: v1\n", "a: b", "v2"),
        ("[v1]\n", "default", "v2"),
        ("active: [v1]\n", "default", "v2"),
        ("active: v1\nmodels: [a]\n", "a", "v2"),
        ("models: {a}\n", "a", "v2"),
        ("active: v1\nacitve: v1\n", "default", "v2"),
        ("active: v1\n<<<<<<< HEAD\n", "default", "v2"),
        ("active: v1\n# \ud800\n", "default", "v2"),
        ("active: v1\n#" + "x" * (64 * KIB - 12), "default", "v" * 64),
    ],
)
def test_what_cannot_be_set_is_refused(text: str, model: str, version: str) -> None:
    with pytest.raises(Invalid):
        set_active(text, model, version)
