// The keyboard: j/k or arrows move, Enter opens, Esc closes, / filters, c calls; the examination's keys stand on its buttons.
// Letters can be switched off: whoever speaks to the computer would press them with words (WCAG 2.2, 2.1.4).
import { byId } from "./dom.js";
import { ACTIONS } from "./exam-words.js";
import { keep, kept } from "./kept.js";

const isField = (element) => element.matches?.("input:not([type=checkbox]), textarea, select");

const EXAMINE = Object.fromEntries(Object.entries(ACTIONS).map(([action, [, key]]) => [key, action]));

const LETTERS = "vivavoce-letters";

/** The box that switches letters on and off, as it was left; returns whether they are on. */
function bindLetters() {
  const box = byId("letters");
  const show = () => { document.documentElement.dataset.letters = box.checked ? "on" : "off"; };
  box.checked = kept(LETTERS) !== "off";
  box.addEventListener("change", () => {
    keep(LETTERS, box.checked ? "on" : "off");
    show();
  });
  show();
  return () => box.checked;
}

/** Keys act everywhere but in fields and dialogs, and never together with Ctrl, Alt or Meta. */
export function bindKeys({ view, select, selected, call, examine }) {
  const letters = bindLetters();
  const leaveFilter = () => {
    byId("filter").value = "";
    byId("filter").dispatchEvent(new Event("input"));
    byId("filter").blur();
  };
  const move = (step) => {
    view.move(step);
    const { id } = document.activeElement.dataset;
    if (selected() !== null && id) select(id); // an open detail follows
  };
  const actions = {
    j: () => move(1),
    ArrowDown: () => move(1),
    k: () => move(-1),
    ArrowUp: () => move(-1),
    "/": () => byId("filter").focus(),
    c: call,
    Escape: () => selected() !== null && select(null),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || byId("token-dialog").open) return;
    const { key, target } = event;
    if (isField(target)) {
      if (target.id !== "filter") return;
      if (key === "Escape") leaveFilter();
      if (key === "Enter" || key === "ArrowDown") view.move(1);
      return;
    }
    if (key === "Enter" && target.matches("[data-id]")) {
      event.preventDefault();
      select(target.dataset.id);
    } else if (key.length === 1 && !letters()) {
      return;
    } else if (key.startsWith("Arrow") && byId("detail").contains(target)) {
      return; // arrows scroll the detail
    } else if (EXAMINE[key]) {
      event.preventDefault();
      if (!event.repeat) examine(EXAMINE[key], document.activeElement.dataset.id); // a key held down asks once
    } else if (actions[key]) {
      event.preventDefault();
      actions[key]();
    }
  });
}
