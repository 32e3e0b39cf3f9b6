// The plane of two dimensions: decoded pictures, the codes of images as dots, circles of the prior, a cross.

import { request, decodeBase64, latestOnly, debounce } from "./requests.js";
import { code, moveByRequest, subscribe, model, moveTo, placement } from "./code.js";
import { element, toImageData, unpack } from "./pictures.js";

// Petroff's ten colours (arXiv:2107.02270), as in the figures; of more classes, steps around the circle.
const COLOURS = ["#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"];
const MARGIN = 26; // CSS pixels for the ticks
const STEP = 0.1, LARGE = 0.5;
const get = (id) => document.getElementById(id);
const map = get("map");

let pair = [0, 1];
let range = { low: -3, high: 3 };
let points = { x: [], y: [], classes: [] };
let tiles = null;
let cells = 1; // along each side of the decoded plane
let backdrop = null; // everything but the cross, drawn once
const hidden = new Set();
const submit = latestOnly();

export function setupPlane() {
  const { order, size } = model.codes;
  if (size < 2) {
    get("plane").replaceChildren(element("h2", "The plane"), element("p", "This latent has one dimension: there is no plane. Move its slider."));
    return;
  }
  pair = size === 2 ? [0, 1] : [order[0], order[1]];
  get("axes").hidden = size === 2;
  [get("first"), get("second")].forEach((select, i) => {
    for (const d of order) select.append(element("option", `z${d + 1}`, { value: d }));
    select.value = pair[i];
    select.addEventListener("change", () => chooseDimension(i, Number(select.value)));
  });
  for (const id of ["tiles", "dots"]) get(id).addEventListener("change", redraw);
  makeLegend();
  addListeners();
  subscribe(handleChange);
  new ResizeObserver(redraw).observe(map);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  loadCodes();
}

function chooseDimension(i, d) {
  if (pair[1 - i] === d) pair[1 - i] = pair[i]; // the other takes the one that is free
  pair[i] = d;
  get("first").value = pair[0];
  get("second").value = pair[1];
  loadCodes();
  decodePlane();
}

async function loadCodes() {
  const answer = await request("codes", { dimensions: pair });
  if (!answer) return;
  const values = new Float32Array(decodeBase64(answer.xy).buffer);
  range = { low: answer.low, high: answer.high };
  points = { x: values.filter((_, i) => i % 2 === 0), y: values.filter((_, i) => i % 2), classes: answer.classes };
  redraw();
}

// The decoded plane depends on all but its own two dimensions.
let decodedFor = "";
function decodePlane() {
  const others = code.z.map((value, d) => (pair.includes(d) ? 0 : value));
  const body = { dimensions: pair, z: others, ...placement() };
  if (others.length < 2 || decodedFor === JSON.stringify(body)) return;
  decodedFor = JSON.stringify(body);
  submit("plane", body, (answer) => {
    const picture = unpack(answer.picture)[0];
    tiles = element("canvas", undefined, { width: picture.width, height: picture.height });
    tiles.getContext("2d").putImageData(toImageData(picture), 0, 0);
    cells = answer.side;
    redraw();
  });
}
const decodePlaneSoon = debounce(120, decodePlane);

function handleChange(change) {
  if (change === "z" && tiles) decodePlaneSoon();
  else decodePlane();
  drawCross();
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

function addListeners() {
  let dragging = false;
  const moveToPointer = (event) => {
    const box = map.getBoundingClientRect();
    const side = box.width - MARGIN;
    const across = (event.clientX - box.left - MARGIN) / side;
    const up = 1 - (event.clientY - box.top) / side;
    moveOnPlane([across, up].map((share) => range.low + Math.min(1, Math.max(0, share)) * (range.high - range.low)));
  };
  map.addEventListener("pointerdown", (event) => {
    dragging = true;
    map.setPointerCapture(event.pointerId);
    moveToPointer(event);
  });
  map.addEventListener("pointermove", (event) => { if (dragging || (get("follow").checked && event.pointerType === "mouse")) moveToPointer(event); });
  for (const name of ["pointerup", "pointercancel"]) map.addEventListener(name, () => { dragging = false; });
  map.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] }[event.key];
    if (event.key === "Home") moveByRequest("middle", {}, "the middle");
    else if (step) moveOnPlane(pair.map((d, i) => code.z[d] + step[i] * (event.shiftKey ? LARGE : STEP)));
    else return;
    event.preventDefault();
  });
}

function moveOnPlane(values) {
  const z = [...code.z];
  pair.forEach((d, i) => { z[d] = Math.min(range.high, Math.max(range.low, Number(values[i].toFixed(3)))); });
  moveTo(z, "on the plane");
}

function redraw() {
  const side = map.clientWidth;
  if (!side) return;
  const scale = devicePixelRatio || 1;
  map.width = map.height = Math.round(side * scale);
  backdrop = element("canvas", undefined, { width: map.width, height: map.height });
  const context = backdrop.getContext("2d");
  context.scale(scale, scale);
  paint(context, side - MARGIN);
  drawCross();
}

function toCanvas(side, x, y) {
  const share = (value) => (value - range.low) / (range.high - range.low);
  return [MARGIN + share(x) * side, (1 - share(y)) * side];
}

function paint(context, side) {
  const style = getComputedStyle(document.documentElement);
  const ink = style.getPropertyValue("--soft");
  context.fillStyle = style.getPropertyValue("--page");
  context.fillRect(MARGIN, 0, side, side);
  const tiled = tiles && get("tiles").checked;
  if (tiled) {
    context.imageSmoothingEnabled = false;
    context.drawImage(tiles, MARGIN, 0, side, side);
    if (tiles.height / cells < 16) drawSeams(context, side);
  }
  context.save();
  context.beginPath();
  context.rect(MARGIN, 0, side, side);
  context.clip();
  if (get("dots").checked) drawPoints(context, side, tiled);
  if (model.codes.circles) drawCircles(context, side, tiled ? "#ffffff" : ink);
  if (get("dots").checked) drawNames(context, side);
  context.restore();
  drawTicks(context, side, ink);
}

// Tiny pictures fill their frames: without a seam they run together.
function drawSeams(context, side) {
  context.strokeStyle = "#46525e";
  context.lineWidth = Math.max(2, side / 200);
  context.beginPath();
  for (let i = 1; i < cells; i++) {
    const offset = (i / cells) * side;
    context.moveTo(MARGIN + offset, 0);
    context.lineTo(MARGIN + offset, side);
    context.moveTo(MARGIN, offset);
    context.lineTo(MARGIN + side, offset);
  }
  context.stroke();
}

function drawPoints(context, side, tiled) {
  const size = Math.max(0.75, side / 600) * Math.min(4, Math.max(2.3, 130 / Math.sqrt(points.x.length)));
  context.globalAlpha = tiled ? 1 : 0.8;
  context.strokeStyle = "rgb(0 0 0 / .7)";
  context.lineWidth = Math.min(0.8, side / 750);
  for (let i = 0; i < points.x.length; i++) {
    if (hidden.has(points.classes[i])) continue;
    const [x, y] = toCanvas(side, points.x[i], points.y[i]);
    context.beginPath();
    context.arc(x, y, size, 0, 7);
    context.fillStyle = colour(points.classes[i]);
    context.fill();
    if (tiled) context.stroke();
  }
  context.globalAlpha = 1;
}

function drawHaloed(context, text, x, y, ink = "#1f2933", halo = "#ffffff") {
  context.lineJoin = "round";
  context.lineWidth = 4;
  context.strokeStyle = halo;
  context.strokeText(text, x, y);
  context.fillStyle = ink;
  context.fillText(text, x, y);
}

function drawNames(context, side) {
  const count = (model.classes || []).length;
  if (count < 2 || count > 20 || model.condition.kind !== "none") return; // codes need not say what the model is told
  context.font = "700 15px system-ui, sans-serif";
  context.textAlign = "center";
  context.textBaseline = "middle";
  for (let label = 0; label < count; label++) {
    const of = (values) => [...values].filter((_, i) => points.classes[i] === label).sort((a, b) => a - b);
    const [x, y] = [of(points.x), of(points.y)];
    if (!x.length || hidden.has(label)) continue;
    drawHaloed(context, model.classes[label], ...toCanvas(side, x[x.length >> 1], y[y.length >> 1]));
  }
}

function drawCircles(context, side, ink) {
  const unit = side / (range.high - range.low);
  context.setLineDash([6, 5]);
  context.strokeStyle = ink;
  context.lineWidth = 1.2;
  for (const radius of [1, 2, 3]) {
    context.beginPath();
    context.arc(...toCanvas(side, 0, 0), radius * unit, 0, 7);
    context.stroke();
  }
  context.setLineDash([]);
}

function drawTicks(context, side, ink) {
  context.fillStyle = ink;
  context.font = "12px system-ui, sans-serif";
  const wide = range.high - range.low;
  const step = [0.5, 1, 2, 5, 10, 20, 50, 100].find((each) => wide / each <= 9) || wide / 4;
  for (let value = Math.ceil(range.low / step) * step; value <= range.high; value += step) {
    const text = String(Math.round(value * 100) / 100).replace("-", "−");
    const [x, y] = toCanvas(side, value, value);
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
  context.fillText(`z${pair[0] + 1}`, MARGIN + side, side + 6);
  context.fillText(`z${pair[1] + 1}`, MARGIN - 6, 0);
}

function drawCross() {
  if (!backdrop || code.z.length < 2) return;
  const scale = devicePixelRatio || 1;
  const context = map.getContext("2d");
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, map.width, map.height);
  context.drawImage(backdrop, 0, 0);
  context.scale(scale, scale);
  const side = map.clientWidth - MARGIN;
  const [x, y] = toCanvas(side, code.z[pair[0]], code.z[pair[1]]);
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
