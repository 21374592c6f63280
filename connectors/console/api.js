// The service's HTTP side: calls, recordings, the session cookie. No DOM; the event stream is stream.js.

const ROOT = new URL("../", import.meta.url); // the page may be served under any prefix
const ANSWER_MS = 10_000;

/** An answer that was not a success; `message` is a sentence for the operator. */
export class ApiError extends Error {
  constructor(status, code, message) {
    super(message);
    Object.assign(this, { status, code });
  }
}

export const apiUrl = (path) => new URL(path, ROOT);

/** fetch() that turns every failure into an ApiError with a sentence, waiting for a service that does not answer included. */
export async function request(path, options = {}) {
  const signal = AbortSignal.timeout(ANSWER_MS);
  const response = await answered(fetch(apiUrl(path), { credentials: "same-origin", cache: "no-store", signal, ...options }));
  if (!response.ok) throw errorOf(response.status, await answered(response.text()));
  return response;
}

async function requestJson(path, options) {
  const response = await request(path, options);
  return { response, body: await answered(response.json()) };
}

/** What a promise of fetch() gives. Head and body share one time limit. */
async function answered(promise) {
  try {
    return await promise;
  } catch (error) {
    if (error.name !== "TimeoutError") throw new ApiError(0, "unreachable", "The service does not answer.");
    throw new ApiError(0, "timeout", `The service did not answer within ${ANSWER_MS / 1000} seconds; it may have acted all the same.`);
  }
}

export function errorOf(status, text) {
  let error = {};
  try {
    error = JSON.parse(text).error ?? {};
  } catch { /* not ours: a proxy answered; the status alone must do */ }
  return new ApiError(status, error.code ?? "", error.message ?? fallback(status));
}

function fallback(status) {
  if (status === 401) return "This token is not the one the service expects.";
  if (status === 413) return "The file is larger than the service accepts.";
  if (status === 429) return "Too many requests; wait a moment.";
  if (status === 503) return "The service takes no new calls at the moment.";
  return `The service answered with an error (${status}).`;
}

/** What is on the line now: {calls: [{call_id, started, tags, ...}], skew, thresholds}. */
export async function fetchCalls() {
  const { response, body } = await requestJson("v1/calls");
  const date = Date.parse(response.headers.get("Date") ?? "");
  // The header counts whole seconds; below that, the two clocks are taken to agree.
  const skew = Number.isNaN(date) || Math.abs(date - Date.now()) < 1500 ? 0 : (date + 500 - Date.now()) / 1000;
  const items = Array.isArray(body) ? body : body.calls ?? [];
  return { calls: items.map(listedCall), skew, thresholds: body.thresholds ?? null };
}

function listedCall(item) {
  const legs = item.legs ?? item.tags ?? {};
  const tags = Object.values(legs).map((leg) => leg?.latest ?? leg).filter((tag) => tag && typeof tag.tag === "string");
  const whole = tags.map((tag) => ({ call_id: item.call_id, ...tag }));
  return { ...item, tags: typeof item.tag === "string" ? [item] : whole };
}

const examinationPath = (id, leg) => `v1/calls/${encodeURIComponent(id)}/examination?leg=${encodeURIComponent(leg)}`;

/** Where the examination of a leg stands. An ApiError of 404 or 409 says why it cannot be examined. */
export const fetchExamination = async (id, leg) => (await requestJson(examinationPath(id, leg))).body;

/** An operator's decision, {action, ...}; the record after it. An ApiError of 409 says why it cannot be done now. */
export const pressExamination = async (id, leg, body) => (await requestJson(examinationPath(id, leg), {
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify(body),
})).body;

/** Exchange the printed token for a cookie. */
export const openSession = (token) => request("v1/session", {
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify({ token }),
});

/** Send a recording; `onProgress(0..1)` while it leaves. XMLHttpRequest, because fetch() does not tell how far it is. */
export function uploadRecording(file, onProgress) {
  return new Promise((resolve, reject) => {
    const post = new XMLHttpRequest();
    const query = new URLSearchParams({ pace: "realtime", name: file.name });
    post.open("POST", apiUrl(`v1/recordings?${query}`));
    post.setRequestHeader("Content-Type", file.type || "application/octet-stream");
    post.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total);
    post.onload = () => (post.status < 300 ? resolve(answerOf(post.responseText)) : reject(errorOf(post.status, post.responseText)));
    post.onerror = () => reject(new ApiError(0, "unreachable", "The connection broke while the recording was being sent."));
    post.send(file);
  });
}

function answerOf(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}
