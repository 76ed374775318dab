// The page: reads its data blocks and builds figures, tree and buttons.
const block = (name, reviver) => JSON.parse(document.getElementById(`data-${name}`).textContent, reviver);
// whole numbers beyond 2^53 keep their digits where the browser gives the source
const report = block("report", (_, value, context) => (typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value) && /^-?\d+$/.test(context?.source ?? "") ? new String(context.source) : value));
const fields = block("fields");
const numbers = (text) => new Float32Array(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);

const timeFigures = () => {
  if (!fields) return;
  const place = document.getElementById("time-figures");
  const last = fields.time.length - 1;
  const label = fields.views[0].axes.length === 1 ? "time t" : "t";
  const updates = [];
  let now = 0;
  let view = fields.views[0];
  const grid = make("div", { className: "grid" });
  const slider = make("input", { type: "range", min: 0, max: last, value: 0, step: 1, id: "time" });
  const shownTime = make("output", { id: "shown-time" });
  const play = make("button", { type: "button", id: "play" }, "Play");
  const controls = make("div", { className: "slider" });
  if (last > 0) {
    slider.setAttribute("aria-label", "time");
    controls.append(make("label", { htmlFor: "time" }, "Time"), slider, shownTime, play);
  }
  if (fields.views.length > 1) {
    const choice = make("select", { id: "view", ariaLabel: "plane" }, ...fields.views.map((v, i) => make("option", { value: i }, `${v.axes.map((a) => a.label).join(", ")} at ${v.place}`)));
    choice.addEventListener("change", () => { view = fields.views[Number(choice.value)]; build(); });
    controls.append(choice);
  }
  // lines are compared over time, maps are looked at one by one
  const same = make("input", { type: "checkbox", id: "same-scale", checked: view.axes.length === 1 });
  if (last > 0) {
    same.addEventListener("change", () => set(now));
    controls.append(make("label", {}, same, " same scale at all times"));
  }
  const set = (k) => {
    now = k;
    slider.value = k;
    const text = `t = ${digits(fields.time[k], 5)}`;
    shownTime.textContent = text;
    slider.setAttribute("aria-valuetext", text);
    updates.forEach((f) => f(k));
  };
  slider.addEventListener("input", () => set(Number(slider.value)));
  let timer = null;
  play.addEventListener("click", () => {
    const stop = () => { clearInterval(timer); timer = null; play.textContent = "Play"; };
    if (timer) { stop(); return; }
    if (now === last) set(0);
    play.textContent = "Stop";
    timer = setInterval(() => { if (now >= last) stop(); else set(now + 1); }, 2500 / last);
  });
  const where = (k) => (fields.stationary ? "" : ` at t = ${digits(fields.time[k], 4)}`);
  const line = (all) => {
    const nodes = view.axes[0].nodes;
    const n = nodes.length;
    for (const f of all) {
      const range = widened(extent([...f.data, ...(f.known ?? [])], false), false);
      const at = (k) => {
        const part = (values) => Array.from(values.subarray(k * n, (k + 1) * n));
        const series = [{ label: f.name, mark: "line", x: nodes, y: part(f.data), colour: 0 }];
        if (f.known) series.push({ label: "known solution", mark: "dashed", x: nodes, y: part(f.known), colour: 1 });
        return series;
      };
      const chart = lineChart({ title: f.label, x_label: view.axes[0].label, y_label: f.label, series: at(now), y_range: range, fixed: true });
      const readout = make("div", { className: "readout" });
      chart.root.append(readout);
      grid.append(chart.root);
      updates.push((k) => {
        const series = at(k);
        chart.update(series, same.checked ? range : widened(extent(series.flatMap((s) => s.y), false), false));
        if (!f.known) return;
        const far = series[0].y.reduce((m, v, i) => { const e = Math.abs(v - series[1].y[i]); return e > m ? e : m; }, 0);
        readout.textContent = `largest difference from the known solution${where(k)}: ${digits(far, 3)} (single precision)`;
      });
    }
    if (last > 0) for (const f of all) {
      const map = heatMap({ title: `${f.label} over time`, x_label: label, y_label: view.axes[0].label, value_label: f.name, x: fields.time, y: nodes, signed: f.name !== "V" });
      map.update({ values: f.data, range: extent(f.data, false), cursor: fields.time[now] });
      grid.append(map.root);
      updates.push((k) => map.cursor(fields.time[k]));
    }
  };
  const plane = (all) => {
    const [a, b] = view.axes;
    const n = a.nodes.length * b.nodes.length;
    const part = (values, k) => values.subarray(k * n, (k + 1) * n);
    const add = (title, value_label, values, arrows, signed) => {
      const map = heatMap({ title, x_label: a.label, y_label: b.label, value_label, x: a.nodes, y: b.nodes, square: true, signed });
      const whole = extent(values, false);
      const longest = arrows ? extent(values, false)[1] : 0;
      grid.append(map.root);
      updates.push((k) => {
        const shown = part(values, k);
        const range = same.checked ? whole : extent(shown, false);
        map.root.querySelector("h3").textContent = title + where(k);
        map.update({ values: shown, range, arrows: arrows?.map((f) => part(f.data, k)), longest: same.checked ? longest : range[1] });
      });
    };
    add(all[0].label, "V", all[0].data);
    if (view.arrows) {
      const pair = view.arrows.map((i) => all[i]);
      const length = Float32Array.from(pair[0].data, (u, i) => Math.hypot(u, pair[1].data[i]));
      const state = fields.views.length > 1 ? "in the plane, " : "";
      add(`control: ${state}length in colour, direction by arrows`, "length", length, pair);
      all.slice(1).filter((f) => !pair.includes(f)).forEach((f) => add(f.label, f.name, f.data, null, true));
    } else all.slice(1).forEach((f) => add(f.label, f.name, f.data, null, true));
  };
  const build = () => {
    updates.length = 0;
    grid.replaceChildren();
    const all = view.fields.map((f) => ({ ...f, data: numbers(f.values), known: f.exact ? numbers(f.exact) : null }));
    if (view.axes.length === 1) line(all); else plane(all);
    set(now);
  };
  place.append(controls, grid, make("p", { className: "hint" }, fields.note));
  build();
};

timeFigures();
const lines = document.getElementById("line-figures");
block("charts").forEach((chart) => lines.append(lineChart(chart).root));
// what a command is about comes first
if (report.command !== "solve" && report.command !== "rollout") document.getElementById("time-figures").before(lines);
const pictures = document.getElementById("pictures");
block("pictures").forEach(({ name, png }) => pictures.append(make("figure", { className: "figure" }, make("h3", {}, name), make("img", { src: `data:image/png;base64,${png}`, alt: name }))));
if (!fields && !lines.children.length && !pictures.children.length) lines.append(make("p", { className: "hint" }, "This run has no figures."));
buildTree(report, block("words"));
document.querySelectorAll(".copy").forEach((button) => button.addEventListener("click", async () => {
  const source = document.getElementById(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(source.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(source);
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}));
