// Small charts, made element by element.
import { element, steps } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";

function shape(name, attributes, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export function number(value) {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size >= 1000) return steps(Math.round(value));
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2);
}

/** A curve of points [[x, y], ...] with its title, its newest value and where its axes begin and end. */
export function curve(title, points) {
  const good = points.filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y));
  const box = element("div.curve");
  const newest = good.length ? number(good.at(-1)[1]) : "–";
  box.append(element("h3", {}, element("span", {}, title), element("span", {}, newest)));
  if (good.length < 2) {
    box.append(element("p.quiet.small", {}, "No points yet."));
    return box;
  }
  const xs = good.map(([x]) => x);
  const ys = good.map(([, y]) => y);
  const [left, right, low, high] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const place = ([x, y]) => {
    const across = right > left ? (x - left) / (right - left) : 0.5;
    const up = high > low ? (y - low) / (high - low) : 0.5;
    return `${(300 * across).toFixed(2)},${(100 - 100 * up).toFixed(2)}`;
  };
  const label = `${title}: from ${number(ys[0])} to ${newest} over ${steps(right)} steps`;
  const drawing = shape(
    "svg",
    { viewBox: "0 0 300 100", preserveAspectRatio: "none", role: "img", "aria-label": label },
    ...[0, 50, 100].map((y) => shape("line", { class: "grid", x1: 0, x2: 300, y1: y, y2: y })),
    shape("polyline", { class: "line", points: good.map(place).join(" ") }),
  );
  box.append(drawing);
  box.append(element("div.ends", {}, element("span", {}, steps(left)), element("span", {}, `between ${number(low)} and ${number(high)}`), element("span", {}, `${steps(right)} steps`)));
  return box;
}

/** Bars of counts beside each other. */
export function spark(counts, label) {
  const most = Math.max(1, ...counts);
  const bars = counts.map((n, i) => {
    const height = n === 0 ? 0 : Math.max(1.5, (24 * n) / most);
    return shape("rect", { x: i, y: 24 - height, width: 0.8, height });
  });
  return shape("svg", { class: "spark", viewBox: `0 0 ${counts.length} 24`, preserveAspectRatio: "none", role: "img", "aria-label": label }, ...bars);
}
