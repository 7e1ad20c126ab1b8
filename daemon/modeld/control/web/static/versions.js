// All versions of a model: what they are, how they were trained, and a button to make one live.

import { openSwitch } from "./change.js";
import { fill, find, make } from "./dom.js";
import { chip } from "./overview.js";
import { clock, digest, number, size } from "./words.js";

const MOST_SHOWN = 25;

let showsAll = false;

export const versionsOf = (state) => state.versions[state.model]?.versions ?? [];

export function showVersions(state) {
  const all = ordered(versionsOf(state));
  const wanted = find("filter").value.trim().toLowerCase();
  const found = all.filter((each) => each.version.toLowerCase().includes(wanted));
  const shown = showsAll ? found : found.slice(0, MOST_SHOWN);
  find("filter-label").hidden = all.length <= MOST_SHOWN;
  fill(find("versions"), shown.length ? shown.map((each) => item(state, each)) : make("li", { class: "quiet" }, "none"));
  const more = find("all-versions");
  more.hidden = shown.length === found.length;
  more.textContent = `Show all ${found.length}`;
}

export function listenToVersions(state) {
  find("filter").addEventListener("input", () => showVersions(state));
  find("all-versions").addEventListener("click", () => {
    showsAll = true;
    showVersions(state);
  });
}

// The live one first, then what is newest by its name.
function ordered(versions) {
  const backwards = versions.toReversed();
  return [...backwards.filter((each) => each.state === "live"), ...backwards.filter((each) => each.state !== "live")];
}

function item(state, each) {
  return make(
    "li",
    { class: "version" },
    make("div", { class: "who" }, make("strong", {}, each.version), chip(each.state), held(state, each) && chip("Held")),
    make("div", { class: "what" }, ...details(each)),
    make("div", { class: "act" }, button(state, each)),
  );
}

const held = (state, each) =>
  state.status.holds.some((hold) => hold.version === each.version && hold.model === state.model);

function details(each) {
  if (each.error) return [make("p", { class: "message" }, each.error)];
  const trained = each.trained;
  const why = each.why_native || each.why_not_in_the_workers;
  const words = new Set([each.format, each.runtime, size(each.size), digest(each.digest)].filter(Boolean));
  return [
    make("p", { title: each.digest }, [...words].join(" · ")),
    why && make("p", { class: "quiet" }, `${each.why_native ? "not compiled" : "not in the workers"}: ${why}`),
    trained && make("p", { class: "quiet" }, ...training(trained)),
  ];
}

function training(trained) {
  const metrics = Object.entries(trained.metrics).map(([name, value]) => `${name} ${number(value)}`);
  const from = trained.commit && `commit ${trained.commit.slice(0, 8)}`;
  return [[trained.at && `trained ${clock(trained.at)}`, from, ...metrics].filter(Boolean).join(" · ")];
}

function button(state, each) {
  if (each.state === "live" || each.state === "unusable") return null;
  return make(
    "button",
    { type: "button", "data-key": `switch ${each.version}`, "aria-label": `Make ${each.version} live`, onclick: () => openSwitch(state, each.version) },
    "Make live",
  );
}
