// The examination of one leg: what is asked, what the operator can press, what came of it. Built once, then filled.
import { lastResult, obstacles, secondsLeft, stateOf } from "./exam-state.js";
import { ACTIONS, CHALLENGES, decisionText, effectText, endText, LANGUAGES, measures, speakerText, stateText } from "./exam-words.js";
import { h, setAttribute, setText, svg } from "./dom.js";
import { keep, kept } from "./kept.js";
import { OverrideForm } from "./override.js";
import { isSame } from "./state.js";
import { reasonText, verdictText } from "./words.js";

const NAME = "vivavoce-operator"; // of the operator, in this browser only
const FINAL = new Set(["accept", "override", "stop"]); // their keys only put the focus there: Enter confirms
const OF_ONE_QUESTION = new Set(["answering", "skip", "repeat"]); // refused if another operator has gone on to the next

export class Examination {
  /** @param onPress (call id, leg, body) -> promise of "" or of the sentence with which it was refused */
  constructor(onPress) {
    this.onPress = onPress;
    this.call = null;
    this.sending = new Set(); // calls and legs whose last decision the service has not answered yet
    this.shown = {};
    this.state = h("p", { class: "exam-state" });
    this.speaker = h("p", { class: "exam-speaker" });
    this.sentence = h("p", { class: "exam-sentence" });
    this.clock = h("p", { class: "exam-clock num", role: "timer" });
    this.challenge = select("Challenge", [["", "As suggested"], ...Object.entries(CHALLENGES)]);
    this.language = select("Language", [["", "As set"], ...Object.entries(LANGUAGES)]);
    this.buttons = Object.fromEntries(Object.keys(ACTIONS).map((action) => [action, this.button(action)]));
    this.override = new OverrideForm((verdict, why) => this.send("override", { verdict, why, decisions: this.override.seen }));
    this.message = h("p", { class: "exam-message", role: "alert" });
    this.result = h("div", { class: "exam-result" });
    this.decision = h("p", { class: "sub exam-decision" });
    this.history = h("ol", { class: "exam-history" });
    this.who = h("input", { id: "exam-who", maxlength: 80, autocomplete: "name", spellcheck: "false", placeholder: "optional" });
    this.who.value = kept(NAME);
    this.who.addEventListener("change", () => keep(NAME, this.who.value.trim()));
    this.element = h("section", { class: "exam", "aria-label": "Examination" }, ...this.frame());
  }

  frame() {
    const { ask, answering, ...others } = this.buttons;
    this.controls = h("div", { class: "exam-controls" },
      h("div", { class: "exam-ask" }, ask, this.challenge, this.language),
      answering,
      h("div", { class: "exam-keys", role: "group", "aria-label": "Decide" }, ...Object.values(others)),
      this.override.element);
    this.name = h("label", { class: "exam-who", for: "exam-who" }, "Your name, published with what you decide ", this.who);
    return [
      h("h3", {}, "Examination"), h("div", { role: "status" }, this.state, this.speaker, this.sentence), this.clock, this.controls, this.message,
      this.result, this.decision, this.history, this.name,
    ];
  }

  button(action) {
    const [label, key] = ACTIONS[action];
    const press = (event) => {
      if (event.detail > 1) return undefined; // the second click of a double one is not meant for what stands there by now
      return action === "override" && !this.obstacles.override ? this.override.toggle(this.decisions) : this.press(action);
    };
    return h("button", { type: "button", class: "quiet", "data-action": action, on: { click: press } }, `${label} `, h("kbd", { "aria-hidden": "true" }, key));
  }

  get decisions() {
    return this.exam?.record?.decisions ?? 0;
  }

  show(call, key, leg, now) {
    const other = !isSame(call, this.call) || key !== this.legKey;
    Object.assign(this, { call, legKey: key, exam: leg?.exam ?? null });
    if (other) this.reset();
    const live = call.live && !leg?.ended;
    if (other || this.shown.exam !== this.exam || this.shown.live !== live || this.shown.tag !== leg?.tag.tag) {
      this.shown = { exam: this.exam, live, tag: leg?.tag.tag };
      this.fill(live, leg?.tag.tag);
    }
    const left = live ? secondsLeft(this.exam, now) : null;
    this.clock.hidden = left === null;
    setText(this.clock, left === null ? "" : left ? `${Math.ceil(left)} s left` : "The time is up.");
  }

  /** Another leg: nothing half-typed or half-said may pass over to it. */
  reset() {
    setText(this.message, "");
    this.challenge.lastChild.value = "";
    this.language.lastChild.value = "";
    this.override.close();
  }

  fill(live, tag) {
    const { exam } = this;
    const record = exam?.record;
    const state = stateOf(exam);
    const off = Boolean(exam?.refusal) && !record;
    const focused = this.element.contains(document.activeElement) ? document.activeElement : null;
    this.element.hidden = !live && !record;
    setAttribute(this.element, "data-state", state);
    setText(this.state, exam?.refusal ? sentence(exam.refusal) : stateText(state));
    const speaker = live && record ? speakerText(record) : "";
    for (const [element, text] of [[this.speaker, speaker], [this.sentence, speaker ? record.sentence : ""]]) {
      setText(element, text);
      element.hidden = !text;
    }
    setAttribute(this.sentence, "lang", record?.language || null);
    this.controls.hidden = this.name.hidden = !live || off;
    this.showButtons(obstacles(exam, live), record);
    this.showResult(record, tag);
    if (focused && !focused.getClientRects().length) this.element.closest("aside").querySelector(".close").focus(); // what it was on has gone
  }

  showButtons(why, record) {
    if (this.hint && !why[this.hint]) this.say(""); // what stood in the way is gone
    this.obstacles = why;
    for (const [action, button] of Object.entries(this.buttons)) {
      setAttribute(button, "aria-disabled", why[action] ? "true" : null);
      setAttribute(button, "title", why[action] || null);
    }
    const speaks = record?.state === "asked" && record.spoken_by === "operator";
    const strong = speaks ? "answering" : why.ask ? "" : "ask";
    for (const action of ["ask", "answering"]) this.buttons[action].className = action === strong ? "strong" : "quiet";
    this.buttons.answering.classList.toggle("wanted", speaks);
    if (why.override) this.giveUp(why.override);
  }

  /** The form can no longer be sent: what was typed is not thrown away with it. */
  giveUp(why) {
    const typed = this.override.typed;
    this.override.close();
    if (typed) this.say(`${why} Not sent: “${typed}”`);
  }

  showResult(record, tag) {
    const found = lastResult(this.exam);
    const title = found ? `Question ${found.attempt || 1}, ${found.name || found.challenge}: ${endText(found.state)}` : "";
    const reasons = (found ?? record)?.reasons ?? [];
    this.result.replaceChildren(
      ...(found ? [h("p", { class: "exam-title" }, title), ...measures(found).map(meter), h("p", { class: "sub" }, effectText(found))] : []),
      ...(reasons.length ? [h("ul", { class: "reasons" }, ...reasons.map((code) => h("li", {}, reasonText(code))))] : []),
      ...(found || record?.state === "over" ? [h("p", { class: "exam-tag" }, tagText(this.exam.before, tag))] : []),
    );
    setText(this.decision, record ? decisionText(record) : "");
    const earlier = (this.exam?.results ?? []).filter((one) => one.attempt !== found?.attempt || one.challenge !== found?.challenge);
    this.history.replaceChildren(...earlier.map((one) => h("li", {}, `Question ${one.attempt || 1}, ${one.name || one.challenge}: ${endText(one.state)}`)));
  }

  /** A key of the keyboard: what ends the examination is only put under the finger. */
  pressKey(action) {
    if (!FINAL.has(action) || this.obstacles[action]) return this.press(action);
    if (action === "override") return this.override.open(this.decisions);
    this.buttons[action].focus();
    return this.say(`${ACTIONS[action][0]}: press Enter to confirm`);
  }

  press(action) {
    if (this.obstacles[action]) {
      this.say(this.obstacles[action]);
      this.hint = action;
      return undefined;
    }
    if (OF_ONE_QUESTION.has(action)) return this.send(action, { challenge: this.exam.record.challenge });
    const wishes = { challenge: this.challenge.lastChild.value, language: this.language.lastChild.value };
    return this.send(action, action === "ask" ? wishes : {});
  }

  /** One decision at a time about a leg: the next waits until the service has answered this one. */
  async send(action, words) {
    const { call, legKey } = this;
    const about = JSON.stringify([call.id, call.startedAt, legKey]);
    if (this.sending.has(about)) {
      this.say("The last decision is still on its way to the service.");
      return;
    }
    this.sending.add(about);
    this.say("");
    const given = Object.entries({ ...words, who: this.who.value.trim() }).filter(([, value]) => value || value === 0);
    const failure = await this.onPress(call.id, legKey, { action, ...Object.fromEntries(given) });
    this.sending.delete(about);
    if (!isSame(this.call, call) || this.legKey !== legKey) return;
    if (failure) this.say(failure);
    if (failure && action === "override") this.override.seen = this.decisions; // told now: the next press is a knowing one
    else if (action === "override") this.override.close();
    if (!failure && action === "ask") this.challenge.lastChild.value = "";
  }

  say(text) {
    this.hint = null;
    setText(this.message, text && sentence(text));
  }
}

const sentence = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?…]$/.test(text) ? "" : "."}`;

function select(label, options) {
  const field = h("select", {}, ...options.map(([value, text]) => h("option", { value }, text)));
  return h("label", { class: "exam-select" }, h("span", { class: "sub" }, label), field);
}

function tagText(before, tag) {
  if (!before || !tag) return "";
  if (before === tag) return `The tag was ${verdictText(tag)} before the first question, and still is.`;
  return `The tag was ${verdictText(before)} before the first question; now it is ${verdictText(tag)}.`;
}

/** One measure as words and a bar; the bar only repeats the words. */
function meter({ name, value, bar, text }) {
  const [left, right] = [Math.min(bar.from, bar.to), Math.max(bar.from, bar.to)].map((share) => share * 100);
  const drawing = svg("svg", { viewBox: "0 0 100 8", class: "meter", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { class: "meter-ground", x: 0, y: 2, width: 100, height: 4 }),
    value === null ? null : svg("rect", { class: "meter-fill", x: left, y: 1, width: Math.max(1, right - left), height: 6 }),
    bar.from ? svg("path", { class: "meter-middle", d: "M50 0v8" }) : null);
  return h("div", { class: "exam-measure" }, h("span", { class: "exam-name" }, name), drawing, h("span", { class: "exam-value num" }, text));
}
