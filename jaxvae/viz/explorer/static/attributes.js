// Directions of the latent space, added to whatever code one is at.

import { code, heard, model, number, strengthen, weaken } from "./code.js";
import { element } from "./pictures.js";

const MOST = 2;
const get = (id) => document.getElementById(id);

export function makeAttributes() {
  const names = model.flat.attributes;
  if (!names.length) {
    get("none").hidden = true;
    get("attributes").querySelector(".soft").hidden = true;
    get("strengths").append(element("p", "There are none: of these images nothing is computed, and they have no classes."));
    return;
  }
  if (model.condition.kind === "label") {
    get("attributes").querySelector(".soft").textContent += " The class itself this model is told: choose it beside the picture.";
  }
  get("strengths").append(...names.map(row));
  get("none").addEventListener("click", weaken);
}

function row(name) {
  const id = `strength ${name}`;
  const input = element("input", undefined, { type: "range", min: -MOST, max: MOST, step: 0.05, value: 0, id });
  const output = element("output", number(0));
  const made = element("div", undefined, { className: "slider plain" });
  made.append(element("label", name, { htmlFor: id }), input, output);
  input.addEventListener("input", () => strengthen(name, Number(input.value)));
  heard((change) => {
    if (change !== "strengths") return;
    const strength = code.strengths[name] || 0;
    if (Number(input.value) !== strength) input.value = strength;
    output.textContent = number(strength);
  });
  return made;
}
