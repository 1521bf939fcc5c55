// The charts: curves, their axes, and reading and zooming them by pointer and keyboard.
const SVG = "http://www.w3.org/2000/svg";
const MARGIN = { left: 58, right: 10, top: 10, bottom: 26 };
const HEIGHT = 220;
const FEW = 12;  // Curves of at most this many points have a dot on each.
const DASHES = ["", "7 3", "2 3"];

const shape = (name, attributes, text) => {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
};
const format = (value) => {
  const size = Math.abs(value);
  if (value === 0) return "0";
  if (size >= 1e6 || size < 1e-3) return value.toExponential(2).replace(/\.?0+e/, "e").replace("e+", "e");
  return Number(value.toPrecision(4)).toLocaleString("en-US", { maximumFractionDigits: 6 });
};
const colour = (index) => `var(--c${index % 8})`;
const dash = (index) => DASHES[Math.floor(index / 8) % 3];

const ticks = (low, high, count) => {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough);
  const marks = [];
  for (let mark = Math.ceil(low / step) * step; mark <= high + step * 1e-9; mark += step) marks.push(Math.abs(mark) < step * 1e-9 ? 0 : mark);
  return marks;
};
const powers = (low, high) => {
  const first = Math.ceil(low - 1e-9), last = Math.floor(high + 1e-9);
  if (high - low < 0.5) return ticks(10 ** low, 10 ** high, 4).filter((mark) => mark > 0).map(Math.log10);
  if (high - low < 2.5) {
    const marks = [];
    for (let power = first - 1; power <= last; power += 1) marks.push(...[1, 2, 5].map((digit) => power + Math.log10(digit)));
    return marks.filter((mark) => mark >= low && mark <= high);
  }
  const every = Math.ceil((last - first + 1) / 6);
  const marks = [];
  for (let power = first; power <= last; power += every) marks.push(power);
  return marks;
};

const allSteps = data.charts.flatMap((chart) => chart.series.flatMap((series) => [...series.x.slice(0, 1), ...series.x.slice(-1), ...series.broken]));
const fullDomain = allSteps.length ? [Math.min(...allSteps), Math.max(...allSteps)] : [0, 1];
if (fullDomain[0] === fullDomain[1]) fullDomain[1] = fullDomain[0] + 1;
let domain = memory.get("domain") || fullDomain;
const charts = [];

const setDomain = (low, high) => {
  const least = (fullDomain[1] - fullDomain[0]) / 1e5;
  low = Math.max(fullDomain[0], low); high = Math.min(fullDomain[1], high);
  if (!(high - low > least)) return;
  domain = [low, high];
  // A live page follows the end of the run unless the reader has zoomed.
  memory.set("domain", low === fullDomain[0] && high === fullDomain[1] ? null : domain);
  for (const chart of charts) chart.draw();
};
const zoom = (factor, centre = (domain[0] + domain[1]) / 2) =>
  setDomain(centre - (centre - domain[0]) * factor, centre + (domain[1] - centre) * factor);
const pan = (share) => {
  const width = domain[1] - domain[0];
  const low = Math.min(Math.max(domain[0] + share * width, fullDomain[0]), fullDomain[1] - width);
  setDomain(low, low + width);
};
const reset = () => setDomain(fullDomain[0], fullDomain[1]);

const makeChart = (figure) => {
  const chart = data.charts[Number(figure.dataset.chart)];
  const hidden = new Set();
  const plot = figure.querySelector(".plot");
  const readout = element("div", { class: "readout", role: "status", hidden: "" });
  const svg = shape("svg", { tabindex: "0", role: "application", "aria-roledescription": "chart",
    "aria-label": `${chart.title}. Arrow keys read the values, plus and minus zoom, Escape shows everything.` });
  plot.append(svg, readout);
  let log = chart.log, width = 400, bottom = 0, top = 1, cursor = null, drag = null;

  const bar = element("div", { class: "bar", role: "group", "aria-label": `View of ${chart.title}` });
  const button = (label, name, act) => {
    const made = element("button", { type: "button", "aria-label": name, title: name }, label);
    made.addEventListener("click", act);
    bar.append(made);
    return made;
  };
  const logButton = button("log", "log axis", () => { log = !log; logButton.setAttribute("aria-pressed", log); draw(); });
  logButton.setAttribute("aria-pressed", log);
  button("+", "Zoom in", () => zoom(0.5));
  button("−", "Zoom out", () => zoom(2));
  button("all", "Show all steps", reset);
  figure.querySelector(".head").append(bar);

  const legend = figure.querySelector(".legend");
  chart.series.forEach((series, index) => {
    const entry = element("button", { type: "button", "aria-pressed": "true" });
    entry.append(element("span", { class: "swatch", style: `border-top-color:${colour(index)};border-top-style:${dash(index) ? "dashed" : "solid"}` }), series.name);
    entry.addEventListener("click", () => {
      if (hidden.has(index)) hidden.delete(index); else hidden.add(index);
      entry.setAttribute("aria-pressed", !hidden.has(index));
      draw();
    });
    legend.append(entry);
  });

  const x = (step) => MARGIN.left + ((step - domain[0]) / (domain[1] - domain[0])) * (width - MARGIN.left - MARGIN.right);
  const stepAt = (pixel) => domain[0] + ((pixel - MARGIN.left) / (width - MARGIN.left - MARGIN.right)) * (domain[1] - domain[0]);
  const scaled = (value) => (log ? Math.log10(value) : value);
  const y = (value) => HEIGHT - MARGIN.bottom - ((scaled(value) - bottom) / (top - bottom)) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  const visible = () => chart.series.map((series, index) => ({ ...series, index })).filter((series) => !hidden.has(series.index));

  // The band of a down-sampled curve, or the curve itself.
  const floorOf = (series) => (series.low.length ? series.low : series.y);
  const ceilingOf = (series) => (series.high.length ? series.high : series.y);

  const range = () => {
    let low = Infinity, high = -Infinity;
    for (const series of visible()) {
      for (let i = lower(series.x, domain[0]); i < series.x.length && series.x[i] <= domain[1]; i++) {
        for (const value of [scaled(floorOf(series)[i]), scaled(ceilingOf(series)[i])]) {
          if (Number.isFinite(value)) { low = Math.min(low, value); high = Math.max(high, value); }
        }
      }
    }
    if (low > high) [low, high] = [0, 1];
    const room = (high - low) * 0.05 || Math.abs(high) * 0.05 || 1;
    [bottom, top] = [low - room, high + room];
  };

  const ends = (series) => [Math.max(0, lower(series.x, domain[0]) - 1), Math.min(series.x.length - 1, lower(series.x, domain[1]) + 1)];
  const band = (series) => {
    const [first, last] = ends(series);
    const there = [], back = [];
    for (let i = first; i <= last; i++) {
      if (log && series.high[i] <= 0) continue;
      const at = x(series.x[i]).toFixed(1);
      there.push(`${at} ${y(series.high[i]).toFixed(1)}`);
      back.push(`${at} ${(log && series.low[i] <= 0 ? HEIGHT : y(series.low[i])).toFixed(1)}`);
    }
    return there.length ? `M${there.join("L")}L${back.reverse().join("L")}Z` : "";
  };
  const path = (series) => {
    const [first, last] = ends(series);
    let line = "", pen = "M";
    for (let i = first; i <= last; i++) {
      if (log && series.y[i] <= 0) { pen = "M"; continue; }
      line += `${pen}${x(series.x[i]).toFixed(1)} ${y(series.y[i]).toFixed(1)}`;
      pen = "L";
    }
    return line;
  };

  const draw = () => {
    width = Math.max(240, plot.clientWidth);
    range();
    svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    const parts = [];
    const clip = `clip-${figure.dataset.chart}`;
    const right = width - MARGIN.right, floor = HEIGHT - MARGIN.bottom;
    const clipPath = shape("clipPath", { id: clip });
    clipPath.append(shape("rect", { x: MARGIN.left, y: 0, width: right - MARGIN.left, height: floor + 1 }));
    parts.push(clipPath);
    for (const mark of log ? powers(bottom, top) : ticks(bottom, top, 4)) {
      const value = log ? 10 ** mark : mark, at = y(value);
      parts.push(shape("line", { class: "axis", x1: MARGIN.left, x2: right, y1: at, y2: at }));
      parts.push(shape("text", { x: MARGIN.left - 6, y: at + 4, "text-anchor": "end" }, format(value)));
    }
    for (const mark of ticks(domain[0], domain[1], width < 420 ? 3 : 5)) {
      const at = x(mark);
      parts.push(shape("line", { class: "axis", x1: at, x2: at, y1: floor, y2: floor + 4 }));
      const anchor = at > right - 20 ? "end" : "middle";
      parts.push(shape("text", { x: at, y: HEIGHT - 6, "text-anchor": anchor }, format(mark)));
    }
    parts.push(shape("text", { x: MARGIN.left - 10, y: HEIGHT - 6, "text-anchor": "end" }, "step"));
    const curves = shape("g", { "clip-path": `url(#${clip})` });
    for (const finding of data.findings) {
      const at = x(finding.step);
      const line = shape("line", { class: `finding ${finding.sure ? "bad" : "warning"}`, x1: at, x2: at, y1: 0, y2: floor });
      line.append(shape("title", {}, `Step ${finding.step}: ${finding.text}`));
      curves.append(line);
    }
    for (const series of visible().filter((one) => one.low.length)) {
      curves.append(shape("path", { class: "band", d: band(series), style: `fill:${colour(series.index)}` }));
    }
    for (const series of visible()) {
      curves.append(shape("path", { class: "curve", d: path(series), style: `stroke:${colour(series.index)}`, "stroke-dasharray": dash(series.index), "stroke-linecap": "round" }));
      // A line through one point has no length, and a line through few of them does not show where they are.
      if (series.x.length <= FEW) {
        series.x.forEach((step, at) => {
          if (log && series.y[at] <= 0) return;
          curves.append(shape("circle", { class: "point", cx: x(step).toFixed(1), cy: y(series.y[at]).toFixed(1), r: 3.5, style: `fill:${colour(series.index)}` }));
        });
      }
      for (const step of series.broken) {
        const at = x(step), mark = shape("path", { class: "broken", d: `M${at} ${floor - 9}l5 9h-10z` });
        mark.append(shape("title", {}, `Step ${step}: ${series.name} was not finite`));
        curves.append(mark);
      }
    }
    parts.push(curves);
    if (cursor !== null) parts.push(shape("line", { class: "cursor", x1: x(cursor), x2: x(cursor), y1: 0, y2: floor }));
    if (drag) parts.push(shape("rect", { class: "selection", x: Math.min(drag.from, drag.to), y: 0, width: Math.abs(drag.to - drag.from), height: floor }));
    svg.replaceChildren(...parts);
  };

  const read = (step) => {
    const curves = visible().filter((series) => series.x.length);
    if (step === null || !curves.length) { cursor = null; readout.hidden = true; draw(); return; }
    // Down-sampled curves have different points. The cursor moves to the nearest point of any curve.
    const candidates = curves.map((series) => series.x[nearest(series.x, step)]);
    cursor = candidates.reduce((best, candidate) => (Math.abs(candidate - step) < Math.abs(best - step) ? candidate : best));
    const rows = curves.map((series) => {
      const at = nearest(series.x, cursor);
      const row = element("div");
      const apart = series.x[at] === cursor ? "" : ` (step ${series.x[at].toLocaleString("en-US")})`;
      const spread = series.low.length ? ` (${format(series.low[at])} to ${format(series.high[at])})` : "";
      row.append(element("span", { class: "swatch", style: `border-top-color:${colour(series.index)}` }), `${series.name} ${format(series.y[at])}${spread}${apart}`);
      return row;
    });
    const extra = rows.length > 9 ? [element("div", {}, `and ${rows.length - 9} more`)] : [];
    readout.replaceChildren(element("strong", {}, `Step ${cursor.toLocaleString("en-US")}`), ...rows.slice(0, 9), ...extra);
    readout.hidden = false;
    const at = x(cursor);
    readout.style.left = at < width / 2 ? `${at + 10}px` : "auto";
    readout.style.right = at < width / 2 ? "auto" : `${width - at + 10}px`;
    draw();
  };
  const pixel = (event) => {
    const box = svg.getBoundingClientRect();
    return Math.min(Math.max(((event.clientX - box.left) / box.width) * width, MARGIN.left), width - MARGIN.right);
  };

  svg.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    drag = { from: pixel(event), to: pixel(event) };
    try { svg.setPointerCapture(event.pointerId); } catch { /* The pointer no longer exists. */ }
  });
  svg.addEventListener("pointermove", (event) => {
    if (drag) drag.to = pixel(event);
    read(stepAt(pixel(event)));
  });
  svg.addEventListener("pointerup", () => {
    const done = drag;
    drag = null;
    if (done && Math.abs(done.to - done.from) > 8) setDomain(stepAt(Math.min(done.from, done.to)), stepAt(Math.max(done.from, done.to)));
    else draw();
  });
  svg.addEventListener("pointercancel", () => { drag = null; read(null); });
  svg.addEventListener("pointerleave", () => { if (!drag) read(null); });
  svg.addEventListener("dblclick", reset);
  svg.addEventListener("blur", () => read(null));
  svg.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (move && event.shiftKey) pan(0.2 * move);
    else if (move) {
      const steps = [...new Set(visible().flatMap((series) => series.x))].sort((a, b) => a - b).filter((step) => step >= domain[0] && step <= domain[1]);
      if (!steps.length) return;
      const at = cursor === null ? (move > 0 ? -1 : steps.length) : nearest(steps, cursor);
      const jump = move * Math.max(1, Math.round(steps.length / 100));
      read(steps[Math.min(Math.max(at + (cursor === null ? move : jump), 0), steps.length - 1)]);
    } else if (event.key === "+" || event.key === "=") zoom(0.5, cursor ?? undefined);
    else if (event.key === "-") zoom(2, cursor ?? undefined);
    else if (event.key === "Escape" || event.key === "0") { read(null); reset(); }
    else return;
    event.preventDefault();
  });
  new ResizeObserver(() => { if (plot.clientWidth && plot.clientWidth !== width) draw(); }).observe(plot);
  draw();
  return { draw };
};

for (const figure of document.querySelectorAll("figure.chart")) charts.push(makeChart(figure));
