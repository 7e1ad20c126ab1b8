// Say in plain words what the server says in its own.

const REASONS = {
  Applied: "what is asked for is served by every worker",
  ArtifactNotReady: "files of the version are missing or still being written",
  BytesChanged: "its files are not those that were first used under this name",
  CompileFailed: "it must be compiled, and no compiled model answers as it does",
  Conflict: "the branch took no push; the change is on an emergency branch",
  DigestMismatch: "its files are not those that were promised",
  Frozen: "changes of the state file are not applied",
  GitConflict: "git did not take the change",
  GitDetached: "there is no branch to follow",
  GitDiverged: "the followed branch was rewritten",
  GitError: "git did not do what was asked",
  GitUnavailable: "the remote that is followed does not answer",
  GitUnverified: "the newest commit is not signed by anybody who may",
  HostDied: "the process that was loading it ended",
  HostRestarting: "the process of a live version is being started again",
  InternalError: "a defect of modeld; the log says more",
  Invalid: "the text of the state file breaks a rule",
  LfsPointer: "a Git LFS pointer stands where the file should be",
  LoadFailed: "the model does not open, or fails on a first row",
  LoadTimeout: "loading took too long",
  Loading: "a version is being opened and tried",
  ManifestInvalid: "model.yaml or samples.json breaks a rule",
  ModelNotFound: "there is no such model",
  NewerSchema: "the state file is written for a newer modeld",
  NoWorkers: "no worker is up to answer predictions",
  NotTrusted: "the settings forbid this version",
  NotWritable: "the state file could not be written; the change serves all the same",
  NothingLive: "no version is live",
  PendingCommit: "the change is being brought into git",
  PendingPush: "the change is being pushed",
  PublishFailed: "a worker could not take it",
  RuntimeUnwritable: "the runtime folder cannot be written",
  SamplesDiffer: "it does not give the answers of its golden samples",
  Serving: "what is live answers",
  StateEmpty: "the state file says nothing",
  StateMissing: "the state file is missing",
  StateUnreadable: "the state file cannot be read",
  Uncommitted: "the state file differs from what is committed",
  UnknownFormat: "there is no model file that could be read",
  VersionHeld: "a deploy asks for a version that was rolled back",
  VersionNotFound: "there is no such version",
};

const TONES = {
  Synced: "good", Healthy: "good", applied: "good", live: "good",
  Progressing: "busy", Frozen: "warn", Held: "warn", Overridden: "warn", OutOfSync: "warn",
  Degraded: "bad", NotReady: "bad", Invalid: "bad", Missing: "bad", unusable: "bad",
};

const TRIGGERS = { start: "at a start", file: "by the file", admin: "by a call", rollback: "by a rollback" };

export const reason = (name) => REASONS[name] ?? name;
export const tone = (name) => TONES[name] ?? "plain";
export const trigger = (name) => TRIGGERS[name] ?? name;

const CLOCK = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const STEPS = [["day", 86400], ["hour", 3600], ["minute", 60]];
const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "always" });

// `at` is a text of ISO 8601, or seconds since 1970.
export const dateOf = (at) => new Date(typeof at === "number" ? at * 1000 : at);
export const clock = (at) => (Number.isNaN(dateOf(at).getTime()) ? String(at) : CLOCK.format(dateOf(at)));

export function ago(at, now = Date.now()) {
  const seconds = (now - dateOf(at).getTime()) / 1000;
  const step = STEPS.find(([, length]) => seconds >= length);
  return step ? RELATIVE.format(-Math.floor(seconds / step[1]), step[0]) : "just now";
}

export const size = (bytes) =>
  bytes < 1024 ? `${bytes} B` : bytes < 1 << 20 ? `${(bytes / 1024).toFixed(1)} KiB` : `${(bytes / (1 << 20)).toFixed(1)} MiB`;
export const digest = (text) => (text ? text.replace("sha256:", "").slice(0, 12) : "");
export const number = (value) => (Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(4))));
export const short = (value) => (value === 0 ? "0" : String(Number(value.toPrecision(3))));
export const nameOf = (author) => author.replace(/ <.*>$/, "");
