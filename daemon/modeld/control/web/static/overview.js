// What is live, since when and from which commit; what is wanted, and why they differ.

import { openRollback } from "./change.js";
import { fill, find, make } from "./dom.js";
import { ago, clock, digest, nameOf, reason, tone } from "./words.js";

export const chip = (word, more = "") =>
  make("span", { class: `chip ${tone(word)}` }, make("span", { class: "dot", "aria-hidden": "true" }), word, more);

export function showOverview(state) {
  const { status, model } = state;
  const live = status.models[model] ?? {};
  fill(
    find("overview"),
    make("h1", { class: "summary" }, status.summary),
    status.next && make("p", { class: "next" }, "Next: ", make("code", {}, status.next)),
    make("dl", { class: "states" }, ...axis("Sync", status.sync), ...axis("Health", status.health)),
    make("dl", { class: "facts" }, ...facts(state, live)),
    ...warnings(status),
    make("div", { class: "actions" }, rollbackButton(state, live)),
  );
}

function axis(name, { status, reason: why, message = "" }) {
  return [
    make("dt", {}, name),
    make("dd", {}, chip(status), make("span", { class: "why" }, reason(why)), message && make("p", { class: "message" }, message)),
  ];
}

function facts(state, live) {
  const release = (live.loaded ?? []).find((each) => each.version === live.active);
  const entry = entryOf(state, live.active);
  const rows = [["Live", live.active ?? "nothing"]];
  if (live.desired && live.desired !== live.active) rows.push(["Wanted", live.desired]);
  if (live.since) rows.push(["Since", make("time", { datetime: live.since }, `${clock(live.since)}, ${ago(live.since)}`)]);
  if (live.active) rows.push(["Commit", commitOf(entry, state.status)]);
  if (release) rows.push(["Runs", `${release.runtime}, ${release.runs}`], ["Digest", make("code", { title: release.digest }, digest(release.digest))]);
  return rows.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]);
}

// Find the entry of the history that made a version live.
const entryOf = (state, version) =>
  state.history.find((entry) => entry.result === "applied" && entry.version === version && entry.model === state.model);

function commitOf(entry, status) {
  if (!entry?.git) return make("span", { class: "quiet" }, asCommitted(status) ?? "not committed");
  return make("span", {}, make("code", {}, entry.git.commit.slice(0, 8)), ` ${entry.git.subject} `, make("span", { class: "quiet" }, nameOf(entry.git.author)));
}

// A call may have written just what is committed.
const asCommitted = ({ git, live }) => (git && live.blob && git.head_blob === live.blob ? `as committed in ${git.head.slice(0, 8)}` : null);

const warnings = (status) => status.live.warnings.map((text) => make("p", { class: "message" }, text));

function rollbackButton(state, live) {
  const target = live.rollback_target ?? live.further_back;
  if (!target || !live.active) return null;
  const text = live.rollback_target ? `Roll back to ${target}` : `Go further back, to ${target}`;
  return make("button", { type: "button", class: "primary", "data-key": "rollback", onclick: () => openRollback(state, target) }, text);
}
