// The reconstruction of one image, its code, its rate and distortion in nats, and its nearest images.

import { model, formatNumber } from "./code.js";
import { element, figure, fillStrip, unpack } from "./pictures.js";

const BARS = 12;

export function showReconstruction(place, answer, name, choose) {
  const pair = element("div", undefined, { className: "pair" });
  pair.append(
    figure(unpack(answer.x)[0], "as the encoder sees it", `${name}, as the encoder sees it`),
    figure(unpack(answer.reconstruction)[0], "reconstruction", `${name}, reconstructed`),
    scores(answer),
  );
  const parts = [pair];
  if (answer.neighbours) parts.push(element("h3", "Nearest images, by their codes"), neighbours(answer.neighbours, choose));
  place.replaceChildren(...parts);
}

function scores(answer) {
  const node = element("div", undefined, { className: "grow" });
  const list = element("dl");
  list.setAttribute("aria-live", "polite");
  for (const [term, value] of [["rate", answer.rate], ["distortion", answer.distortion]]) {
    list.append(element("dt", term), element("dd", `${formatNumber(value)} nats`));
  }
  node.append(list);
  if (answer.z) node.append(codeBars(answer.z));
  return node;
}

function codeBars(z) {
  const { order, low, high } = model.codes;
  const node = element("div", undefined, { className: "bars" });
  node.setAttribute("role", "img");
  const shown = order.slice(0, BARS);
  node.setAttribute("aria-label", `code: ${shown.map((d) => `z${d + 1} ${formatNumber(z[d])}`).join(", ")}`);
  for (const d of shown) {
    const furthest = Math.max(Math.abs(low[d]), Math.abs(high[d]));
    const share = Math.min(1, Math.abs(z[d]) / furthest);
    const bar = element("span", undefined, { className: "bar" });
    bar.style.setProperty("--from", `${z[d] < 0 ? 50 - 50 * share : 50}%`);
    bar.style.setProperty("--long", `${50 * share}%`);
    node.append(element("span", `z${d + 1}`), bar, element("span", formatNumber(z[d])));
  }
  if (order.length > BARS) node.append(element("span", `and ${order.length - BARS} more`, { className: "soft all" }));
  return node;
}

function neighbours({ positions, labels, distances, pictures }, choose) {
  const place = element("div", undefined, { className: "strip" });
  place.setAttribute("role", "toolbar");
  place.setAttribute("aria-label", "Nearest images");
  const names = positions.map((position, i) =>
    `image ${position}${labels && labels[i] >= 0 ? `, ${model.classes[labels[i]]}` : ""}, at distance ${formatNumber(distances[i])}`);
  fillStrip(place, unpack(pictures), names, (i) => choose(positions[i]));
  return place;
}
