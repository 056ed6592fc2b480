// Keeps the page's own files, so that it opens without a network after the first visit.

const STORE = "amaes-page-1";

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => {
  const clean = async () => {
    for (const name of await caches.keys()) {
      if (name.startsWith("amaes-page-") && name !== STORE) await caches.delete(name);
    }
    await self.clients.claim();
  };
  event.waitUntil(clean());
});

// The network first, so that a new build is seen; what was seen before without one.
self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method !== "GET" || new URL(request.url).origin !== location.origin) return;
  const answer = async () => {
    const store = await caches.open(STORE);
    try {
      const response = await fetch(request);
      if (response.ok) await store.put(request, response.clone());
      return response;
    } catch (error) {
      const kept = await store.match(request, { ignoreSearch: request.mode === "navigate" });
      if (kept) return kept;
      throw error;
    }
  };
  event.respondWith(answer());
});
