// The plane of two dimensions: the decoded pictures, the test images' codes as dots, the prior's circles, a cross.

import { ask, bytesOf, newest, rested } from "./asking.js";
import { code, go, heard, model, move, placed } from "./code.js";
import { element, imageData, unpack } from "./pictures.js";

// Petroff's ten colours (arXiv:2107.02270), as in the figures; of more classes, steps around the circle.
const COLOURS = ["#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"];
const MARGIN = 26; // CSS pixels for the ticks
const STEP = 0.1, LARGE = 0.5;
const get = (id) => document.getElementById(id);
const map = get("map");

let two = [0, 1];
let reach = { low: -3, high: 3 };
let dots = { x: [], y: [], classes: [] };
let tiles = null;
let cells = 1; // along each side of the decoded plane
let still = null; // all but the cross, drawn once
const hidden = new Set();
const questions = newest();

export function makePlane() {
  const { order, size } = model.flat;
  if (size < 2) {
    get("plane").replaceChildren(element("h2", "The plane"), element("p", "This latent has one dimension: there is no plane. Move its slider."));
    return;
  }
  two = size === 2 ? [0, 1] : [order[0], order[1]];
  get("axes").hidden = size === 2;
  [get("first"), get("second")].forEach((select, i) => {
    for (const d of order) select.append(element("option", `z${d + 1}`, { value: d }));
    select.value = two[i];
    select.addEventListener("change", () => choose(i, Number(select.value)));
  });
  for (const id of ["tiles", "dots"]) get(id).addEventListener("change", redraw);
  makeLegend();
  listen();
  heard(hear);
  new ResizeObserver(redraw).observe(map);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  place();
}

function choose(i, d) {
  if (two[1 - i] === d) two[1 - i] = two[i]; // the other takes the one that is free
  two[i] = d;
  get("first").value = two[0];
  get("second").value = two[1];
  place();
  background();
}

async function place() {
  const answer = await ask("dots", { dimensions: two });
  if (!answer) return;
  const values = new Float32Array(bytesOf(answer.places).buffer);
  reach = { low: answer.low, high: answer.high };
  dots = { x: values.filter((_, i) => i % 2 === 0), y: values.filter((_, i) => i % 2), classes: answer.classes };
  redraw();
}

// The decoded plane depends on all but its own two dimensions.
let shownFor = "";
function background() {
  const others = code.z.map((value, d) => (two.includes(d) ? 0 : value));
  const asked = { dimensions: two, z: others, ...placed() };
  if (others.length < 2 || shownFor === JSON.stringify(asked)) return;
  shownFor = JSON.stringify(asked);
  questions("plane", asked, (answer) => {
    const picture = unpack(answer.picture)[0];
    tiles = element("canvas", undefined, { width: picture.width, height: picture.height });
    tiles.getContext("2d").putImageData(imageData(picture), 0, 0);
    cells = answer.side;
    redraw();
  });
}
const backgroundSoon = rested(120, background);

function hear(change) {
  if (change === "z" && tiles) backgroundSoon();
  else background();
  cross();
}

function makeLegend() {
  const names = model.classes || [];
  get("legend").hidden = names.length < 2 || names.length > 40;
  get("legend").replaceChildren(...names.map((name, label) => {
    const button = element("button", name, { type: "button", className: "chip" });
    button.style.setProperty("--colour", colour(label));
    button.setAttribute("aria-pressed", "true");
    button.addEventListener("click", () => {
      if (!hidden.delete(label)) hidden.add(label);
      button.setAttribute("aria-pressed", String(!hidden.has(label)));
      redraw();
    });
    return button;
  }));
}

function colour(label) {
  const count = (model.classes || []).length;
  return count <= COLOURS.length ? COLOURS[Math.max(0, label)] : `hsl(${(360 * label) / count} 70% 50%)`;
}

function listen() {
  let dragging = false;
  const to = (event) => {
    const box = map.getBoundingClientRect();
    const side = box.width - MARGIN;
    const across = (event.clientX - box.left - MARGIN) / side;
    const up = 1 - (event.clientY - box.top) / side;
    put([across, up].map((share) => reach.low + Math.min(1, Math.max(0, share)) * (reach.high - reach.low)));
  };
  map.addEventListener("pointerdown", (event) => {
    dragging = true;
    map.setPointerCapture(event.pointerId);
    to(event);
  });
  map.addEventListener("pointermove", (event) => { if (dragging || (get("follow").checked && event.pointerType === "mouse")) to(event); });
  for (const name of ["pointerup", "pointercancel"]) map.addEventListener(name, () => { dragging = false; });
  map.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] }[event.key];
    if (event.key === "Home") go("middle", {}, "the middle");
    else if (way) put(two.map((d, i) => code.z[d] + way[i] * (event.shiftKey ? LARGE : STEP)));
    else return;
    event.preventDefault();
  });
}

function put(values) {
  const z = [...code.z];
  two.forEach((d, i) => { z[d] = Math.min(reach.high, Math.max(reach.low, Number(values[i].toFixed(3)))); });
  move(z, "on the plane");
}

function redraw() {
  const side = map.clientWidth;
  if (!side) return;
  const scale = devicePixelRatio || 1;
  map.width = map.height = Math.round(side * scale);
  still = element("canvas", undefined, { width: map.width, height: map.height });
  const context = still.getContext("2d");
  context.scale(scale, scale);
  paint(context, side - MARGIN);
  cross();
}

function at(side, x, y) {
  const share = (value) => (value - reach.low) / (reach.high - reach.low);
  return [MARGIN + share(x) * side, (1 - share(y)) * side];
}

function paint(context, side) {
  const style = getComputedStyle(document.documentElement);
  const ink = style.getPropertyValue("--soft");
  context.fillStyle = style.getPropertyValue("--page");
  context.fillRect(MARGIN, 0, side, side);
  const dark = tiles && get("tiles").checked;
  if (dark) {
    context.imageSmoothingEnabled = false;
    context.drawImage(tiles, MARGIN, 0, side, side);
    if (tiles.height / cells < 16) seams(context, side);
  }
  context.save();
  context.beginPath();
  context.rect(MARGIN, 0, side, side);
  context.clip();
  if (get("dots").checked) scatter(context, side, dark);
  if (model.flat.circles) circles(context, side, dark ? "#ffffff" : ink);
  if (get("dots").checked) names(context, side);
  context.restore();
  ticks(context, side, ink);
}

// Tiny pictures fill their frames: without a seam they run together.
function seams(context, side) {
  context.strokeStyle = "#46525e";
  context.lineWidth = Math.max(2, side / 200);
  context.beginPath();
  for (let i = 1; i < cells; i++) {
    const place = (i / cells) * side;
    context.moveTo(MARGIN + place, 0);
    context.lineTo(MARGIN + place, side);
    context.moveTo(MARGIN, place);
    context.lineTo(MARGIN + side, place);
  }
  context.stroke();
}

function scatter(context, side, dark) {
  const size = Math.max(0.75, side / 600) * Math.min(4, Math.max(2.3, 130 / Math.sqrt(dots.x.length)));
  context.globalAlpha = dark ? 1 : 0.8;
  context.strokeStyle = "rgb(0 0 0 / .7)";
  context.lineWidth = Math.min(0.8, side / 750);
  for (let i = 0; i < dots.x.length; i++) {
    if (hidden.has(dots.classes[i])) continue;
    const [x, y] = at(side, dots.x[i], dots.y[i]);
    context.beginPath();
    context.arc(x, y, size, 0, 7);
    context.fillStyle = colour(dots.classes[i]);
    context.fill();
    if (dark) context.stroke();
  }
  context.globalAlpha = 1;
}

function haloed(context, text, x, y, ink = "#1f2933", halo = "#ffffff") {
  context.lineJoin = "round";
  context.lineWidth = 4;
  context.strokeStyle = halo;
  context.strokeText(text, x, y);
  context.fillStyle = ink;
  context.fillText(text, x, y);
}

function names(context, side) {
  const count = (model.classes || []).length;
  if (count < 2 || count > 20 || model.condition.kind !== "none") return; // codes need not say what the model is told
  context.font = "700 15px system-ui, sans-serif";
  context.textAlign = "center";
  context.textBaseline = "middle";
  for (let label = 0; label < count; label++) {
    const of = (values) => [...values].filter((_, i) => dots.classes[i] === label).sort((a, b) => a - b);
    const [x, y] = [of(dots.x), of(dots.y)];
    if (!x.length || hidden.has(label)) continue;
    haloed(context, model.classes[label], ...at(side, x[x.length >> 1], y[y.length >> 1]));
  }
}

function circles(context, side, ink) {
  const unit = side / (reach.high - reach.low);
  context.setLineDash([6, 5]);
  context.strokeStyle = ink;
  context.lineWidth = 1.2;
  for (const radius of [1, 2, 3]) {
    context.beginPath();
    context.arc(...at(side, 0, 0), radius * unit, 0, 7);
    context.stroke();
  }
  context.setLineDash([]);
}

function ticks(context, side, ink) {
  context.fillStyle = ink;
  context.font = "12px system-ui, sans-serif";
  const wide = reach.high - reach.low;
  const step = [0.5, 1, 2, 5, 10, 20, 50, 100].find((each) => wide / each <= 9) || wide / 4;
  for (let value = Math.ceil(reach.low / step) * step; value <= reach.high; value += step) {
    const text = String(Math.round(value * 100) / 100).replace("-", "−");
    const [x, y] = at(side, value, value);
    context.textAlign = "center";
    context.textBaseline = "top";
    if (x < MARGIN + side - 8) context.fillText(text, x, side + 6);
    context.textAlign = "right";
    context.textBaseline = "middle";
    if (y > 8 && y < side - 4) context.fillText(text, MARGIN - 6, y);
  }
  context.textAlign = "right";
  context.textBaseline = "top";
  context.font = "600 12px system-ui, sans-serif";
  context.fillText(`z${two[0] + 1}`, MARGIN + side, side + 6);
  context.fillText(`z${two[1] + 1}`, MARGIN - 6, 0);
}

function cross() {
  if (!still || code.z.length < 2) return;
  const scale = devicePixelRatio || 1;
  const context = map.getContext("2d");
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, map.width, map.height);
  context.drawImage(still, 0, 0);
  context.scale(scale, scale);
  const side = map.clientWidth - MARGIN;
  const [x, y] = at(side, code.z[two[0]], code.z[two[1]]);
  for (const [ink, width] of [["#ffffff", 5], ["#1f2933", 2]]) {
    context.strokeStyle = ink;
    context.lineWidth = width;
    context.beginPath();
    context.arc(x, y, 8, 0, 7);
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      context.moveTo(x + 5 * dx, y + 5 * dy);
      context.lineTo(x + 15 * dx, y + 15 * dy);
    }
    context.stroke();
  }
}
