// What the page knows, as one value: an action in, a new value out. No DOM, no clock, no network.
// Times are seconds of this browser's wall clock; `skew` = the service's clock minus ours.
import { examOfRecord, examOfTag, examRefused, stateOf } from "./exam-state.js";
import { VERDICTS } from "./words.js";

export const FRESH_S = 10; // a tag without an update for this long must not look live
export const ENDED_MAX = 50;
const ROUNDING_S = 0.01; // the list and the records round their times
const SERIES_MAX = 600;
const CHANGES_MAX = 100;
const TURNING = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g; // Unicode's marks of direction

export const initialState = () => ({
  link: "connecting", // connecting | live | reconnecting | locked
  degraded: false, // the service says that its tag stream is away
  skew: 0,
  thresholds: null, // {deepfake_llr, human_llr} when the service tells them
  calls: new Map(), // call id -> Call, the live ones
  ended: [], // Call, newest first
  filter: "",
  selected: null, // id of the call whose detail is open
  ...noNews(),
});

/** What the last action made known: changes of tag {call, leg, from, tag}, and calls that are proposed for examination. */
const noNews = () => ({ changed: [], proposed: [] });

/** The next state. Unknown actions are our own bug and throw. */
export function reduce(state, action) {
  switch (action.type) {
    case "link": return { ...state, ...noNews(), link: action.link };
    case "degraded": return { ...state, ...noNews(), degraded: action.degraded };
    case "filter": return { ...state, ...noNews(), filter: action.text };
    case "select": return { ...state, ...noNews(), selected: action.id, ended: newest(state.ended, action.id) };
    case "examination": return receiveExamination(state, action);
    case "events": return withSelection(receiveEvents(state, action.tags, action.at));
    case "snapshot": return withSelection(receiveSnapshot(state, action));
    default: throw new Error(`unknown action ${action.type}`);
  }
}

/** A call that has left even the list of ended ones cannot stay open. */
const withSelection = (next) => (next.selected !== null && !findCall(next, next.selected) ? { ...next, selected: null } : next);

function receiveEvents(state, tags, at) {
  const next = { ...state, ...noNews(), calls: new Map(state.calls) };
  for (const tag of tags) receiveTag(next, tag, at, {});
  return next;
}

/** The service's answer about the examination of a leg: its record, or the sentence with which it was refused. */
function receiveExamination(state, { id, leg: key, told, record, refusal, at }) {
  const next = { ...state, ...noNews(), calls: new Map(state.calls) };
  const call = state.calls.get(id);
  const leg = call?.legs[key];
  if (!leg || (record && told !== undefined && (leg.exam?.told ?? "") !== told)) return next; // events were newer
  const exam = refusal ? examRefused(leg.exam, refusal) : record ? examOfRecord(leg.exam, record, at, leg.tag.tag) : leg.exam;
  next.calls.set(id, { ...call, legs: { ...call.legs, [key]: { ...leg, exam } } });
  return next;
}

/** A list of what is on the line now. Live calls it does not name ended while nobody told us. */
function receiveSnapshot(state, { calls, at, askedAt, skew, thresholds }) {
  const next = { ...state, ...noNews(), skew, thresholds: thresholds ?? state.thresholds, calls: new Map(state.calls) };
  const named = new Set();
  for (const item of calls) {
    named.add(item.call_id);
    const about = meetListed(next, item);
    if (!about) continue;
    for (const tag of item.tags) receiveTag(next, tag, at, about);
    if (!item.tags.length && !findCall(next, item.call_id)) next.calls.set(item.call_id, newCall(about, at - skewed(item, skew, at)));
  }
  for (const call of state.calls.values()) {
    if (!named.has(call.id) && call.seenAt < askedAt) place(next, { ...call, lost: true, endedAt: at, live: false });
  }
  return next;
}

/** An item of the list beside what is known by its id: null if it is about an earlier call; an earlier known one goes. */
function meetListed(next, item) {
  const about = { ...item, listed: true };
  const known = findCall(next, item.call_id);
  if (!known || !item.started) return about;
  if (item.started < (known.began ?? known.before?.wall_time ?? 0)) return null;
  if (item.started <= (known.began ?? (known.last?.wall_time || Infinity))) place(next, { ...known, began: item.started });
  else forget(next, known);
  return { ...about, before: findCall(next, item.call_id) ? null : known.last };
}

const skewed = (item, skew, at) => (item.started ? Math.max(0, at - (item.started - skew)) : 0);

function receiveTag(next, tag, at, about) {
  const found = findCall(next, tag.call_id);
  const legKey = tag.leg || "caller";
  if (found && !about.listed && isOfEarlier(found, tag)) return;
  const over = found && !about.listed && isOfNext(found, legKey, tag);
  const known = over ? undefined : found;
  const leg = known?.legs[legKey];
  if (leg && Number.isFinite(tag.seq) && tag.seq <= leg.seq) return; // a repeat, after a resume or from the list
  const writtenAt = tag.wall_time > 0 ? Math.min(at, tag.wall_time - next.skew) : at; // replayed tags are old, not fresh
  const age = about.started ? skewed(about, next.skew, at) : at - writtenAt + (tag.media_time_s ?? tag.audio_s ?? 0);
  const base = known ?? newCall({ before: over ? found.last : null, ...about, call_id: tag.call_id }, at - age);
  const changed = leg?.tag?.tag !== tag.tag;
  const call = withLeg(base, legKey, nextLeg(leg, tag, writtenAt, changed), tag, at);
  const news = leg || (!about.listed && tag.tag !== "listening"); // what was so before we looked is not a change
  if (changed && news && tag.kind !== "end") next.changed.push({ call, leg: legKey, from: leg?.tag.tag ?? null, tag });
  if (stateOf(call.legs[legKey].exam) === "proposed" && stateOf(leg?.exam) !== "proposed") next.proposed.push(call);
  place(next, call);
}

/** Which of two records was written first, as a sign: by their ids, which rise; else by the service's clock. NaN: unknown. */
function compare(tag, other) {
  const [one, two] = [idOf(tag), idOf(other)];
  if (one && two) return one[0] - two[0] || one[1] - two[1];
  return tag?.wall_time > 0 && other?.wall_time > 0 ? tag.wall_time - other.wall_time : NaN;
}

const idOf = (tag) => (/^\d+-\d+$/.test(tag?.event_id) ? tag.event_id.split("-").map(Number) : null);

/** An id may be used again once its call has ended. Is a record a late one of the call that had the id before? */
const isOfEarlier = (call, tag) => compare(tag, call.before) <= 0 || (tag.wall_time > 0 && tag.wall_time < call.began - ROUNDING_S);

/** Is a record the news of another call with the same id? A leg says nothing after its end, and its numbers only rise. */
function isOfNext(call, legKey, tag) {
  const leg = call.legs[legKey];
  if (leg) return compare(tag, leg.tag) > 0 && (leg.ended || tag.seq <= leg.seq);
  return !call.live && tag.seq === 0 && compare(tag, call.last) > 0;
}

/** `began`: by the service's clock, once its list has told; `last`: its newest record; `before`: that of the id's earlier call. */
function newCall(about, startedAt) {
  return {
    id: about.call_id, began: about.started ?? null, last: null, before: about.before ?? null,
    source: about.source ?? "", metadata: plain(about.metadata), pii: plain(about.pii),
    startedAt, endedAt: null, seenAt: startedAt, live: true, lost: false, legs: {},
  };
}

/** What callers and their lines say of themselves, without what would turn round the text that stands beside it. */
const plain = (pairs) => Object.fromEntries(Object.entries(pairs ?? {}).map((pair) => pair.map((text) => String(text).replace(TURNING, ""))));

function nextLeg(leg, tag, writtenAt, changed) {
  const entry = { at: writtenAt, wall: tag.wall_time, media: tag.media_time_s ?? tag.audio_s ?? 0, tag: tag.tag, text: tag.text, llr: tag.llr, reasons: tag.reasons ?? [] };
  return {
    tag, seq: tag.seq ?? -1, updatedAt: writtenAt,
    ended: tag.kind === "end",
    exam: examOfTag(leg?.exam, tag, writtenAt),
    series: nextSeries(leg?.series ?? [], tag),
    changes: changed ? [...(leg?.changes ?? []), entry].slice(-CHANGES_MAX) : leg.changes,
    changedAt: changed ? writtenAt : leg.changedAt,
  };
}

function withLeg(call, key, leg, tag, at) {
  const legs = { ...call.legs, [key]: leg };
  const live = Object.values(legs).some((one) => !one.ended);
  return {
    ...call, legs, live, last: compare(call.last, tag) > 0 ? call.last : tag, lost: false, seenAt: at, source: tag.source || call.source,
    metadata: { ...call.metadata, ...plain(tag.metadata) }, pii: { ...call.pii, ...plain(tag.pii) },
    endedAt: live ? null : leg.updatedAt,
  };
}

/** Score over media time. When full, every second point of the older half goes: the whole call stays visible. */
function nextSeries(series, tag) {
  if (!Number.isFinite(tag.llr)) return series;
  const point = { t: tag.media_time_s ?? tag.audio_s ?? 0, llr: tag.llr };
  const kept = series.length && series.at(-1).t >= point.t ? series.slice(0, -1) : series;
  const grown = [...kept, point];
  if (grown.length <= SERIES_MAX) return grown;
  return grown.filter((_, index) => index % 2 === 0 || index > SERIES_MAX / 2);
}

function place(next, call) {
  if (call.live) {
    next.calls.set(call.id, call);
    if (next.ended.some((one) => one.id === call.id)) next.ended = next.ended.filter((one) => one.id !== call.id);
    return;
  }
  next.calls.delete(call.id);
  const known = next.ended.some((one) => one.id === call.id);
  next.ended = known ? next.ended.map((one) => (one.id === call.id ? call : one)) : newest([call, ...next.ended], next.selected);
}

/** The last that ended; one whose detail is open stays beside them until it is closed. */
const newest = (ended, open) => ended.filter((call, index) => index < ENDED_MAX || call.id === open);

function forget(next, { id }) {
  next.calls.delete(id);
  next.ended = next.ended.filter((one) => one.id !== id);
}

export const findCall = (state, id) => state.calls.get(id) ?? state.ended.find((call) => call.id === id);

/** Are these the same call? An id alone does not tell: it may have been used again. */
export const isSame = (one, other) => one?.id === other?.id && one?.startedAt === other?.startedAt;

/** The leg a row shows: the caller's where there is one. */
export const mainLeg = (call) => call.legs.caller ?? Object.values(call.legs)[0];
export const verdictOf = (leg) => leg?.tag?.tag ?? "listening";
export const isStale = (leg, now) => Boolean(leg) && now - leg.updatedAt > FRESH_S;

const rankOf = (verdict) => (VERDICTS.includes(verdict) ? VERDICTS.indexOf(verdict) : VERDICTS.indexOf("unknown"));

/** Most worrying leg first: 0 is deepfake-likely. */
export function rank(call) {
  const ranks = Object.values(call.legs).map((leg) => rankOf(verdictOf(leg)));
  return ranks.length ? Math.min(...ranks) : rankOf("listening");
}

/** Ids in the order of attention, oldest first within a verdict. While `held`, known rows keep their places. */
export function arrange(calls, previous, held) {
  const sorted = [...calls].sort((a, b) => rank(a) - rank(b) || a.startedAt - b.startedAt || (a.id < b.id ? -1 : 1)).map((call) => call.id);
  if (!held) return sorted;
  const present = new Set(sorted);
  const kept = previous.filter((id) => present.has(id));
  const placed = new Set(kept);
  return [...kept, ...sorted.filter((id) => !placed.has(id))];
}

/** The live calls tagged deepfake-likely but the one that is open, the newest such tag first. */
export function alarms({ calls, selected }) {
  const since = (call) => Math.max(...Object.values(call.legs).filter((leg) => verdictOf(leg) === "deepfake-likely").map((leg) => leg.changedAt));
  return [...calls.values()].filter((call) => rank(call) === 0 && call.id !== selected).sort((a, b) => since(b) - since(a));
}

/** As many ids as there are rows for, in their order; of those left over, who needs attention most takes the last places. */
export function fitting(ids, most, calls) {
  if (ids.length <= most) return ids;
  const urgent = ids.slice(most).filter((id) => rank(calls.get(id)) === 0).slice(0, most);
  return [...ids.slice(0, most - urgent.length), ...urgent];
}

/** Does a call contain every word of the filter? */
export function matches(call, filter) {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return true;
  const tags = Object.values(call.legs).map((leg) => leg.tag.text ?? leg.tag.tag);
  const text = [call.id, call.source, ...Object.values(call.metadata), ...Object.values(call.pii), ...tags].join(" ").toLowerCase();
  return words.every((word) => text.includes(word));
}

export function countVerdicts(calls) {
  const counts = Object.fromEntries(VERDICTS.map((verdict) => [verdict, 0]));
  for (const call of calls) counts[VERDICTS[rank(call)]] += 1;
  return counts;
}
