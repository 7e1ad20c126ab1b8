// Ask one version or two the same thing, and set their answers side by side.

import { call, query, request } from "./api.js";
import { fill, find, make } from "./dom.js";
import { versionsOf } from "./versions.js";

const NOTHING = { samples: [], example: null };

let golden = NOTHING;
let shownFor = "";

export function listenToTry(state) {
  find("try").addEventListener("submit", (event) => {
    event.preventDefault();
    ask(state);
  });
}

// Draw the form again when other versions are to be chosen from, and only then.
export async function showTry(state) {
  const names = versionsOf(state).filter((each) => each.state !== "unusable").map((each) => each.version).toReversed();
  const live = state.status.models[state.model]?.active ?? names[0];
  const drawn = JSON.stringify([state.model, names, live]);
  if (drawn === shownFor || !names.length) return;
  shownFor = drawn;
  const row = find("row")?.value ?? "";
  const others = find("other")?.value;
  fill(find("try"), ...form(names, live, names.includes(others) ? others : ""));
  find("row").value = row;
  golden = await call("GET", `admin/samples?${query({ model: state.model, version: live })}`).catch(() => NOTHING);
  if (shownFor === drawn) showGolden();
}

function form(names, live, other) {
  const options = (chosen) => names.map((name) => make("option", { value: name, selected: name === chosen }, name));
  return [
    make("label", { class: "field" }, "Version", make("select", { id: "one", "data-key": "try one" }, ...options(live))),
    make("label", { class: "field" }, "Beside it", make("select", { id: "other", "data-key": "try other" }, make("option", { value: "" }, "nothing"), ...options(other))),
    make("label", { class: "field" }, "Golden row", make("select", { id: "golden", "data-key": "try golden", onchange: choose })),
    make("label", { class: "field wide" }, "One row, or a list of rows, as JSON", make("textarea", { id: "row", rows: 3, spellcheck: "false", "data-key": "try row" })),
    make("div", { class: "actions wide" }, make("button", { type: "submit", class: "primary", "data-key": "try" }, "Predict")),
  ];
}

function showGolden() {
  const samples = golden.samples.map((sample, index) => make("option", { value: index }, JSON.stringify(sample.input).slice(0, 60)));
  fill(find("golden"), ...(samples.length ? samples : [make("option", { value: "" }, golden.example ? "none; a row of zeros" : "none")]));
  find("golden").disabled = !samples.length;
  // What somebody has typed meanwhile stays.
  if (!find("row").value) choose();
}

function choose() {
  const sample = golden.samples[find("golden").value];
  find("row").value = sample ? JSON.stringify(sample.input) : (golden.example ?? "");
}

async function ask(state) {
  const place = find("answers");
  let features;
  try {
    features = JSON.parse(find("row").value);
  } catch (error) {
    return fill(place, make("p", { class: "message" }, `This is not JSON: ${error.message}`));
  }
  const names = [find("one").value, find("other").value].filter((name, index, all) => name && all.indexOf(name) === index);
  fill(place, make("p", { class: "quiet" }, "Asking…"));
  const answers = await Promise.all(names.map((version) => predict(state.model, version, features)));
  fill(place, verdict(answers), make("div", { class: "answers" }, ...answers.map(card)), expected(features));
}

async function predict(model, version, features) {
  const started = performance.now();
  try {
    const answer = await request("POST", `predict?${query({ model, version })}`, { content: { features } });
    const content = await answer.json();
    const shown = content.prediction ?? content.predictions;
    return { version, shown, runtime: answer.headers.get("X-Model-Runtime"), took: performance.now() - started };
  } catch (error) {
    return { version, error: error.message };
  }
}

function verdict(answers) {
  if (answers.length < 2 || answers.some((answer) => answer.error)) return null;
  const [one, other] = answers;
  if (JSON.stringify(one.shown) === JSON.stringify(other.shown)) return make("p", { class: "verdict" }, "Both answer the same.");
  const rows = Array.isArray(one.shown) ? one.shown.flatMap((value, index) => (JSON.stringify(value) === JSON.stringify(other.shown[index]) ? [] : [index + 1])) : [];
  return make("p", { class: "verdict differs" }, rows.length ? `They differ in ${rows.length > 1 ? "rows" : "row"} ${rows.slice(0, 20).join(", ")}${rows.length > 20 ? ", …" : ""}.` : "They differ.");
}

function card(answer) {
  return make(
    "div",
    { class: "answer" },
    make("strong", {}, answer.version),
    answer.error ? make("p", { class: "message" }, answer.error) : make("pre", { tabindex: "0" }, JSON.stringify(answer.shown)),
    answer.runtime && make("p", { class: "quiet" }, `${answer.runtime}, ${answer.took.toFixed(1)} ms to here and back`),
  );
}

function expected(features) {
  const sample = golden.samples.find((each) => JSON.stringify(each.input) === JSON.stringify(features));
  return sample && make("p", { class: "quiet" }, "The golden answer is ", make("code", {}, JSON.stringify(sample.output)), ".");
}
