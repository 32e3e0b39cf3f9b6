// Images of the split to choose from, and the reconstruction of the chosen one.

import { request, decodeBase64 } from "./requests.js";
import { setEndpoint } from "./interpolation.js";
import { code, model, moveTo, showPicture } from "./code.js";
import { startDrawing } from "./drawing.js";
import { element, fillStrip, unpack } from "./pictures.js";
import { showReconstruction } from "./reconstruction.js";

const get = (id) => document.getElementById(id);
let page = 0;
let chosen = null; // {position, name, picture, stored}

export function imageName(position, label) {
  return `image ${position}${label === null || label < 0 ? "" : `, ${model.classes[label]}`}`;
}

export function conditionOf(position, label) {
  return { none: 0, label, vector: position }[model.condition.kind];
}

export async function chooseImage(position) {
  const answer = await request("image", { image: position });
  if (!answer) return;
  const label = answer.image.labels && answer.image.labels[0];
  const name = imageName(position, label);
  const stored = decodeBase64(answer.image.stored);
  chosen = { position, name, picture: unpack(answer.image.pictures)[0], stored };
  showReconstruction(get("image-reconstruction"), answer, name, chooseImage);
  if (model.codes) moveTo(answer.z, name, conditionOf(position, label));
  else {
    code.condition = conditionOf(position, label);
    showPicture(answer.reconstruction, `${name}, reconstructed`);
  }
}

async function loadPage() {
  const answer = await request("images", { label: Number(get("label").value), page });
  if (!answer) return;
  const pictures = unpack(answer.pictures);
  const names = answer.positions.map((position, i) => imageName(position, answer.labels && answer.labels[i]));
  fillStrip(get("strip"), pictures, names, (i) => chooseImage(answer.positions[i]));
  return { answer, pictures };
}

export async function setupImages() {
  get("label").append(element("option", "any", { value: -1 }));
  (model.classes || []).forEach((name, label) => get("label").append(element("option", name, { value: label })));
  get("of-class").hidden = !model.classes;
  get("label").addEventListener("change", () => { page = 0; loadPage(); });
  get("another").addEventListener("click", () => { page += 1; loadPage(); });
  get("take-a").addEventListener("click", () => { if (chosen) setEndpoint("a", chosen); });
  get("take-b").addEventListener("click", () => { if (chosen) setEndpoint("b", chosen); });
  get("draw-on").addEventListener("click", () => { if (chosen) startDrawing(chosen.stored); });
  const first = await loadPage();
  if (first) chooseFirst(first);
}

// At the start: a path between two images of different classes, if there are such; without paths, the first image.
function chooseFirst({ answer, pictures }) {
  const labels = answer.labels || [];
  let other = labels.findIndex((label) => label !== labels[0]);
  if (other < 1) other = Math.min(1, pictures.length - 1);
  const end = (i) => ({ position: answer.positions[i], name: imageName(answer.positions[i], labels[i] ?? null), picture: pictures[i] });
  if (model.codes) {
    setEndpoint("a", end(0));
    setEndpoint("b", end(other));
  } else chooseImage(answer.positions[0]);
}
