// Draws from the prior, decoded.

import { latestOnly, encodeBase64 } from "./requests.js";
import { code, subscribe, model, moveTo, formatNumber, showPicture } from "./code.js";
import { fillStrip, unpack } from "./pictures.js";

const get = (id) => document.getElementById(id);
const submit = latestOnly();
let seed = 0;

export function setupSamples() {
  if (model.model.posterior.startsWith("point")) {
    get("samples-note").textContent += " This autoencoder's codes were held near no prior: its draws fall where no image's code is.";
  }
  get("temperature").max = model.temperature;
  get("temperature").addEventListener("input", drawSamples);
  get("resample").addEventListener("click", () => { seed = (seed + 1) % 2 ** 31; drawSamples(); });
  subscribe((change) => { if (change === "condition") drawSamples(); });
  drawSamples();
}

function drawSamples() {
  const temperature = Number(get("temperature").value);
  get("temperature").nextElementSibling.textContent = formatNumber(temperature);
  submit("samples", { seed, temperature, condition: code.condition }, (answer) => {
    const pictures = unpack(answer.picture);
    const sampleName = (i) => `sample ${i + 1}, temperature ${formatNumber(temperature)}`;
    fillStrip(get("grid"), pictures, pictures.map((_, i) => sampleName(i)), (i) => {
      if (answer.z) moveTo(answer.z[i], sampleName(i));
      else showPicture({ ...answer.picture, shape: [1, ...answer.picture.shape.slice(1)], data: encodeBase64(pictures[i].bytes) }, sampleName(i));
    });
  });
}
