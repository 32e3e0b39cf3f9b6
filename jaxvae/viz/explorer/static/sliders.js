// A slider for each dimension, that with most information first; inactive dimensions are folded away.

import { code, subscribe, model, moveTo, formatNumber } from "./code.js";
import { element } from "./pictures.js";

const MOST = 40; // sliders shown before the others are folded away, too
const get = (id) => document.getElementById(id);

export function setupSliders() {
  const { order, information, active, is_kl: isKl } = model.codes;
  const shown = order.filter((d) => active[d]).slice(0, MOST);
  const folded = order.filter((d) => !shown.includes(d));
  const rows = new Map();
  const top = Math.max(...information, 1e-9);
  const row = (d) => {
    const built = makeRow(d, information[d] / top, isKl ? `${formatNumber(information[d])} nats` : `variance ${formatNumber(information[d])}`);
    rows.set(d, built);
    return built.row;
  };
  get("active").replaceChildren(...shown.map(row));
  get("inactive").hidden = !folded.length;
  get("inactive").firstElementChild.textContent = folded.some((d) => active[d])
    ? `${folded.length} more` : `${folded.length} inactive: the same for every image`;
  get("inactive").lastElementChild.replaceChildren(...folded.map(row));
  get("sliders-note").textContent = isKl
    ? "The dimension with the largest KL comes first; KLs are in nats."
    : "The dimension that varies most over images comes first.";
  subscribe((change) => { if (change === "z") for (const [d, { update }] of rows) update(code.z[d]); });
}

function makeRow(d, share, text) {
  const { low, high } = model.codes;
  const input = element("input", undefined, { type: "range", min: low[d], max: high[d], step: 0.01, id: `z${d}` });
  const output = element("output");
  output.htmlFor = input.id;
  const label = element("label", `z${d + 1}`, { htmlFor: input.id });
  const bar = element("span", text, { className: "share soft" });
  bar.style.setProperty("--share", share);
  const row = element("div", undefined, { className: "slider" });
  row.append(label, input, output, bar);
  input.addEventListener("input", () => {
    const z = [...code.z];
    z[d] = Number(input.value);
    moveTo(z, "by the sliders");
  });
  const update = (value) => {
    if (document.activeElement !== input || Math.abs(Number(input.value) - value) > 0.006) input.value = value;
    output.textContent = formatNumber(value);
  };
  return { row, update };
}
