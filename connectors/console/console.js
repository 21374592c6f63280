// The page's root: wires the event stream, the state, the view and the keyboard together.
import { fetchCalls, fetchExamination, openSession, pressExamination } from "./api.js";
import { byId, setText } from "./dom.js";
import { stateOf } from "./exam-state.js";
import { acceptFiles, BrowserCall, sendFiles } from "./intake.js";
import { bindKeys } from "./keys.js";
import { findCall, initialState, mainLeg, reduce } from "./state.js";
import { followEvents } from "./stream.js";
import { View } from "./view.js";

const DRAW_MS = 100; // tags are gathered this long: a thousand calls make ten drawings a second, not a thousand
const TICK_MS = 1000;

const CLOCK_S = 2; // a jump of this computer's clock that matters

const now = () => Date.now() / 1000;
const clockOffset = () => (Date.now() - performance.now()) / 1000;

let state = initialState();
let waiting = []; // tags that came since the last drawing
let timer = null;
let feed = null;
let clockSet = clockOffset();
let wanted = null; // id of a call that the address names and that has not been found yet

const view = new View({ onSelect: select, onPress: decide, onLook: look });
const call = new BrowserCall(byId("call"), askIfRefused);

function apply(action) {
  state = reduce(state, action);
  if (state.changed.length || state.proposed.length) view.announce(state);
  view.show(state, now());
}

function select(id) {
  const before = state.selected;
  apply({ type: "select", id });
  const { pathname, search } = location;
  history.replaceState(null, "", `${pathname}${search}${id === null ? "" : `#${new URLSearchParams({ call: id })}`}`);
  if (id !== null) {
    const detail = byId("detail");
    if (id !== before) view.announceOpen(findCall(state, id));
    detail.scrollTop = 0;
    if (getComputedStyle(byId("live")).display === "none") detail.focus(); // on a small screen it takes the rows' place
  } else if (before !== null) view.focusRow(view.rowOf(before) ?? view.rowElements()[0]);
}

/** What the last event said of a leg's examination: an answer to a question from before a newer one is old. */
const toldOf = (id, leg) => findCall(state, id)?.legs[leg]?.exam?.told ?? "";

/** Send an operator's decision. "" or the sentence with which it was refused. */
async function decide(id, leg, body) {
  const told = toldOf(id, leg);
  try {
    apply({ type: "examination", id, leg, told, record: await pressExamination(id, leg, body), at: now() });
    return "";
  } catch (error) {
    askIfRefused(error);
    if (error.status === 409 || error.code === "timeout") await look(id, leg); // it may stand elsewhere than this page thinks
    return error.message;
  }
}

/** Ask the service where the examination of a leg stands, and whether the leg can be examined at all. */
async function look(id, leg) {
  const told = toldOf(id, leg);
  try {
    apply({ type: "examination", id, leg, told, record: await fetchExamination(id, leg), at: now() });
  } catch (error) {
    if (error.status === 404 || error.status === 409) apply({ type: "examination", id, leg, refusal: error.message, at: now() });
    else askIfRefused(error);
  }
}

/** A key of the examination: for the open call, or for the focused row when asking its caller is suggested. */
function examine(action, focused) {
  if (state.selected !== null) view.detail.examination.pressKey(action);
  else if (action === "ask" && focused !== undefined) {
    const suggested = stateOf(mainLeg(findCall(state, focused) ?? { legs: {} })?.exam) === "proposed";
    select(focused);
    if (suggested) view.detail.examination.pressKey(action);
  }
}

function receiveTag(tag) {
  if (!tag) return;
  waiting.push(tag);
  timer ??= setTimeout(drain, DRAW_MS);
}

function drain() {
  timer = null;
  const tags = waiting;
  waiting = [];
  apply({ type: "events", tags, at: now() });
}

/** Compare with the service's own list: at the start, and whenever the stream may have missed something. Where it stands then. */
async function refresh() {
  const askedAt = now();
  clockSet = clockOffset();
  try {
    const { calls, skew, thresholds } = await fetchCalls();
    apply({ type: "snapshot", calls, skew, thresholds, askedAt, at: now() });
    openAgain();
    return "open";
  } catch (error) {
    return askIfRefused(error) ? "locked" : "away";
  }
}

/** The call that the address names: a page that is loaded again shows what it showed. */
function openAgain() {
  const id = wanted;
  wanted = null;
  if (id !== null && state.selected === null && findCall(state, id)) select(id);
}

/** Somebody has set this computer's clock: how it stands to the service's must be found out anew. */
function watchClock() {
  if (Math.abs(clockOffset() - clockSet) > CLOCK_S && state.link === "live") refresh();
}

function connect() {
  feed?.close();
  apply({ type: "link", link: "connecting" });
  feed = followEvents({
    onTag: receiveTag,
    onOpen: () => {
      apply({ type: "degraded", degraded: false }); // what it was may have passed while nobody could tell us
      apply({ type: "link", link: "live" });
      refresh();
    },
    onLost: () => state.link !== "locked" && apply({ type: "link", link: "reconnecting" }),
    onDegraded: (degraded) => apply({ type: "degraded", degraded }),
    onGap: refresh,
    onRefused: refresh,
  });
}

/** Ask for the token when that is what is missing. True if it was. */
function askIfRefused(error) {
  if (error.status !== 401) return false;
  feed?.close();
  apply({ type: "link", link: "locked" });
  askForToken();
  return true;
}

function askForToken() {
  if (!byId("token-dialog").open) byId("token-dialog").showModal();
}

async function enter(token) {
  try {
    await openSession(token);
    byId("token-dialog").close();
    connect();
  } catch (error) {
    setText(byId("token-error"), error.message);
    apply({ type: "link", link: "locked" });
    askForToken();
  }
}

/** What the address says: the token of a printed link, which leaves it before anything else happens, and a call to open. */
function readAddress() {
  const said = new URLSearchParams(location.hash.slice(1));
  const token = said.get("token");
  wanted = said.get("call");
  if (token) history.replaceState(null, "", location.pathname + location.search);
  return token;
}

/** Into an open page a link is pasted, or a call's address. */
function followAddress() {
  const token = readAddress();
  if (token) enter(token);
  else openAgain();
}

byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  setText(byId("token-error"), "");
  enter(byId("token").value.trim());
});
byId("token-dialog").addEventListener("cancel", (event) => event.preventDefault());
byId("token-dialog").addEventListener("close", () => state.link === "locked" && askForToken()); // Esc twice closes all the same
byId("filter").addEventListener("input", (event) => apply({ type: "filter", text: event.target.value }));
byId("call").addEventListener("click", () => call.start());
acceptFiles((files) => sendFiles(files, askIfRefused));
bindKeys({ view, select, selected: () => state.selected, call: () => call.start(), examine });
addEventListener("hashchange", followAddress);
setInterval(() => {
  view.show(state, now());
  watchClock();
}, TICK_MS);

view.show(state, now());
const token = readAddress();
if (token) await enter(token);
else connect();
