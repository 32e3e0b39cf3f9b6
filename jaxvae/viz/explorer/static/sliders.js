// A slider for each dimension, the one that says most first; those that say nothing are folded away.

import { code, heard, model, move, number } from "./code.js";
import { element } from "./pictures.js";

const MOST = 40; // sliders shown before the others are folded away, too
const get = (id) => document.getElementById(id);

export function makeSliders() {
  const { order, says, active, kl } = model.flat;
  const shown = order.filter((d) => active[d]).slice(0, MOST);
  const folded = order.filter((d) => !shown.includes(d));
  const rows = new Map();
  const top = Math.max(...says, 1e-9);
  const row = (d) => {
    const made = makeRow(d, says[d] / top, kl ? `${number(says[d])} nats` : `variance ${number(says[d])}`);
    rows.set(d, made);
    return made.row;
  };
  get("active").replaceChildren(...shown.map(row));
  get("silent").hidden = !folded.length;
  get("silent").firstElementChild.textContent = folded.some((d) => active[d])
    ? `${folded.length} more` : `${folded.length} inactive: the same for every image`;
  get("silent").lastElementChild.replaceChildren(...folded.map(row));
  get("sliders-note").textContent = kl
    ? "What says most of an image comes first: the KL of each dimension, in nats."
    : "What varies most from image to image comes first.";
  heard((change) => { if (change === "z") for (const [d, { put }] of rows) put(code.z[d]); });
}

function makeRow(d, share, told) {
  const { low, high } = model.flat;
  const input = element("input", undefined, { type: "range", min: low[d], max: high[d], step: 0.01, id: `z${d}` });
  const output = element("output");
  output.htmlFor = input.id;
  const label = element("label", `z${d + 1}`, { htmlFor: input.id });
  const bar = element("span", told, { className: "share soft" });
  bar.style.setProperty("--share", share);
  const row = element("div", undefined, { className: "slider" });
  row.append(label, input, output, bar);
  input.addEventListener("input", () => {
    const z = [...code.z];
    z[d] = Number(input.value);
    move(z, "by the sliders");
  });
  const put = (value) => {
    if (document.activeElement !== input || Math.abs(Number(input.value) - value) > 0.006) input.value = value;
    output.textContent = number(value);
  };
  return { row, put };
}
