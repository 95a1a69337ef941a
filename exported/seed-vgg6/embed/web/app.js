// The page: a picture dropped, chosen or filmed goes to the model, and its classes come back.

import { HEIGHT, LABELS, WIDTH, loadClassifier, shrink } from "./classifier.js";

const SHOWN = 5;
// Larger pictures are brought down by the browser first: phones refuse larger canvases.
const MOST_PIXELS = 4096 * 4096;
const BETWEEN_FRAMES_MS = 150;

const at = (id) => document.getElementById(id);
const [best, camera, check, classes, drop, engine] = ["best", "camera", "check", "classes", "drop", "engine"].map(at);
const [file, hint, input, preview, seenHint, video] = ["file", "hint", "input", "preview", "seen-hint", "video"].map(at);

let classifier = null;
let stream = null;
let turn = Promise.resolve();

/** Returns the pixels of a part of a picture as RGB, transparent parts on white. */
function pixelsOf(picture, left, top, width, height) {
  const factor = Math.min(1, Math.sqrt(MOST_PIXELS / (width * height)));
  const w = Math.max(1, Math.floor(width * factor));
  const h = Math.max(1, Math.floor(height * factor));
  const canvas = new OffscreenCanvas(w, h);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, w, h);
  context.drawImage(picture, left, top, width, height, 0, 0, w, h);
  const rgba = context.getImageData(0, 0, w, h).data;
  const rgb = new Uint8Array(w * h * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4) {
    rgb[to++] = rgba[from];
    rgb[to++] = rgba[from + 1];
    rgb[to++] = rgba[from + 2];
  }
  return { rgb, w, h };
}

function showInput(image) {
  const shown = new ImageData(WIDTH, HEIGHT);
  for (let pixel = 0; pixel < WIDTH * HEIGHT; pixel++) {
    shown.data.set(image.subarray(3 * pixel, 3 * pixel + 3), 4 * pixel);
    shown.data[4 * pixel + 3] = 255;
  }
  input.getContext("2d").putImageData(shown, 0, 0);
  input.hidden = seenHint.hidden = false;
}

function showClasses(scores, tookMs) {
  const order = [...scores.keys()].sort((a, b) => scores[b] - scores[a]);
  const percent = (index) => `${(100 * scores[index]).toFixed(1)} %`;
  best.textContent = LABELS[order[0]];
  best.dataset.scores = JSON.stringify([...scores]);
  classes.replaceChildren(
    ...order.slice(0, SHOWN).map((index) => {
      const row = document.createElement("li");
      const bar = document.createElement("progress");
      bar.max = 1;
      bar.value = scores[index];
      bar.ariaHidden = "true";
      const text = document.createElement("span");
      for (const part of [LABELS[index], percent(index)]) {
        text.append(Object.assign(document.createElement("b"), { textContent: part }));
      }
      row.append(bar, text);
      return row;
    }),
  );
  engine.textContent = `${classifier.engine}: ${tookMs.toFixed(1)} ms`;
}

/** Classifies a part of a picture once all earlier ones are done: the last one asked for stays on the page. */
function classifyPart(picture, left, top, width, height) {
  const { rgb, w, h } = pixelsOf(picture, left, top, width, height);
  const image = shrink(rgb, w, h);
  turn = turn.then(async () => {
    const started = performance.now();
    const scores = await classifier.classify(image);
    showInput(image);
    showClasses(scores, performance.now() - started);
  });
  return turn;
}

async function classifyFile(chosen) {
  stopCamera();
  let picture;
  try {
    picture = await createImageBitmap(chosen);
  } catch {
    best.textContent = `${chosen.name} is no picture that this browser can read.`;
    classes.replaceChildren();
    return;
  }
  const scale = Math.min(1, 960 / Math.max(picture.width, picture.height));
  preview.width = Math.max(1, picture.width * scale);
  preview.height = Math.max(1, picture.height * scale);
  preview.getContext("2d").drawImage(picture, 0, 0, preview.width, preview.height);
  preview.hidden = false;
  hint.hidden = true;
  drop.classList.add("filled");
  await classifyPart(picture, 0, 0, picture.width, picture.height);
  picture.close();
}

async function startCamera() {
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch {
    best.textContent = "There is no camera that this page may use.";
    classes.replaceChildren();
    return;
  }
  video.srcObject = stream;
  await video.play();
  video.hidden = false;
  hint.hidden = preview.hidden = true;
  camera.textContent = "Stop the camera";
  const filmed = stream;
  while (stream === filmed) {
    // The square in the middle, as shown.
    const side = Math.min(video.videoWidth, video.videoHeight);
    if (side > 0) {
      await classifyPart(video, (video.videoWidth - side) / 2, (video.videoHeight - side) / 2, side, side);
    }
    await new Promise((next) => setTimeout(next, BETWEEN_FRAMES_MS));
  }
}

function stopCamera() {
  if (stream === null) return;
  for (const track of stream.getTracks()) track.stop();
  stream = null;
  video.srcObject = null;
  video.hidden = true;
  hint.hidden = !preview.hidden;
  camera.textContent = "Use the camera";
}

function listen() {
  file.addEventListener("change", () => {
    if (file.files.length) classifyFile(file.files[0]);
    file.value = "";
  });
  for (const name of ["dragenter", "dragover"]) {
    document.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
  }
  document.addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) drop.classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (event.dataTransfer.files.length) classifyFile(event.dataTransfer.files[0]);
  });
  camera.addEventListener("click", () => (stream === null ? startCamera() : stopCamera()));
  document.addEventListener("visibilitychange", () => document.hidden && stopCamera());
}

async function start() {
  try {
    classifier = await loadClassifier();
  } catch (error) {
    best.textContent = "The model could not be loaded.";
    check.textContent = `${error.message}. Has npm run build put the engine into vendor/?`;
    check.dataset.state = "failed";
    return;
  }
  const { passed, largest, tolerance, count } = await classifier.selfCheck();
  check.textContent = passed
    ? `Self-check passed: ${count} golden images, largest difference ${largest.toFixed(4)} of ${tolerance.toFixed(4)} allowed.`
    : `Self-check failed: a probability is off by ${largest.toFixed(4)}, more than ${tolerance.toFixed(4)}.`;
  check.dataset.largest = largest;
  check.dataset.state = passed ? "passed" : "failed";
  if (!passed) {
    best.textContent = "This browser computes something else: not used.";
    return;
  }
  best.textContent = "Ready.";
  engine.textContent = classifier.engine;
  listen();
  camera.disabled = !navigator.mediaDevices?.getUserMedia;
}

// Keeps the page working without a network once it has been visited; browsers allow it on https and localhost.
navigator.serviceWorker?.register("offline.js");
start();
