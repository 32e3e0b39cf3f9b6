// From one image's code to another's, on a line or a great circle.

import { newest } from "./asking.js";
import { code, go, heard, model, placed } from "./code.js";
import { draw, film, unpack } from "./pictures.js";

const get = (id) => document.getElementById(id);
const ends = { a: null, b: null };
const films = newest();

export function makeBetween() {
  get("along").max = model.steps.fine - 1;
  get("along").addEventListener("input", () => {
    if (ends.a && ends.b) go("between", { ...walk(), index: Number(get("along").value) }, words());
  });
  for (const each of document.querySelectorAll("input[name=path]")) each.addEventListener("change", showFilm);
  heard((change) => { if (change !== "z") showFilm(); });
}

function walk() {
  return { a: ends.a.position, b: ends.b.position, path: document.querySelector("input[name=path]:checked").value };
}

function words() {
  const share = Number(get("along").value) / (model.steps.fine - 1);
  return `${Math.round(100 * share)} % of the way from ${ends.a.name} to ${ends.b.name}`;
}

export function setEnd(end, image) {
  ends[end] = image;
  const canvas = draw(get(end), image.picture);
  canvas.setAttribute("aria-label", `${end.toUpperCase()}: ${image.name}`);
  canvas.nextElementSibling.textContent = `${end.toUpperCase()}: ${image.name}`;
  showFilm();
}

function showFilm() {
  if (!ends.a || !ends.b) return;
  films("film", { ...walk(), ...placed() }, (answer) => film(get("film"), unpack(answer.picture)));
}
