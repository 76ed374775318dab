// Elements, numbers, and diagrams of lines.
const make = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name in node && name !== "list") node[name] = value; else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
};
const draw = (tag, attributes = {}, ...children) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
};
const digits = (x, count = 7) => {
  if (x === null || x === undefined || !Number.isFinite(x)) return "–";
  if (x === 0) return "0";
  const size = Math.abs(x);
  if (size < 1e-4 || size >= 1e7) return x.toExponential(count - 1).replace(/\.?0+e/, "e").replace("e+", "e");
  return String(Number(x.toPrecision(count)));
};
const has = (x) => x !== null && x !== undefined && Number.isFinite(x);

const tooltip = document.getElementById("tooltip");
const hideTip = () => { tooltip.hidden = true; };
const showTip = (lines, x, y) => {
  tooltip.replaceChildren(...lines.map(([colour, text]) => {
    const line = make("div");
    if (colour) line.append(make("i", { style: `background:${colour}` }));
    line.append(text);
    return line;
  }));
  tooltip.hidden = false;
  const box = tooltip.getBoundingClientRect();
  const left = x + 16 + box.width > innerWidth ? x - 16 - box.width : x + 16;
  tooltip.style.left = `${Math.max(4, left)}px`;
  tooltip.style.top = `${Math.max(4, Math.min(y + 14, innerHeight - box.height - 4))}px`;
};

// Round places between low and high.
const ticks = (low, high, count, log) => {
  if (log) {
    const [a, b] = [Math.log10(low), Math.log10(high)];
    const powers = [];
    for (let p = Math.ceil(a - 1e-9); p <= b + 1e-9; p += Math.max(1, Math.ceil((b - a) / count))) powers.push(10 ** p);
    if (powers.length > 2) return powers;
    const fine = [];
    for (let p = Math.floor(a); p <= b; p++) for (const m of [1, 2, 5]) {
      const v = m * 10 ** p;
      if (v >= low * (1 - 1e-9) && v <= high * (1 + 1e-9)) fine.push(v);
    }
    return fine.length > 1 ? fine : [low, high];
  }
  const raw = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw * (1 - 1e-9));
  const places = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) places.push(i * step);
  return places.map((v) => Number(v.toPrecision(12)));
};
const tickText = (v) => {
  const size = Math.abs(v);
  if (v !== 0 && (size < 1e-3 || size >= 1e5)) return v.toExponential(Number(v.toPrecision(2)) === Number(v.toPrecision(1)) ? 0 : 1).replace("e+", "e");
  return String(Number(v.toPrecision(6)));
};
// From values to pixels and back.
const scale = (low, high, from, to, log) => {
  const [a, b] = log ? [Math.log10(low), Math.log10(high)] : [low, high];
  const at = (v) => from + (((log ? Math.log10(v) : v) - a) / (b - a)) * (to - from);
  at.back = (p) => { const v = a + ((p - from) / (to - from)) * (b - a); return log ? 10 ** v : v; };
  Object.assign(at, { low, high, log });
  return at;
};
const extent = (values, log) => {
  let [low, high] = [Infinity, -Infinity];
  for (const v of values) if (has(v) && (!log || v > 0)) { if (v < low) low = v; if (v > high) high = v; }
  if (low > high) return log ? [0.1, 1] : [0, 1];
  return [low, high];
};
const widened = ([low, high], log, part = 0.05) => {
  if (log) { const f = Math.max((high / low) ** part, 1.05); return [low / f, high * f]; }
  const pad = high > low ? part * (high - low) : Math.abs(high) * 0.1 || 0.5;
  return [low - pad, high + pad];
};
const axes = (svg, x, y, area, labels) => {
  const group = draw("g", { "aria-hidden": "true" });
  for (const v of x.places ?? ticks(x.low, x.high, Math.max(2, (area.right - area.left) / 75), x.log)) {
    group.append(draw("line", { class: "gridline", x1: x(v), x2: x(v), y1: area.top, y2: area.bottom }));
    group.append(draw("text", { class: "soft", x: x(v), y: area.bottom + 16, "text-anchor": "middle" }, tickText(v)));
  }
  for (const v of ticks(y.low, y.high, Math.max(2, (area.bottom - area.top) / 48), y.log)) {
    group.append(draw("line", { class: "gridline", x1: area.left, x2: area.right, y1: y(v), y2: y(v) }));
    group.append(draw("text", { class: "soft", x: area.left - 7, y: y(v) + 4, "text-anchor": "end" }, tickText(v)));
  }
  group.append(draw("rect", { class: "frame", x: area.left, y: area.top, width: area.right - area.left, height: area.bottom - area.top }));
  group.append(draw("text", { x: (area.left + area.right) / 2, y: area.bottom + 34, "text-anchor": "middle" }, labels[0]));
  const middle = (area.top + area.bottom) / 2;
  group.append(draw("text", { x: 13, y: middle, "text-anchor": "middle", transform: `rotate(-90 13 ${middle})` }, labels[1]));
  svg.append(group);
};

// Draw again when the width has changed, outside the observer, so that it is not asked again in the same frame.
const whenResized = (node, render) => {
  let width = null;
  new ResizeObserver((entries) => {
    const now = Math.round(entries[0].contentRect.width);
    if (now === width) return;
    width = now;
    requestAnimationFrame(render);
  }).observe(node);
};

// A diagram of `spec`: title, x_label, y_label, log_x, log_y, series of label, mark, x, y, upper, spread; y_range keeps the
// vertical axis. Returns the element and `update(series)`.
const lineChart = (spec) => {
  const hidden = new Set();
  const state = { log_x: spec.log_x, log_y: spec.log_y };
  const root = make("figure", { className: "figure", style: "margin:0" });
  root.append(make("h3", {}, spec.title));
  const legend = make("div", { className: "legend" });
  const toggles = make("div", { className: "toggles" });
  const svg = draw("svg", { class: "diagram", tabindex: 0, role: "img", "aria-label": `${spec.title}: ${spec.y_label} against ${spec.x_label}. Arrow keys read the values.` });
  root.append(legend, svg, toggles);
  let [x, y, area, series] = [null, null, null, spec.series];
  const colours = new Map();
  const colour = (s) => {
    if (!colours.has(s.label)) colours.set(s.label, `var(--c${s.colour ?? colours.size % 8})`);
    return colours.get(s.label);
  };
  const shown = () => series.filter((s) => !hidden.has(s.label));
  const points = (s) => s.mark === "bars" ? s.x.slice(0, -1).map((a, i) => (a + s.x[i + 1]) / 2) : s.x;
  const drawLegend = () => {
    const labels = [...new Map(series.map((s) => [s.label, s])).values()];
    legend.replaceChildren(...labels.map((s) => {
      const key = draw("svg", { viewBox: "0 0 26 10", "aria-hidden": "true" });
      const wide = s.mark === "bars" || s.mark === "band";
      if (s.mark === "points" || s.mark === "joined") key.append(draw("circle", { cx: 13, cy: 5, r: 3.4, style: `fill:${colour(s)}` }));
      if (s.mark !== "points") key.append(draw("line", { x1: 1, x2: 25, y1: 5, y2: 5, style: `stroke:${colour(s)};stroke-width:${wide ? 9 : s.mark === "thin" ? 1 : 2};stroke-opacity:${wide ? 0.35 : 1};${s.mark === "dashed" ? "stroke-dasharray:5 3" : ""}` }));
      const button = make("button", { type: "button" }, key, s.label);
      button.setAttribute("aria-pressed", String(!hidden.has(s.label)));
      button.addEventListener("click", () => {
        if (!hidden.delete(s.label)) hidden.add(s.label);
        drawLegend();
        render();
      });
      return button;
    }));
  };
  const drawSeries = (s) => {
    const group = draw("g", { style: `stroke:${colour(s)};fill:none`, class: "series", "data-label": s.label });
    const place = (i) => has(s.x[i]) && has(s.y[i]) && (!x.log || s.x[i] > 0) && (!y.log || s.y[i] > 0) ? [x(s.x[i]), y(s.y[i])] : null;
    const clampY = (v) => (y.log && v <= 0 ? area.bottom : y(v));
    if (s.mark === "bars") {
      for (let i = 0; i < s.y.length; i++) if (has(s.y[i])) {
        const top = clampY(s.y[i]);
        group.append(draw("rect", { x: x(s.x[i]), width: Math.max(0, x(s.x[i + 1]) - x(s.x[i])), y: top, height: Math.max(0, area.bottom - top), style: `fill:${colour(s)};fill-opacity:.25;stroke-opacity:.5` }));
      }
      return group;
    }
    if (s.mark === "band") {
      const edge = s.x.map((v, i) => [x(v), clampY(s.y[i]), clampY(s.upper[i])]).filter((p) => p.every(Number.isFinite));
      const path = edge.map((p) => `${p[0]},${p[2]}`).concat(edge.reverse().map((p) => `${p[0]},${p[1]}`));
      group.append(draw("polygon", { points: path.join(" "), style: `fill:${colour(s)};fill-opacity:.2;stroke:none` }));
      return group;
    }
    if (s.mark !== "points") {
      let [path, pen] = ["", "M"];
      for (let i = 0; i < s.x.length; i++) {
        const p = place(i);
        if (p) path += `${pen}${p[0].toFixed(2)} ${p[1].toFixed(2)}`;
        pen = p ? "L" : "M";
      }
      const width = s.mark === "thin" ? 0.7 : 1.9;
      group.append(draw("path", { d: path, style: `stroke-width:${width};stroke-linejoin:round;${s.mark === "dashed" ? "stroke-dasharray:6 4" : ""}` }));
    }
    if (s.mark === "points" || s.mark === "joined") for (let i = 0; i < s.x.length; i++) {
      const p = place(i);
      if (!p) continue;
      if (s.spread && has(s.spread[i])) group.append(draw("line", { x1: p[0], x2: p[0], y1: clampY(s.y[i] - s.spread[i]), y2: clampY(s.y[i] + s.spread[i]) }));
      group.append(draw("circle", { cx: p[0], cy: p[1], r: s.spread ? 2.6 : 3.4, style: `fill:${colour(s)};stroke:none` }));
    }
    return group;
  };
  const marker = draw("g", { class: "hover", "pointer-events": "none" });
  const render = () => {
    const width = Math.max(260, svg.clientWidth || 520);
    const height = Math.round(Math.min(360, Math.max(230, width * 0.6)));
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("height", height);
    area = { left: 66, right: width - 12, top: 10, bottom: height - 42 };
    const all = shown().length ? shown() : series;
    const xs = extent(all.flatMap((s) => s.x), state.log_x);
    const ys = all.flatMap((s) => [...s.y, ...(s.upper ?? []), ...(s.spread ? s.y.flatMap((v, i) => (has(v) ? [v - s.spread[i], v + s.spread[i]] : [])) : []), ...(s.mark === "bars" ? [0] : [])]);
    const range = spec.y_range && !state.log_y ? spec.y_range : widened(extent(ys, state.log_y), state.log_y);
    const inset = all.some((s) => s.mark === "points" && s.x.length < 40);
    x = scale(...(inset && !state.log_x ? widened(xs, false, 0.03) : state.log_x ? widened(xs, true, 0.03) : xs[0] < xs[1] ? xs : widened(xs, false)), area.left, area.right, state.log_x);
    y = scale(...range, area.bottom, area.top, state.log_y);
    svg.replaceChildren();
    // numbers of steps are marked where they are
    const places = [...new Set(all.filter((s) => s.mark === "joined").flatMap((s) => s.x))];
    x.places = state.log_x && places.length > 1 && places.length <= 9 ? places : null;
    axes(svg, x, y, area, [spec.x_label, spec.y_label]);
    shown().forEach((s) => svg.append(drawSeries(s)));
    svg.append(marker);
    marker.replaceChildren();
  };
  // The values at the place next to `target`, in units of the axis.
  const read = (target, client) => {
    const candidates = shown().filter((s) => s.mark !== "thin");
    let nearest = null;
    for (const s of candidates) for (const v of points(s)) {
      if (!has(v) || (x.log && v <= 0)) continue;
      const distance = Math.abs(x(v) - x(target));
      if (!nearest || distance < nearest.distance) nearest = { distance, v };
    }
    if (!nearest) return null;
    marker.replaceChildren(draw("line", { class: "cursor", x1: x(nearest.v), x2: x(nearest.v), y1: area.top, y2: area.bottom }));
    const lines = [[null, `${spec.x_label} = ${digits(nearest.v)}`]];
    for (const s of candidates) {
      const at = points(s);
      let best = -1;
      for (let i = 0; i < s.y.length; i++) if (has(at[i]) && has(s.y[i]) && (best < 0 || Math.abs(at[i] - nearest.v) < Math.abs(at[best] - nearest.v))) best = i;
      if (best < 0 || Math.abs(x(at[best]) - x(nearest.v)) > 8) continue;
      const more = s.upper ? ` to ${digits(s.upper[best])}` : s.spread && has(s.spread[best]) ? ` ± ${digits(s.spread[best], 2)}` : "";
      lines.push([colour(s), `${s.label}: ${digits(s.y[best])}${more}`]);
      if (s.mark !== "bars" && (!y.log || s.y[best] > 0)) marker.append(draw("circle", { cx: x(at[best]), cy: y(s.y[best]), r: 4, style: `fill:${colour(s)};stroke:var(--ground)` }));
    }
    const box = svg.getBoundingClientRect();
    showTip(lines, client?.clientX ?? box.left + x(nearest.v), client?.clientY ?? box.top + area.top);
    return nearest.v;
  };
  let focus = null;
  svg.addEventListener("pointermove", (event) => {
    const place = event.clientX - svg.getBoundingClientRect().left;
    if (place < area.left - 6 || place > area.right + 6) { hideTip(); marker.replaceChildren(); return; }
    focus = read(x.back(Math.min(Math.max(place, area.left), area.right)), event);
  });
  const leave = () => { hideTip(); marker.replaceChildren(); };
  svg.addEventListener("pointerleave", leave);
  svg.addEventListener("blur", leave);
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) { if (event.key === "Escape") leave(); return; }
    event.preventDefault();
    const all = [...new Set(shown().filter((s) => s.mark !== "thin").flatMap(points))].filter(has).sort((a, b) => a - b);
    if (!all.length) return;
    let at = focus === null ? Math.floor(all.length / 2) : all.findIndex((v) => v >= focus);
    if (focus !== null) at = Math.min(Math.max(at + step, 0), all.length - 1);
    focus = read(all[at]);
  });
  for (const axis of ["x", "y"]) {
    if (spec.fixed) break;
    const box = make("input", { type: "checkbox", checked: state[`log_${axis}`] });
    box.addEventListener("change", () => { state[`log_${axis}`] = box.checked; render(); });
    toggles.append(make("label", {}, box, axis === "x" ? " logarithmic horizontally" : " logarithmic vertically"));
  }
  drawLegend();
  whenResized(root, render);
  return { root, update: (next, range) => { series = next; if (range) spec.y_range = range; render(); } };
};
