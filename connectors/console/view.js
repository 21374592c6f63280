// From state to page: header, lists, detail, announcements. Reads state, writes the DOM, decides nothing.
import { byId, h, setAttribute, setText } from "./dom.js";
import { Detail } from "./detail.js";
import { callerText, EndedRow, Row, syncRows } from "./rows.js";
import { alarms, arrange, countVerdicts, findCall, fitting, mainLeg, matches, verdictOf } from "./state.js";
import { linkText, shape, tagText, VERDICTS, verdictText } from "./words.js";

const ROWS_MAX = 200; // beyond this nobody reads; the filter finds the rest
const HELD_MS = 8000; // rows keep their places this long after the operator's last touch of the list
const SPOKEN_MAX = 3;

const WARNINGS = {
  degraded: "The service cannot reach its tag stream. Calls go on undisturbed; their tags may come late.",
  reconnecting: "No connection to the service. What stands below is the last that was heard.",
  locked: "The service wants its access token.",
};

export class View {
  constructor({ onSelect, onPress, onLook }) {
    this.onSelect = onSelect;
    this.rows = new Map();
    this.ended = new Map();
    this.order = [];
    this.touchedAt = -Infinity;
    this.detail = new Detail(byId("detail"), () => onSelect(null), { onPress, onLook });
    byId("alarm").addEventListener("click", () => onSelect(this.alarm));
    for (const id of ["rows", "ended"]) {
      byId(id).addEventListener("click", (event) => this.openFrom(event.target));
      for (const type of ["keydown", "pointermove", "focusin"]) byId(id).addEventListener(type, () => this.touch());
    }
  }

  touch() {
    this.touchedAt = performance.now();
  }

  openFrom(target) {
    const row = target.closest("[data-id]");
    if (!row) return;
    this.focusRow(row);
    this.onSelect(row.dataset.id);
  }

  /** Rows keep their places while the operator is among them. */
  get held() {
    const inList = byId("rows").contains(document.activeElement) || byId("rows").matches(":hover");
    return inList && performance.now() - this.touchedAt < HELD_MS;
  }

  show(state, now) {
    this.showLink(state);
    this.showCounts(state);
    this.showLive(state, now);
    this.showEnded(state, now);
    this.showDetail(state, now);
    this.showAlarm(state);
  }

  /** An alarm that stands nowhere on the screen, because of the detail or of other rows, is told in the header. */
  showAlarm(state) {
    const [newest, ...others] = alarms(state);
    const unseen = newest !== undefined && !inSight(this.rows.get(newest.id)?.element);
    const had = document.activeElement === byId("alarm");
    this.alarm = newest?.id ?? null;
    byId("alarm").hidden = !unseen;
    if (unseen) setText(byId("alarm-text"), `${verdictText("deepfake-likely")}: ${callerText(newest)}${others.length ? ` and ${others.length} more` : ""}`);
    else if (had) (byId("detail").hidden ? byId("live") : byId("detail")).focus();
  }

  showLink(state) {
    const link = state.link === "live" && state.degraded ? "degraded" : state.link;
    setAttribute(byId("link"), "data-link", link);
    setText(byId("link-text"), linkText(link));
    setText(byId("warning"), WARNINGS[link] ?? "");
    byId("warning").hidden = !WARNINGS[link];
  }

  showCounts(state) {
    const counts = countVerdicts(state.calls.values());
    const key = JSON.stringify([state.calls.size, counts]);
    if (key === this.countsKey) return;
    this.countsKey = key;
    const shown = VERDICTS.filter((verdict) => counts[verdict] || verdict === "deepfake-likely");
    setText(byId("total"), String(state.calls.size));
    byId("counts").hidden = !state.calls.size;
    byId("counts").replaceChildren(...shown.map((verdict) => h("div", { "data-verdict": verdict, class: counts[verdict] ? "some" : "none" },
      h("dt", {}, shape(verdict), verdictText(verdict)), h("dd", { class: "num" }, String(counts[verdict])))));
    const fakes = counts["deepfake-likely"];
    document.title = fakes ? `▲ ${fakes} Deepfake-likely · viva voce` : "viva voce";
  }

  showLive(state, now) {
    const found = [...state.calls.values()].filter((call) => matches(call, state.filter));
    const before = this.order;
    this.order = arrange(found, this.order, this.held);
    const ids = fitting(this.order, ROWS_MAX, state.calls);
    const heir = this.heirOf(before, ids);
    syncRows(byId("rows"), this.rows, ids, (id) => new Row(id));
    if (heir) this.focusRow(this.rows.get(heir).element);
    for (const id of ids) {
      this.rows.get(id).show(state.calls.get(id), now, state.thresholds);
      this.rows.get(id).mark(id === state.selected);
    }
    this.setTabStop();
    const hidden = found.length - ids.length;
    setText(byId("live-note"), hidden > 0 ? `the first ${ROWS_MAX} of ${found.length}; filter to find others` : "");
    byId("table").hidden = !ids.length;
    byId("empty").hidden = ids.length > 0;
    const filtered = state.calls.size > 0;
    setText(byId("empty-title"), filtered ? "No call matches the filter" : "No call on the line");
    byId("empty-text").hidden = filtered;
  }

  /** When the focused row leaves, the focus goes to the row that takes its place. */
  heirOf(before, ids) {
    const focused = document.activeElement?.closest?.("#rows [data-id]")?.dataset.id;
    if (!focused || ids.includes(focused)) return null;
    return before.slice(before.indexOf(focused)).find((id) => ids.includes(id)) ?? ids.at(-1) ?? null;
  }

  showEnded(state, now) {
    const calls = state.ended.filter((call) => matches(call, state.filter));
    syncRows(byId("ended"), this.ended, calls.map((call) => call.id), (id) => new EndedRow(id));
    for (const call of calls) {
      this.ended.get(call.id).show(call, now);
      this.ended.get(call.id).mark(call.id === state.selected);
    }
    byId("ended-section").hidden = !calls.length;
  }

  showDetail(state, now) {
    const call = state.selected === null ? null : findCall(state, state.selected);
    byId("split").classList.toggle("open", Boolean(call));
    this.detail.show(call ?? null, now, state.thresholds);
  }

  /** Tell screen readers of changes of tag and of proposals to examine, and of nothing else. */
  announce({ changed, proposed }) {
    const spoken = changed.map(({ call, leg, tag }) => ({
      urgent: tag.tag === "deepfake-likely",
      text: `${callerText(call)}${leg === "caller" ? "" : `, ${leg}`}: ${tagText(tag)}.`,
    }));
    speak(byId("alert"), spoken.filter((one) => one.urgent));
    const offers = proposed.map((call) => ({ text: `${callerText(call)}: a question to this caller is suggested.` }));
    speak(byId("announce"), [...spoken.filter((one) => !one.urgent), ...offers]);
  }

  /** The focus stays on the row, for the next one; what has opened beside it is said. */
  announceOpen(call) {
    speak(byId("announce"), [{ text: `The detail of ${callerText(call)} is open: ${verdictText(verdictOf(mainLeg(call)))}.` }]);
  }

  rowElements() {
    return [...byId("rows").children, ...byId("ended").children];
  }

  focusRow(element) {
    if (!element) return;
    element.focus({ preventScroll: true });
    element.scrollIntoView({ block: "nearest" });
    this.setTabStop();
  }

  /** Exactly one row is a tab stop: the focused one, else the last one that was, else the first. */
  setTabStop() {
    const rows = this.rowElements();
    const stop = rows.find((row) => row === document.activeElement) ?? rows.find((row) => row.tabIndex === 0) ?? rows[0];
    for (const row of rows) if (row.tabIndex !== (row === stop ? 0 : -1)) row.tabIndex = row === stop ? 0 : -1;
  }

  move(step) {
    const rows = this.rowElements();
    const at = rows.indexOf(document.activeElement);
    const from = at < 0 ? rows.findIndex((row) => row.hasAttribute("aria-current")) : at;
    if (from < 0) this.focusRow(rows[step > 0 ? 0 : rows.length - 1]);
    else this.focusRow(rows[Math.max(0, Math.min(rows.length - 1, from + step))]);
  }

  rowOf(id) {
    return this.rows.get(id)?.element ?? this.ended.get(id)?.element;
  }
}

function inSight(element) {
  if (!element) return false;
  const { top, bottom, height } = element.getBoundingClientRect();
  return height > 0 && bottom > 0 && top < innerHeight;
}

function speak(region, spoken) {
  if (!spoken.length) return;
  const more = spoken.length > SPOKEN_MAX ? [` And ${spoken.length - SPOKEN_MAX} more.`] : [];
  const text = [...spoken.slice(0, SPOKEN_MAX).map((one) => one.text), ...more].join(" ");
  // A region that repeats its text is not read again, so each announcement is a node of its own.
  region.replaceChildren(h("p", {}, text));
}

