"use strict";
// The interactive figures of a report: the curves of training, and the latent plane with its images.
// Without this script the page shows the same as pictures. Text goes in as text, never as HTML.

const SVG = (() => {
  const holder = document.createElement("div");
  holder.innerHTML = "<svg></svg>";
  return holder.firstChild.namespaceURI; // the page names no address at all, not even this one
})();

function make(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

function draw(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

// A part of an SVG, in the coordinates of the whole, beyond whose edge nothing is seen.
function clip(x, y, width, height) {
  return draw("svg", { x, y, width, height, viewBox: `${x} ${y} ${width} ${height}` });
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

function button(text, act, attributes = {}) {
  const made = make("button", { type: "button", ...attributes }, text);
  made.addEventListener("click", act);
  return made;
}

function checkbox(text, checked, act, ...before) {
  const box = make("input", { type: "checkbox" });
  box.checked = checked;
  box.addEventListener("change", () => act(box.checked));
  return [make("label", {}, box, ...before, text), box];
}

function formatNumber(value, digits = 4) {
  if (value === null) return "not a number";
  const size = Math.abs(value);
  const text =
    size >= 1e7 || (size > 0 && size < 1e-4)
      ? value.toExponential(digits - 1)
      : value.toLocaleString("en-US", { maximumSignificantDigits: digits });
  return text.replace(/-/g, "\u2212");
}

function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

// About `count` round numbers from low to high: multiples of 1, 2 or 5 times a power of ten.
function ticks(low, high, count) {
  const raw = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((each) => each * power >= raw * 0.7);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9 && found.length < 50; i++) found.push(i * step + 0); // not -0
  return found;
}

// Powers of ten from low to high; between them 2 and 5 where they are few; round numbers within less than a decade.
function logTicks(low, high, count) {
  const found = [];
  const decades = Math.log10(high / low);
  if (decades < 0.9) return ticks(low, high, count).filter((each) => each > 0);
  const every = Math.max(1, Math.ceil(decades / 8));
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += every) {
    for (const factor of decades < 2.5 ? [1, 2, 5] : [1]) found.push(factor * 10 ** power);
  }
  return found.filter((each) => each >= low * 0.999 && each <= high * 1.001);
}

// ---------------------------------------------------------------- curves

function curves(mount, data) {
  const last = Math.max(...data.quantities.flatMap((each) => each.series.map((some) => some.step.at(-1))));
  const first = Math.min(...data.quantities.flatMap((each) => each.series.map((some) => some.step[0])));
  const whole = [first, last > first ? last : first + 1];
  const state = { view: [...whole], at: null, shown: new Set(data.shown), log: false, all: false };
  const steps = [...new Set(data.quantities.flatMap((each) => each.series.flatMap((some) => some.step)))];
  steps.sort((a, b) => a - b);

  const charts = make("div", { class: "charts" });
  const slider = make("input", { type: "range", min: 0, max: steps.length - 1, step: 1, "aria-label": "Read the values at a step" });
  slider.value = steps.length - 1;
  slider.addEventListener("input", () => read(steps[slider.value]));
  const status = make("span", { class: "soft" }, "Move over a curve, or this slider, to read its values.");

  const [logLabel] = checkbox("log scale", false, (on) => { state.log = on; show(); });
  const [allLabel] = checkbox("every value", false, (on) => { state.all = on; show(); });
  allLabel.title = "Fit the axis to every value, however far from the others";
  const reset = button("All steps", () => zoom(whole));
  const choice = make("fieldset", {}, make("legend", {}, "Curves to show"));
  for (const each of data.quantities) {
    const [label] = checkbox(each.title, state.shown.has(each.name), (on) => {
      if (on) state.shown.add(each.name); else state.shown.delete(each.name);
      show();
    });
    choice.append(label);
  }
  const splits = [...new Set(data.quantities.flatMap((each) => each.series.map((some) => some.split)))];
  const key = splits.map((split) =>
    make("span", { class: "key" },
      draw("svg", { viewBox: "0 0 16 6", "aria-hidden": "true" }, draw("path", { d: "M0 3H16", class: splitClass(split) })),
      splitName(split)));
  mount.append(
    make("div", { class: "bar" }, ...key,
      button("Zoom in", () => zoom(scaleView(0.5))), button("Zoom out", () => zoom(scaleView(2))), reset, logLabel, allLabel),
    make("div", { class: "bar" }, make("span", { class: "slider" }, slider), status),
    charts, choice,
    make("p", { class: "soft" }, "Drag across a curve to look at those steps alone; Escape or “All steps” shows all again. " +
      (data.thinned ? "Of long curves the lowest and highest value of each stretch is drawn." : "")));
  mount.addEventListener("keydown", (event) => { if (event.key === "Escape") zoom(whole); });

  function splitClass(split) { return ["train", "validation"].includes(split) ? split : "other"; }
  function splitName(split) { return split === "train" ? "training, mini-batches" : split; }

  function scaleView(factor) {
    const middle = state.at === null ? (state.view[0] + state.view[1]) / 2 : clamp(state.at, ...state.view);
    return [middle + (state.view[0] - middle) * factor, middle + (state.view[1] - middle) * factor];
  }

  function zoom([low, high]) {
    low = clamp(low, ...whole);
    high = clamp(high, ...whole);
    if (high - low >= Math.min(1, whole[1] - whole[0]) * 0.999) state.view = [low, high];
    show();
  }

  function read(step) {
    state.at = step;
    slider.value = nearest(steps, step);
    const readings = [...charts.children].map((chart) => chart.read());
    status.textContent = `step ${formatNumber(step, 9)}`;
    slider.setAttribute("aria-valuetext", `step ${formatNumber(step, 9)}: ${readings.join("; ")}`);
  }

  function show() {
    const chosen = data.quantities.filter((each) => state.shown.has(each.name));
    charts.replaceChildren(...chosen.map(chart));
    reset.disabled = state.view[0] === whole[0] && state.view[1] === whole[1];
    for (const each of charts.children) each.plot();
    if (state.at !== null) read(state.at);
  }

  function chart(quantity) {
    const reading = make("p");
    const picture = draw("svg", { height: 200, role: "img" });
    const unit = quantity.unit ? `, ${quantity.unit}` : "";
    const node = make("div", { class: "chart", "data-name": quantity.name }, make("h4", {}, `${quantity.title}${unit}`), picture, reading);
    let x, y, x0, frame, cross, from = null;

    node.plot = () => {
      const width = Math.max(picture.getBoundingClientRect().width, 120), height = 200;
      const [left, right, top, bottom] = [58, width - 10, 8, height - 26];
      const inside = quantity.series.map((series) => within(series, state.view));
      const values = inside.flatMap((series) => series.value.filter((each) => each !== null));
      const log = state.log && values.length > 0 && Math.min(...values) > 0;
      const [low, high] = limits(inside, log, state.all);
      const [to, back] = log ? [Math.log10, (each) => 10 ** each] : [(each) => each, (each) => each];
      const span = state.view[1] - state.view[0];
      x = (step) => left + ((step - state.view[0]) / span) * (right - left);
      x0 = (pixel) => state.view[0] + ((pixel - left) / (right - left)) * span;
      y = (value) => bottom - ((to(value) - to(low)) / (to(high) - to(low))) * (bottom - top);
      picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
      const grid = (log ? logTicks(low, high, 5) : ticks(low, high, 5)).flatMap((value) => [
        draw("line", { class: "grid", x1: left, x2: right, y1: y(value), y2: y(value) }),
        draw("text", { class: "soft", x: left - 6, y: y(value) + 4, "text-anchor": "end" }, formatNumber(value))]);
      const below = ticks(...state.view, Math.max(2, Math.floor(width / 110))).map((step) =>
        draw("text", { class: "soft", x: Math.min(x(step), width - 3), y: height - 8, "text-anchor": x(step) > width - 30 ? "end" : "middle" }, formatNumber(step, 9)));
      frame = clip(left - 5, top - 4, right - left + 10, bottom - top + 8);
      for (const series of inside) frame.append(...line(series, log));
      cross = draw("g");
      picture.replaceChildren(...grid, ...below, frame, cross);
      const unknown = values.filter((each) => each < low || each > high).length;
      const missing = inside.reduce((sum, series) => sum + series.value.filter((each) => each === null).length, 0);
      const counts = [unknown ? `${unknown} outside` : "", missing ? `${missing} not a number` : ""].filter((each) => each);
      node.left = [counts.length ? `not shown: ${counts.join(", ")}` : "",
        state.log && !log ? "not all above 0, so no log scale" : ""].filter((each) => each).join("; ");
      reading.textContent = node.left;
      picture.setAttribute("aria-label", `${quantity.title}${unit}, from step ${formatNumber(state.view[0], 9)} to ${formatNumber(state.view[1], 9)}: ` +
        quantity.series.map((series) => `${splitName(series.split)} ends at ${formatNumber(series.value.at(-1))}`).join(", "));
    };

    function line(series, log) {
      let path = "", open = false;
      const dots = [];
      const good = (value) => value !== null && value !== undefined && (!log || value > 0);
      series.value.forEach((value, i) => {
        if (!good(value)) { open = false; return; }
        path += `${open ? "L" : "M"}${x(series.step[i]).toFixed(1)} ${clamp(y(value), -1e5, 1e5).toFixed(1)}`;
        open = true;
        const alone = !good(series.value[i - 1]) && !good(series.value[i + 1]);
        if (alone || series.value.length < 30) dots.push(draw("circle", { class: splitClass(series.split), cx: x(series.step[i]), cy: y(value), r: 2.5 }));
      });
      return [draw("path", { class: splitClass(series.split), d: path }), ...dots];
    }

    node.read = () => {
      cross.replaceChildren(draw("line", { class: "cross", x1: x(state.at), x2: x(state.at), y1: 4, y2: 174 }));
      const parts = quantity.series.map((series) => {
        const i = nearest(series.step, state.at), value = series.value[i];
        const where = series.step[i] === state.at ? "" : ` (step ${formatNumber(series.step[i], 9)})`;
        const [low, high] = [y(value ?? NaN), x(series.step[i])];
        if (low >= 4 && low <= 180 && high >= 50) cross.append(draw("circle", { class: splitClass(series.split), cx: high, cy: low, r: 4 }));
        return `${series.split} ${formatNumber(value, 5)}${where}`;
      });
      if (state.at < state.view[0] || state.at > state.view[1]) cross.replaceChildren();
      reading.textContent = parts.join(" · ") + (node.left ? ` · ${node.left}` : "");
      return `${quantity.title} ${parts.join(", ")}`;
    };

    const place = (event) => event.clientX - picture.getBoundingClientRect().left;
    picture.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      from = place(event);
      picture.setPointerCapture(event.pointerId);
    });
    picture.addEventListener("pointermove", (event) => {
      read(steps[nearest(steps, clamp(x0(place(event)), ...state.view))]);
      if (from === null) return;
      const [low, high] = [from, place(event)].sort((a, b) => a - b);
      cross.append(draw("rect", { class: "chosen", x: low, width: high - low, y: 4, height: 170 }));
    });
    picture.addEventListener("pointerup", (event) => {
      const [start, end] = [from, place(event)];
      from = null;
      if (start === null) return;
      slider.focus({ preventScroll: true }); // the keys go on from here: arrows read, Escape shows all steps
      if (Math.abs(end - start) > 6) zoom([x0(Math.min(start, end)), x0(Math.max(start, end))]);
      else read(steps[nearest(steps, clamp(x0(end), ...state.view))]);
    });
    picture.addEventListener("pointercancel", () => { from = null; });
    picture.addEventListener("dblclick", () => zoom(whole));
    return node;
  }

  let width = 0;
  new ResizeObserver(([entry]) => {
    if (Math.abs(entry.contentRect.width - width) < 1) return;
    width = entry.contentRect.width;
    show();
  }).observe(charts);
}

// The position in ascending `values` that is nearest to `value`.
function nearest(values, value) {
  let low = 0, high = values.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (values[middle] <= value) low = middle; else high = middle;
  }
  return Math.abs(values[high] - value) < Math.abs(values[low] - value) ? high : low;
}

// A series' part in view, with one point more on either side, so that its line leaves the frame.
function within(series, [low, high]) {
  const from = Math.max(0, series.step.findLastIndex((each) => each < low));
  const after = series.step.findIndex((each) => each > high);
  const to = after < 0 ? series.step.length : after + 1;
  return { split: series.split, step: series.step.slice(from, to), value: series.value.slice(from, to) };
}

// Limits of an axis that leave out the few values far from the others, such as those of the first steps, unless asked.
function limits(series, log, all) {
  const found = [];
  for (const some of series) {
    const values = some.value.filter((each) => each !== null && (!log || each > 0)).sort((a, b) => a - b);
    if (!values.length) continue;
    let [low, high] = [values[0], values.at(-1)];
    const quantile = (share) => values[Math.round(share * (values.length - 1))];
    const spread = quantile(0.9) - quantile(0.1);
    if (!all && !log && spread > 0) {
      low = Math.max(low, quantile(0.1) - 0.3 * spread);
      high = Math.min(high, quantile(0.9) + 0.3 * spread);
    }
    found.push(low, high);
  }
  if (!found.length) return log ? [1, 10] : [0, 1];
  const [low, high] = [Math.min(...found), Math.max(...found)];
  if (log) return high > low * 1.001 ? [low / 1.05, high * 1.05] : [low / 2, high * 2];
  const margin = 0.06 * (high - low) || 0.06 * Math.abs(high) || 0.06;
  return [low - margin, high + margin];
}

// ---------------------------------------------------------------- the latent plane

// Petroff's ten colours (arXiv:2107.02270), as in the figures; more classes than these go round the circle of hues.
const COLOURS = ["#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"];

function plane(mount, data) {
  const count = data.x.length;
  const colour = (label) => label === null ? COLOURS[0] : data.names.length <= COLOURS.length ? COLOURS[label] : `hsl(${(360 * label) / data.names.length} 65% 50%)`;
  const hidden = new Set();
  const state = { x: 0, y: 0, scale: 1, fit: 1, at: null };
  const visible = (i) => !hidden.has(data.label[i]);

  const dots = data.x.map((_, i) => draw("circle", { fill: colour(data.label[i]), r: count > 800 ? 3 : 4 }));
  const rings = (data.circles ? [1, 2] : []).map(() => draw("circle", { class: "prior" }));
  const ring = draw("circle", { class: "ring", r: 7, visibility: "hidden" });
  const axes = draw("g");
  const picture = draw("svg", { tabindex: 0, role: "application", "aria-roledescription": "scatter plot",
    "aria-label": `${count} images by their place in the latent space. Arrow keys move from dot to dot, plus and minus zoom, 0 shows all.` },
    axes);
  const live = make("div", { class: "unseen", "aria-live": "polite" });
  const status = make("p", { class: "said" },  "");
  const kinds = data.pairs ? ["image", "reconstruction"] : ["image"];
  const canvases = kinds.map((kind) => make("canvas", { width: data.cell[0], height: data.cell[1], role: "img", "aria-label": `no ${kind} chosen yet` }));
  const sprite = new Image();
  sprite.addEventListener("load", () => { if (state.at !== null) choose(state.at); });
  sprite.src = data.sprite;

  const legend = make("fieldset", {}, make("legend", {}, "Labels to show"));
  const boxes = data.names.map((name, label) => {
    const swatch = draw("svg", { class: "swatch", viewBox: "0 0 14 14", "aria-hidden": "true" }, draw("circle", { cx: 7, cy: 7, r: 6, fill: colour(label) }));
    const [made, box] = checkbox(name, true, (on) => toggle([label], on), swatch);
    legend.append(made);
    return box;
  });
  function toggle(labels, on) {
    for (const label of labels) {
      if (on) hidden.delete(label); else hidden.add(label);
      boxes[label].checked = on;
    }
    if (state.at !== null && !visible(state.at)) { state.at = null; ring.setAttribute("visibility", "hidden"); }
    place();
  }
  const allLabels = data.names.map((_, label) => label);
  const both = make("div", { class: "bar" }, button("All", () => toggle(allLabels, true)), button("None", () => toggle(allLabels, false)));
  mount.append(
    make("div", { class: "bar" }, button("Zoom in", () => zoom(1.5)), button("Zoom out", () => zoom(1 / 1.5)), button("All dots", fit)),
    make("div", { class: "scatter" },
      make("div", { class: "plane" }, picture, make("p", { class: "soft" }, `Across: ${data.axes[0]}; up: ${data.axes[1]}.`), live),
      make("div", {},
        make("div", { class: "shown" }, ...canvases.map((canvas, k) => make("div", {}, canvas, kinds[k]))),
        status, ...(data.names.length ? [legend, both] : []))),
    make("p", { class: "soft" }, "Point at a dot, touch it, or move there with the arrow keys. Drag to move, once zoomed in; the wheel zooms when the plot has been clicked. " +
      (data.total > count ? `Shown: ${formatNumber(count, 9)} of ${formatNumber(data.total, 9)} images, evenly spaced.` : "")));

  const SIDE = 40, FOOT = 22; // pixels for the numbers at the axes
  let width = 0, height = 0, corner = [0, 0];
  function fit() {
    const spans = [data.x, data.y].map((values) => [Math.min(...values), Math.max(...values)]);
    state.x = (spans[0][0] + spans[0][1]) / 2;
    state.y = (spans[1][0] + spans[1][1]) / 2;
    const wide = (spans[0][1] - spans[0][0]) * 1.06 || 1, high = (spans[1][1] - spans[1][0]) * 1.06 || 1;
    state.fit = state.scale = Math.min((width - SIDE - 8) / wide, (height - FOOT - 8) / high);
    place();
  }
  const px = (value) => corner[0] + (value - state.x) * state.scale;
  const py = (value) => corner[1] - (value - state.y) * state.scale;
  const back = (x, y) => [state.x + (x - corner[0]) / state.scale, state.y - (y - corner[1]) / state.scale];

  function place() {
    dots.forEach((dot, i) => {
      if (!visible(i)) { dot.setAttribute("visibility", "hidden"); return; }
      dot.removeAttribute("visibility");
      dot.setAttribute("cx", px(data.x[i]).toFixed(1));
      dot.setAttribute("cy", py(data.y[i]).toFixed(1));
    });
    rings.forEach((each, i) => fill(each, { cx: px(0), cy: py(0), r: (i + 1) * state.scale }, []));
    if (state.at !== null) fill(ring, { cx: px(data.x[state.at]), cy: py(data.y[state.at]) }, []);
    const [low, top] = back(SIDE, 0), [high, bottom] = back(width, height - FOOT);
    const lines = [];
    for (const value of ticks(low, high, Math.max(3, Math.floor(width / 90)))) {
      lines.push(draw("line", { class: "grid", x1: px(value), x2: px(value), y1: 0, y2: height - FOOT }),
        draw("text", { class: "soft", x: px(value), y: height - 6, "text-anchor": "middle" }, formatNumber(value)));
    }
    for (const value of ticks(bottom, top, Math.max(3, Math.floor(height / 80)))) {
      lines.push(draw("line", { class: "grid", x1: SIDE, x2: width, y1: py(value), y2: py(value) }),
        draw("text", { class: "soft", x: SIDE - 4, y: py(value) + 4, "text-anchor": "end" }, formatNumber(value)));
    }
    axes.replaceChildren(...lines);
    picture.classList.toggle("zoomed", state.scale > state.fit * 1.001);
  }

  function zoom(factor, x = corner[0], y = corner[1]) {
    const [before, above] = back(x, y);
    state.scale = clamp(state.scale * factor, state.fit / 2, state.fit * 200);
    const [after, below] = back(x, y);
    state.x += before - after;
    state.y += above - below;
    place();
  }

  // Shows the image of dot i; `announce` also reads it out to a screen reader.
  function choose(i, announce = false) {
    state.at = i;
    fill(ring, { visibility: "visible", cx: px(data.x[i]), cy: py(data.y[i]) }, []);
    const label = data.label[i] === null ? "" : `, label ${data.names[data.label[i]]}`;
    status.textContent = `Image ${formatNumber(data.position[i], 9)}${label}; at ${formatNumber(data.x[i], 3)}, ${formatNumber(data.y[i], 3)}.`;
    canvases.forEach((canvas, k) => {
      canvas.setAttribute("aria-label", `${kinds[k]} ${formatNumber(data.position[i], 9)}${label}`);
      const cell = i * kinds.length + k, [wide, high] = data.cell;
      const pen = canvas.getContext("2d");
      pen.clearRect(0, 0, wide, high);
      if (sprite.complete) pen.drawImage(sprite, (cell % data.columns) * data.stride[0], Math.floor(cell / data.columns) * data.stride[1], wide, high, 0, 0, wide, high);
    });
    if (announce) live.textContent = status.textContent;
  }

  function closest(x, y, reach) {
    let best = null, least = reach * reach;
    data.x.forEach((_, i) => {
      if (!visible(i)) return;
      const far = (px(data.x[i]) - x) ** 2 + (py(data.y[i]) - y) ** 2;
      if (far < least) [best, least] = [i, far];
    });
    return best;
  }

  // The dot to step to in a direction: near, and rather ahead than aside.
  function neighbourAhead(dx, dy) {
    let best = null, least = Infinity;
    const [x, y] = [data.x[state.at], data.y[state.at]];
    data.x.forEach((_, i) => {
      if (!visible(i) || i === state.at) return;
      const [a, b] = [data.x[i] - x, data.y[i] - y];
      const along = a * dx + b * dy, aside = Math.abs(a * dy) + Math.abs(b * dx);
      const far = along + 2 * aside;
      if (along > 0 && along >= aside * 0.5 && far < least) [best, least] = [i, far];
    });
    return best;
  }

  const ARROWS = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  picture.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const keys = { "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5), 0: fit, Escape: fit };
    if (ARROWS[event.key]) {
      const next = state.at === null ? closest(...corner, Infinity) : neighbourAhead(...ARROWS[event.key]);
      if (next !== null) {
        const [x, y] = [px(data.x[next]), py(data.y[next])];
        if (x < SIDE || x > width || y < 0 || y > height - FOOT) { [state.x, state.y] = [data.x[next], data.y[next]]; place(); }
        choose(next, true);
      }
    } else if (keys[event.key]) keys[event.key]();
    else return;
    event.preventDefault();
  });
  picture.addEventListener("focus", () => {
    if (picture.matches(":focus-visible")) {
      const next = state.at ?? closest(...corner, Infinity);
      if (next !== null) choose(next, true);
    }
  });

  let held = null;
  const position = (event) => {
    const box = picture.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  picture.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !event.isPrimary) return;
    held = position(event);
    const found = closest(...held, event.pointerType === "touch" ? 24 : 14);
    if (found !== null) choose(found);
  });
  picture.addEventListener("pointermove", (event) => {
    const [x, y] = position(event);
    if (held !== null && picture.classList.contains("zoomed")) {
      if (!picture.hasPointerCapture(event.pointerId)) picture.setPointerCapture(event.pointerId);
      state.x -= (x - held[0]) / state.scale;
      state.y += (y - held[1]) / state.scale;
      held = [x, y];
      place();
      return;
    }
    const found = closest(x, y, 14);
    if (found !== null && found !== state.at) choose(found);
  });
  for (const name of ["pointerup", "pointercancel"]) picture.addEventListener(name, () => { held = null; });
  picture.addEventListener("wheel", (event) => {
    if (document.activeElement !== picture && !event.ctrlKey) return; // the page scrolls on, until the plot is clicked
    event.preventDefault();
    zoom(Math.exp(-clamp(event.deltaY, -200, 200) / 400), ...position(event));
  }, { passive: false });

  new ResizeObserver(([entry]) => {
    const now = entry.contentRect.width;
    if (now < 80 || Math.abs(now - width) < 1) return;
    const kept = width ? state.scale / state.fit : null;
    width = now;
    height = clamp(width * 0.85, 260, 560);
    corner = [SIDE + (width - SIDE) / 2, (height - FOOT) / 2];
    fill(picture, { height, viewBox: `0 0 ${width} ${height}` }, []);
    const frame = clip(SIDE, 0, width - SIDE, height - FOOT);
    frame.append(...rings, ...dots, ring);
    picture.replaceChildren(axes, frame);
    const { x, y } = state;
    fit();
    if (kept === null && state.at === null) choose(closest(...corner, Infinity)); // an example, before a reader chooses
    if (kept && kept > 1.001) { [state.x, state.y, state.scale] = [x, y, state.fit * kept]; place(); }
  }).observe(picture.parentElement);
}

// ---------------------------------------------------------------- start

for (const [name, start] of Object.entries({ curves, latent_plane: plane })) {
  const data = document.getElementById(`data-${name}`), mount = document.getElementById(`interactive-${name}`);
  if (!data || !mount) continue;
  const still = document.getElementById(`still-${name}`);
  mount.hidden = false;
  try {
    start(mount.querySelector(".area"), JSON.parse(data.textContent));
    if (still) still.hidden = true;
  } catch (error) { // the picture of the same stays
    mount.hidden = true;
    console.error(error);
  }
}
