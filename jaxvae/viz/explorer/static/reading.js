// What the model makes of one image: its reconstruction, its code, what it costs in nats, who lies near it.

import { model, number } from "./code.js";
import { element, figure, strip, unpack } from "./pictures.js";

const BARS = 12;

export function fillReading(place, answer, name, choose) {
  const pair = element("div", undefined, { className: "pair" });
  pair.append(
    figure(unpack(answer.x)[0], "as the encoder sees it", `${name}, as the encoder sees it`),
    figure(unpack(answer.reconstruction)[0], "reconstruction", `${name}, reconstructed`),
    numbers(answer),
  );
  const parts = [pair];
  if (answer.neighbours) parts.push(element("h3", "Nearest images, by their codes"), neighbours(answer.neighbours, choose));
  place.replaceChildren(...parts);
}

function numbers(answer) {
  const made = element("div", undefined, { className: "grow" });
  const list = element("dl");
  list.setAttribute("aria-live", "polite");
  for (const [term, value] of [["rate", answer.rate], ["distortion", answer.distortion]]) {
    list.append(element("dt", term), element("dd", `${number(value)} nats`));
  }
  made.append(list);
  if (answer.z) made.append(bars(answer.z));
  return made;
}

function bars(z) {
  const { order, low, high } = model.flat;
  const made = element("div", undefined, { className: "bars" });
  made.setAttribute("role", "img");
  const shown = order.slice(0, BARS);
  made.setAttribute("aria-label", `code: ${shown.map((d) => `z${d + 1} ${number(z[d])}`).join(", ")}`);
  for (const d of shown) {
    const furthest = Math.max(Math.abs(low[d]), Math.abs(high[d]));
    const share = Math.min(1, Math.abs(z[d]) / furthest);
    const bar = element("span", undefined, { className: "bar" });
    bar.style.setProperty("--from", `${z[d] < 0 ? 50 - 50 * share : 50}%`);
    bar.style.setProperty("--long", `${50 * share}%`);
    made.append(element("span", `z${d + 1}`), bar, element("span", number(z[d])));
  }
  if (order.length > BARS) made.append(element("span", `and ${order.length - BARS} more`, { className: "soft all" }));
  return made;
}

function neighbours({ positions, labels, distances, pictures }, choose) {
  const place = element("div", undefined, { className: "strip" });
  place.setAttribute("role", "toolbar");
  place.setAttribute("aria-label", "Nearest images");
  const names = positions.map((position, i) =>
    `image ${position}${labels && labels[i] >= 0 ? `, ${model.classes[labels[i]]}` : ""}, at distance ${number(distances[i])}`);
  strip(place, unpack(pictures), names, (i) => choose(positions[i]));
  return place;
}
