import re
import time
from dataclasses import replace

import pytest

from modeld import errors
from modeld.control.summary import Facts, advise, summarise
from modeld.errors import ModeldError
from tests.http.test_errors import ALL, made

NOW = 1_700_000_000.0
PATH = "state/active.yaml"
FINE = Facts(sync="Synced", live="v1", since=NOW - 60, wanted="v1", path=PATH)
SYNC_OF: dict[type[ModeldError], str] = {
    errors.StateMissing: "Missing",
    errors.StateEmpty: "Missing",
    errors.StateUnreadable: "Invalid",
    errors.Invalid: "Invalid",
    errors.NewerSchema: "Invalid",
}


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def refused(error: ModeldError) -> Facts:
    sync = SYNC_OF.get(type(error), "OutOfSync")
    return replace(FINE, sync=sync, wanted="v2", error=error, known=("v1", "v2"))


@pytest.mark.parametrize(
    ("facts", "sentence", "advice"),
    [
        pytest.param(FINE, "Serving v1 since 22:12.", "", id="all is well"),
        pytest.param(
            replace(FINE, since=NOW - 90_000), "Serving v1 since 2023-11-13 21:13.", "", id="old"
        ),
        pytest.param(replace(FINE, since=0.0), "Serving v1.", "", id="not yet written down"),
        pytest.param(
            replace(FINE, live=None, sync="Progressing", wanted=None),
            "Serving nothing. Loading the wish.",
            "",
            id="starting",
        ),
        pytest.param(
            replace(FINE, sync="Progressing", wanted="v2"),
            "Serving v1 since 22:12. Loading v2.",
            "",
            id="loading",
        ),
        pytest.param(
            replace(
                FINE,
                sync="Held",
                reason="VersionHeld",
                held="modeld unhold v2",
                error=errors.VersionHeld("v2 was rolled back by ann (slow)"),
            ),
            "Serving v1 since 22:12. state/active.yaml asks for v2, "
            "which was rolled back by ann (slow).",
            "modeld unhold v2",
            id="held",
        ),
        pytest.param(
            replace(FINE, sync="Overridden", reason="NotWritable"),
            "Serving v1 since 22:12. state/active.yaml asks for something else "
            "and could not be written.",
            "let git say the same, or let the file decide: modeld unhold VERSION",
            id="overridden",
        ),
        *(
            pytest.param(
                replace(FINE, sync="OutOfSync", reason=reason, git=git),
                f"Serving v1 since 22:12. {sentence}",
                advice,
                id=reason,
            )
            for reason, git, sentence, advice in (
                (
                    "Uncommitted",
                    "",
                    "state/active.yaml is not committed.",
                    "git commit -m 'Say why' -- state/active.yaml",
                ),
                (
                    "PendingPush",
                    "no network.",
                    "The change is being brought into git: no network.",
                    "wait, or look at the remote: git fetch",
                ),
                (
                    "PendingCommit",
                    "",
                    "The change is being brought into git.",
                    "wait, or end the git command that is at work",
                ),
                (
                    "Conflict",
                    "it is on emergency/x",
                    "Git did not take the change: it is on emergency/x.",
                    "git fetch, and merge the emergency branch or commit another wish",
                ),
            )
        ),
        pytest.param(
            replace(
                FINE,
                sync="OutOfSync",
                reason="GitUnavailable",
                error=errors.GitUnavailable("git fetch: no route"),
            ),
            "Serving v1 since 22:12. The remote is not followed: git fetch: no route.",
            "git ls-remote, from this machine; it is tried again",
            id="remote down",
        ),
        pytest.param(
            replace(FINE, sync="Frozen"),
            "Serving v1 since 22:12. state/active.yaml is frozen: changes of it are not applied.",
            "remove freeze: from state/active.yaml",
            id="frozen",
        ),
        pytest.param(
            replace(FINE, down="was ended by SIGKILL"),
            "Serving v1 since 22:12. Its process ended (was ended by SIGKILL) and is being "
            "started again.",
            "read the log; if it does not recover: modeld rollback",
            id="its host died",
        ),
        pytest.param(
            refused(errors.Invalid("unknown key 'acitve'", 1)),
            "Serving v1 since 22:12. state/active.yaml is not applied: line 1: unknown key "
            "'acitve'.",
            "correct state/active.yaml, or git revert the commit that changed it",
            id="a bad text",
        ),
        pytest.param(
            replace(refused(errors.StateMissing(f"{PATH} is missing")), live=None),
            "Serving nothing. state/active.yaml is missing; found v1, v2.",
            "echo 'active: v1' > state/active.yaml",
            id="missing",
        ),
        pytest.param(
            replace(refused(errors.StateMissing(f"{PATH} is missing")), known=()),
            "Serving v1 since 22:12. state/active.yaml is missing; found no versions.",
            "echo 'active: v1' > state/active.yaml",
            id="missing, and no versions",
        ),
        pytest.param(
            replace(refused(errors.LfsPointer("v2: model.pkl is a pointer.")), retries=True),
            "Serving v1 since 22:12. state/active.yaml asks for v2: v2: model.pkl is a pointer. "
            "It will be tried again.",
            "git lfs pull",
            id="a file that may still come",
        ),
        pytest.param(
            replace(
                refused(errors.BytesChanged("v2 has other bytes")), fallback="the last good version"
            ),
            "Serving v1 since 22:12, the last good version. state/active.yaml asks for v2: "
            "v2 has other bytes.",
            "git checkout -- models/v2",
            id="the last good one serves",
        ),
        pytest.param(
            refused(errors.DigestMismatch("v2: pinned to a, found b")),
            "Serving v1 since 22:12. state/active.yaml asks for v2: v2: pinned to a, found b.",
            "git checkout -- models/v2, or correct its digest in state/active.yaml",
            id="other bytes than were promised",
        ),
        pytest.param(
            refused(errors.ModelNotFound("no model 'churn'")),
            "Serving v1 since 22:12. state/active.yaml asks for v2: no model 'churn'.",
            "modeld versions; then correct state/active.yaml or add the model",
            id="no such model",
        ),
    ],
)
def test_what_is_said_and_advised(facts: Facts, sentence: str, advice: str) -> None:
    assert summarise(facts, NOW) == sentence
    assert advise(facts) == advice


@pytest.mark.parametrize("kind", ALL, ids=[kind.__name__ for kind in ALL])
@pytest.mark.parametrize("message", ["it went wrong", "it ended with a full stop.", "{path} {x}"])
@pytest.mark.parametrize("is_first", [False, True], ids=["serving", "serving nothing"])
def test_every_reason_has_a_sentence_and_advice(
    kind: type[ModeldError], message: str, is_first: bool
) -> None:
    facts = refused(made(kind, message))
    if is_first:
        facts = replace(facts, live=None, known=(), retries=True)

    sentence, advice = summarise(facts, NOW), advise(facts)

    assert sentence.startswith("Serving nothing. " if is_first else "Serving v1 since ")
    assert message.rstrip(".") in sentence
    assert sentence.endswith(".")
    assert ".." not in sentence
    assert "None" not in sentence
    assert advice
    assert not re.search(r"[{}]|None", advice)
    assert "\n" not in sentence + advice


@pytest.mark.parametrize("kind", [errors.VersionError, errors.LoadFailed, errors.LfsPointer])
def test_what_is_wanted_may_be_unknown(kind: type[ModeldError]) -> None:
    facts = replace(refused(made(kind)), wanted=None)

    assert "None" not in summarise(facts, NOW) + advise(facts)


def test_a_question_ends_with_its_own_mark() -> None:
    error = errors.Invalid("unknown key 'activ'; did you mean 'active'?", 1)

    sentence = summarise(replace(FINE, sync="Invalid", reason="Invalid", error=error), NOW)

    assert sentence.endswith("did you mean 'active'?")
