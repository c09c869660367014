"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const { results, metrics, labels, titles, views, paper, montages } = data;
const $ = (id) => document.getElementById(id);
const shown = [...results.methods, "hr"]; // the choices of either side
const places = Object.keys(views).flatMap((set) => Object.keys(views[set]).map((name) => ({ set, name })));
const ZOOMS = [1, 2, 4, 8];
const ABOUT = {
  paper: "Protocol of the paper: dithered 8-bit BT.709 luma and SSIM as the Daala tools compute them, without a border as wide as the scale. Compare with its Table 2.",
  bt601: "Protocol of most publications: BT.601 luma of MATLAB's rgb2ycbcr, Gaussian SSIM, without a border as wide as the scale.",
  rgb: "All three colour channels, Gaussian SSIM, without a border as wide as the scale.",
};
const state = {
  at: 0, left: shown[0], right: shown[shown.length - 1], divider: 0.5, zoom: 0, x: 0, y: 0, // zoom 0: fits the page
  protocol: results.protocols[0], figure: results.metrics.includes("lpips") ? "lpips" : results.metrics[0], // how pictures look 
  set: places[0].set, sort: "", falling: true,
  by: "", best: true, // the tables of means: sorted by this metric, best first
};

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const view = () => views[places[state.at].set][places[state.at].name];
const file = (method) => view().files[method];

// Figures as text. JSON has no infinity: null is infinite where higher is better (equal pictures), else not defined.
const FIGURES = Object.fromEntries(results.metrics.map((name) => {
  const { key, title, digits, lower, by_protocol } = metrics[name];
  return [name, {
    title: { psnr: "PSNR, dB", consistency: "LR consistency, dB" }[name] || title,
    short: name === "consistency" ? "LR cons." : title,
    falls: lower,
    of: (figures) => (by_protocol ? figures[state.protocol] : figures)[key],
    show: (value) => (value === null ? (lower ? "n/a" : "\u221e") : value.toFixed(digits)),
  }];
}));
const kinds = results.metrics;
const textOf = (kind, figures) => FIGURES[kind].show(FIGURES[kind].of(figures));
const figuresOf = (set, name) => results.sets[set].pictures.find((picture) => picture.name === name).figures;
const order = (kind, figures) => {
  const value = FIGURES[kind].of(figures);
  return value === null ? Infinity : value;
};
function best(kind, byMethod) {
  const values = results.methods.map((method) => order(kind, byMethod[method]));
  return FIGURES[kind].falls ? Math.min(...values) : Math.max(...values);
}

// The stage: both sides have the same layout, so they are always aligned.
const available = () => { // on a phone, space remains for scrolling with a finger
  const width = $("look").clientWidth;
  return { width, height: Math.max(220, Math.round(window.innerHeight * (width < 600 ? 0.55 : 0.7))) };
};
function fitting() {
  const { width, height } = available();
  const scale = Math.min(width / view().width, height / view().height);
  return scale >= 1 ? Math.floor(scale) : scale; // integer factors, so that pixels stay square
}
const scaleNow = () => state.zoom || fitting();
function layout() {
  const { width: w, height: h } = view();
  const scale = scaleNow(), room = available();
  const width = Math.min(room.width, w * scale), height = Math.min(room.height, h * scale);
  const x = clamp(width / 2 - state.x * scale, width - w * scale, 0);
  const y = clamp(height / 2 - state.y * scale, height - h * scale, 0);
  return { w, h, scale, width, height, x, y };
}

function draw() {
  const at = layout(), stage = $("stage");
  stage.style.width = `${at.width}px`;
  stage.style.height = `${at.height}px`;
  for (const [name, value] of Object.entries({ x: at.x, y: at.y, width: at.w * at.scale, height: at.h * at.scale }))
    stage.style.setProperty(`--${name}`, `${value}px`);
  stage.style.setProperty("--divider", `${100 * state.divider}%`);
  stage.classList.toggle("pixels", at.scale >= 2);
  stage.classList.toggle("zoomed", at.w * at.scale > at.width + 1 || at.h * at.scale > at.height + 1);
  const percent = Math.round(100 * state.divider);
  $("handle").setAttribute("aria-valuenow", percent);
  $("handle").setAttribute("aria-valuetext", `${labels[state.left]} ${percent} %, ${labels[state.right]} ${100 - percent} %`);
  stage.classList.toggle("narrow", at.width < 480);
  $("left-tag").hidden = state.divider < 0.15;
  $("right-tag").hidden = state.divider > 0.85;
  for (const button of $("zoom").children) button.setAttribute("aria-pressed", String(state.zoom === Number(button.value)));
  drawStrip(at);
}

function drawStrip(at) {
  const magnified = Math.max(4, state.zoom), patches = [...$("strip").children];
  const side = patches[0].clientWidth, reach = side / magnified / 2;
  for (const patch of patches) {
    const style = patch.firstChild.style;
    style.backgroundSize = `${at.w * magnified}px ${at.h * magnified}px`;
    style.backgroundPosition = `${side / 2 - state.x * magnified}px ${side / 2 - state.y * magnified}px`;
  }
  Object.assign($("lens").style, {
    left: `${(state.x - reach) * at.scale + at.x}px`, top: `${(state.y - reach) * at.scale + at.y}px`,
    width: `${2 * reach * at.scale}px`, height: `${2 * reach * at.scale}px`,
  });
  $("lens").hidden = 2 * reach * at.scale > Math.max(at.width, at.height); // if the stage shows less than the detail
}

// The centre of the detail is kept away from the border, so that its square is filled if the picture is large enough.
function look(x, y) {
  const reach = $("strip").firstChild.clientWidth / Math.max(4, state.zoom) / 2, { width, height } = view();
  state.x = width > 2 * reach ? clamp(x, reach, width - reach) : width / 2;
  state.y = height > 2 * reach ? clamp(y, reach, height - reach) : height / 2;
  draw();
}

function figureText(method) {
  if (method === "hr") return "the original";
  const figures = figuresOf(places[state.at].set, places[state.at].name)[method];
  const usual = kinds.filter((kind) => ["psnr", "ssim", "lpips"].includes(kind));
  return (usual.length ? usual : kinds.slice(0, 1)).map((kind) => {
    const text = textOf(kind, figures);
    return { psnr: `${text} dB`, ssim: text }[kind] || `${FIGURES[kind].title} ${text}`;
  }).join(", ");
}

function drawPicture() {
  const { set, name } = places[state.at];
  for (const side of ["left", "right"]) {
    const method = state[side];
    if ($(`${side}-image`).getAttribute("src") !== file(method)) $(`${side}-image`).src = file(method);
    $(`${side}-image`).alt = `${name}, ${labels[method]}`;
    $(`${side}-tag`).replaceChildren(labels[method], make("span", { textContent: `  ${figureText(method)}` }));
    $(side).value = method;
  }
  $("picture").value = String(state.at);
  $("size").textContent = `${view().width} \u00d7 ${view().height} pixels`;
  $("strip").replaceChildren(...shown.map((method) => {
    const detail = make("i");
    detail.style.backgroundImage = `url("${file(method)}")`;
    detail.setAttribute("role", "img");
    detail.setAttribute("aria-label", `Detail, ${labels[method]}`);
    return make("figure", { className: "patch" }, detail,
      make("figcaption", {}, make("b", { textContent: labels[method], title: labels[method] }), figureText(method)));
  }));
  for (const row of $("list").tBodies[0].rows) row.classList.toggle("now", row.dataset.name === name && state.set === set);
  look(state.x, state.y);
}

function open(index) {
  state.at = (index + places.length) % places.length;
  [state.x, state.y] = view().focus;
  try { history.replaceState(null, "", `#${encodeURIComponent(places[state.at].set)}/${encodeURIComponent(places[state.at].name)}`); }
  catch { /* a page in a frame may not: the address is only a convenience */ }
  drawPicture();
}

function zoomTo(zoom) {
  state.zoom = zoom;
  look(state.x, state.y);
}
function zoomBy(step) {
  const now = scaleNow(), next = step > 0 ? ZOOMS.find((z) => z > now) : ZOOMS.findLast((z) => z < now);
  zoomTo(next === undefined ? (step > 0 ? ZOOMS[ZOOMS.length - 1] : 0) : (next <= fitting() ? 0 : next));
}

// Pointers: the handle moves the divider; elsewhere one finger selects the detail, or drags when zoomed in; two zoom.
const pointers = new Map();
let pinch = null;
const handleDrag = (event) => {
  const box = $("stage").getBoundingClientRect();
  state.divider = clamp((event.clientX - box.left) / box.width, 0, 1);
  draw();
};
$("handle").addEventListener("pointerdown", (event) => {
  event.stopPropagation();
  event.currentTarget.setPointerCapture(event.pointerId);
});
$("handle").addEventListener("pointermove", (event) => {
  if (event.currentTarget.hasPointerCapture(event.pointerId)) handleDrag(event);
});
function place(event) {
  const box = $("stage").getBoundingClientRect(), at = layout();
  return [(event.clientX - box.left - at.x) / at.scale, (event.clientY - box.top - at.y) / at.scale];
}
const spread = () => {
  const [a, b] = [...pointers.values()];
  return Math.hypot(a.x - b.x, a.y - b.y);
};
$("stage").addEventListener("pointerdown", (event) => {
  $("stage").setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  if (pointers.size === 2) pinch = { spread: spread(), scale: scaleNow() };
  else if (!$("stage").classList.contains("zoomed")) look(...place(event));
});
$("stage").addEventListener("pointermove", (event) => {
  const last = pointers.get(event.pointerId);
  if (!last) return;
  pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  if (pointers.size === 2 && pinch) {
    const wanted = pinch.scale * spread() / pinch.spread;
    zoomTo(wanted < fitting() * 1.1 ? 0 : ZOOMS.reduce((a, b) => (Math.abs(b - wanted) < Math.abs(a - wanted) ? b : a)));
  } else if ($("stage").classList.contains("zoomed")) {
    const at = layout(); // from the centre of the stage, from which the detail may differ near a border
    look((at.width / 2 - at.x - (event.clientX - last.x)) / at.scale, (at.height / 2 - at.y - (event.clientY - last.y)) / at.scale);
  } else look(...place(event));
});
for (const end of ["pointerup", "pointercancel"])
  $("stage").addEventListener(end, (event) => {
    pointers.delete(event.pointerId);
    pinch = null;
  });
$("stage").addEventListener("dblclick", (event) => {
  if (event.target === $("handle")) return;
  [state.x, state.y] = place(event);
  zoomTo(state.zoom ? 0 : Math.max(4, fitting() + 1));
});
$("stage").addEventListener("wheel", (event) => {
  if (!event.ctrlKey && !event.metaKey) return; // without a key the wheel scrolls the page
  event.preventDefault();
  zoomBy(-event.deltaY);
}, { passive: false });

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("select, input, textarea")) return;
  const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  const digit = /^Digit([1-9])$/.exec(event.code);
  if (move && event.shiftKey) look(state.x + 8 * move[0], state.y + 8 * move[1]);
  else if (move && move[0]) {
    state.divider = clamp(state.divider + 0.02 * move[0], 0, 1);
    draw();
  } else if (event.target === $("handle") && (event.key === "Home" || event.key === "End")) {
    state.divider = event.key === "End" ? 1 : 0;
    draw();
  } else if (event.key === "+" || event.key === "=") zoomBy(1);
  else if (event.key === "-") zoomBy(-1);
  else if (event.key === "0") zoomTo(0);
  else if (event.key === "n" || event.key === "N") open(state.at + 1);
  else if (event.key === "p" || event.key === "P") open(state.at - 1);
  else if (digit && shown[digit[1] - 1]) {
    state[event.shiftKey ? "left" : "right"] = shown[digit[1] - 1];
    drawPicture();
  } else return;
  event.preventDefault();
});

// The tables of means, with the paper's rows where they can be compared. A click on a column's head sorts the methods by
// it, best first, and another reverses the order.
function drawTables() {
  $("about").textContent = [ABOUT[state.protocol], kinds.some((kind) => FIGURES[kind].falls) ? "Lower is better for "
    + `${kinds.filter((kind) => FIGURES[kind].falls).map((kind) => FIGURES[kind].title).join(", ")}.` : "",
    results.degradation ? `LR was degraded: ${results.degradation.name}, seed ${results.degradation.seed}.` : ""].filter(Boolean).join(" ");
  $("tables").classList.toggle("wide", kinds.length > 3);
  $("tables").replaceChildren(...Object.keys(results.sets).map((set) => {
    const { mean, pictures } = results.sets[set];
    const body = make("tbody");
    const methods = [...results.methods];
    if (state.by) {
      const sign = state.best === Boolean(FIGURES[state.by].falls) ? 1 : -1;
      methods.sort((a, b) => sign * (order(state.by, mean[a]) - order(state.by, mean[b])) || 0);
    }
    for (const method of methods) {
      const row = make("tr", {}, make("td", { textContent: labels[method] }));
      for (const kind of kinds) {
        const figures = mean[method];
        row.append(make("td", {
          textContent: textOf(kind, figures),
          className: results.methods.length > 1 && order(kind, figures) === best(kind, mean) ? "best" : "",
        }));
      }
      body.append(row);
    }
    for (const [label, psnr, ssim] of (state.protocol === "paper" && paper[set]) || [])
      body.append(make("tr", { className: "paper" }, ...[`paper's ${label}`, ...kinds.map((kind) =>
        ({ psnr: psnr.toFixed(2), ssim: ssim.toFixed(4) }[kind] || ""))].map((textContent) => make("td", { textContent }))));
    const head = make("tr", {}, make("th"), ...kinds.map((kind) => {
      const cell = make("th", { scope: "col", title: FIGURES[kind].title }, make("button", { textContent: FIGURES[kind].short }));
      if (kind === state.by)
        cell.setAttribute("aria-sort", state.best === Boolean(FIGURES[kind].falls) ? "ascending" : "descending");
      cell.firstChild.addEventListener("click", () => {
        state.best = kind === state.by ? !state.best : true;
        state.by = kind;
        const at = Object.keys(results.sets).indexOf(set);
        drawTables();
        $("tables").querySelectorAll("thead")[at].querySelectorAll("button")[kinds.indexOf(kind)].focus();
      });
      return cell;
    }));
    const caption = make("caption", {}, titles[set],
      make("span", { className: "quiet", textContent: `  ${pictures.length} ${pictures.length === 1 ? "picture" : "pictures"}` }));
    return make("div", { className: "scroll" }, make("table", {}, caption, make("thead", {}, head), body));
  }));
}

// The list of pictures: a click on a column's head sorts by it, best first, and another reverses the order.
function drawList() {
  const pictures = [...results.sets[state.set].pictures];
  const falls = Boolean(FIGURES[state.figure].falls);
  if (state.sort) {
    const sign = state.falling ? -1 : 1;
    pictures.sort((a, b) => {
      const [one, other] = [a, b].map((p) => order(state.figure, p.figures[state.sort]));
      return one === other ? 0 : sign * (one < other ? -1 : 1);
    });
  }
  const head = make("tr");
  const heading = (method, textContent) => {
    const cell = make("th", { scope: "col" }, make("button", { textContent, title: method ? "Sort by this figure" : "Restore the order of the set" }));
    if (method && method === state.sort) cell.setAttribute("aria-sort", state.falling ? "descending" : "ascending");
    cell.firstChild.addEventListener("click", () => {
      state.falling = method === state.sort ? !state.falling : !falls;
      state.sort = method;
      drawList();
      $("list").tHead.querySelectorAll("button")[["", ...results.methods].indexOf(method)].focus();
    });
    return cell;
  };
  head.append(heading("", "Picture"), ...results.methods.map((method) => heading(method, labels[method])));
  $("list").tHead.replaceChildren(head);
  $("list").tBodies[0].replaceChildren(...pictures.map((picture) => {
    const { name, figures } = picture, here = views[state.set][name];
    const button = make("button", {}, make("img", { src: here.files.hr, alt: "" }), name);
    button.setAttribute("aria-label", `Compare ${name}`);
    const row = make("tr", {}, make("td", {}, button), ...results.methods.map((method) => make("td", {
      textContent: textOf(state.figure, figures[method]),
      className: results.methods.length > 1 && order(state.figure, figures[method]) === best(state.figure, figures) ? "best" : "",
    })));
    row.dataset.name = name;
    row.classList.toggle("now", places[state.at].set === state.set && places[state.at].name === name);
    row.addEventListener("click", () => {
      open(places.findIndex((p) => p.set === state.set && p.name === name));
      $("look").scrollIntoView({ behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
    });
    return row;
  }));
}

function choice(box, entries, current, chosen) {
  box.replaceChildren(...entries.map(([value, textContent]) => {
    const button = make("button", { value, textContent });
    button.setAttribute("aria-pressed", String(value === current));
    button.addEventListener("click", () => {
      for (const other of box.children) other.setAttribute("aria-pressed", String(other === button));
      chosen(value);
    });
    return button;
  }));
  box.hidden = entries.length < 2;
}

function start() {
  const sets = Object.keys(results.sets), many = places.length;
  $("title").textContent = `Super-resolution by ${results.scale}, side by side`;
  $("lead").textContent = `${many} ${many === 1 ? "picture" : "pictures"} of ${sets.map((s) => titles[s]).join(", ")}, upscaled by `
    + `${results.methods.map((m) => labels[m]).join(", ")}, beside the originals (HR).`;
  for (const set of sets) {
    const options = places.map((p, i) => [p, i]).filter(([p]) => p.set === set);
    $("picture").append(make("optgroup", { label: titles[set] },
      ...options.map(([p, i]) => make("option", { value: String(i), textContent: `${titles[set]}  ${p.name}` }))));
  }
  $("picture").addEventListener("change", (event) => open(Number(event.target.value)));
  $("before").addEventListener("click", () => open(state.at - 1));
  $("after").addEventListener("click", () => open(state.at + 1));
  const networks = results.methods.filter((m) => m !== "nearest" && m !== "bicubic");
  if (results.methods.includes("bicubic")) state.left = "bicubic";
  state.right = networks.length ? networks[networks.length - 1] : "hr";
  if (state.left === state.right) state.right = "hr";
  for (const side of ["left", "right"]) {
    $(side).append(...shown.map((value) => make("option", { value, textContent: labels[value] })));
    $(side).addEventListener("change", (event) => {
      state[side] = event.target.value;
      drawPicture();
    });
  }
  choice($("zoom"), [[0, "Fit"], ...ZOOMS.map((z) => [z, `${z}\u00d7`])], 0, zoomTo);
  choice($("protocol"), results.protocols.map((p) => [p, p]), state.protocol, (protocol) => {
    state.protocol = protocol;
    drawTables();
    drawList();
    drawPicture();
  });
  choice($("set"), sets.map((s) => [s, titles[s]]), state.set, (set) => {
    state.set = set;
    drawList();
  });
  $("figure").append(...kinds.map((value) => make("option", { value, textContent: FIGURES[value].title })));
  $("figure").value = state.figure;
  $("figure").addEventListener("change", (event) => {
    state.figure = event.target.value;
    state.falling = !FIGURES[state.figure].falls;
    drawList();
  });
  $("montages").append(...Object.entries(montages).map(([set, { file: src, picture, width, height }]) =>
    make("figure", { className: "montage" }, make("div", { className: "scroll" }, make("a", { href: src },
      make("img", { src, width, height, alt: `${picture} from every method` }))),
      make("figcaption", { textContent: `${titles[set]}, ${picture}` }))));
  $("how").append(make("pre", {}, make("code", { textContent: results.command })), ...facts());
  drawTables();
  drawList();
  const [set, name] = location.hash.slice(1).split("/").map(decoded);
  open(Math.max(0, places.findIndex((p) => p.set === set && p.name === name)));
  window.addEventListener("resize", () => look(state.x, state.y));
  // A line says where a table or a montage is wider than the page.
  const widths = new ResizeObserver((entries) => {
    for (const { target } of entries) target.closest(".scroll").classList.toggle("more", overflows(target.closest(".scroll")));
  });
  const watch = () => document.querySelectorAll(".scroll, .scroll > *").forEach((element) => widths.observe(element));
  new MutationObserver(watch).observe($("tables"), { childList: true });
  watch();
}

const overflows = (box) => box.scrollWidth > box.clientWidth + 1;

function decoded(part) {
  try { return decodeURIComponent(part); }
  catch { return part; } // not one of the page's own URLs
}

function facts() {
  const models = Object.entries(results.models).filter(([, model]) => model.sha256)
    .map(([name, model]) => make("p", { className: "quiet" }, `${labels[name]}: weights `, make("code", { textContent: model.sha256 })));
  const versions = Object.entries(results.versions).map(([name, version]) => `${name} ${version}`).join(", ");
  const links = make("p", { className: "quiet" }, `${results.date}. ${versions}. All figures: `,
    make("a", { href: "results.csv", textContent: "results.csv" }), ", ", make("a", { href: "results.json", textContent: "results.json" }), ".");
  return [...models, links];
}

start();
