// The code that the page is at: z, the attributes added to it, the condition; and the picture there. All parts of the
// page move it through here, and are told when another part has.

import { newest } from "./asking.js";
import { draw, unpack } from "./pictures.js";

export const model = {};
export const code = { z: [], strengths: {}, condition: 0, origin: "" };

const listeners = [];
const question = newest();
const picture = document.getElementById("picture");
const where = document.getElementById("where");

export function heard(listener) {
  listeners.push(listener);
}

export function placed() {
  return { strengths: code.strengths, condition: code.condition };
}

function tell(change) {
  for (const listener of listeners) listener(change);
}

export function number(value, digits = 2) {
  return Number(value).toFixed(digits).replace("-", "−");
}

// The whole code where it is short, else what says most of it.
function written(z) {
  if (z.length <= 4) return `z = (${z.map((value) => number(value)).join(", ")})`;
  return `${model.flat.order.slice(0, 4).map((d) => `z${d + 1} = ${number(z[d])}`).join(", ")}, …`;
}

export function show(packed, words) {
  draw(picture, unpack(packed)[0]);
  picture.dataset.turn = Number(picture.dataset.turn || 0) + 1;
  const added = Object.entries(code.strengths).filter(([, strength]) => strength).map(([name, s]) => `${number(s)} × ${name}`);
  where.textContent = [words, ...added].join(" + ");
}

function seen(answer) {
  show(answer.picture, `${code.origin}: ${written(code.z)}`);
}

// To a code that is known here; of an image, with its own condition.
export function move(z, origin, condition = code.condition) {
  code.z = z;
  code.origin = origin;
  if (condition !== code.condition) {
    code.condition = condition;
    tell("condition");
  }
  tell("z");
  question("decode", { z, ...placed() }, seen);
}

// To wherever the answer says.
export function go(name, body, origin) {
  question(name, { ...body, ...placed() }, (answer, last) => {
    if (last) { // or somebody has moved on meanwhile
      code.z = answer.z;
      code.origin = origin;
      tell("z");
    }
    seen(answer);
  });
}

export function strengthen(name, strength) {
  code.strengths = { ...code.strengths, [name]: strength };
  if (!strength) delete code.strengths[name];
  tell("strengths");
  again();
}

export function weaken() {
  code.strengths = {};
  tell("strengths");
  again();
}

export function condition(value) {
  code.condition = value;
  tell("condition");
  again();
}

function again() {
  if (model.flat && code.z.length) question("decode", { z: code.z, ...placed() }, seen);
}
