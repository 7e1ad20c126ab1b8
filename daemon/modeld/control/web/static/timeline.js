// What was live when, who asked for it and why; from each entry a way back to it.

import { call, query } from "./api.js";
import { openRollback } from "./change.js";
import { fill, find, make } from "./dom.js";
import { chip } from "./overview.js";
import { ago, clock, nameOf, trigger } from "./words.js";

const PAGE = 20;

export async function loadHistory(state) {
  const shown = Math.max(PAGE, state.history.length);
  const page = await call("GET", `admin/history?${query({ limit: Math.min(shown, 1000), model: modelOf(state) })}`);
  state.history = page.entries;
  state.cursor = page.next;
}

export function listenToHistory(state, show) {
  find("older").addEventListener("click", async () => {
    const page = await call("GET", `admin/history?${query({ limit: PAGE, model: modelOf(state), cursor: state.cursor })}`);
    state.history = [...state.history, ...page.entries];
    state.cursor = page.next;
    show();
  });
}

// Commits name no model: they are told where there is but one.
const modelOf = (state) => (state.models.length > 1 ? state.model : "");

export function showHistory(state) {
  const entries = state.history.map((entry) => item(state, entry));
  fill(find("history"), entries.length ? entries : make("li", { class: "quiet" }, "nothing yet"));
  find("older").hidden = !state.cursor;
}

function item(state, entry) {
  return make(
    "li",
    { class: "entry" },
    make("div", { class: "who" }, make("strong", {}, title(entry)), chip(entry.result)),
    make("div", { class: "what" }, make("p", {}, make("time", { datetime: new Date(entry.at * 1000).toISOString(), title: clock(entry.at) }, ago(entry.at)), origin(entry)), entry.reason && make("p", { class: "reason" }, entry.reason), commit(entry)),
    make("div", { class: "act" }, button(state, entry)),
  );
}

function title(entry) {
  if (entry.number === null) return entry.git?.subject ?? "commit";
  if (!entry.version) return "a text that could not be read";
  return entry.previous && entry.previous !== entry.version ? `${entry.previous} → ${entry.version}` : entry.version;
}

function origin(entry) {
  const by = entry.actor || nameOf(entry.git?.author ?? "");
  return [entry.trigger && ` ${trigger(entry.trigger)}`, by && `, ${by}`].filter(Boolean).join("");
}

function commit(entry) {
  if (!entry.git) return null;
  const subject = entry.number === null ? "" : ` ${entry.git.subject}`;
  return make("p", { class: "quiet" }, make("code", {}, entry.git.commit.slice(0, 8)), subject);
}

function button(state, entry) {
  const live = state.status.models[state.model]?.active;
  if (entry.result !== "applied" || entry.version === live || entry.model !== state.model) return null;
  return make("button", { type: "button", "data-key": `entry ${entry.number}`, onclick: () => openRollback(state, entry.version) }, `Back to ${entry.version}`);
}
