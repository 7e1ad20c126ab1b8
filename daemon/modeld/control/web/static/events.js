// Follow the server's events, and come back with growing pauses when the stream ends.
// Read with `fetch`, because an EventSource cannot send a token as a header.

import { request } from "./api.js";

const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 15_000;
const LONGEST_SILENCE = 20_000;

// Follow until a token is asked for. `take(name, document)` gets every event; `tell(state, pause)`
// hears "live", "lost" and "refused".
export async function follow(take, tell) {
  let pause = FIRST_PAUSE;
  for (;;) {
    try {
      await readAll(take, () => {
        pause = FIRST_PAUSE;
        tell("live");
      });
    } catch (error) {
      if (error.asksForToken) return tell("refused", error);
    }
    tell("lost", pause);
    await sleep(pause * (0.75 + Math.random() / 2));
    pause = Math.min(pause * 2, LONGEST_PAUSE);
  }
}

async function readAll(take, opened) {
  const ending = new AbortController();
  let alarm;
  const listen = () => {
    clearTimeout(alarm);
    alarm = setTimeout(() => ending.abort(), LONGEST_SILENCE);
  };
  listen();
  try {
    const answer = await request("GET", "admin/events", { signal: ending.signal });
    opened();
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = ""; ; ) {
      const { value, done } = await reader.read();
      if (done) return;
      listen();
      const events = (rest + value).split("\n\n");
      rest = events.pop();
      events.map(parse).forEach((event) => event && take(event.name, event.document));
    }
  } finally {
    clearTimeout(alarm);
  }
}

// Read one event; a comment is none.
function parse(text) {
  const event = /^event: (.*)\ndata: (.*)$/.exec(text);
  return event && { name: event[1], document: JSON.parse(event[2]) };
}

const sleep = (milliseconds) => new Promise((wake) => setTimeout(wake, milliseconds));
