// Change what is live: show what will change, ask once more, and tell what came of it.

import { call, query } from "./api.js";
import { announce, fill, find, focusOn, make } from "./dom.js";
import { showDifferences } from "./differences.js";

const ACTOR = "modeld.actor";

export const openSwitch = (state, version) =>
  open(state, version, {
    title: `Make ${version} live`,
    verb: `Switch to ${version}`,
    send: (content) => call("POST", "admin/set-active-version", { ...content, version }),
  });

export const openRollback = (state, version) =>
  open(state, version, {
    title: `Roll back to ${version}`,
    verb: `Roll back to ${version}`,
    note: (live) => `${live} will be held: no deploy brings it back until it is released.`,
    send: (content) => call("POST", "admin/rollback", { ...content, to: version }),
  });

export const openRelease = (state, hold) =>
  open(state, hold.version, {
    title: `Release ${hold.version}`,
    verb: `Release ${hold.version}`,
    note: () => `If ${state.status.desired.path} asks for ${hold.version}, it goes live at once.`,
    asksWhy: false,
    send: ({ actor, model }) => call("DELETE", `admin/holds/${encodeURIComponent(hold.version)}?${query({ model, actor })}`),
  });

function open(state, version, change) {
  const live = state.status.models[state.model]?.active ?? null;
  const dialog = find("change");
  const key = document.activeElement?.dataset.key;
  const problem = make("div", { role: "alert" });
  const submit = make("button", { type: "submit", class: "primary" }, change.verb);
  const form = make(
    "form",
    { method: "dialog" },
    make("h2", { id: "change-title" }, change.title),
    change.asksWhy === false ? null : make("p", {}, live ? `Live now: ${live}. Everybody gets ${version} once this is answered.` : `Nothing is live now.`),
    heldNote(state, version, change),
    change.note && make("p", { class: "quiet" }, change.note(live)),
    change.asksWhy === false ? null : showDifferences(state.model, live, version),
    change.asksWhy === false ? null : field("Reason, for the history", "reason", "", true),
    field("Your name", "actor", sessionStorage.getItem(ACTOR) ?? "", change.asksWhy === false),
    problem,
    make("div", { class: "actions" }, make("button", { type: "button", onclick: () => dialog.close() }, "Cancel"), submit),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send({ state, version, change, live, form, submit, problem, dialog });
  });
  dialog.onclose = () => key && focusOn(key);
  fill(dialog, form);
  if (!dialog.open) dialog.showModal();
  form.querySelector("[autofocus]")?.focus();
}

function field(label, name, value, isFirst) {
  return make("label", { class: "field" }, label, make("input", { name, type: "text", maxlength: 500, autocomplete: "off", value, autofocus: isFirst }));
}

function heldNote(state, version, change) {
  const hold = state.status.holds.find((each) => each.version === version && each.model === state.model);
  if (!hold || change.asksWhy === false) return null;
  const by = hold.actor ? ` by ${hold.actor}` : "";
  return make("p", { class: "message" }, `${version} was rolled back${by}${hold.reason ? `: ${hold.reason}` : ""}. This releases it.`);
}

async function send(asked) {
  const { state, version, change, live, form, submit, problem, dialog } = asked;
  const values = Object.fromEntries(new FormData(form));
  sessionStorage.setItem(ACTOR, values.actor);
  const content = { model: state.model, ...Object.fromEntries(Object.entries(values).filter(([, value]) => value)) };
  if (live) content.expected_version = live;
  fill(problem, make("p", { class: "quiet" }, `Proving ${version}…`));
  submit.disabled = true;
  try {
    const answer = await change.send(content);
    dialog.close();
    announce(told(answer, version));
  } catch (error) {
    showProblem(asked, error);
  }
}

// A conflict means that somebody was faster: what was shown is no longer true.
function showProblem({ state, version, change, submit, problem }, error) {
  const isConflict = error.status === 409 && error.code === "state_conflict";
  const again = () => open(state, version, change);
  submit.disabled = isConflict;
  fill(
    problem,
    make("p", { class: "message" }, isConflict ? "Somebody was faster. " : "Refused, and nothing has changed. ", error.message),
    error.next && make("p", { class: "quiet" }, "Next: ", make("code", {}, error.next)),
    isConflict && make("button", { type: "button", class: "again", onclick: () => lookAgain(state, again) }, "Look again"),
  );
  problem.querySelector(".again")?.focus();
}

async function lookAgain(state, again) {
  state.status = await call("GET", "admin/status");
  again();
}

function told(answer, version) {
  if (answer.released) return `${answer.released} is released.`;
  if (answer.unchanged) return answer.message || `${version} was live already; nothing changed.`;
  const parts = [`${answer.active} is live${answer.previous ? `; before it was ${answer.previous}` : ""}.`];
  if (!answer.written) parts.push(`The state file was not written: ${answer.why_not_written}.`);
  if (answer.hold) parts.push(`${answer.hold.version} is held.`);
  if (answer.message) parts.push(answer.message);
  return parts.join(" ");
}
