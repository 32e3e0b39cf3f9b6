// From the code of one image to that of another, on a line or a great circle.

import { latestOnly } from "./requests.js";
import { code, moveByRequest, subscribe, model, placement } from "./code.js";
import { drawPicture, drawRow, unpack } from "./pictures.js";

const get = (id) => document.getElementById(id);
const endpoints = { a: null, b: null };
const submitStrip = latestOnly();

export function setupInterpolation() {
  get("path-step").max = model.steps - 1;
  get("path-step").addEventListener("input", () => {
    if (endpoints.a && endpoints.b) moveByRequest("interpolate", { ...pathFields(), index: Number(get("path-step").value) }, describeStep());
  });
  for (const each of document.querySelectorAll("input[name=path]")) each.addEventListener("change", showStrip);
  subscribe((change) => { if (change !== "z") showStrip(); });
}

function pathFields() {
  return { a: endpoints.a.position, b: endpoints.b.position, path: document.querySelector("input[name=path]:checked").value };
}

function describeStep() {
  const share = Number(get("path-step").value) / (model.steps - 1);
  return `${Math.round(100 * share)} % of the way from ${endpoints.a.name} to ${endpoints.b.name}`;
}

export function setEndpoint(end, image) {
  endpoints[end] = image;
  const canvas = drawPicture(get(end), image.picture);
  canvas.setAttribute("aria-label", `${end.toUpperCase()}: ${image.name}`);
  canvas.nextElementSibling.textContent = `${end.toUpperCase()}: ${image.name}`;
  showStrip();
}

function showStrip() {
  if (!endpoints.a || !endpoints.b) return;
  submitStrip("strip", { ...pathFields(), ...placement() }, (answer) => drawRow(get("path-strip"), unpack(answer.picture)));
}
