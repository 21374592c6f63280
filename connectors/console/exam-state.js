// Where the examination of one leg stands, as this page knows it: records in, a new value out. No DOM, no clock.
// An exam = {record, at, told, results, before, refusal}; times are seconds of this browser's wall clock.

export const DONE = new Set(["passed", "failed", "unclear", "no-answer", "skipped"]);
const RUNNING = new Set(["asked", "answering", "judging"]);
const EMPTY = { record: null, at: 0, told: "", results: [], before: null, refusal: "" };
const MEASURES = ["compliance", "realism", "identity", "llr"];

const text = (value) => (typeof value === "string" ? value : "");
const number = (value) => (Number.isFinite(value) ? value : null);

/** A record with every field of the type it should have: one odd event must not break the page. */
function clean(record) {
  const texts = ["state", "challenge", "id", "name", "language", "sentence", "spoken_by", "by", "who", "why"];
  const numbers = ["attempt", "deadline_s", "decisions", "compliance", "realism", "baseline", "identity", "llr"];
  return {
    ...Object.fromEntries(texts.map((name) => [name, text(record[name])])),
    ...Object.fromEntries(numbers.map((name) => [name, number(record[name])])),
    reasons: Array.isArray(record.reasons) ? record.reasons.map(String) : [],
  };
}

/** After a tag. Every later tag repeats the last record: only one that differs from the last told is news. */
export function examOfTag(exam, tag, at) {
  if (typeof tag.examination?.state !== "string") return exam ?? null;
  const told = JSON.stringify(tag.examination);
  if (exam?.told === told) return exam;
  return { ...examOfRecord(exam, tag.examination, at, tag.tag), told };
}

/** After the service's answer to a key press or a look; `verdict` is the leg's tag now. */
export function examOfRecord(exam, given, at, verdict) {
  const known = exam ?? EMPTY;
  const record = clean(given);
  const asks = record.state === "asked" && known.before === null;
  return { ...known, record, at, refusal: "", results: nextResults(known.results, record), before: asks ? verdict ?? null : known.before };
}

/** The service will not have this leg examined, and says why. */
export const examRefused = (exam, refusal) => ({ ...(exam ?? EMPTY), refusal });

function nextResults(results, record) {
  if (!DONE.has(record.state)) return results;
  const same = (one) => one.attempt === record.attempt && one.challenge === record.challenge;
  return [...results.filter((one) => !same(one)), record];
}

export const stateOf = (exam) => exam?.record?.state || "idle";
export const isRunning = (exam) => RUNNING.has(stateOf(exam));
const measured = (record) => MEASURES.some((name) => record[name] !== null);

/** The record of the last answer that was measured, or null. */
export function lastResult(exam) {
  if (!exam?.record) return null;
  if (measured(exam.record)) return { ...exam.record, state: endOf(exam, exam.record) };
  return exam.results.findLast(measured) ?? null;
}

/** "over" follows right behind a result; what it was is in the results. */
const endOf = (exam, record) => (record.state === "over" ? exam.results.at(-1)?.state ?? "over" : record.state);

/** Seconds until the state runs out; null where there is no limit that somebody has to hurry for. */
export function secondsLeft(exam, now) {
  const { record, at } = exam ?? EMPTY;
  const counts = record && (record.state === "answering" || (record.state === "asked" && record.spoken_by === "operator"));
  return counts && record.deadline_s !== null ? Math.max(0, record.deadline_s - Math.max(0, now - at)) : null;
}

const NOTHING_ASKED = "Nothing has been asked.";
const UNDER_WAY = "A question is under way: skip it, or wait for its end.";
const OVER = "This examination is over: nothing more is asked on this call.";

/** Action -> why it cannot be pressed now, or "" where it can. */
export function obstacles(exam, live) {
  const state = stateOf(exam);
  const names = ["ask", "answering", "skip", "repeat", "accept", "override", "stop"];
  const all = (why) => Object.fromEntries(names.map((name) => [name, why]));
  if (!live) return all("The call is over.");
  if (exam?.refusal) return all(exam.refusal);
  if (state === "over") return { ...all(OVER), override: "" };
  const running = isRunning(exam);
  const heard = running ? "The answer is being heard already." : NOTHING_ASKED;
  return {
    ...all(""),
    ask: running ? UNDER_WAY : "",
    answering: state === "asked" ? "" : heard,
    skip: running || state === "proposed" ? "" : "There is no question to skip.",
    repeat: running ? "" : "There is no question to repeat.",
  };
}
