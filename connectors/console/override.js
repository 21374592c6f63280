// Setting the tag by hand: three verdicts and a reason, sent only when it is meant.
import { h } from "./dom.js";
import { shape, verdictText } from "./words.js";

const VERDICTS = ["human-likely", "deepfake-likely", "uncertain"];
const CAUTION = "Operators who overrule the tag are wrong more often than right: say what you know that the sound does not tell.";

export class OverrideForm {
  /** @param onSend (verdict, reason) */
  constructor(onSend) {
    this.radios = VERDICTS.map((verdict) => h("input", { type: "radio", name: "exam-verdict", value: verdict, required: true }));
    this.why = h("textarea", { id: "exam-why", rows: 2, maxlength: 400 });
    const choices = this.radios.map((radio) => h("label", { "data-verdict": radio.value }, radio, shape(radio.value), verdictText(radio.value)));
    const cancel = h("button", { type: "button", class: "quiet", on: { click: () => this.toggle() } }, "Cancel");
    this.element = h("form", { class: "exam-override", hidden: true, on: { submit: (event) => this.submit(event, onSend), keydown: (event) => this.leave(event) } },
      h("fieldset", {}, h("legend", {}, "The tag shall be"), ...choices),
      h("label", { for: "exam-why" }, "Why"), this.why,
      h("p", { class: "sub" }, CAUTION),
      h("div", { class: "exam-keys" }, h("button", { type: "submit", class: "strong" }, "Set the tag"), cancel));
  }

  submit(event, onSend) {
    event.preventDefault();
    const chosen = this.radios.find((radio) => radio.checked);
    if (chosen) onSend(chosen.value, this.why.value.trim());
  }

  get typed() {
    return this.element.hidden ? "" : this.why.value.trim();
  }

  /** Escape leaves the form, not the call. */
  leave(event) {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    this.toggle();
  }

  toggle(seen) {
    if (this.element.hidden) this.open(seen);
    else this.close();
  }

  /** @param seen how many decisions of operators are known to whoever fills it in */
  open(seen) {
    this.seen = seen;
    this.element.hidden = false;
    this.radios[0].focus();
  }

  close() {
    const left = this.element.contains(document.activeElement);
    this.element.hidden = true;
    if (left) this.element.parentElement.querySelector("[data-action=override]")?.focus();
    this.element.reset();
  }
}
