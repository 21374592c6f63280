// One call in full: built once, then only its changing parts are filled.
import { drawChart } from "./chart.js";
import { h, setText, svg } from "./dom.js";
import { Examination } from "./examination.js";
import { ageOf, callerText } from "./rows.js";
import { isSame, isStale, mainLeg, verdictOf } from "./state.js";
import {
  clockText, duration, llrText, lossText, meaning, probabilityText, reasonText, secondsText, shape, sourceText, tagText, verdictText,
} from "./words.js";

const PROOF = "A tag is an estimate from sound, not proof. Never refuse or accuse a caller on a tag alone.";

const SOUND_ALONE = "Judged from the sound of the voice; nothing unusual was noted about the audio.";
const DECIDED = new Set(["deepfake-likely", "human-likely", "uncertain"]);

export class Detail {
  /**
   * @param root the aside @param onClose called by the close button @param onPress for the examination
   * @param onLook (call id, leg) when a leg comes into view
   */
  constructor(root, onClose, { onPress, onLook }) {
    this.root = root;
    this.onLook = onLook;
    this.looked = "";
    this.examination = new Examination(onPress);
    this.legKey = null;
    this.caller = h("h2", { class: "detail-caller", dir: "auto" });
    this.id = h("p", { class: "sub mono" });
    this.legs = h("div", { class: "legs", role: "group", "aria-label": "Side of the call" });
    this.verdict = h("section", { class: "verdict", "aria-label": "Tag" });
    this.chart = svg("svg", { viewBox: "0 0 460 170", class: "chart", role: "img" });
    this.reasons = h("ul", { class: "reasons" });
    this.facts = h("dl", { class: "facts" });
    this.told = h("dl", { class: "facts" });
    this.history = h("ol", { class: "history" });
    this.raw = h("pre", { class: "raw mono", tabindex: 0, "aria-label": "Raw tag" });
    this.copied = h("span", { class: "copied", role: "status" });
    root.append(...this.frame(onClose));
  }

  frame(onClose) {
    const close = h("button", { type: "button", class: "quiet close", "aria-label": "Close the detail", on: { click: onClose } }, "Close ", h("kbd", {}, "Esc"));
    const copy = h("button", { type: "button", class: "quiet", on: { click: () => this.copy() } }, "Copy JSON");
    return [
      h("div", { class: "detail-head" }, h("div", {}, this.caller, this.id), close),
      this.legs,
      this.verdict,
      this.examination.element,
      section("Score over time", this.chart),
      section("Why", this.reasons),
      section("This call", this.facts),
      this.toldSection = section("Said by the line", this.told),
      section("Changes of tag", this.history),
      h("p", { class: "proof-note" }, PROOF),
      h("div", { class: "raw-head" }, copy, this.copied),
      h("details", {}, h("summary", {}, "Raw tag"), this.raw),
    ];
  }

  show(call, now, thresholds) {
    this.root.hidden = !call;
    if (!call) {
      this.call = null;
      this.looked = "";
      return;
    }
    if (!isSame(this.call, call)) Object.assign(this, { legKey: null, rawOf: "" });
    const leg = call.legs[this.legKey] ?? mainLeg(call);
    if (call !== this.call || leg !== this.leg || thresholds !== this.thresholds) {
      Object.assign(this, { call, leg, thresholds });
      this.showCall(call, leg);
    }
    this.showRaw(call, leg);
    this.showTime(call, leg, now);
    this.showExamination(call, leg, now);
  }

  /** The record as it came. While somebody has marked it to copy it, a newer one of the same leg waits. */
  showRaw(call, leg) {
    const of = JSON.stringify([call.id, call.startedAt, leg?.tag.leg]);
    const marked = getSelection();
    if (of === this.rawOf && !marked.isCollapsed && marked.containsNode(this.raw, true)) return;
    this.rawOf = of;
    const raw = leg ? JSON.stringify(leg.tag, null, 2).replace(UNSEEN, escaped) : "";
    if (raw !== this.raw.textContent) setText(this.copied, ""); // what was copied is another tag
    setText(this.raw, raw);
  }

  showExamination(call, leg, now) {
    const key = leg?.tag.leg || "caller";
    this.examination.show(call, key, leg, now);
    const looked = JSON.stringify([call.id, call.startedAt, key]);
    if (!call.live || !leg || looked === this.looked) return;
    this.looked = looked; // what the tags told may be old, and whether a leg can be examined they do not tell
    this.onLook(call.id, key);
  }

  showCall(call, leg) {
    setText(this.caller, callerText(call));
    setText(this.id, call.id);
    this.showLegs(call, leg);
    const tag = leg?.tag;
    this.root.dataset.verdict = verdictOf(leg);
    this.stale = h("p", { class: "stale-mark" });
    this.verdict.replaceChildren(
      h("div", { class: "verdict-word" }, shape(verdictOf(leg)), h("span", {}, tag ? tagText(tag) : "Listening")),
      h("p", { class: "probability" }, sentence(probabilityText(tag?.probability))),
      h("p", { class: "meaning" }, meaning(verdictOf(leg))),
      this.stale,
    );
    drawChart(this.chart, leg, this.thresholds);
    this.showReasons(tag);
    this.showFacts(call, tag);
    this.history.replaceChildren(...(leg?.changes ?? []).toReversed().map(changeItem));
  }

  showLegs(call, shown) {
    const entries = Object.entries(call.legs);
    this.legs.hidden = entries.length < 2;
    const had = this.legs.contains(document.activeElement) ? document.activeElement.dataset.leg : null;
    this.legs.replaceChildren(...entries.map(([key, leg]) => h("button", {
      type: "button", "data-leg": key, "data-verdict": verdictOf(leg), "aria-pressed": String(leg === shown),
      on: { click: () => this.pickLeg(key) },
    }, shape(verdictOf(leg)), `${key}: ${tagText(leg.tag)}`)));
    if (had) this.legs.querySelector(`[data-leg="${CSS.escape(had)}"]`)?.focus();
  }

  pickLeg(key) {
    this.legKey = key;
    this.leg = this.call.legs[key];
    this.showCall(this.call, this.leg);
    this.showRaw(this.call, this.leg);
    this.showExamination(this.call, this.leg, Date.now() / 1000);
  }

  showReasons(tag) {
    const sentences = (tag?.reasons ?? []).map(reasonText);
    if (tag?.lossy && !tag.reasons?.includes("lossy-audio")) sentences.push(reasonText("lossy-audio"));
    if (!sentences.length) sentences.push(DECIDED.has(tag?.tag) ? SOUND_ALONE : "No particular reason was given.");
    this.reasons.replaceChildren(...sentences.map((text) => h("li", {}, text)));
  }

  showFacts(call, tag) {
    this.time = h("dd");
    const rows = [
      ["Net speech", secondsText(tag?.net_speech_s)], ["Audio heard", secondsText(tag?.audio_s)], ["Packets lost", lossText(tag?.loss)],
      ["Score (LLR)", llrText(tag?.llr)], ["Time", this.time], ["From", sourceText(call.source)], ["Model", tag?.model || "–"],
    ];
    this.facts.replaceChildren(...rows.map(fact));
    const told = [...named(call.metadata), ...named(call.pii).filter(([name]) => name !== "Caller")]; // no fact of ours, whatever its name
    this.told.replaceChildren(...told.map(fact));
    this.toldSection.hidden = !told.length;
  }

  showTime(call, leg, now) {
    const stale = call.live && isStale(leg, now);
    this.root.classList.toggle("stale", stale);
    this.root.classList.toggle("over", !call.live);
    const text = call.live ? `No update for ${duration(now - (leg?.updatedAt ?? now))}: this tag is not live.` : `The call ended at ${clockText(call.endedAt)}.`;
    setText(this.stale, stale || !call.live ? text : "");
    setText(this.time, duration(ageOf(call, now)));
  }

  async copy() {
    try {
      await navigator.clipboard.writeText(this.raw.textContent);
      setText(this.copied, "Copied");
    } catch { // no permission, or not a secure page: let the operator copy by hand
      this.raw.parentElement.open = true;
      getSelection().selectAllChildren(this.raw);
      setText(this.copied, "Selected below: copy it with the keyboard");
    }
  }
}

const UNSEEN = /[\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g; // in the record they are shown as what they are
const escaped = (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`;
const fact = ([name, value]) => h("div", {}, h("dt", { dir: "auto" }, name), value instanceof Node ? value : h("dd", { dir: "auto" }, value));
const section = (title, ...children) => h("section", {}, h("h3", {}, title), ...children);
const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);
const named = (pairs) => Object.entries(pairs).map(([name, value]) => [sentence(name), String(value)]);

function changeItem(change) {
  return h("li", { "data-verdict": change.tag },
    h("span", { class: "media num" }, duration(change.media)),
    h("span", { class: "what" }, shape(change.tag), change.text || verdictText(change.tag)),
    h("span", { class: "sub num" }, Number.isFinite(change.llr) ? `LLR ${llrText(change.llr)}` : ""),
    h("time", { class: "sub num" }, clockText(change.wall)));
}
