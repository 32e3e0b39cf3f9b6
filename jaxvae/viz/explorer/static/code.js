// The current code: z, the attributes added to it, the condition; and its picture. All parts of the page change it
// through these functions, and are notified of a change by another part.

import { latestOnly } from "./requests.js";
import { drawPicture, unpack } from "./pictures.js";

export const model = {};
export const code = { z: [], strengths: {}, condition: 0, origin: "" };

const listeners = [];
const submit = latestOnly();
const picture = document.getElementById("picture");
const caption = document.getElementById("where");

export function subscribe(listener) {
  listeners.push(listener);
}

export function placement() {
  return { strengths: code.strengths, condition: code.condition };
}

function notify(change) {
  for (const listener of listeners) listener(change);
}

export function formatNumber(value, digits = 2) {
  return Number(value).toFixed(digits).replace("-", "−");
}

// The whole code if it is short, else the dimensions with most information.
function formatCode(z) {
  if (z.length <= 4) return `z = (${z.map((value) => formatNumber(value)).join(", ")})`;
  return `${model.codes.order.slice(0, 4).map((d) => `z${d + 1} = ${formatNumber(z[d])}`).join(", ")}, …`;
}

export function showPicture(packed, text) {
  drawPicture(picture, unpack(packed)[0]);
  picture.dataset.version = Number(picture.dataset.version || 0) + 1;
  const added = Object.entries(code.strengths).filter(([, strength]) => strength).map(([name, s]) => `${formatNumber(s)} × ${name}`);
  caption.textContent = [text, ...added].join(" + ");
}

function showResponse(answer) {
  showPicture(answer.picture, `${code.origin}: ${formatCode(code.z)}`);
}

// To a given code; of an image, with its own condition.
export function moveTo(z, origin, condition = code.condition) {
  code.z = z;
  code.origin = origin;
  if (condition !== code.condition) {
    code.condition = condition;
    notify("condition");
  }
  notify("z");
  submit("decode", { z, ...placement() }, showResponse);
}

// To the code of the response.
export function moveByRequest(name, body, origin) {
  submit(name, { ...body, ...placement() }, (answer, last) => {
    if (last) { // else a newer request is on its way
      code.z = answer.z;
      code.origin = origin;
      notify("z");
    }
    showResponse(answer);
  });
}

export function setStrength(name, strength) {
  code.strengths = { ...code.strengths, [name]: strength };
  if (!strength) delete code.strengths[name];
  notify("strengths");
  decodeAgain();
}

export function clearStrengths() {
  code.strengths = {};
  notify("strengths");
  decodeAgain();
}

export function setCondition(value) {
  code.condition = value;
  notify("condition");
  decodeAgain();
}

function decodeAgain() {
  if (model.codes && code.z.length) submit("decode", { z: code.z, ...placement() }, showResponse);
}
