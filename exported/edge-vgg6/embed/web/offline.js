// A service worker: what was fetched is kept, and served where there is no network. The network comes first,
// so that a new version is never hidden by an old one.

const CACHE = "edge-vgg6 caf76f9808bb";
const FILES = [
  "./",
  "app.js",
  "classifier.js",
  "style.css",
  "model.int8.onnx",
  "golden/images.bin",
  "golden/expected.onnx.bin",
  "vendor/ort.wasm.bundle.min.mjs",
  "vendor/ort-wasm-simd-threaded.wasm",
];

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(FILES)));
});

self.addEventListener("activate", (event) => {
  const dropOld = (names) => Promise.all(names.filter((name) => name !== CACHE).map((name) => caches.delete(name)));
  event.waitUntil(caches.keys().then(dropOld).then(() => self.clients.claim()));
});

self.addEventListener("fetch", (event) => {
  const own = new URL(event.request.url).origin === self.location.origin;
  if (own && event.request.method === "GET") {
    event.respondWith(fetch(event.request).catch(async (error) => (await caches.match(event.request)) ?? Promise.reject(error)));
  }
});
