// Pictures as the server packs them: {shape: [n, h, w, c], data: bytes in base64}, drawn pixel for pixel.

import { decodeBase64 } from "./requests.js";

const SAVED = 512; // pixels along the longer side of a saved picture, at least

export function unpack(packed) {
  const [count, height, width, channels] = packed.shape;
  const bytes = decodeBase64(packed.data);
  const size = height * width * channels;
  return Array.from({ length: count }, (_, i) => ({
    width, height, channels, bytes: bytes.subarray(i * size, (i + 1) * size),
  }));
}

export function toImageData({ width, height, channels, bytes }) {
  const data = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) data.data[4 * i + c] = bytes[channels * i + (channels === 3 ? c : 0)];
    data.data[4 * i + 3] = 255;
  }
  return data;
}

export function drawPicture(canvas, picture) {
  canvas.width = picture.width;
  canvas.height = picture.height;
  canvas.getContext("2d").putImageData(toImageData(picture), 0, 0);
  return canvas;
}

export function drawRow(canvas, pictures) {
  const { width, height } = pictures[0];
  canvas.width = pictures.length * (width + 1) - 1;
  canvas.height = height;
  const context = canvas.getContext("2d");
  pictures.forEach((each, i) => context.putImageData(toImageData(each), i * (width + 1), 0));
}

export function element(name, text, properties) {
  const node = Object.assign(document.createElement(name), properties);
  if (text !== undefined) node.textContent = text;
  return node;
}

export function figure(picture, caption, label) {
  const node = element("figure");
  const canvas = drawPicture(element("canvas", undefined, { className: "picture" }), picture);
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", label || caption);
  node.append(canvas, element("figcaption", caption));
  return node;
}

// A row of buttons with a picture each: Tab leads to one of them, arrow keys to the others.
export function fillStrip(place, pictures, names, choose) {
  const buttons = pictures.map((picture, i) => {
    const button = element("button", undefined, { type: "button", className: "thumbnail", tabIndex: i ? -1 : 0 });
    button.setAttribute("aria-label", names[i]);
    button.title = names[i];
    button.append(drawPicture(element("canvas", undefined, { className: "picture" }), picture));
    button.addEventListener("click", () => {
      for (const each of buttons) {
        each.setAttribute("aria-pressed", each === button);
        each.tabIndex = each === button ? 0 : -1;
      }
      choose(i);
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

export function savePicture(canvas, name) {
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
