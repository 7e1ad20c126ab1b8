// Draw the traffic of the last two minutes: requests, latencies and errors by version.

import { fill, find, make, makeSvg } from "./dom.js";
import { number, short } from "./words.js";

const MOST_POINTS = 120;
const WIDTH = 320;
const HEIGHT = 96;
const MOST_SERIES = 3;

const points = [];

const CHARTS = [
  { title: "Requests per second", unit: "/s", lines: [["", (rates) => rates?.all]] },
  { title: "Latency", unit: " ms", lines: [["p50", (rates) => rates?.p50], ["p99", (rates) => rates?.p99]] },
  { title: "Errors per second", unit: "/s", lines: [["", (rates) => rates?.errors]] },
];

// Take an event of the traffic; gives nothing to draw until there is one before it.
export function takeTraffic(document) {
  const before = points.at(-1);
  if (before && document.at <= before.at) return;
  points.push({ at: document.at, raw: document.versions, rates: new Map() });
  if (before) document.versions.forEach((version) => rate(points.at(-1), before, version));
  if (points.length > MOST_POINTS) points.shift();
}

const keyOf = (version) => `${version.model} ${version.version}`;

function rate(point, before, version) {
  const seconds = point.at - before.at;
  const old = before.raw.find((each) => keyOf(each) === keyOf(version)) ?? { ok: 0, client_error: 0, server_error: 0 };
  const per = (name) => Math.max(0, version[name] - old[name]) / seconds;
  const errors = per("client_error") + per("server_error");
  point.rates.set(keyOf(version), { all: per("ok") + errors, errors, p50: version.p50_ms, p99: version.p99_ms });
}

export function showCharts(state) {
  const names = series(state);
  fill(find("charts"), CHARTS.map((chart) => draw(chart, names, state.model)));
}

// The live version first; of the others those that were asked last.
function series(state) {
  const live = state.status?.models[state.model]?.active;
  const seen = new Map();
  for (const point of points)
    for (const each of point.raw) if (each.model === state.model && (point.rates.get(keyOf(each))?.all ?? 0) > 0) seen.set(each.version, point.at);
  const others = [...seen].filter(([name]) => name !== live).sort((one, two) => two[1] - one[1]);
  return [live, ...others.map(([name]) => name)].filter(Boolean).slice(0, MOST_SERIES);
}

function draw(chart, names, model) {
  const lines = names.flatMap((name, index) =>
    chart.lines.map(([part, read]) => ({ name, part, index, values: points.map((point) => read(point.rates.get(`${model} ${name}`)) ?? null) })),
  );
  const most = niceAbove(Math.max(0, ...lines.flatMap((line) => line.values)));
  return make(
    "figure",
    { class: "chart" },
    make("figcaption", {}, chart.title),
    makeSvg(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${HEIGHT + 16}`, role: "img", "aria-label": `${chart.title}, the last two minutes: ${legend(chart, lines) || "nothing yet"}` },
      makeSvg("line", { class: "grid", x1: 0, x2: WIDTH, y1: HEIGHT, y2: HEIGHT }),
      makeSvg("line", { class: "grid faint", x1: 0, x2: WIDTH, y1: HEIGHT / 2, y2: HEIGHT / 2 }),
      makeSvg("text", { x: 0, y: 10 }, `${number(most)}${chart.unit}`),
      makeSvg("text", { x: 0, y: HEIGHT + 13 }, "2 min ago"),
      makeSvg("text", { x: WIDTH, y: HEIGHT + 13, "text-anchor": "end" }, "now"),
      ...lines.map((line) => makeSvg("path", { class: `line series-${line.index} ${line.part}`, d: path(line.values, most) })),
    ),
    make("ul", { class: "legend plain" }, ...lines.map((line) => make("li", {}, swatch(line), value(chart, line)))),
  );
}

const swatch = (line) => makeSvg("svg", { viewBox: "0 0 20 8", class: "swatch", "aria-hidden": "true" }, makeSvg("path", { class: `line series-${line.index} ${line.part}`, d: "M0 4H20" }));

function value(chart, line) {
  const last = line.values.at(-1);
  const name = [line.name, line.part].filter(Boolean).join(" ");
  return `${name} ${last === null || last === undefined ? "–" : short(last) + chart.unit}`;
}

const legend = (chart, lines) => lines.map((line) => value(chart, line)).join(", ");

// Draw from the right, where now is; nothing is drawn where nothing was measured.
function path(values, most) {
  const step = WIDTH / (MOST_POINTS - 1);
  let isDown = false;
  return values
    .map((each, index) => {
      if (each === null) return (isDown = false), "";
      const command = isDown ? "L" : "M";
      isDown = true;
      const x = WIDTH - (values.length - 1 - index) * step;
      return `${command}${x.toFixed(1)} ${(HEIGHT - 2 - (each / most) * (HEIGHT - 18)).toFixed(1)}`;
    })
    .join("");
}

function niceAbove(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((each) => each * power).find((each) => each >= value);
}
