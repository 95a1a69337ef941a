// npm run build: puts the engine beside the page, in vendor/, so that the page fetches nothing from elsewhere.

import { copyFileSync, mkdirSync } from "node:fs";

const FILES = ["ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"];

const here = new URL("./", import.meta.url);
mkdirSync(new URL("vendor/", here), { recursive: true });
for (const name of FILES) {
  copyFileSync(new URL(`node_modules/onnxruntime-web/dist/${name}`, here), new URL(`vendor/${name}`, here));
}
console.log(`vendor/: ${FILES.join(", ")}`);
