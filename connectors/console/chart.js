// The score over time as SVG: up is human-like, down is synthetic. Small for a row, large for the detail.
import { svg } from "./dom.js";
import { duration, llrText } from "./words.js";

const WINDOW_S = 60;

/** Path data of a series; points are joined, a lone point becomes a dot-sized stroke. */
function pathOf(points) {
  if (points.length === 1) return `M${points[0]}h.01`;
  return points.map((point, index) => `${index ? "L" : "M"}${point}`).join("");
}

/** Symmetric range that holds the thresholds with room, and in the large chart the whole line. */
function rangeOf(series, thresholds, grow) {
  const edges = thresholds ? [thresholds.deepfake_llr, thresholds.human_llr].map((edge) => Math.abs(edge) * 1.8) : [];
  const line = grow ? series.map((point) => Math.abs(point.llr) * 1.08) : [];
  return Math.max(grow ? 4 : 6, ...edges, ...line);
}

function scales({ from, to, range, box }) {
  const x = (t) => box.left + ((t - from) / Math.max(1e-6, to - from)) * (box.right - box.left);
  const y = (llr) => box.top + (1 - (Math.max(-range, Math.min(range, llr)) + range) / (2 * range)) * (box.bottom - box.top);
  return { x, y, point: ({ t, llr }) => `${x(t).toFixed(1)} ${y(llr).toFixed(1)}` };
}

function bands(box, y, thresholds) {
  if (!thresholds) return [];
  const { deepfake_llr: low, human_llr: high } = thresholds;
  const width = box.right - box.left;
  return [
    svg("rect", { class: "band human", x: box.left, width, y: box.top, height: Math.max(0, y(high) - box.top) }),
    svg("rect", { class: "band fake", x: box.left, width, y: y(low), height: Math.max(0, box.bottom - y(low)) }),
  ];
}

/** The row's line: the last minute, drawn from the left while the call is younger than that. */
export function drawSparkline(root, series, thresholds) {
  const cell = { left: 0, right: 150, top: 1, bottom: 31 };
  const box = { ...cell, right: 147 }; // room for the round tip
  const to = Math.max(WINDOW_S, series.at(-1)?.t ?? 0);
  const shown = series.filter((point) => point.t >= to - WINDOW_S);
  const { x, y, point } = scales({ from: to - WINDOW_S, to, range: rangeOf(shown, thresholds, false), box });
  const marks = [...bands(cell, y, thresholds), svg("line", { class: "zero", x1: cell.left, x2: cell.right, y1: y(0), y2: y(0) })];
  if (shown.length) {
    const last = shown.at(-1);
    marks.push(svg("path", { class: "trace", d: pathOf(shown.map(point)) }));
    // The drawing is stretched to its cell; a stroke is not, so a stroke of no length stays a round dot.
    marks.push(svg("path", { class: "tip", d: `M${x(last.t)} ${y(last.llr)}h.01` }));
  }
  root.replaceChildren(...marks);
}

const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600];

/** The detail's chart: the whole call with axes, bands with their names, and a mark at each change of tag. */
export function drawChart(root, leg, thresholds) {
  const series = leg?.series ?? [];
  const box = { left: 34, right: 452, top: 10, bottom: 150 };
  const to = Math.max(20, series.at(-1)?.t ?? 0, leg?.tag.media_time_s ?? 0);
  const range = rangeOf(series, thresholds, true);
  const scale = scales({ from: 0, to, range, box });
  const marks = [...bands(box, scale.y, thresholds), ...verticals(box, scale, range), ...horizontals(box, scale, to)];
  for (const change of (leg?.changes ?? []).slice(1)) {
    const x = scale.x(Math.min(change.media, to));
    marks.push(svg("line", { class: "change", "data-verdict": change.tag, x1: x, x2: x, y1: box.top, y2: box.bottom }));
  }
  marks.push(label(box.left + 7, box.top + 14, "human-like", "start", "side"), label(box.left + 7, box.bottom - 7, "synthetic", "start", "side"));
  if (series.length) {
    const last = series.at(-1);
    marks.push(svg("path", { class: "trace", d: pathOf(series.map(scale.point)) }));
    marks.push(svg("circle", { class: "head", cx: scale.x(last.t), cy: scale.y(last.llr), r: 3.5 }));
  }
  root.replaceChildren(...marks);
  root.setAttribute("aria-label", describe(series));
}

function verticals(box, { y }, range) {
  const step = range > 12 ? 8 : range > 6 ? 4 : 2;
  const marks = [];
  for (let value = -Math.floor(range / step) * step; value <= range; value += step) {
    marks.push(svg("line", { class: value ? "grid" : "zero", x1: box.left, x2: box.right, y1: y(value), y2: y(value) }));
    marks.push(label(box.left - 6, y(value) + 3.5, value ? llrText(value).replace(".0", "") : "0", "end"));
  }
  return marks;
}

function horizontals(box, { x }, to) {
  const step = STEPS.find((one) => to / one <= 6) ?? 7200;
  const marks = [];
  for (let t = 0; t <= to; t += step) marks.push(label(x(t), box.bottom + 15, duration(t), t ? "middle" : "start"));
  return marks;
}

const label = (x, y, text, anchor, kind = "") => svg("text", { class: `axis ${kind}`, x, y, "text-anchor": anchor }, text);

function describe(series) {
  if (!series.length) return "No score yet";
  const values = series.map((point) => point.llr);
  return `Score over ${duration(series.at(-1).t)}: now ${llrText(values.at(-1))}, lowest ${llrText(Math.min(...values))}, highest ${llrText(Math.max(...values))}. Above zero is human-like.`;
}
