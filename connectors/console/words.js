// What the page says: verdicts, reasons, sources and errors as words a listener understands.
import { svg } from "./dom.js";

/** Order of attention: what stands first is looked at first. */
export const VERDICTS = ["deepfake-likely", "uncertain", "unknown", "listening", "no-speech", "human-likely"];

const TEXT = {
  "deepfake-likely": "Deepfake-likely",
  "human-likely": "Human-likely",
  uncertain: "Uncertain",
  listening: "Listening",
  "no-speech": "No speech",
  unknown: "Unknown",
};

const MEANING = {
  "deepfake-likely": "This voice sounds more like synthetic speech than like a living speaker. Check who is calling by a way you already trust.",
  "human-likely": "This voice sounds like a living speaker. It says nothing about who is speaking.",
  uncertain: "The sound does not decide between a living and a synthetic voice.",
  listening: "Too little speech so far for an answer.",
  "no-speech": "There is audio on the line, but nobody is speaking.",
  unknown: "No answer: the call could not be judged. This is not a sign that the caller is human.",
};

const REASONS = {
  "too-little-speech": "Less speech has been heard than an answer needs.",
  "no-audio": "No audio is arriving from this side of the call.",
  "foreign-audio": "Audio does arrive at this call's port, but from another sender: the call may have been moved, or its source was named wrongly.",
  "no-speech": "Audio arrives, but no speech has been found in it for a while.",
  "model-error": "The detector failed on this call's audio; the call itself was not touched.",
  overload: "The service was too busy to judge some of the audio of this call.",
  "lossy-audio": "Many packets were lost, so the score rests on damaged audio.",
  "source-changed": "Another stream of sound took the place of the first, as after a transfer: too little of it has been heard yet.",
  "mean-disagrees": "Compared with known voices of people and of machines, the sound supports this tag less than usual: trust it less.",
  "unfamiliar-sound": "This sounds unlike the people and the synthetic voices that the detector knows; its score may be off.",
  "rtp-timeout": "The sender's packets stopped arriving, and the call was closed.",
  closed: "The call was ended by the caller or by request.",
  "call-limit": "The service had reached its limit of calls.",
  drained: "The service was shutting down and closed the call in order.",
  error: "An internal fault of the service ended the screening of this call.",
  "end-of-file": "The recording has been played to its end.",
  "non-compliance": "Asked to do something with the voice, the caller did not do it. Shyness, an illness or a bad line do that too.",
  distortion: "The answer to the question sounds synthetic.",
  "identity-drift": "The voice of the answer is not the voice from before the question.",
  "another-task": "The caller did another task than was asked, as a recording made beforehand would.",
  late: "The caller did not begin to answer in time. This counts for neither side.",
  refused: "A question was skipped or declined. This counts for neither side.",
  "line-limited": "This line takes away what the answer would be judged by.",
  "cannot-tell": "The answer was too short, too noisy or too broken to be measured.",
  "prompt-failed": "The question was not played to its end.",
  "judge-failed": "An internal fault of the service kept the answer from being judged.",
  "audio-stopped": "The call or its audio ended during a question.",
  "operator-accepted": "The operator took the caller for a person.",
  "operator-override": "The operator set this tag by hand.",
  "service-lost": "This page missed the end of the call while it was not connected.",
};

const SOURCES = { rtp: "RTP", webrtc: "Browser", recording: "Recording", capture: "Capture", microphone: "Microphone" };

const LINKS = {
  connecting: "Connecting",
  live: "Live",
  reconnecting: "Reconnecting",
  degraded: "Degraded",
  locked: "Token needed",
};

// Shape tells the verdicts apart without colour: triangle, disc, diamond, ring, bar, broken square.
const SHAPES = {
  "deepfake-likely": () => [
    svg("path", { d: "M8 1.6 15 14.2H1z", class: "solid" }),
    svg("path", { d: "M8 6.2v3.9M8 11.7v.9", class: "cut" }),
  ],
  "human-likely": () => [svg("circle", { cx: 8, cy: 8, r: 5.8, class: "solid" })],
  uncertain: () => [svg("path", { d: "M8 1.6 14.4 8 8 14.4 1.6 8z", class: "line" }), svg("path", { d: "M8 1.6 8 14.4 1.6 8z", class: "solid" })],
  listening: () => [
    svg("circle", { cx: 8, cy: 8, r: 5.6, class: "line faint" }),
    svg("path", { d: "M8 2.4A5.6 5.6 0 0 1 13.6 8", class: "line turn" }),
  ],
  "no-speech": () => [svg("path", { d: "M3 8h10", class: "line" })],
  unknown: () => [svg("rect", { x: 2.4, y: 2.4, width: 11.2, height: 11.2, rx: 1.5, class: "line dashed" })],
};

export const tagText = (tag) => (tag ? tag.text || TEXT[tag.tag] || String(tag.tag) : "Listening");
export const verdictText = (verdict) => TEXT[verdict] ?? String(verdict);
export const meaning = (verdict) => MEANING[verdict] ?? "This verdict is newer than this page.";
export const reasonText = (code) => REASONS[code] ?? `The service gave the reason “${code}”.`;
export const reasonCodes = () => Object.keys(REASONS);
export const sourceText = (source) => SOURCES[source] ?? (source || "not given");
export const linkText = (link) => LINKS[link] ?? link;

/** The verdict's shape as a 16 x 16 drawing; it says nothing to a screen reader, the word beside it does. */
export function shape(verdict) {
  const marks = (SHAPES[verdict] ?? SHAPES.unknown)();
  return svg("svg", { viewBox: "0 0 16 16", class: "shape", "aria-hidden": "true" }, ...marks);
}

/** "estimated probability that this voice is synthetic: 93 %"; never 0 or 100, which no estimate is. */
export function probabilityText(probability) {
  const share = percent(probability);
  return share === null ? "no estimate yet that this voice is synthetic" : `estimated probability that this voice is synthetic: ${share}`;
}

export function percent(probability) {
  if (!Number.isFinite(probability)) return null;
  if (probability > 0.99) return "> 99 %";
  if (probability < 0.01) return "< 1 %";
  return `${Math.round(probability * 100)} %`;
}

export const llrText = (llr) => (Number.isFinite(llr) ? `${llr < 0 ? "−" : "+"}${Math.abs(llr).toFixed(1)}` : "–");
export const lossText = (loss) => (Number.isFinite(loss) ? `${(loss * 100).toFixed(loss > 0 && loss < 0.0995 ? 1 : 0)} %` : "–");
export const secondsText = (seconds) => (Number.isFinite(seconds) ? `${seconds.toFixed(seconds < 9.95 ? 1 : 0)} s` : "–");

export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds || 0));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (number) => String(number).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

export const clockText = (wall) => (wall > 0 ? new Date(wall * 1000).toLocaleTimeString([], { hour12: false }) : "");
