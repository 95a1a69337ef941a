// Takes jobs from the server that this page came from, and gives it the results, until it has no more.

/**
 * @typedef {object} Settings  What `load` is told of the model; arrays are as NumPy names and shapes them.
 * @property {{name: string, dtype: string, shape: number[]}} input  Of one image.
 * @property {{name: string, dtype: string}} output
 * @property {number} threads
 */

const ARRAYS = {
  float32: Float32Array,
  float16: globalThis.Float16Array ?? Uint16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  int16: Int16Array,
};

/** Returns the bytes as numbers of a type that NumPy names. */
export function arrayOf(dtype, buffer) {
  if (!(dtype in ARRAYS)) throw new Error(`the page has no arrays of ${dtype}`);
  return new ARRAYS[dtype](buffer);
}

async function post(path, body, headers = {}) {
  await fetch(path, { method: "POST", body, headers });
}

/** Runs so many images in each call, and returns all results and the milliseconds of the calls. */
async function runAll(model, { dtype, shape }, images, buffer) {
  const batch = arrayOf(dtype, buffer);
  const each = shape.reduce((product, size) => product * size, images);
  const results = [];
  let milliseconds = 0;
  for (let at = 0; at < batch.length; at += each) {
    const began = performance.now();
    results.push(await model.run(batch.slice(at, at + each), [images, ...shape]));
    milliseconds += performance.now() - began;
  }
  return [new Blob(results), milliseconds];
}

/**
 * Serves an engine.
 *
 * @param load  Takes the model's bytes and the `Settings`; returns `{run, threads}`, where `run` takes the
 *     numbers of one call and their shape and returns the numbers of its output.
 */
export async function serve(load) {
  let model, settings;
  for (;;) {
    // Where the server has gone without a word, its process was killed: a page that closes ends the browser.
    const response = await fetch("job").catch(() => window.close());
    if (response === undefined) return;
    const kind = response.headers.get("X-Job");
    if (kind === "idle") continue;
    if (kind !== "load" && kind !== "run") return;
    const body = await response.arrayBuffer();
    const told = JSON.parse(decodeURIComponent(response.headers.get("X-Settings")));
    try {
      if (kind === "load") {
        settings = told;
        model = await load(new Uint8Array(body), settings);
        await post("result", JSON.stringify({ threads: model.threads, browser: navigator.userAgent }));
      } else {
        const [results, milliseconds] = await runAll(model, settings.input, told.images, body);
        await post("result", results, { "X-Milliseconds": String(milliseconds) });
      }
    } catch (error) {
      await post("failure", String(error?.message ?? error));
    }
  }
}
