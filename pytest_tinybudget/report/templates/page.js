// The script of the page: search, filter and sort; then what page_details.py packed, drawn when a
// model is opened. Text from models goes into the page as text (textContent) and never as markup.
(() => {
"use strict";
const find = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];

function put(parent, tag, properties = {}, text = "") {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  if (text !== "") element.textContent = text;
  parent.append(element);
  return element;
}

function draw(parent, tag, properties = {}, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(properties)) element.setAttribute(name, value);
  if (text !== "") element.textContent = text;
  parent.append(element);
  return element;
}

// Sizes as base/units.py writes them: a half is rounded to the even digit.
function rounded(value, digits) {
  const scaled = value * 10 ** digits, low = Math.floor(scaled), rest = scaled - low;
  const up = rest > 0.5 || (rest === 0.5 && low % 2 === 1);
  return ((low + (up ? 1 : 0)) / 10 ** digits).toFixed(digits);
}
const grouped = (number) => number.toString().replace(/\B(?=(\d{3})+$)/g, ",");
function size(bytes) {
  const sign = bytes < 0 ? "-" : "", most = Math.abs(bytes);
  if (most < 1000) return `${sign}${most} B`;
  if (most < 1024000) return `${sign}${rounded(most / 1024, 1)} KB`;
  return `${sign}${rounded(most / 1048576, 2)} MB`;
}
const delta = (bytes) => (bytes ? `${bytes > 0 ? "+" : ""}${size(bytes)}` : "±0 B");
const share = (part, whole) => (part * 100 >= whole ? `${Math.floor(part * 100 / whole)} %` : "<1 %");
const counted = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

// Search, filter, sort. What is chosen stands in the address, so that a link shows the same.

const tools = find("#tools"), body = find(".matrix tbody");
const models = all(".matrix tbody tr").map((row, order) => ({
  row, order,
  section: document.getElementById(row.dataset.m),
  name: row.dataset.name,
  words: `${row.dataset.name} ${row.dataset.file}`.toLowerCase(),
  cells: all("td[data-f]", row),
}));
const LETTERS = { failing: "f", new: "n", changed: "c", warning: "w" };
const chosen = { q: "", show: "all", board: "", sort: "" };

function matches(model) {
  if (!chosen.q.toLowerCase().split(/\s+/).every((word) => model.words.includes(word))) return false;
  return model.cells.some((cell) => (chosen.board === "" || cell.dataset.b === chosen.board)
    && (chosen.show === "all" || cell.dataset.f.includes(LETTERS[chosen.show])));
}

function rank(model) {
  const cells = model.cells.filter((cell) => chosen.board === "" || cell.dataset.b === chosen.board);
  return Math.max(-Infinity, ...cells.map((cell) => Number(cell.dataset[chosen.sort])));
}

function apply() {
  let shown = 0;
  for (const model of models) {
    const hit = matches(model);
    shown += hit;
    model.row.hidden = model.section.hidden = !hit;
  }
  for (const cell of all(".matrix [data-b]")) {
    cell.hidden = chosen.board !== "" && cell.dataset.b !== chosen.board;
  }
  const ordered = [...models];
  if (chosen.sort === "name") ordered.sort((one, other) => one.name.localeCompare(other.name));
  else if (chosen.sort) ordered.sort((one, other) => rank(other) - rank(one) || one.order - other.order);
  if (ordered.some((model, place) => body.children[place] !== model.row)) {
    body.append(...ordered.map((model) => model.row));
    const place = find("main");
    place.append(...ordered.map((model) => model.section));
  }
  find("#hits").textContent = shown === models.length
    ? counted(shown, "model") : `${shown} of ${counted(models.length, "model")}`;
  find("#nothing").hidden = shown > 0;
  if (find("#q").value.trim() !== chosen.q) find("#q").value = chosen.q;
  find("#board").value = chosen.board;
  find("#sort").value = chosen.sort;
  for (const button of all("[data-show]", tools)) {
    button.setAttribute("aria-pressed", String(button.dataset.show === chosen.show));
  }
}

function remember(anchor) {
  const query = new URLSearchParams(Object.entries(chosen)
    .map(([name, value]) => [name, name === "board" && value ? boardName(value) : value])
    .filter(([name, value]) => value && !(name === "show" && value === "all")));
  const text = query.toString();
  const hash = `${anchor ?? place().anchor}${text ? `?${text}` : ""}`;
  history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
}

const boardName = (number) => find("#board").options[Number(number) + 1].textContent;

function place() {
  const [anchor, query = ""] = location.hash.slice(1).split("?");
  return { anchor, query: new URLSearchParams(query) };
}

function follow() {
  const { anchor, query } = place();
  for (const name of ["q", "show", "sort"]) {
    if (query.has(name)) chosen[name] = query.get(name);
  }
  if (!(chosen.show in LETTERS)) chosen.show = "all";
  if (![...find("#sort").options].some((each) => each.value === chosen.sort)) chosen.sort = "";
  const named = [...find("#board").options].findIndex((each) => each.textContent === query.get("board"));
  if (named > 0) chosen.board = find("#board").options[named].value;
  const model = models.find((each) => each.section.id === anchor);
  if (model && !matches(model)) Object.assign(chosen, { q: "", show: "all", board: "" });
  apply();
  if (model) {
    model.section.open = true;
    model.section.scrollIntoView();
  }
}

if (tools && models.length) {
  const change = (name, value) => { chosen[name] = value; apply(); remember(); };
  tools.hidden = false;
  tools.addEventListener("submit", (event) => event.preventDefault());
  find("#q").addEventListener("input", (event) => change("q", event.target.value.trim()));
  find("#board").addEventListener("change", (event) => change("board", event.target.value));
  find("#sort").addEventListener("change", (event) => change("sort", event.target.value));
  for (const button of all("[data-show]", tools)) {
    button.addEventListener("click", () => change("show", button.dataset.show));
  }
  find("#reset").addEventListener("click", () => {
    Object.assign(chosen, { q: "", show: "all", board: "" });
    apply();
    remember();
    find("#q").focus();
  });
  const fold = (open) => models.forEach((model) => { model.section.open = open && !model.section.hidden; });
  find("#open-all").addEventListener("click", () => fold(true));
  find("#close-all").addEventListener("click", () => fold(false));
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input,select,textarea");
    if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    find("#q").focus();
  });
  addEventListener("hashchange", follow);
  const measure = () => {
    const sticks = getComputedStyle(tools).position === "sticky";
    document.documentElement.style.setProperty("--top", `${sticks ? tools.offsetHeight : 0}px`);
  };
  new ResizeObserver(measure).observe(tools);
  follow();
}

// The details of a model.

async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text());
}

let numbers = 0;
const unique = (start) => `${start}-${++numbers}`;

async function show(section) {
  const host = find(".show", section);
  if (!host || host.dataset.drawn) return;
  host.dataset.drawn = "yes";
  host.hidden = false;
  let details;
  try {
    details = await unpack(find("script", section).textContent);
  } catch (error) {
    host.textContent = "This browser cannot unpack what is drawn here: tinybudget inspect shows it.";
    return;
  }
  const several = details.boards.length > 1;
  const picks = several ? put(host, "div", { class: "picks", role: "group", "aria-label": "Board" }) : null;
  if (picks) put(picks, "span", {}, "Board:");
  const area = put(host, "div");
  const pick = (number) => {
    if (picks) {
      all("button", picks).forEach((button, place) =>
        button.setAttribute("aria-pressed", String(place === number)));
    }
    area.replaceChildren();
    board(area, details, details.boards[number]);
  };
  if (picks) {
    details.boards.forEach((each, number) => {
      const button = put(picks, "button", { type: "button" }, `${each.failed ? "✗ " : ""}${each.name}`);
      button.addEventListener("click", () => pick(number));
    });
  }
  pick(0);
}

function board(area, details, which) {
  const group = details.groups[which.group];
  put(area, "p", { class: "soft" }, `${which.name}: ${group.title}`);
  if (group.flash && group.flash[1]) treemap(area, group.flash, which.limits.flash);
  if (group.now && group.now.arena) timeline(area, details, group, which);
  if (group.now && group.now.layers.length) layers(area, details, group.now);
  const trends = details.trends.filter((trend) => trend.board === which.name && trend.points.length > 1);
  if (trends.length) history_of(area, trends);
}

// The treemap: areas in proportion to bytes, as square as can be (Bruls, Huizing, van Wijk 2000).

function squares(nodes, x, y, width, height) {
  const found = [], sizes = nodes.map((node) => node[1]);
  let total = sizes.reduce((sum, each) => sum + each, 0), start = 0;
  while (start < nodes.length && total > 0) {
    const side = Math.min(width, height), scale = width * height / total;
    let end = start, sum = 0, worst = Infinity;
    while (end < nodes.length) {
      const next = sum + sizes[end] * scale, largest = sizes[start] * scale;
      const smallest = sizes[end] * scale;
      const ratio = Math.max(side * side * largest / (next * next), next * next / (side * side * smallest));
      if (ratio > worst) break;
      worst = ratio;
      sum = next;
      end += 1;
    }
    const depth = sum / side;
    let along = 0;
    for (const node of nodes.slice(start, end)) {
      const length = node[1] * scale / depth;
      found.push(width >= height
        ? [node, x, y + along, depth, length] : [node, x + along, y, length, depth]);
      along += length;
    }
    if (width >= height) { x += depth; width -= depth; } else { y += depth; height -= depth; }
    total -= nodes.slice(start, end).reduce((rest, node) => rest + node[1], 0);
    start = end;
  }
  return found;
}

const TITLE = 20, LEAST = 3;

function treemap(area, root, limit) {
  const figure = put(area, "figure", { class: "flash" });
  const head = put(figure, "div", { class: "head" });
  put(head, "h4", {}, "Flash");
  const crumbs = put(head, "nav", { class: "crumbs", "aria-label": "Path in the treemap of flash" });
  const hint = unique("hint");
  const map = put(figure, "div", { class: "map", role: "group", "aria-label": "Treemap of flash",
    "aria-describedby": hint });
  const said = put(figure, "p", { class: "said", role: "status" });
  const keys = put(figure, "figcaption", { class: "keys" });
  for (const [kind, words] of [["m", "model"], ["o", "operators"], ["r", "runtime"], ["d", "declared"]]) {
    if (kind !== "d" || root[5].some((node) => node[2] === "d")) {
      put(put(keys, "span"), "i", { class: `k-${kind}` }).after(words);
    }
  }
  put(keys, "span", { id: hint }, "Click or Enter zooms in, Escape zooms out, arrow keys move.");
  let path = [root];
  const whole = limit ? `${size(root[1])} of ${size(limit)}` : size(root[1]);

  const words = (node, trail) => {
    const grown = node[4] === null || node[4] === node[1] ? "" : `, ${delta(node[1] - node[4])} since the base`;
    return `${trail.map((each) => each[0]).join(" › ")}: ${size(node[1])}, ${share(node[1], root[1])} of flash`
      + `${node[3] ? `, ${node[3]}` : ""}${grown}`;
  };
  const tell = (node, trail) => { said.textContent = words(node, trail); };

  function go(next, focus) {
    path = next;
    crumbs.replaceChildren();
    path.forEach((node, depth) => {
      if (depth) put(crumbs, "span", { "aria-hidden": "true" }, "›");
      const last = depth === path.length - 1;
      const text = depth ? node[0] : whole;
      if (last) put(crumbs, "span", { "aria-current": "true" }, text);
      else put(crumbs, "button", { type: "button", class: "plain" }, text)
        .addEventListener("click", () => go(path.slice(0, depth + 1), true));
    });
    lay(focus);
    tell(path[path.length - 1], path);
  }

  function tile(node, trail, box) {
    const [x, y, width, height] = box;
    const more = node[4] === null ? 0 : node[1] - node[4];
    const grew = more * 1000 >= root[1] && !node[5].length;
    const button = put(map, "button", { type: "button", tabindex: "-1",
      class: `k-${node[2]}${node[5].length ? " grp" : ""}${grew ? " grew" : ""}`,
      "aria-label": words(node, trail) });
    if (width > 34 && height > 15) {
      const below = height > 34 && !node[5].length;
      const changed = node[5].length && Math.abs(more) * 1000 >= root[1] ? ` (${delta(more)})` : "";
      put(button, "span", {}, below ? node[0] : `${node[0]} ${size(node[1])}${changed}`);
      if (below) put(button, "span", {}, size(node[1]));
      if (grew && height > 52) put(button, "span", {}, delta(more));
    }
    Object.assign(button.style, { left: `${x}px`, top: `${y}px`, width: `${width}px`, height: `${height}px` });
    button.addEventListener("focus", () => { rove(button); tell(node, trail); });
    button.addEventListener("pointerenter", () => tell(node, trail));
    button.addEventListener("click", () => {
      const inside = node[5].length ? trail : trail.slice(0, -1);
      if (inside.length > path.length) go(inside, true);
    });
    return button;
  }

  function inside(node, trail, box, levels) {
    const [x, y, width, height] = box;
    const nodes = node[5].filter((each) => each[1] > 0);
    for (const [child, left, top, across, down] of squares(nodes, x, y, width, height)) {
      if (across < LEAST || down < LEAST) continue;
      const within = [...trail, child];
      tile(child, within, [left, top, across, down]);
      if (levels && child[5].length && across > 50 && down > TITLE + 24) {
        inside(child, within, [left + 3, top + TITLE, across - 6, down - TITLE - 3], levels - 1);
      }
    }
  }

  function lay(focus) {
    map.replaceChildren();
    const node = path[path.length - 1];
    inside(node, path, [0, 0, map.clientWidth, map.clientHeight], path.length > 1 ? 1 : 2);
    const first = find("button", map);
    if (first) first.tabIndex = 0;
    if (focus && first) first.focus();
  }

  function rove(button) {
    for (const each of all("button", map)) each.tabIndex = each === button ? 0 : -1;
  }

  const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  map.addEventListener("keydown", (event) => {
    if ((event.key === "Escape" || event.key === "Backspace") && path.length > 1) {
      event.preventDefault();
      go(path.slice(0, -1), true);
      return;
    }
    const step = STEPS[event.key];
    if (!step || !event.target.matches("button")) return;
    event.preventDefault();
    nearest(event.target, step)?.focus();
  });

  // The tile whose middle lies nearest in the direction of an arrow key.
  function nearest(from, [across, down]) {
    const middle = (tile) => [tile.offsetLeft + tile.offsetWidth / 2, tile.offsetTop + tile.offsetHeight / 2];
    const [x, y] = middle(from);
    let best = null, least = Infinity;
    for (const each of all("button", map)) {
      const [dx, dy] = middle(each).map((value, axis) => value - (axis ? y : x));
      const ahead = dx * across + dy * down, beside = Math.abs(dx * down) + Math.abs(dy * across);
      if (each === from || ahead <= 1) continue;
      if (ahead + 2 * beside < least) { least = ahead + 2 * beside; best = each; }
    }
    return best;
  }

  go(path, false);
  resized(map, () => lay(false));
}

// The arena over time. Before and after have the same bytes a pixel and the same pixels an operator.

const PLOT = 190;

function timeline(area, details, group, which) {
  const figure = put(area, "figure", { class: "arena" });
  const head = put(figure, "div", { class: "head" });
  put(head, "h4", {}, "Tensor arena");
  const sides = [{ title: group.base?.arena ? "now" : "", side: group.now }];
  if (group.base?.arena) {
    const why = group.comparable === false ? " (measured otherwise)" : "";
    sides.unshift({ title: `base${why}`, side: group.base });
    const change = group.now.arena.required - group.base.arena.required;
    put(head, "span", {}, `${size(group.base.arena.required)} before, ${size(group.now.arena.required)} now`
      + ` (${delta(change)})`);
  } else {
    put(head, "span", {}, size(group.now.arena.required));
  }
  const highest = Math.max(...sides.map(({ side }) => side.arena.required));
  const inSight = which.arena !== null && which.arena <= highest * 1.5;
  const top = Math.max(highest, inSight ? which.arena : 0, 1);
  const ends = sides.flatMap(({ side }) => [...side.arena.buffers.map((each) => each[5]),
    ...side.layers.map((each) => each[9])]);
  const columns = Math.max(0, ...ends) + 1;
  for (const { title, side } of sides) {
    panel(figure, details.names, side, { title, top, columns, limit: which.arena, inSight });
  }
  const keys = put(figure, "figcaption", { class: "keys" });
  for (const [kind, words] of [["t", "activation"], ["p", "alive at the peak"], ["s", "scratch"], ["k", "persistent"]]) {
    put(put(keys, "span"), "i", { class: `k-${kind}` }).after(words);
  }
  put(keys, "span", {}, "Across: the operators in their order. Up: the offset in the arena.");
}

function panel(figure, names, side, { title, top, columns, limit, inSight }) {
  const arena = side.arena;
  if (title) put(figure, "p", { class: "soft" }, `${title}: ${size(arena.required)}`);
  const box = put(figure, "div");
  const summary = `Tensor arena${title ? ` ${title}` : ""}: ${size(arena.required)}, activations and scratch up to `
    + `${size(arena.head)}, ${size(arena.tail)} persist.`;
  const label = put(figure, "label", { class: "slide" });
  put(label, "span", { class: "hide" }, `Operator${title ? `, ${title}` : ""}`);
  // In the order of time; an operator that runs another subgraph stands before those inside.
  const steps = side.layers.filter((layer) => layer[8] >= 0)
    .sort((one, other) => one[8] - other[8] || other[9] - one[9]);
  const during = (time) => steps.filter((layer) => layer[8] <= time && time < layer[9] + 1).pop();
  const slider = put(label, "input", { type: "range", min: "0", max: String(Math.max(0, steps.length - 1)),
    step: "1" });
  const said = put(figure, "p", { class: "said" });
  slider.value = String(Math.max(0, steps.indexOf(during(arena.peak))));
  label.hidden = !steps.length;
  const moment = (time) => {
    const layer = during(time);
    return layer ? names[layer[0]] : time === 0 ? "input" : `time ${time}`;
  };
  const buffer = (each) => `${names[each[0]]}: ${size(each[2])} at ${grouped(each[3])}, `
    + (each[4] === each[5] ? moment(each[4]) : `${moment(each[4])} to ${moment(each[5])}`);
  let rects = [], cursor = null, mark = null, scale = null;

  function sketch() {
    const width = Math.max(260, box.clientWidth), left = 62, right = 8, over = 16;
    const plot = width - left - right, bottom = over + PLOT, height = bottom + 18;
    const x = (time) => left + plot * time / columns, y = (offset) => bottom - PLOT * offset / top;
    scale = { left, step: plot / columns };
    box.replaceChildren();
    const svg = draw(box, "svg", { class: "time", viewBox: `0 0 ${width} ${height}`, role: "img",
      "aria-label": summary });
    const hatch = unique("hatch");
    const pattern = draw(svg, "pattern", { id: hatch, width: 6, height: 6, patternUnits: "userSpaceOnUse",
      patternTransform: "rotate(45)" });
    draw(pattern, "rect", { class: "pb", width: 6, height: 6 });
    draw(pattern, "path", { class: "ph", d: "M0 0v6" });
    let tick = 1;
    while (top / tick > 5) tick *= 2;
    for (let value = 0; value <= top; value += tick) {
      draw(svg, "path", { class: "axis", d: `M${left} ${y(value)}h${plot}` });
      draw(svg, "text", { class: "soft end", x: left - 6, y: y(value) + 4 }, size(value));
    }
    const band = (kind, offset, bytes, words) => {
      if (bytes <= 0) return;
      const rect = draw(svg, "rect", { class: kind, x: left, y: y(offset + bytes), width: plot,
        height: Math.max(0.5, PLOT * bytes / top) });
      draw(rect, "title", {}, words);
      if (PLOT * bytes / top > 13) {
        draw(svg, "text", { class: "mid", x: left + plot / 2, y: y(offset + bytes / 2) + 4 }, words);
      }
    };
    band("g", arena.head, arena.required - arena.used, `room to set up, ${size(arena.required - arena.used)}: `
      + `decided by ${arena.decided}`);
    band("k", arena.required - arena.tail, arena.tail, `persistent, ${size(arena.tail)}`);
    rects = arena.buffers.map((each) => {
      const alive = each[4] <= arena.peak && arena.peak <= each[5];
      const from = x(each[4]), to = x(each[5] + 1), tall = PLOT * each[2] / top;
      const look = alive ? { class: "p", fill: `url(#${hatch})` } : { class: each[1] ? "s" : "t" };
      const rect = draw(svg, "rect", { ...look, x: from, y: y(each[3] + each[2]),
        width: Math.max(1, to - from), height: Math.max(0.5, tall) });
      draw(rect, "title", {}, buffer(each));
      if (to - from > 46 && tall > 13) {
        draw(svg, "text", { class: "mid halo", x: (from + to) / 2, y: y(each[3] + each[2] / 2) + 4 },
          size(each[2]));
      }
      return rect;
    });
    draw(svg, "path", { class: "peak", d: `M${left} ${y(arena.head)}h${plot}` });
    draw(svg, "text", { class: "halo", x: left + 4, y: y(arena.head) - 4 }, `peak ${size(arena.head)}`);
    if (inSight) {
      draw(svg, "path", { class: "limit", d: `M${left} ${y(limit)}h${plot}` });
      draw(svg, "text", { class: "halo end", x: width - right - 4, y: Math.max(11, y(limit) - 4) },
        `limit ${size(limit)}`);
    } else if (limit !== null) {
      draw(svg, "text", { class: "soft end", x: width - right, y: 11 }, `↑ limit ${size(limit)}`);
    }
    let free = left;
    for (const layer of steps) {
      const middle = x((layer[8] + layer[9] + 1) / 2), number = /#\d+$/.exec(names[layer[0]]);
      if (!number || middle < free) continue;
      free = middle + 34;
      draw(svg, "text", { class: "soft mid", x: middle, y: bottom + 13 }, number[0]);
    }
    cursor = draw(svg, "rect", { class: "cur", y: over, height: PLOT });
    mark = (layer) => {
      cursor.setAttribute("x", x(layer[8]));
      cursor.setAttribute("width", Math.max(2, x(layer[9] + 1) - x(layer[8])));
    };
    label.style.marginLeft = `${left * 100 / width}%`;
    label.style.width = `${(x(Math.max(0, ...steps.map((layer) => layer[9])) + 1) - left) * 100 / width}%`;
    svg.addEventListener("pointermove", point);
    svg.addEventListener("pointerdown", point);
    svg.addEventListener("pointerleave", () => tell());
    tell();
  }

  function tell(lit = null) {
    const layer = steps[Number(slider.value)];
    rects.forEach((rect, place) => rect.classList.toggle("lit", place === lit));
    if (!layer) { said.textContent = summary; return; }
    mark(layer);
    const alive = arena.buffers.filter((each) => each[4] <= layer[9] && layer[8] <= each[5])
      .sort((one, other) => other[2] - one[2]);
    const words = `${[names[layer[0]], names[layer[1]]].filter(Boolean).join(" ")}: ${size(layer[7])} alive`
      + (alive.length ? ` in ${counted(alive.length, "buffer")}` : "");
    slider.setAttribute("aria-valuetext", words);
    const listed = alive.slice(0, 3).map((each) => `${names[each[0]]} ${size(each[2])}`.trim());
    const more = alive.length > 3 ? `, and ${alive.length - 3} more` : "";
    said.textContent = lit !== null ? buffer(arena.buffers[lit])
      : `${words}${listed.length ? `: ${listed.join(", ")}${more}` : ""}`;
  }

  function point(event) {
    const svg = event.currentTarget, bounds = svg.getBoundingClientRect();
    const at = (event.clientX - bounds.left) * svg.viewBox.baseVal.width / bounds.width;
    const time = (at - scale.left) / scale.step;
    const place = steps.indexOf(during(time));
    if (place >= 0) slider.value = String(place);
    const lit = rects.indexOf(event.target);
    tell(lit >= 0 ? lit : null);
  }

  slider.addEventListener("input", () => tell());
  sketch();
  resized(box, sketch);
}

// The layers: made when they are opened, sorted by any column.

function layers(area, details, side) {
  const fold = put(area, "details");
  const left = side.all - side.layers.length;
  put(fold, "summary", {}, counted(side.all, "layer")
    + (left ? ` (the ${side.layers.length} largest; tinybudget inspect -v shows all)` : ""));
  fold.addEventListener("toggle", () => {
    if (!fold.open || find("table", fold)) return;
    const scroll = put(fold, "div", { class: "scroll", role: "region", "aria-label": "Layers", tabindex: "0" });
    const table = put(scroll, "table", { class: "layers" });
    const row = put(put(table, "thead"), "tr"), rows = put(table, "tbody");
    const heads = ["Layer", "Name", "Output", "Weights", "Activations", "Scratch", "Persistent", "Live"];
    const order = side.layers.map((_, place) => place);
    const fill = () => rows.replaceChildren(...order.map((place) => {
      const layer = side.layers[place], line = document.createElement("tr");
      if (layer[10]) line.className = "at";
      put(line, "th", { scope: "row" }, `${details.names[layer[0]]}${layer[10] ? " (peak)" : ""}`);
      put(line, "td", {}, details.names[layer[1]]);
      put(line, "td", {}, details.names[layer[2]]);
      for (const bytes of layer.slice(3, 8)) put(line, "td", {}, bytes ? size(bytes) : "–");
      return line;
    }));
    heads.forEach((text, column) => {
      const head = put(row, "th", { scope: "col" });
      if (column === 1 || column === 2) { head.textContent = text; return; }
      put(head, "button", { type: "button" }, text).addEventListener("click", () => {
        const down = column && head.getAttribute("aria-sort") !== "descending";
        for (const each of row.children) each.removeAttribute("aria-sort");
        order.sort((one, other) => (column ? side.layers[other][column] - side.layers[one][column] : 0)
          || one - other);
        if (column && !down) order.reverse();
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        fill();
      });
    });
    fill();
  });
}

// The trend of the last runs.

function history_of(area, trends) {
  const figure = put(area, "figure", { class: "trend" });
  const runs = Math.max(...trends.map((trend) => trend.points.length));
  const head = put(figure, "div", { class: "head" });
  put(head, "h4", {}, `The last ${counted(runs, "run")}`);
  const two = put(figure, "div", { class: "two" });
  for (const trend of trends) curve(put(two, "div"), trend);
}

function curve(host, trend) {
  const points = trend.points.map(([label, used, limit, comparable], place) =>
    ({ label, used, limit, comparable, place })).filter((point) => point.used !== null);
  const sizes = points.map((point) => point.used), most = Math.max(...sizes);
  const near = points.map((point) => point.limit).filter((limit) => limit !== null && limit <= most * 1.25);
  const name = trend.metric[0].toUpperCase() + trend.metric.slice(1);
  put(host, "p", { class: "soft" }, `${name}: ${size(sizes[0])} to ${size(sizes[sizes.length - 1])} `
    + `(${delta(sizes[sizes.length - 1] - sizes[0])})`);
  const box = put(host, "div");
  const label = put(host, "label", { class: "slide" });
  put(label, "span", { class: "hide" }, `Run, ${name}`);
  const slider = put(label, "input", { type: "range", min: "0", max: String(points.length - 1), step: "1" });
  slider.value = String(points.length - 1);
  const said = put(host, "p", { class: "said" });
  const words = (point) => `${point.label}: ${size(point.used)} (${grouped(point.used)} B)`
    + (point.limit !== null ? `, limit ${size(point.limit)}` : "")
    + (point.limit !== null && point.used > point.limit ? ", over" : "")
    + (point.comparable ? "" : "; measured otherwise than before");
  let marks = [];

  function sketch() {
    const width = Math.max(240, box.clientWidth), height = 120, left = 70, right = 12, over = 16, under = 10;
    const low = Math.min(...sizes, ...near), high = Math.max(...sizes, ...near);
    const room = Math.max(1, (high - low) * 0.1), count = Math.max(1, trend.points.length - 1);
    const x = (place) => left + (width - left - right) * place / count;
    const y = (bytes) => over + (height - over - under) * (high + room - bytes) / (high - low + 2 * room);
    box.replaceChildren();
    const svg = draw(box, "svg", { class: "time", viewBox: `0 0 ${width} ${height}`, role: "img",
      "aria-label": `${name} over ${counted(points.length, "run")}` });
    for (const bytes of new Set([Math.min(...sizes), most])) {
      draw(svg, "path", { class: "axis", d: `M${left} ${y(bytes)}H${width - right}` });
      draw(svg, "text", { class: "soft end", x: left - 10, y: y(bytes) + 4 }, size(bytes));
    }
    let path = "";
    points.forEach((point, place) => {
      const joined = place && point.comparable && points[place - 1].place === point.place - 1;
      path += `${joined ? "L" : "M"}${x(point.place)} ${y(point.used)}`;
      if (!point.comparable) {
        draw(svg, "path", { class: "cut", d: `M${x(point.place)} ${over}V${height - under}` });
      }
    });
    draw(svg, "path", { class: "line", d: path });
    let limits = "";
    for (const point of points) {
      if (point.limit === null || point.limit > most * 1.25) continue;
      limits += limits ? `V${y(point.limit)}H${x(point.place)}` : `M${x(point.place)} ${y(point.limit)}`;
    }
    if (limits) {
      draw(svg, "path", { class: "peak", d: limits });
      const last = points.filter((point) => point.limit !== null).pop();
      draw(svg, "text", { class: "halo end soft", x: width - right, y: Math.max(11, y(last.limit) - 5) },
        `limit ${size(last.limit)}`);
    }
    marks = points.map((point) => {
      const at = { x: x(point.place), y: y(point.used) };
      const mark = point.limit !== null && point.used > point.limit
        ? draw(svg, "rect", { class: "over", x: at.x - 4, y: at.y - 4, width: 8, height: 8 })
        : draw(svg, "circle", { class: "dot", cx: at.x, cy: at.y, r: 3.5 });
      draw(mark, "title", {}, words(point));
      return mark;
    });
    svg.addEventListener("pointermove", (event) => {
      const bounds = svg.getBoundingClientRect(), at = (event.clientX - bounds.left) * width / bounds.width;
      const far = points.map((point) => Math.abs(x(point.place) - at));
      slider.value = String(far.indexOf(Math.min(...far)));
      tell();
    });
    label.style.marginLeft = `${(left - 8) * 100 / width}%`;
    label.style.width = `${(width - left - right + 16) * 100 / width}%`;
    tell();
  }

  function tell() {
    const point = points[Number(slider.value)];
    marks.forEach((mark, place) => mark.classList.toggle("lit", place === Number(slider.value)));
    slider.setAttribute("aria-valuetext", words(point));
    said.textContent = words(point);
  }

  slider.addEventListener("input", tell);
  sketch();
  resized(box, sketch);
}

// Draws anew when an element has become wider or narrower.
function resized(element, sketch) {
  let width = element.clientWidth, waiting = 0;
  new ResizeObserver(() => {
    if (!element.clientWidth || element.clientWidth === width) return;
    width = element.clientWidth;
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(sketch);
  }).observe(element);
}

const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    seen.unobserve(entry.target);
    show(entry.target);
  }
}, { rootMargin: "400px" });
for (const section of all("details.model")) {
  section.addEventListener("toggle", () => { if (section.open) seen.observe(section); });
  if (section.open) seen.observe(section);
}
addEventListener("beforeprint", () => all("details.model[open]").forEach((section) => show(section)));
})();
