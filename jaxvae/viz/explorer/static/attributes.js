// Attribute directions, added to the current code.

import { code, subscribe, model, formatNumber, setStrength, clearStrengths } from "./code.js";
import { element } from "./pictures.js";

const MOST = 2;
const get = (id) => document.getElementById(id);

export function setupAttributes() {
  const names = model.codes.attributes;
  if (!names.length) {
    get("clear-strengths").hidden = true;
    get("attributes").querySelector(".soft").hidden = true;
    get("strengths").append(element("p", "There are none: of these images nothing is computed, and they have no classes."));
    return;
  }
  if (model.condition.kind === "label") {
    get("attributes").querySelector(".soft").textContent += " The class itself this model is told: choose it beside the picture.";
  }
  get("strengths").append(...names.map(row));
  get("clear-strengths").addEventListener("click", clearStrengths);
}

function row(name) {
  const id = `strength ${name}`;
  const input = element("input", undefined, { type: "range", min: -MOST, max: MOST, step: 0.05, value: 0, id });
  const output = element("output", formatNumber(0));
  const node = element("div", undefined, { className: "slider plain" });
  node.append(element("label", name, { htmlFor: id }), input, output);
  input.addEventListener("input", () => setStrength(name, Number(input.value)));
  subscribe((change) => {
    if (change !== "strengths") return;
    const strength = code.strengths[name] || 0;
    if (Number(input.value) !== strength) input.value = strength;
    output.textContent = formatNumber(strength);
  });
  return node;
}
