// Put the page together: follow the events, and show what they tell.

import { call, keepToken, takeTokenFromAddress } from "./api.js";
import { showCharts, takeTraffic } from "./charts.js";
import { announce, fill, find, make } from "./dom.js";
import { follow } from "./events.js";
import { showHolds } from "./holds.js";
import { showOverview } from "./overview.js";
import { listenToHistory, loadHistory, showHistory } from "./timeline.js";
import { listenToTry, showTry } from "./tryit.js";
import { listenToVersions, showVersions } from "./versions.js";

const DEFAULT = "default";
const REFRESH_MILLISECONDS = 30_000; // "a minute ago" does not stay true

const state = { model: DEFAULT, models: [], status: null, versions: {}, history: [], cursor: null };
let loading = null;
let isStale = false;

function show() {
  showPicker();
  showOverview(state);
  showHolds(state);
  showVersions(state);
  showHistory(state);
  showTry(state);
  find("instance").textContent = state.status.instance;
  document.title = `${state.status.models[state.model]?.active ?? "nothing live"} · modeld`;
}

// What an event does not bring is asked for once it tells of a change, one question at a time.
async function load() {
  if (loading) {
    isStale = true;
    return;
  }
  loading = Promise.all([call("GET", "admin/versions"), loadHistory(state)]);
  try {
    state.versions = (await loading)[0].models;
    state.models = Object.keys(state.versions);
    show();
  } catch (error) {
    if (!error.asksForToken) announce(`What changed cannot be looked at: ${error.message}`);
  }
  loading = null;
  if (isStale) {
    isStale = false;
    load();
  }
}

function take(name, document) {
  if (name === "traffic") {
    takeTraffic(document);
    if (state.status) showCharts(state);
  } else if (name === "status") {
    state.status = document;
    show();
    load();
  }
}

function tell(word, more) {
  const link = find("link");
  const texts = { live: "Live", lost: "Not connected; trying again", refused: "Needs a token" };
  if (link.textContent !== texts[word]) link.textContent = texts[word];
  link.dataset.state = word;
  find("main").classList.toggle("stale", word !== "live");
  if (word === "refused") askForToken(more);
}

function askForToken(error) {
  find("token-why").textContent = error.message;
  find("token-value").value = "";
  if (!find("token").open) find("token").showModal();
}

function listen() {
  find("token-form").addEventListener("submit", () => {
    keepToken(find("token-value").value);
    follow(take, tell);
  });
  // Without a token there is nothing behind the dialog.
  find("token").addEventListener("cancel", (event) => event.preventDefault());
  find("model").addEventListener("change", async (event) => {
    state.model = event.target.value;
    state.history = [];
    await loadHistory(state).catch((error) => announce(error.message));
    show();
    showCharts(state);
  });
  listenToVersions(state);
  listenToHistory(state, show);
  listenToTry(state);
}

// An open list must not be taken away from under somebody's hand.
function showPicker() {
  const drawn = JSON.stringify([state.models, state.model]);
  if (find("model").dataset.drawn === drawn) return;
  find("model").dataset.drawn = drawn;
  find("picker").hidden = state.models.length < 2;
  fill(find("model"), ...state.models.map((name) => make("option", { value: name, selected: name === state.model }, name)));
}

takeTokenFromAddress();
listen();
setInterval(() => state.status && show(), REFRESH_MILLISECONDS);
follow(take, tell);
