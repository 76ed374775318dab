// All numbers of the report as a tree; branches are built when they are opened.
const isBranch = (value) => value !== null && typeof value === "object" && !(value instanceof String) && Object.keys(value).length > 0;
const leafText = (value) => (value instanceof String ? value.valueOf() : value === null ? "null" : typeof value === "object" ? (Array.isArray(value) ? "[]" : "{}") : typeof value === "string" ? value : String(value));
const countLeaves = (value) => (isBranch(value) ? Object.values(value).reduce((n, v) => n + countLeaves(v), 0) : 1);

// What the documentation says of a path: the longest end of it that is known.
const explain = (words, path) => {
  const names = path.filter((name) => typeof name === "string");
  for (let i = 0; i < names.length; i++) {
    const found = words[names.slice(i).join(".")];
    if (found && (i === 0 || names.length - i > 1 || names.length === 1)) return found;
  }
  return words[`solve.${names.at(-1)}`] && names[0] === "controlled" ? words[`solve.${names.at(-1)}`] : null;
};

const buildTree = (report, words) => {
  const key = (name, path) => {
    const text = typeof name === "number" ? `[${name}]` : name;
    const node = make("span", { className: typeof name === "number" ? "index" : "key" }, text);
    const help = explain(words, path);
    if (help && typeof name !== "number") node.title = help;
    return node;
  };
  const leaf = (name, value, path) => {
    const shown = make("span", { className: value === null ? "null" : "value" }, leafText(value));
    return make("div", { className: "leaf" }, key(name, path), ": ", shown);
  };
  const children = (value, path) => {
    const entries = Array.isArray(value) ? value.map((v, i) => [i, v]) : Object.entries(value);
    const flat = Array.isArray(value) && value.every((v) => !isBranch(v));
    const nodes = entries.map(([name, v]) => (isBranch(v) ? branch(name, v, [...path, name]) : leaf(name, v, [...path, name])));
    return flat ? [make("div", { className: "list" }, ...nodes)] : nodes;
  };
  const branch = (name, value, path) => {
    const details = make("details");
    const count = countLeaves(value);
    details.append(make("summary", {}, key(name, path), " ", make("span", { className: "count" }, `${count} ${count === 1 ? "value" : "values"}`)));
    const fill = () => { if (!details.filled) { details.filled = true; details.append(...children(value, path)); } };
    details.addEventListener("toggle", () => { if (details.open) fill(); });
    details.fill = fill;
    return details;
  };
  const tree = document.getElementById("tree");
  tree.append(...children(report, []));
  const openAll = (node) => {
    for (const details of node.querySelectorAll(":scope details")) {
      if (details.filled) continue;
      details.fill();
      openAll(details);
    }
  };
  document.getElementById("expand").addEventListener("click", () => {
    openAll(tree);
    tree.querySelectorAll("details").forEach((d) => { d.open = true; });
  });
  document.getElementById("collapse").addEventListener("click", () => tree.querySelectorAll("details").forEach((d) => { d.open = false; }));
  document.getElementById("leaf-count").textContent = `${countLeaves(report)} values`;
  // the first ones whose path has the text
  const most = 200;
  const found = document.getElementById("found");
  document.getElementById("find").addEventListener("input", (event) => {
    const wanted = event.target.value.trim().toLowerCase();
    const hits = [];
    const walk = (value, path, text) => {
      if (hits.length > most) return;
      if (isBranch(value)) {
        for (const [name, v] of Object.entries(value)) {
          const at = Array.isArray(value) ? `[${name}]` : text ? `.${name}` : name;
          walk(v, [...path, Array.isArray(value) ? Number(name) : name], text + at);
        }
      } else if (text.toLowerCase().includes(wanted)) hits.push([text, value, path]);
    };
    if (wanted) walk(report, [], "");
    found.replaceChildren(...hits.slice(0, most).map(([text, value, path]) => leaf(text, value, path)));
    found.querySelectorAll(".leaf").forEach((node) => node.classList.replace("leaf", "hit"));
    if (wanted) found.prepend(make("div", { className: "hint" }, hits.length > most ? `the first ${most}` : `${hits.length} found`));
  });
};
