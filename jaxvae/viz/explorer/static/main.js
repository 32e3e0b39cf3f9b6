// The page is built here, by what the server says of the model.

import { ask } from "./asking.js";
import { makeAttributes } from "./attributes.js";
import { makeBetween } from "./between.js";
import { code, condition, go, heard, model } from "./code.js";
import { makeDrawing } from "./drawing.js";
import { makeImages } from "./images.js";
import { element, save } from "./pictures.js";
import { makePlane } from "./plane.js";
import { makeSamples } from "./samples.js";
import { makeSliders } from "./sliders.js";

const get = (id) => document.getElementById(id);

function describe() {
  document.title = `${model.run} · explore`;
  get("run").textContent = model.run;
  get("data").textContent = model.data;
  const size = model.flat ? `${model.flat.size} latent dimension${model.flat.size > 1 ? "s" : ""}` : "discrete codes";
  const { encoder, posterior, prior } = model.model;
  get("lead").textContent = `${size}, encoder ${encoder}, posterior ${posterior}, prior ${prior}; `
    + `${model.images.toLocaleString("en")} ${model.split} images.`;
  get("images-title").textContent = `${model.split[0].toUpperCase()}${model.split.slice(1)} images`;
  get("refused").textContent = model.refused;
  get("refused").hidden = !model.refused;
  for (const part of document.querySelectorAll(".flat")) part.hidden ||= !model.flat;
}

function index() {
  const links = [...document.querySelectorAll("#parts section")].filter((part) => !part.hidden).map((part) =>
    element("a", part.querySelector("h2").textContent, { href: `#${part.id}` }));
  document.querySelector("nav").replaceChildren(...links);
}

function makeCondition() {
  const { kind, size } = model.condition;
  if (kind === "none") return;
  const field = get("conditioned");
  field.hidden = false;
  let input;
  if (kind === "label") {
    field.firstElementChild.textContent = "Told the class";
    input = element("select");
    for (let label = 0; label < size; label++) input.append(element("option", model.classes?.[label] ?? label, { value: label }));
  } else {
    field.firstElementChild.textContent = "Told the vector of image";
    input = element("input", undefined, { type: "number", min: 0, max: model.images - 1, value: 0 });
  }
  input.addEventListener("change", () => condition(Math.max(0, Math.min(Number(input.value), Number(input.max || size) ))));
  heard((change) => { if (change === "condition") input.value = code.condition; });
  field.append(input);
}

async function copy() {
  const text = JSON.stringify(code.z);
  try {
    await navigator.clipboard.writeText(text);
    get("copy").textContent = "Copied";
  } catch {
    get("where").textContent = text; // where the browser lends no clipboard, it can be marked by hand
  }
  setTimeout(() => { get("copy").textContent = "Copy code"; }, 1500);
}

function makeButtons() {
  get("save").addEventListener("click", () => save(get("picture"), `${model.run}.png`));
  get("copy").addEventListener("click", copy);
  get("home").addEventListener("click", () => go("middle", {}, "the middle"));
  get("copy").hidden = get("home").hidden = !model.flat;
}

async function start() {
  const answer = await ask("model");
  if (!answer) return;
  Object.assign(model, answer);
  describe();
  document.querySelector("main").hidden = false;
  makeCondition();
  makeButtons();
  if (model.flat) {
    makeSliders();
    makePlane();
    makeBetween();
    makeAttributes();
    go("middle", {}, "the middle");
  }
  makeImages();
  makeDrawing();
  makeSamples();
  index();
}

start();
