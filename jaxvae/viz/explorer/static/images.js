// Test images to choose from, and what the model makes of the one chosen.

import { ask, bytesOf } from "./asking.js";
import { setEnd } from "./between.js";
import { code, model, move, show } from "./code.js";
import { drawOn } from "./drawing.js";
import { element, strip, unpack } from "./pictures.js";
import { fillReading } from "./reading.js";

const get = (id) => document.getElementById(id);
let page = 0;
let chosen = null; // {position, name, picture, stored}

export function named(position, label) {
  return `image ${position}${label === null || label < 0 ? "" : `, ${model.classes[label]}`}`;
}

export function conditionOf(position, label) {
  return { none: 0, label, vector: position }[model.condition.kind];
}

export async function choose(position) {
  const answer = await ask("image", { image: position });
  if (!answer) return;
  const label = answer.image.labels && answer.image.labels[0];
  const name = named(position, label);
  const stored = bytesOf(answer.image.stored);
  chosen = { position, name, picture: unpack(answer.image.pictures)[0], stored };
  fillReading(get("image-reading"), answer, name, choose);
  if (model.flat) move(answer.z, name, conditionOf(position, label));
  else {
    code.condition = conditionOf(position, label);
    show(answer.reconstruction, `${name}, reconstructed`);
  }
}

async function fill() {
  const answer = await ask("images", { label: Number(get("label").value), page });
  if (!answer) return;
  const pictures = unpack(answer.pictures);
  const names = answer.positions.map((position, i) => named(position, answer.labels && answer.labels[i]));
  strip(get("strip"), pictures, names, (i) => choose(answer.positions[i]));
  return { answer, pictures };
}

export async function makeImages() {
  get("label").append(element("option", "any", { value: -1 }));
  (model.classes || []).forEach((name, label) => get("label").append(element("option", name, { value: label })));
  get("of-class").hidden = !model.classes;
  get("label").addEventListener("change", () => { page = 0; fill(); });
  get("another").addEventListener("click", () => { page += 1; fill(); });
  get("take-a").addEventListener("click", () => { if (chosen) setEnd("a", chosen); });
  get("take-b").addEventListener("click", () => { if (chosen) setEnd("b", chosen); });
  get("draw-on").addEventListener("click", () => { if (chosen) drawOn(chosen.stored); });
  const first = await fill();
  if (first) begin(first);
}

// What to begin with: a walk between two images of differing classes, where there are such; without walks, the first image.
function begin({ answer, pictures }) {
  const labels = answer.labels || [];
  let other = labels.findIndex((label) => label !== labels[0]);
  if (other < 1) other = Math.min(1, pictures.length - 1);
  const end = (i) => ({ position: answer.positions[i], name: named(answer.positions[i], labels[i] ?? null), picture: pictures[i] });
  if (model.flat) {
    setEnd("a", end(0));
    setEnd("b", end(other));
  } else choose(answer.positions[0]);
}
