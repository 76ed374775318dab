// Heat maps: a field over two coordinates in colours, with arrows, a colour bar and the values under the pointer.
const stops = {
  sequential: ["#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"],
  diverging: ["#053061", "#2166ac", "#4393c3", "#92c5de", "#d1e5f0", "#f7f7f7", "#fddbc7", "#f4a582", "#d6604d", "#b2182b", "#67001f"],
};
const table = (colours) => {
  const rgb = colours.map((c) => [1, 3, 5].map((i) => parseInt(c.slice(i, i + 2), 16)));
  return Array.from({ length: 256 }, (_, k) => {
    const at = (k / 255) * (rgb.length - 1);
    const i = Math.min(Math.floor(at), rgb.length - 2);
    return rgb[i].map((v, c) => Math.round(v + (at - i) * (rgb[i + 1][c] - v)));
  });
};
const tables = { sequential: table(stops.sequential), diverging: table(stops.diverging) };

// For each of `count` pixels the node below it and how far it is to the next.
const lookup = (nodes, count, from, to) => Array.from({ length: count }, (_, p) => {
  const v = from + ((p + 0.5) / count) * (to - from);
  let i = 0;
  let [low, high] = [0, nodes.length - 1];
  while (high - low > 1) { const middle = (low + high) >> 1; if (nodes[middle] <= v) low = middle; else high = middle; }
  i = low;
  const width = nodes[i + 1] - nodes[i];
  return [i, width > 0 ? Math.min(1, Math.max(0, (v - nodes[i]) / width)) : 0];
});

// `spec`: title, x_label, y_label, value_label, x, y (nodes), square (whether to keep proportions), signed (colours centred on zero).
// `update({values, range, arrows, cursor})`: values[i * y.length + j]; arrows is a pair of such fields.
const heatMap = (spec) => {
  const root = make("figure", { className: "figure", style: "margin:0" });
  const holder = make("div", { className: "map", tabIndex: 0 });
  holder.setAttribute("role", "img");
  holder.setAttribute("aria-label", `${spec.title}: ${spec.value_label} over ${spec.x_label} and ${spec.y_label}. Arrow keys read the values.`);
  const canvas = make("canvas");
  const svg = draw("svg");
  holder.append(canvas, svg);
  const heading = make("h3", {}, spec.title);
  root.append(heading, holder);
  const [nx, ny] = [spec.x.length, spec.y.length];
  let [now, area, x, y, pixels] = [null, null, null, null, null];
  const diverging = () => spec.signed && now.range[0] < 0 && now.range[1] > 0;
  const colourRange = () => {
    const [low, high] = now.range;
    if (!diverging()) return low < high ? [low, high] : [low - 0.5, high + 0.5];
    const most = Math.max(-low, high);
    return [-most, most];
  };
  const layout = () => {
    const width = Math.max(280, holder.clientWidth || 480);
    const inner = width - 66 - 84;
    const proportion = spec.square ? (spec.y[ny - 1] - spec.y[0]) / (spec.x[nx - 1] - spec.x[0]) : 0.62;
    const tall = Math.round(Math.min(Math.max(inner * proportion, 130), 430));
    const across = spec.square ? Math.min(inner, Math.round(tall / proportion)) : inner;
    area = { left: 66, right: 66 + across, top: 8, bottom: 8 + tall };
    const height = tall + 52;
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("height", height);
    x = scale(spec.x[0], spec.x[nx - 1], area.left, area.right, false);
    y = scale(spec.y[0], spec.y[ny - 1], area.bottom, area.top, false);
    Object.assign(canvas.style, { left: `${area.left}px`, top: `${area.top}px`, width: `${across}px`, height: `${tall}px` });
    [canvas.width, canvas.height] = [Math.round(across), tall];
    pixels = { columns: lookup(spec.x, canvas.width, spec.x[0], spec.x[nx - 1]), rows: lookup(spec.y, tall, spec.y[ny - 1], spec.y[0]) };
  };
  const paint = () => {
    const context = canvas.getContext("2d");
    const image = context.createImageData(canvas.width, canvas.height);
    const colours = tables[diverging() ? "diverging" : "sequential"];
    const [low, high] = colourRange();
    const factor = 255 / (high - low);
    const v = now.values;
    let p = 0;
    for (const [j, b] of pixels.rows) for (const [i, a] of pixels.columns) {
      const k = i * ny + j;
      const value = (1 - a) * ((1 - b) * v[k] + b * v[k + 1]) + a * ((1 - b) * v[k + ny] + b * v[k + ny + 1]);
      if (Number.isFinite(value)) {
        const c = colours[Math.min(255, Math.max(0, Math.round((value - low) * factor)))];
        [image.data[p], image.data[p + 1], image.data[p + 2]] = c;
      } else image.data[p] = image.data[p + 1] = image.data[p + 2] = 128;
      image.data[p + 3] = Number.isFinite(value) ? 255 : 90;
      p += 4;
    }
    context.putImageData(image, 0, 0);
  };
  const drawArrows = (group) => {
    const [u, v] = now.arrows;
    const spacing = 24;
    const [across, up] = [area.right - area.left, area.bottom - area.top];
    const nearest = (cells, p) => { const [i, a] = cells[Math.min(cells.length - 1, Math.round(p))]; return a > 0.5 ? i + 1 : i; };
    let path = "";
    for (let py = spacing / 2; py < up; py += spacing) for (let px = spacing / 2; px < across; px += spacing) {
      const k = nearest(pixels.columns, px) * ny + nearest(pixels.rows, py);
      const length = Math.hypot(u[k], v[k]);
      if (!(length > 1e-3 * now.longest)) continue;
      const size = (0.35 + 0.65 * Math.min(1, length / now.longest)) * spacing * 0.9;
      const [dx, dy] = [(u[k] / length) * size, (-v[k] / length) * size];
      const [cx, cy] = [area.left + px, area.top + py];
      const [tx, ty] = [cx + dx / 2, cy + dy / 2];
      path += `M${(cx - dx / 2).toFixed(1)} ${(cy - dy / 2).toFixed(1)}L${tx.toFixed(1)} ${ty.toFixed(1)}`;
      path += `M${(tx - 0.32 * dx + 0.2 * dy).toFixed(1)} ${(ty - 0.32 * dy - 0.2 * dx).toFixed(1)}L${tx.toFixed(1)} ${ty.toFixed(1)}L${(tx - 0.32 * dx - 0.2 * dy).toFixed(1)} ${(ty - 0.32 * dy + 0.2 * dx).toFixed(1)}`;
    }
    group.append(draw("path", { class: "arrows", d: path, style: "fill:none;stroke:#000;stroke-opacity:.55;stroke-width:3.2" }));
    group.append(draw("path", { d: path, style: "fill:none;stroke:#fff;stroke-width:1.5" }));
  };
  const bar = (group) => {
    const id = `bar${heatMap.count = (heatMap.count ?? 0) + 1}`;
    const names = stops[diverging() ? "diverging" : "sequential"];
    const gradient = draw("linearGradient", { id, x1: 0, x2: 0, y1: 1, y2: 0 }, ...names.map((c, i) => draw("stop", { offset: i / (names.length - 1), "stop-color": c })));
    const [low, high] = colourRange();
    const at = scale(low, high, area.bottom, area.top, false);
    const left = area.right + 12;
    group.append(draw("defs", {}, gradient), draw("rect", { x: left, y: area.top, width: 12, height: area.bottom - area.top, fill: `url(#${id})` }));
    for (const v of ticks(low, high, Math.max(2, (area.bottom - area.top) / 45), false)) {
      group.append(draw("text", { class: "soft", x: left + 17, y: at(v) + 4 }, tickText(v)));
    }
  };
  const cross = draw("g", { "pointer-events": "none" });
  const line = draw("line", { style: "stroke:#fff;stroke-width:1.6;stroke-dasharray:5 4;mix-blend-mode:difference" });
  const moveLine = () => {
    const there = has(now.cursor);
    line.setAttribute("visibility", there ? "visible" : "hidden");
    if (there) for (const [name, v] of Object.entries({ x1: x(now.cursor), x2: x(now.cursor), y1: area.top, y2: area.bottom })) line.setAttribute(name, v);
  };
  const render = () => {
    if (!now) return;
    layout();
    paint();
    svg.replaceChildren();
    axes(svg, x, y, area, [spec.x_label, spec.y_label]);
    svg.querySelectorAll(".gridline").forEach((g) => g.remove());
    bar(svg);
    if (now.arrows) drawArrows(svg);
    svg.append(line, cross);
    moveLine();
    cross.replaceChildren();
  };
  let focus = [nx >> 1, ny >> 1];
  const read = (i, j, client) => {
    focus = [i, j];
    const k = i * ny + j;
    const [px, py] = [x(spec.x[i]), y(spec.y[j])];
    cross.replaceChildren(draw("circle", { cx: px, cy: py, r: 5, style: "fill:none;stroke:#fff;stroke-width:3" }), draw("circle", { cx: px, cy: py, r: 5, style: "fill:none;stroke:#000;stroke-width:1.2" }));
    const lines = [[null, `${spec.x_label} = ${digits(spec.x[i])}`], [null, `${spec.y_label} = ${digits(spec.y[j])}`], [null, `${spec.value_label}: ${digits(now.values[k])}`]];
    if (now.arrows) lines.push([null, `arrow: (${digits(now.arrows[0][k])}, ${digits(now.arrows[1][k])})`]);
    const box = holder.getBoundingClientRect();
    showTip(lines, client?.clientX ?? box.left + px, client?.clientY ?? box.top + py);
  };
  const next = (nodes, v) => nodes.reduce((best, n, i) => (Math.abs(n - v) < Math.abs(nodes[best] - v) ? i : best), 0);
  const leave = () => { hideTip(); cross.replaceChildren(); };
  holder.addEventListener("pointermove", (event) => {
    const box = holder.getBoundingClientRect();
    const [px, py] = [event.clientX - box.left, event.clientY - box.top];
    if (px < area.left || px > area.right || py < area.top || py > area.bottom) { leave(); return; }
    read(next(spec.x, x.back(px)), next(spec.y, y.back(py)), event);
  });
  holder.addEventListener("pointerleave", leave);
  holder.addEventListener("blur", leave);
  holder.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!step) { if (event.key === "Escape") leave(); return; }
    event.preventDefault();
    const clamp = (v, n) => Math.min(Math.max(v, 0), n - 1);
    read(clamp(focus[0] + step[0], nx), clamp(focus[1] + step[1], ny));
  });
  whenResized(root, render);
  return {
    root,
    update: (state) => { now = { ...now, ...state }; render(); },
    cursor: (v) => { now.cursor = v; if (area) moveLine(); },
  };
};
