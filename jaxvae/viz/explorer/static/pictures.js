// Pictures as the server packs them: {shape: [n, h, w, c], data: bytes in base64}, each drawn pixel for pixel.

import { bytesOf } from "./asking.js";

const SAVED = 512; // pixels that a saved picture has at least

export function unpack(packed) {
  const [count, height, width, channels] = packed.shape;
  const bytes = bytesOf(packed.data);
  const size = height * width * channels;
  return Array.from({ length: count }, (_, i) => ({
    width, height, channels, bytes: bytes.subarray(i * size, (i + 1) * size),
  }));
}

export function imageData({ width, height, channels, bytes }) {
  const data = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) data.data[4 * i + c] = bytes[channels * i + (channels === 3 ? c : 0)];
    data.data[4 * i + 3] = 255;
  }
  return data;
}

export function draw(canvas, picture) {
  canvas.width = picture.width;
  canvas.height = picture.height;
  canvas.getContext("2d").putImageData(imageData(picture), 0, 0);
  return canvas;
}

export function film(canvas, pictures) {
  const { width, height } = pictures[0];
  canvas.width = pictures.length * (width + 1) - 1;
  canvas.height = height;
  const context = canvas.getContext("2d");
  pictures.forEach((each, i) => context.putImageData(imageData(each), i * (width + 1), 0));
}

export function element(name, text, properties) {
  const made = Object.assign(document.createElement(name), properties);
  if (text !== undefined) made.textContent = text;
  return made;
}

export function figure(picture, caption, label) {
  const made = element("figure");
  const canvas = draw(element("canvas", undefined, { className: "picture" }), picture);
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", label || caption);
  made.append(canvas, element("figcaption", caption));
  return made;
}

// A row of buttons with a picture each: one is in the order of Tab, arrow keys go to the others.
export function strip(place, pictures, names, chosen) {
  const buttons = pictures.map((picture, i) => {
    const button = element("button", undefined, { type: "button", className: "thumbnail", tabIndex: i ? -1 : 0 });
    button.setAttribute("aria-label", names[i]);
    button.title = names[i];
    button.append(draw(element("canvas", undefined, { className: "picture" }), picture));
    button.addEventListener("click", () => {
      for (const each of buttons) {
        each.setAttribute("aria-pressed", each === button);
        each.tabIndex = each === button ? 0 : -1;
      }
      chosen(i);
    });
    return button;
  });
  place.replaceChildren(...buttons);
  place.onkeydown = (event) => {
    const here = buttons.indexOf(document.activeElement);
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (here < 0 || !step) return;
    event.preventDefault();
    buttons[here].tabIndex = -1;
    const next = buttons[(here + step + buttons.length) % buttons.length];
    next.tabIndex = 0;
    next.focus();
  };
  return buttons;
}

export function save(canvas, name) {
  const factor = Math.max(1, Math.ceil(SAVED / Math.max(canvas.width, canvas.height)));
  const large = element("canvas", undefined, { width: factor * canvas.width, height: factor * canvas.height });
  const context = large.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(canvas, 0, 0, large.width, large.height);
  large.toBlob((blob) => {
    const link = element("a", undefined, { href: URL.createObjectURL(blob), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
}
