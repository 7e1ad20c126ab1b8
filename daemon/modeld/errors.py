"""Name every failure once, by the decision that it asks of the caller.

    ModeldError
    ├── ConfigError                 the start stops with one line
    ├── WishError                   the last good version keeps serving
    │   ├── StateMissing  StateEmpty  StateUnreadable
    │   ├── Invalid                 terminal for this text
    │   │   └── NewerSchema
    │   ├── StateConflict  PreconditionFailed
    │   ├── StateNotWritable
    │   └── VersionHeld             refused by a remembered rejection
    ├── VersionError                a version that cannot serve
    │   ├── InvalidVersionName  VersionNotFound  ModelNotFound  VersionExists
    │   ├── RepositoryNotWritable
    │   ├── ArtifactNotReady        retried
    │   │   └── LfsPointer  EnvironmentNotBuilt
    │   ├── ManifestInvalid  DigestMismatch  BytesChanged  NotTrusted  UnknownFormat
    │   └── LoadFailed
    │       └── LoadTimeout  HostDied  SamplesDiffer  CompileFailed
    ├── GitError                    git did not do what was asked; serving goes on
    │   ├── GitUnavailable          retried: no network, a lock, no time left
    │   ├── GitDiverged  GitDetached  GitConflict  GitUnverified
    │   └── GitUrlRefused
    ├── TableInvalid                a file of rows that a version does not take
    ├── RequestError                the client must change the request
    ├── BusyError                   the client may try again
    ├── ModelError                  the model failed on a good request
    └── AccessError                 who is asking

A class's name is the `reason` in the status and the log, its snake_case is the
`code` of a JSON error. HTTP statuses are given in `http.errors` alone.
"""

import re


def snake_case(name: str) -> str:
    """Turn a class name into an error code: `LoadFailed` becomes `load_failed`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


class ModeldError(Exception):
    """Anything that modeld itself reports. The message is meant to be shown to people."""

    retryable = False

    @property
    def reason(self) -> str:
        """The word in status and log."""
        return type(self).__name__

    @property
    def code(self) -> str:
        """The word in JSON errors and metric labels."""
        return snake_case(type(self).__name__)


class ConfigError(ModeldError):
    """A setting is unknown or has a value that cannot be used."""


# The wish


class WishError(ModeldError):
    """The desired state cannot be read, understood or changed."""


class StateMissing(WishError):
    """There is no state file."""

    retryable = True


class StateEmpty(WishError):
    """The state file holds nothing, which is never a configuration."""

    retryable = True


class StateUnreadable(WishError):
    """The state file is there and cannot be read."""

    retryable = True


class Invalid(WishError):
    """The text of the wish breaks a rule; it stays refused until it changes."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message if line is None else f"line {line}: {message}")
        self.line = line


class NewerSchema(Invalid):
    """The wish was written for a newer modeld."""


class StateConflict(WishError):
    """Somebody else changed the wish first."""


class PreconditionFailed(WishError):
    """The blob named by `If-Match` is not the one in the file."""


class StateNotWritable(WishError):
    """The state file cannot be replaced."""


class VersionHeld(WishError):
    """A deploy asks for a version that was rolled back; a hold remembers the rejection."""


# A version


class VersionError(ModeldError):
    """A version of a model that cannot serve."""


class InvalidVersionName(VersionError):
    """Not a name that a version can have."""


class VersionNotFound(VersionError):
    """No such version in the repository."""

    def __init__(self, message: str, known: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.known = known


class ModelNotFound(VersionError):
    """No such model in the repository."""

    def __init__(self, message: str, known: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.known = known


class VersionExists(VersionError):
    """A version of this name is in the repository already, and versions never change."""


class RepositoryNotWritable(VersionError):
    """A version cannot be written into the folder of versions."""


class ArtifactNotReady(VersionError):
    """Files of the version are missing or half copied; they may still arrive."""

    retryable = True


class LfsPointer(ArtifactNotReady):
    """A Git LFS pointer stands where the file should be."""


class EnvironmentNotBuilt(ArtifactNotReady):
    """The version wants an environment of its own, which this machine does not have yet."""


class ManifestInvalid(VersionError):
    """`model.yaml` or the golden samples break a rule."""


class DigestMismatch(VersionError):
    """The bytes on disk are not those that the manifest or a pin promised."""


class BytesChanged(VersionError):
    """The bytes differ from those first used under this name."""


class NotTrusted(VersionError):
    """`MODELD_TRUST` forbids loading this version."""


class UnknownFormat(VersionError):
    """No runtime recognises the files of this version."""


class LoadFailed(VersionError):
    """The model could not be opened or did not work when tried."""


class LoadTimeout(LoadFailed):
    """Loading took longer than `MODELD_LOAD_TIMEOUT`."""


class HostDied(LoadFailed):
    """The process that was loading the model ended."""


class SamplesDiffer(LoadFailed):
    """The model does not give the answers that its golden samples promise."""


class CompileFailed(LoadFailed):
    """No ONNX model was made that answers like the native one, which serves instead."""


# Git


class GitError(ModeldError):
    """Git did not do what was asked of it. What is live goes on serving."""


class GitUnavailable(GitError):
    """Git, its remote or a lock is not available now; it may be later."""

    retryable = True


class GitDiverged(GitError):
    """The followed branch was rewritten: its new head does not come after the known one."""


class GitDetached(GitError):
    """No branch is checked out, or there is none of that name, so that nothing can be added."""


class GitConflict(GitError):
    """Upstream changed the state file in another way meanwhile."""


class GitUnverified(GitError):
    """A commit is not signed by anybody whom `MODELD_GIT_SIGNERS` names."""


class GitUrlRefused(GitError):
    """A remote's address that might run a program, or read what it should not."""


# A table


class TableInvalid(ModeldError):
    """A file of rows that cannot be read, or that a version does not take."""


# A request


class RequestError(ModeldError):
    """The request cannot be answered as it is."""


class BadRequest(RequestError):
    """Not a request that HTTP allows."""


class EmptyBody(RequestError):
    """There is no body."""


class BadJson(RequestError):
    """The body is not JSON."""


class DuplicateKey(RequestError):
    """A JSON object names a key twice."""


class WrongType(RequestError):
    """A value has another type than the one expected."""


class WrongShape(RequestError):
    """The rows do not have the shape that the model takes."""


class MissingField(RequestError):
    """A required key or column is missing."""


class UnknownField(RequestError):
    """A key or column that nothing here knows."""


class ConflictingFields(RequestError):
    """Two keys that exclude each other."""


class EmptyBatch(RequestError):
    """There is no row to predict."""


class OutOfRange(RequestError):
    """A number that the model's input cannot hold."""


class NoProbabilities(RequestError):
    """Probabilities were asked of a model that has none."""


class InvalidParameter(RequestError):
    """A query parameter or header with a value that cannot be used."""


class TooManyRows(RequestError):
    """More rows than `MODELD_MAX_ROWS`."""


class BodyTooLarge(RequestError):
    """A body above `MODELD_MAX_BODY`."""


class HeadersTooLarge(RequestError):
    """A request line or header above the limit."""


class BodyTimeout(RequestError):
    """The body did not arrive in time."""


class UnsupportedContentEncoding(RequestError):
    """Coded bodies are not decoded."""


class UnsupportedCharset(RequestError):
    """Bodies are UTF-8."""


class UnsupportedMediaType(RequestError):
    """The admin API takes `application/json` alone."""


class UnsupportedExpectation(RequestError):
    """An `Expect` other than `100-continue`."""


class NotFound(RequestError):
    """No such route."""


class MethodNotAllowed(RequestError):
    """The route does not know this method."""

    def __init__(self, message: str, allow: tuple[str, ...]) -> None:
        super().__init__(message)
        self.allow = allow


class Superseded(RequestError):
    """A newer wish overtook the one that was asked about."""


class Refused(RequestError):
    """The wish that was asked about was refused."""


class WaitTimeout(RequestError):
    """What was waited for did not happen in time."""


# Busy


class BusyError(ModeldError):
    """The request is fine and may be repeated later."""

    retryable = True


class NotReady(BusyError):
    """No version is live."""


class Overloaded(BusyError):
    """The queue of this version is full."""


class Draining(BusyError):
    """The server is about to stop."""


class TooManyStreams(BusyError):
    """As many clients as may already follow the events."""


class DeadlineExceeded(BusyError):
    """The answer was not ready in time."""


class PublishFailed(BusyError):
    """A worker could not take the new snapshot; nothing changed."""


class RuntimeUnwritable(BusyError):
    """The runtime folder cannot be written, so that a change would not survive a restart."""


# The model


class ModelError(ModeldError):
    """The model raised on a request."""


class ModelCrashed(ModelError):
    """The process of the model ended twice on this request."""


class ModelOutputInvalid(ModelError):
    """The model's answer cannot be written as JSON."""


class InternalError(ModelError):
    """A defect of modeld itself."""


# Access


class AccessError(ModeldError):
    """The caller may not do this."""


class Unauthorized(AccessError):
    """No token, or not one of ours."""


class Forbidden(AccessError):
    """A caller whom no token would help."""


class HostNotAllowed(Forbidden):
    """The `Host` header names another site."""


class CrossSite(Forbidden):
    """A page of another site is asking."""
