// Versions that were rolled back, and the way out of it.

import { openRelease } from "./change.js";
import { fill, find, make } from "./dom.js";
import { ago } from "./words.js";

export function showHolds(state) {
  const holds = state.status.holds.filter((hold) => hold.model === state.model);
  find("holds").hidden = !holds.length;
  fill(find("holds-list"), holds.map((hold) => item(state, hold)));
}

function item(state, hold) {
  const by = hold.actor ? ` by ${hold.actor}` : "";
  return make(
    "li",
    { class: "version" },
    make("div", { class: "who" }, make("strong", {}, hold.version)),
    make("div", { class: "what" }, make("p", {}, hold.reason || "no reason was given"), make("p", { class: "quiet" }, `held ${ago(hold.since)}${by}, in favour of ${hold.wanted}`)),
    make("div", { class: "act" }, make("button", { type: "button", "data-key": `release ${hold.version}`, onclick: () => openRelease(state, hold) }, `Release ${hold.version}`)),
  );
}
