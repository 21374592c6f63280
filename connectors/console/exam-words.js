// The examination in words: its states, what the operator may press, what was measured.
import { llrText } from "./words.js";

/** Key -> name, in order of the catalogue. */
export const CHALLENGES = {
  "static-mouth": "Static Mouth", "cup-mouth": "Cup Mouth", whisper: "Whisper", "speak-loudly": "Speak Loudly",
  "speak-softly": "Speak Softly", "read-quickly": "Read Quickly", "read-slowly": "Read Slowly", "hold-nose": "Hold Nose",
  "high-pitch": "High Pitch", "low-pitch": "Low Pitch", "foreign-words": "Foreign Words", accent: "Accent", sing: "Sing",
  emotions: "Emotions", question: "Question", "cough-whistle": "Cough / Whistle", clap: "Clap", crosstalk: "Crosstalk",
  "instrumental-playback": "Instrumental Playback", "lyric-playback": "Lyric Playback",
};

export const LANGUAGES = { en: "English", es: "Español", fr: "Français", de: "Deutsch" };

/** Action -> [what its button says, its key]. */
export const ACTIONS = {
  ask: ["Ask", "a"],
  answering: ["Caller is answering now", "n"],
  skip: ["Skip", "s"],
  repeat: ["Repeat", "r"],
  accept: ["Accept as a person", "p"],
  override: ["Set the tag by hand", "o"],
  stop: ["Stop examining", "x"],
};

const STATES = {
  idle: "Nothing has been asked.",
  proposed: "Suggested: ask this caller.",
  asked: "The caller is being asked.",
  answering: "The caller’s turn: listening to the answer.",
  judging: "The answer is being judged.",
  passed: "Passed: the answer speaks for a living voice.",
  failed: "Not passed: the answer speaks against a living voice.",
  unclear: "Unclear: the answer says nothing either way.",
  "no-answer": "No answer came in time, which counts for neither side.",
  skipped: "Skipped, which counts for neither side.",
  over: "Over: nothing more is asked on this call.",
};

const SHORT = {
  passed: "passed", failed: "not passed", unclear: "unclear", "no-answer": "no answer in time", skipped: "skipped", over: "over",
};

const MARKS = { proposed: "Examine?", asked: "Being asked", answering: "Answering", judging: "Judging" };

export const stateText = (state) => STATES[state] ?? `The service says “${state}”.`;
export const endText = (state) => SHORT[state] ?? state;

/** What a call's row says of its examination; "" where nobody has to look. */
export function markText(record) {
  if (record?.state === "asked" && record.spoken_by === "operator") return "Say the question";
  return MARKS[record?.state] ?? "";
}

/** Who is to speak the sentence, for the line above it. */
export function speakerText(record) {
  const operator = record.spoken_by === "operator";
  if (record.state === "proposed") return operator ? "You would say:" : "The caller would hear:";
  if (record.state === "asked") return operator ? "Please say this to the caller:" : "The service is playing this to the caller:";
  if (record.state === "answering") return "The caller was asked:";
  return "";
}

/** Who decided last, and why. */
export function decisionText({ by, who, why, state }) {
  if (!by || state === "idle") return "";
  if (by !== "operator") return `Decided by the service${WHYS[why] ? `: ${WHYS[why]}` : why ? `: ${why}` : ""}.`;
  return `Decided by ${who || "an operator"}${why ? `: “${why}”` : ""}.`;
}

const WHYS = {
  suspicious: "the call sounds suspicious",
  "after failed": "the last answer speaks against a living voice, and one answer is not enough",
  "after unclear": "the last answer said nothing either way",
  "after no-answer": "the last question was not answered in time",
  "after skipped": "the last question was skipped",
};

const sided = (value, low, middle, high) => (value <= -1 ? low : value >= 1 ? high : middle);
const SPAN = 3; // natural-log units at either end of a bar

/** A likelihood ratio on a bar of its own: the middle says nothing, the ends much. */
const evidence = (value) => ({ from: 0.5, to: 0.5 + Math.max(-SPAN, Math.min(SPAN, value)) / (2 * SPAN) });

/** What was measured of an answer: [{name, value (null: cannot tell), bar: {from, to} in 0..1, text}]. */
export function measures(record) {
  const { compliance, realism, baseline, identity } = record;
  const before = baseline === null ? "" : `; before the question ${llrText(baseline)}`;
  return [
    {
      name: "Task done", value: compliance, bar: { from: 0, to: compliance ?? 0 },
      text: compliance === null ? "cannot tell" : `${compliance < 0.35 ? "no" : compliance > 0.65 ? "yes" : "in part"}, ${Math.round(compliance * 100)} %`,
    },
    {
      name: "Sounds alive", value: realism, bar: evidence(realism ?? 0),
      text: realism === null ? "cannot tell" : `${sided(realism, "sounds synthetic", "undecided", "sounds alive")}, LLR ${llrText(realism)}${before}`,
    },
    {
      name: "Same voice", value: identity, bar: evidence(identity ?? 0),
      text: identity === null ? "cannot tell" : `${sided(identity, "another voice than before", "undecided", "the voice from before")}, LLR ${llrText(identity)}`,
    },
  ];
}

/** What the answer did to the call's score. */
export function effectText({ llr }) {
  if (llr === null) return "";
  if (Math.abs(llr) < 0.05) return "It leaves the call’s score as it was.";
  return `It moves the call’s score by ${llrText(llr)}, towards ${llr < 0 ? "synthetic" : "living"}.`;
}
