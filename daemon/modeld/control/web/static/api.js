// Ask the server. The token travels as a header, so that no other site can use it.

const KEY = "modeld.token";

export class ApiError extends Error {
  constructor(status, content) {
    super(content.error ?? `the server answered ${status}`);
    this.status = status;
    this.code = content.code ?? "";
    this.next = content.next ?? "";
  }

  get asksForToken() {
    return this.status === 401 || this.status === 403;
  }
}

// Take a token out of the address, where it would stay in the browser's history.
export function takeTokenFromAddress() {
  const given = /^#token=(.*)$/.exec(location.hash);
  if (given === null) return;
  keepToken(decoded(given[1]));
  history.replaceState(null, "", location.pathname + location.search);
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export const keepToken = (token) => sessionStorage.setItem(KEY, token);

// Make a request of the API; paths are relative, so that a proxy may put a prefix before them.
export async function request(method, path, { content, ...options } = {}) {
  const headers = {};
  const token = sessionStorage.getItem(KEY);
  if (token !== null) headers.Authorization = `Bearer ${encodable(token)}`;
  if (content !== undefined) headers["Content-Type"] = "application/json";
  const body = content === undefined ? undefined : JSON.stringify(content);
  let answer;
  try {
    answer = await fetch(path, { method, headers, body, cache: "no-store", ...options });
  } catch (error) {
    throw new ApiError(0, { error: `the server does not answer (${error.message})` });
  }
  if (!answer.ok) throw new ApiError(answer.status, await answer.json().catch(() => ({})));
  return answer;
}

export const call = async (method, path, content) => (await request(method, path, { content })).json();

export const query = (parameters) =>
  new URLSearchParams(Object.entries(parameters).filter(([, value]) => value)).toString();

// A header takes no letters beyond Latin-1; the server reads bytes as UTF-8.
const encodable = (text) => String.fromCharCode(...new TextEncoder().encode(text.trim()));
