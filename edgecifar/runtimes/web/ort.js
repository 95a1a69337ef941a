import * as ort from "onnxruntime-web/wasm";

import { serve } from "./serve.js";

ort.env.wasm.wasmPaths = new URL("wasm/", location.href).href;

serve(async (bytes, { input, output, threads }) => {
  ort.env.wasm.numThreads = threads;
  const session = await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] });
  return {
    // Without cross-origin isolation the engine falls back to one thread, and says so here.
    threads: ort.env.wasm.numThreads,
    run: async (batch, shape) => {
      const results = await session.run({ [input.name]: new ort.Tensor(input.dtype, batch, shape) });
      return results[output.name].data;
    },
  };
});
