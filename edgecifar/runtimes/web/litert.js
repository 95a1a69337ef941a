import { getGlobalLiteRt, loadAndCompile, loadLiteRt, Tensor } from "@litertjs/core";

import { serve } from "./serve.js";

serve(async (bytes, { threads }) => {
  await loadLiteRt(new URL("wasm/", location.href).href, { threads: threads > 1 });
  const model = await loadAndCompile(bytes, {
    accelerator: "wasm",
    ...(threads > 1 ? { cpuOptions: { numThreads: threads } } : {}),
  });
  return {
    threads: threads > 1 ? Math.min(threads, getGlobalLiteRt().liteRtWasm.getThreadCount()) : 1,
    run: async (batch, shape) => {
      const tensor = new Tensor(batch, shape);
      const [result] = await model.run([tensor]);
      const numbers = (await result.data()).slice();
      tensor.delete();
      result.delete();
      return numbers;
    },
  };
});
