// Show how two versions differ, as `/admin/diff` tells it. What is the same is left out.

import { call, query } from "./api.js";
import { fill, make } from "./dom.js";
import { digest, number } from "./words.js";

const GROUPS = ["inputs", "outputs", "metrics", "trained", "libraries", "files"];

// Give a place that fills itself when the server has compared the two.
export function showDifferences(model, from, to) {
  const place = make("div", { class: "differences" });
  if (!from || from === to) return place;
  place.append(make("p", { class: "quiet" }, "Comparing…"));
  call("GET", `admin/diff?${query({ model, from, to })}`)
    .then((found) => fill(place, ...shown(found)))
    .catch((error) => fill(place, make("p", { class: "message" }, `They cannot be compared: ${error.message}`)));
  return place;
}

function shown(found) {
  const rows = [row(found.format), row(found.digest, digest), ...GROUPS.flatMap((name) => found[name].map((pair) => row(pair, write(name), name)))].filter(Boolean);
  const mind = found.inputs.some((pair) => pair.change !== "same");
  return [
    mind && make("p", { class: "message" }, "They take different inputs: requests written for one may be refused by the other."),
    rows.length
      ? make("table", {}, make("thead", {}, make("tr", {}, ...["", found.from, found.to].map((text) => make("th", { scope: "col" }, text)))), make("tbody", {}, ...rows))
      : make("p", { class: "quiet" }, "Nothing that they say about themselves differs."),
  ];
}

const write = (name) => (name === "files" ? (file) => `${digest(file.sha256)}, ${file.size} B` : (value) => (typeof value === "number" ? number(value) : value));

function row(pair, written = (value) => value, group = "") {
  if (pair.change === "same") return null;
  const cell = (value) => make("td", {}, value === null ? "–" : written(value));
  const better = typeof pair.difference === "number" ? ` (${pair.difference > 0 ? "+" : ""}${number(pair.difference)})` : "";
  const name = pair.name ?? pair.path;
  return make("tr", {}, make("th", { scope: "row" }, group === "metrics" || !group ? name : `${group}: ${name}`), cell(pair.before), make("td", {}, pair.after === null ? "–" : written(pair.after), better));
}
