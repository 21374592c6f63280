// What this browser sends in: a microphone call, recordings. Each is a strip above the calls.
import { uploadRecording } from "./api.js";
import { byId, h, setText } from "./dom.js";
import { duration } from "./words.js";
import { placeCall } from "./whip.js";

const STAY_MS = 8000; // a finished strip stays this long, an error until it is dismissed

function addStrip(name) {
  const text = h("span", { class: "strip-text", role: "status" });
  const clock = h("span", { class: "strip-clock num" }); // not in the status: a clock read aloud every second is noise
  const bar = h("span", { class: "bar" }, h("span"));
  const close = h("button", { type: "button", class: "quiet" }, "Dismiss");
  const element = h("div", { class: "strip" }, h("span", { class: "strip-name" }, name), bar, h("span", {}, text, clock), close);
  const root = byId("intake");
  root.append(element);
  root.hidden = false;
  const remove = () => {
    element.remove();
    root.hidden = !root.children.length;
  };
  close.addEventListener("click", remove);
  return { element, text, clock, bar, close, remove };
}

function fillBar(bar, share) {
  bar.firstChild.style.transform = `scaleX(${share.toFixed(3)})`;
  bar.setAttribute("aria-valuenow", String(Math.round(share * 100)));
}

function showFailure(strip, error) {
  strip.element.classList.add("failed");
  setText(strip.text, error.message);
}

/** Send each file; `onRefused(error)` hears of a 401. */
export async function sendFiles(files, onRefused) {
  for (const file of files) await sendFile(file, onRefused);
}

async function sendFile(file, onRefused) {
  const strip = addStrip(file.name);
  strip.bar.setAttribute("role", "progressbar");
  strip.bar.setAttribute("aria-label", `Sending ${file.name}`);
  if (!file.size) {
    showFailure(strip, new Error("This file is empty."));
    return;
  }
  setText(strip.text, "Sending");
  try {
    await uploadRecording(file, (share) => {
      fillBar(strip.bar, share);
      setText(strip.text, share < 1 ? "Sending" : "Sent; the service is reading it");
    });
    fillBar(strip.bar, 1);
    strip.element.classList.add("done");
    setText(strip.text, "Playing as a live call, below");
    setTimeout(strip.remove, STAY_MS);
  } catch (error) {
    showFailure(strip, error);
    onRefused(error);
  }
}

/** The one microphone call of this page. */
export class BrowserCall {
  constructor(button, onRefused) {
    Object.assign(this, { button, onRefused, strip: null, call: null });
    addEventListener("pagehide", () => this.call?.hangUp());
  }

  /** Place the call; while there is one, only lead the focus to its hang-up button. */
  async start() {
    if (this.strip && !this.over) {
      this.strip.close.focus();
      return;
    }
    this.strip?.remove();
    this.over = false;
    this.openStrip();
    try {
      this.call = await placeCall({
        onState: (state, sentence) => this.showState(state, sentence),
        onLevel: (level) => fillBar(this.strip.bar, level),
        prompt: byId("prompt-audio"),
      });
      if (this.wantsEnd) this.call.hangUp();
    } catch (error) {
      this.finish();
      showFailure(this.strip, error);
      this.onRefused(error);
    }
  }

  openStrip() {
    this.wantsEnd = false;
    const strip = addStrip("This browser");
    strip.element.classList.add("call");
    strip.bar.setAttribute("role", "meter");
    strip.bar.setAttribute("aria-label", "Microphone level");
    strip.close.replaceWith((strip.close = h("button", { type: "button", class: "hang-up", on: { click: () => this.hangUp() } }, "Hang up")));
    this.button.disabled = true;
    this.strip = strip;
  }

  hangUp() {
    this.wantsEnd = true;
    this.call?.hangUp();
  }

  showState(state, sentence) {
    this.strip.element.dataset.state = state;
    if (state === "live" && !this.clock) {
      const began = Date.now();
      this.clock = setInterval(() => setText(this.strip.clock, ` · ${duration((Date.now() - began) / 1000)}`), 1000);
    }
    setText(this.strip.text, sentence);
    if (state === "ended") this.finish();
  }

  finish() {
    clearInterval(this.clock);
    const { strip } = this;
    Object.assign(this, { clock: null, call: null, over: true });
    fillBar(strip.bar, 0);
    strip.element.classList.add("done");
    strip.close.replaceWith((strip.close = h("button", { type: "button", class: "quiet", on: { click: strip.remove } }, "Dismiss")));
    this.button.disabled = false;
    setTimeout(() => strip.element.classList.contains("failed") || strip.remove(), STAY_MS);
  }
}

/** Files dropped anywhere on the page, or chosen by a button. */
export function acceptFiles(onFiles) {
  const veil = byId("veil");
  const input = byId("file");
  let depth = 0;
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  const enter = (step) => (event) => {
    if (!hasFiles(event)) return;
    depth += step;
    veil.hidden = depth <= 0;
  };
  document.addEventListener("dragenter", enter(1));
  document.addEventListener("dragleave", enter(-1));
  document.addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
  document.addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    depth = 0;
    veil.hidden = true;
    onFiles([...event.dataTransfer.files]);
  });
  for (const id of ["pick", "drop"]) byId(id).addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    onFiles([...input.files]);
    input.value = ""; // the same file may be chosen again
  });
}
