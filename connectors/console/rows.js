// One row per call. A row is built once and then only touched where something differs.
import { drawSparkline } from "./chart.js";
import { h, setAttribute, setText, svg } from "./dom.js";
import { markText } from "./exam-words.js";
import { isStale, mainLeg, verdictOf } from "./state.js";
import { clockText, duration, llrText, lossText, percent, reasonText, secondsText, shape, sourceText, tagText, verdictText } from "./words.js";

const CHANGED_S = 4; // how long a changed tag stays marked

const cell = (name, ...children) => h("div", { role: "gridcell", class: name }, ...children);
const outsider = (name) => h("span", { class: name, dir: "auto" }); // what somebody else has written, in whatever script

/** The name shown for a caller; callers may be withheld, and then the call's id has to serve. */
export const callerText = (call) => call.pii.caller || call.pii.from || call.metadata.caller || "Caller not given";
const agentText = (call) => call.metadata.agent || call.metadata.queue || "–";
const queueText = (call) => (call.metadata.agent ? call.metadata.queue ?? "" : "");

/** Seconds since the call began, until it ended. */
export const ageOf = (call, now) => (call.endedAt ?? now) - call.startedAt;

/** The verdict as word + shape; colour comes from data-verdict. */
export class Pill {
  constructor() {
    this.icon = h("span", { class: "icon" });
    this.word = h("span", { class: "word" });
    this.element = h("span", { class: "pill" }, this.icon, this.word);
  }

  show(leg) {
    const verdict = verdictOf(leg);
    if (this.element.dataset.verdict !== verdict) this.icon.replaceChildren(shape(verdict));
    this.element.dataset.verdict = verdict;
    setText(this.word, leg ? tagText(leg.tag) : verdictText(verdict));
  }
}

/** A live call. */
export class Row {
  constructor(id) {
    this.pill = new Pill();
    this.stale = h("span", { class: "stale-mark" });
    this.exam = h("span", { class: "exam-mark" });
    this.share = h("span", { class: "share" });
    this.llr = h("span", { class: "llr" });
    this.caller = outsider("main");
    this.id = h("span", { class: "sub mono" }, id);
    this.agent = outsider("main");
    this.queue = outsider("sub");
    this.line = svg("svg", { viewBox: "0 0 150 32", class: "spark", "aria-hidden": "true", preserveAspectRatio: "none" });
    this.cells = { speech: cell("c-speech num"), loss: cell("c-loss num"), time: cell("c-time num"), source: cell("c-source") };
    this.element = h("div", { role: "row", class: "row", tabindex: -1, "data-id": id },
      cell("c-tag", this.pill.element, this.exam, this.stale), cell("c-score", this.share, this.llr), cell("c-who", this.caller, this.id),
      cell("c-agent", this.agent, this.queue), cell("c-line", this.line), ...Object.values(this.cells));
  }

  show(call, now, thresholds) {
    const leg = mainLeg(call);
    if (call !== this.call || thresholds !== this.thresholds) this.showCall(call, leg, thresholds);
    const stale = isStale(leg, now);
    this.element.classList.toggle("stale", stale);
    this.element.classList.toggle("changed", Boolean(leg) && leg.changes.length > 1 && now - leg.changedAt < CHANGED_S);
    const other = Object.entries(call.legs).find(([, one]) => one !== leg && verdictOf(one) === "deepfake-likely");
    setText(this.stale, stale ? `no update for ${duration(now - leg.updatedAt)}` : other ? `${other[0]}: ${tagText(other[1].tag)}` : "");
    setText(this.cells.time, duration(ageOf(call, now)));
  }

  showCall(call, leg, thresholds) {
    this.call = call;
    this.thresholds = thresholds;
    const tag = leg?.tag;
    this.pill.show(leg);
    this.element.dataset.verdict = verdictOf(leg);
    setText(this.exam, leg?.ended ? "" : markText(leg?.exam?.record));
    setAttribute(this.exam, "data-state", leg?.exam?.record?.state ?? null);
    setText(this.share, percent(tag?.probability) ?? "–");
    setText(this.llr, Number.isFinite(tag?.llr) ? `LLR ${llrText(tag.llr)}` : verdictOf(leg) === "listening" ? "no score yet" : "no score");
    setText(this.caller, callerText(call));
    this.caller.classList.toggle("absent", callerText(call) === "Caller not given");
    setText(this.agent, agentText(call));
    setText(this.queue, queueText(call));
    setText(this.cells.speech, secondsText(tag?.net_speech_s));
    setText(this.cells.loss, lossText(tag?.loss));
    this.cells.loss.classList.toggle("lossy", Boolean(tag?.lossy));
    setText(this.cells.source, sourceText(call.source));
    drawSparkline(this.line, leg?.series ?? [], thresholds);
    const mark = leg?.ended ? "" : markText(leg?.exam?.record);
    setAttribute(this.element, "aria-label", [callerText(call), leg ? tagText(leg.tag) : verdictText("listening"), mark].filter(Boolean).join(", "));
  }

  mark(open) {
    setAttribute(this.element, "aria-current", open ? "true" : null);
  }
}

/** An ended call: what it was tagged, whose it was, when and why it ended. */
export class EndedRow {
  constructor(id) {
    this.pill = new Pill();
    this.caller = outsider("main");
    this.parts = { why: cell("e-why"), time: cell("e-time num"), at: cell("e-at num") };
    this.element = h("div", { role: "row", class: "row old", tabindex: -1, "data-id": id },
      cell("e-tag", this.pill.element), cell("e-who", this.caller), ...Object.values(this.parts));
  }

  show(call, now) {
    if (call === this.call) return;
    this.call = call;
    const leg = mainLeg(call);
    this.pill.show(leg);
    this.element.dataset.verdict = verdictOf(leg);
    setText(this.caller, callerText(call) === "Caller not given" ? call.id : callerText(call));
    setAttribute(this.element, "aria-label", `${callerText(call)}, ${leg ? tagText(leg.tag) : verdictText("listening")}, ended`);
    setText(this.parts.why, call.lost ? reasonText("service-lost") : endText(leg?.tag));
    setText(this.parts.time, duration(ageOf(call, now)));
    setText(this.parts.at, clockText(call.endedAt));
  }

  mark(open) {
    setAttribute(this.element, "aria-current", open ? "true" : null);
  }
}

const endText = (tag) => {
  const code = (tag?.reasons ?? []).at(-1);
  return code ? reasonText(code) : "";
};

/** Keep a container's children equal to `ids`, making and dropping rows; a moved row keeps its focus. */
export function syncRows(container, rows, ids, make) {
  const wanted = new Set(ids);
  for (const [id, row] of rows) {
    if (wanted.has(id)) continue;
    row.element.remove();
    rows.delete(id);
  }
  const focused = container.contains(document.activeElement) ? document.activeElement : null;
  ids.forEach((id, index) => {
    if (!rows.has(id)) rows.set(id, make(id));
    const element = rows.get(id).element;
    if (container.children[index] !== element) container.insertBefore(element, container.children[index] ?? null);
  });
  if (focused && document.activeElement !== focused && focused.isConnected) focused.focus({ preventScroll: true });
}
