// Draws from the prior, decoded.

import { newest, textOf } from "./asking.js";
import { code, heard, model, move, number, show } from "./code.js";
import { strip, unpack } from "./pictures.js";

const get = (id) => document.getElementById(id);
const questions = newest();
let seed = 0;

export function makeSamples() {
  if (model.model.posterior.startsWith("point")) {
    get("samples-note").textContent += " This autoencoder's codes were held near no prior: its draws fall where no image's code is.";
  }
  get("temperature").max = model.steps.hottest;
  get("temperature").addEventListener("input", fill);
  get("again").addEventListener("click", () => { seed = (seed + 1) % 2 ** 31; fill(); });
  heard((change) => { if (change === "condition") fill(); });
  fill();
}

function fill() {
  const temperature = Number(get("temperature").value);
  get("temperature").nextElementSibling.textContent = number(temperature);
  questions("samples", { seed, temperature, condition: code.condition }, (answer) => {
    const pictures = unpack(answer.picture);
    const words = (i) => `sample ${i + 1}, temperature ${number(temperature)}`;
    strip(get("grid"), pictures, pictures.map((_, i) => words(i)), (i) => {
      if (answer.z) move(answer.z[i], words(i));
      else show({ ...answer.picture, shape: [1, ...answer.picture.shape.slice(1)], data: textOf(pictures[i].bytes) }, words(i));
    });
  });
}
