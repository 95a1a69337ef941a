// What another page needs of this one: the classes, the preprocessing, the model in WebAssembly, the self-check.

import * as ort from "./vendor/ort.wasm.bundle.min.mjs";

export const LABELS = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];
export const HEIGHT = 32;
export const WIDTH = 32;
const MODEL = "model.int8.onnx";
const GOLDEN_IMAGES = 16;
// Largest difference in a probability to what the export measured.
const TOLERANCE = 0.0078125;
const BYTES = HEIGHT * WIDTH * 3;

/** Stretches a picture, RGB bytes of w x h pixels, to the model's size; each pixel is the mean of its area. */
export function shrink(picture, w, h) {
  const out = new Uint8Array(BYTES);
  for (let y = 0; y < HEIGHT; y++) {
    const top = Math.floor((y * h) / HEIGHT);
    const bottom = Math.max(top + 1, Math.floor(((y + 1) * h) / HEIGHT));
    for (let x = 0; x < WIDTH; x++) {
      const left = Math.floor((x * w) / WIDTH);
      const right = Math.max(left + 1, Math.floor(((x + 1) * w) / WIDTH));
      const count = (bottom - top) * (right - left);
      for (let channel = 0; channel < 3; channel++) {
        let sum = 0;
        for (let row = top; row < bottom; row++) {
          for (let column = left; column < right; column++) sum += picture[(row * w + column) * 3 + channel];
        }
        out[(y * WIDTH + x) * 3 + channel] = Math.floor((sum + Math.floor(count / 2)) / count);
      }
    }
  }
  return out;
}

/** Returns the model's input for an image, HEIGHT x WIDTH RGB bytes. */
function preprocess(image) {
  // The model takes the pixels as they are.
  return image;
}

/** Returns the model's output as one probability for each class. */
function probabilities(output) {
  return Float32Array.from(output, (value) => (value - (0)) * 0.00390625);
}

async function fetchBytes(name) {
  const answer = await fetch(new URL(name, import.meta.url));
  if (!answer.ok) throw new Error(`${name}: ${answer.status} ${answer.statusText}`);
  return answer.arrayBuffer();
}

/** Returns the model, ready to classify images of HEIGHT x WIDTH RGB bytes. */
export async function loadClassifier() {
  // One thread needs no cross-origin isolation: any server of static files will do.
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = { wasm: new URL("./vendor/ort-wasm-simd-threaded.wasm", import.meta.url).href };
  const session = await ort.InferenceSession.create(new Uint8Array(await fetchBytes(MODEL)), {
    executionProviders: ["wasm"],
  });
  const [name] = session.inputNames;
  const [result] = session.outputNames;

  async function classify(image) {
    const tensor = new ort.Tensor("uint8", preprocess(image), [1, HEIGHT, WIDTH, 3]);
    return probabilities((await session.run({ [name]: tensor }))[result].data);
  }

  async function selfCheck() {
    const images = new Uint8Array(await fetchBytes("golden/images.bin"));
    const expected = new DataView(await fetchBytes("golden/expected.onnx.bin"));
    let largest = 0;
    for (let number = 0; number < GOLDEN_IMAGES; number++) {
      const scores = await classify(images.slice(number * BYTES, (number + 1) * BYTES));
      for (let index = 0; index < LABELS.length; index++) {
        // Math.max keeps a NaN, which then fails.
        const wanted = expected.getFloat32(4 * (number * LABELS.length + index), true);
        largest = Math.max(largest, Math.abs(scores[index] - wanted));
      }
    }
    return { passed: largest <= TOLERANCE, largest, tolerance: TOLERANCE, count: GOLDEN_IMAGES };
  }

  const engine = `ONNX Runtime Web ${ort.env.versions.web}, WebAssembly, one thread`;
  return { classify, selfCheck, engine };
}
