// Builds the page from the server's description of the model.

import { request } from "./requests.js";
import { setupAttributes } from "./attributes.js";
import { setupInterpolation } from "./interpolation.js";
import { code, moveByRequest, subscribe, model, setCondition } from "./code.js";
import { setupDrawing } from "./drawing.js";
import { setupImages } from "./images.js";
import { element, savePicture } from "./pictures.js";
import { setupPlane } from "./plane.js";
import { setupSamples } from "./samples.js";
import { setupSliders } from "./sliders.js";

const get = (id) => document.getElementById(id);

function showModel() {
  document.title = `${model.run} · explore`;
  get("run").textContent = model.run;
  get("data").textContent = model.data;
  const size = model.codes ? `${model.codes.size} latent dimension${model.codes.size > 1 ? "s" : ""}` : "discrete codes";
  const { encoder, posterior, prior } = model.model;
  get("lead").textContent = `${size}, encoder ${encoder}, posterior ${posterior}, prior ${prior}; `
    + `${model.images.toLocaleString("en")} ${model.split} images.`;
  get("images-title").textContent = `${model.split[0].toUpperCase()}${model.split.slice(1)} images`;
  get("limitation").textContent = model.limitation;
  get("limitation").hidden = !model.limitation;
  for (const part of document.querySelectorAll(".latent")) part.hidden ||= !model.codes;
}

function fillNavigation() {
  const links = [...document.querySelectorAll("#parts section")].filter((part) => !part.hidden).map((part) =>
    element("a", part.querySelector("h2").textContent, { href: `#${part.id}` }));
  document.querySelector("nav").replaceChildren(...links);
}

function setupCondition() {
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
  input.addEventListener("change", () => setCondition(Math.max(0, Math.min(Number(input.value), Number(input.max || size) ))));
  subscribe((change) => { if (change === "condition") input.value = code.condition; });
  field.append(input);
}

async function copyCode() {
  const text = JSON.stringify(code.z);
  try {
    await navigator.clipboard.writeText(text);
    get("copy").textContent = "Copied";
  } catch {
    get("where").textContent = text; // without access to the clipboard, it can be selected by hand
  }
  setTimeout(() => { get("copy").textContent = "Copy code"; }, 1500);
}

function setupButtons() {
  get("save").addEventListener("click", () => savePicture(get("picture"), `${model.run}.png`));
  get("copy").addEventListener("click", copyCode);
  get("middle").addEventListener("click", () => moveByRequest("middle", {}, "the middle"));
  get("copy").hidden = get("middle").hidden = !model.codes;
}

async function start() {
  const answer = await request("model");
  if (!answer) return;
  Object.assign(model, answer);
  showModel();
  document.querySelector("main").hidden = false;
  setupCondition();
  setupButtons();
  if (model.codes) {
    setupSliders();
    setupPlane();
    setupInterpolation();
    setupAttributes();
    moveByRequest("middle", {}, "the middle");
  }
  setupImages();
  setupDrawing();
  setupSamples();
  fillNavigation();
}

start();
