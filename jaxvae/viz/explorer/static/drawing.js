// A drawing of the data's own size, reconstructed by the model at each stroke.

import { latestOnly, encodeBase64 } from "./requests.js";
import { code, subscribe, model, moveTo } from "./code.js";
import { chooseImage } from "./images.js";
import { drawPicture, element } from "./pictures.js";
import { showReconstruction } from "./reconstruction.js";

const get = (id) => document.getElementById(id);
const canvas = get("canvas");
const submit = latestOnly();
let picture = null; // {width, height, channels, bytes}
let pen = [0, 0]; // position of the pen that the keyboard moves, in pixels
let penVisible = false; // once the keyboard has moved the pen

export function setupDrawing() {
  const [height, width, channels] = model.shape;
  if (model.shape.length !== 3 || ![1, 3].includes(channels)) return hideDrawing();
  picture = { width, height, channels, bytes: new Uint8Array(width * height * channels) };
  pen = [width >> 1, height >> 1];
  get("pen").value = Math.max(0.75, width / 24);
  get("draw-note").textContent = `Paint with the mouse, a finger, or the keyboard: arrow keys move the pen, Space paints, Shift and arrows `
    + `paint a line, Delete erases. What is drawn is ${width} × ${height} pixels, prepared as in training`
    + `${channels === 1 ? "; Centre brings its mass to the middle, where that of most images is." : "."}`;
  if (channels === 3) get("draw-note").textContent += " This data has colours: a picture of your own, or a test image, is the better start.";
  addListeners();
  paint();
}

function hideDrawing() {
  for (const each of document.querySelectorAll(".draws")) each.hidden = true;
}

export function startDrawing(bytes) {
  picture.bytes = bytes.slice();
  update();
  get("draw").scrollIntoView({ behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
}

function addListeners() {
  let last = null;
  const toPixels = (event) => {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * picture.width - 0.5, ((event.clientY - box.top) / box.height) * picture.height - 0.5];
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    penVisible = false;
    last = toPixels(event);
    stroke(last, last);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!last) return;
    for (const each of event.getCoalescedEvents?.() || [event]) {
      const here = toPixels(each);
      stroke(last, here);
      last = here;
    }
  });
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => { last = null; });
  canvas.addEventListener("keydown", handleKey);
  canvas.addEventListener("blur", () => { penVisible = false; paint(); });
  get("clear").addEventListener("click", () => { picture.bytes.fill(0); update(); });
  get("centre").addEventListener("click", centre);
  get("file").addEventListener("change", importPicture);
  subscribe((change) => { if (change === "condition" && picture.bytes.some(Boolean)) reconstruct(); });
}

function handleKey(event) {
  const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  const before = pen;
  penVisible = true;
  if (step) {
    pen = [Math.min(picture.width - 1, Math.max(0, pen[0] + step[0])), Math.min(picture.height - 1, Math.max(0, pen[1] + step[1]))];
    if (event.shiftKey) stroke(before, pen);
    else paint();
  } else if (event.key === " ") stroke(pen, pen);
  else if (event.key === "Delete" || event.key === "Backspace") stroke(pen, pen, true);
  else return;
  event.preventDefault();
}

// A round pen with a soft edge along a line: each pixel by its distance to the line.
function stroke([x0, y0], [x1, y1], erasing = get("erase").checked) {
  const { width, height, channels, bytes } = picture;
  const radius = Number(get("pen").value);
  const length = (x1 - x0) ** 2 + (y1 - y0) ** 2;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const along = length ? Math.min(1, Math.max(0, ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / length)) : 0;
      const distance = Math.hypot(x - x0 - along * (x1 - x0), y - y0 - along * (y1 - y0));
      const ink = Math.round(255 * Math.min(1, Math.max(0, radius + 0.5 - distance)));
      for (let c = 0; c < channels; c++) {
        const i = channels * (y * width + x) + c;
        bytes[i] = erasing ? Math.min(bytes[i], 255 - ink) : Math.max(bytes[i], ink);
      }
    }
  }
  update();
}

// The centre of mass to the middle, by whole pixels.
function centre() {
  const { width, height, channels, bytes } = picture;
  let [mass, mx, my] = [0, 0, 0];
  bytes.forEach((value, i) => {
    const pixel = Math.floor(i / channels);
    mass += value;
    mx += value * (pixel % width);
    my += value * Math.floor(pixel / width);
  });
  if (!mass) return;
  const [dx, dy] = [Math.round((width - 1) / 2 - mx / mass), Math.round((height - 1) / 2 - my / mass)];
  const moved = new Uint8Array(bytes.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [sx, sy] = [x - dx, y - dy];
      if (sx < 0 || sy < 0 || sx >= width || sy >= height) continue;
      for (let c = 0; c < channels; c++) moved[channels * (y * width + x) + c] = bytes[channels * (sy * width + sx) + c];
    }
  }
  picture.bytes = moved;
  update();
}

// A picture file: its central part, resized to the data's size in the browser.
async function importPicture() {
  const [file] = get("file").files;
  if (!file) return;
  const { width, height, channels, bytes } = picture;
  let image;
  try {
    image = await createImageBitmap(file);
  } catch {
    get("file").setCustomValidity("The browser cannot read this picture.");
    get("file").reportValidity();
    return;
  }
  get("file").setCustomValidity("");
  const small = element("canvas", undefined, { width, height });
  const context = small.getContext("2d");
  const scale = Math.max(width / image.width, height / image.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(image, (width - scale * image.width) / 2, (height - scale * image.height) / 2, scale * image.width, scale * image.height);
  const { data } = context.getImageData(0, 0, width, height);
  for (let i = 0; i < width * height; i++) {
    const [r, g, b] = data.subarray(4 * i, 4 * i + 3);
    if (channels === 1) bytes[i] = Math.round(0.299 * r + 0.587 * g + 0.114 * b);
    else bytes.set([r, g, b], 3 * i);
  }
  update();
}

function paint() {
  drawPicture(canvas, picture);
  if (!penVisible) return;
  const context = canvas.getContext("2d");
  context.fillStyle = "rgb(255 169 14 / .85)";
  context.fillRect(...pen, 1, 1);
}

function update() {
  paint();
  reconstruct();
}

function reconstruct() {
  const body = { pixels: encodeBase64(picture.bytes), condition: code.condition };
  submit("drawing", body, (answer) => {
    showReconstruction(get("drawing-reconstruction"), answer, "your drawing", chooseImage);
    if (!answer.z) return;
    const button = element("button", "Explore its code", { type: "button" });
    button.addEventListener("click", () => moveTo(answer.z, "your drawing"));
    get("drawing-reconstruction").append(button);
  });
}
