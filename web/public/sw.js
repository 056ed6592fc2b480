// Keeps the page's own files, so that it opens without a network after the first visit.

const STORE = "amaes-page-1";

// All files at once, whichever the first visit needs: the other backend's module, the converter.
self.addEventListener("install", (event) => {
  const keep = async () => {
    const store = await caches.open(STORE);
    const list = await fetch("./files.json");
    if (!list.ok) throw new Error(`files.json: ${list.status}`);
    await store.addAll([...(await list.json()), "./files.json"]);
    await keepModels(store).catch(() => undefined);
    await self.skipWaiting();
  };
  event.waitUntil(keep());
});

// The models that come with the page; a page may offer none.
async function keepModels(store) {
  const list = new URL("./models/index.json", self.location.href);
  await store.add(list);
  const models = await (await store.match(list)).json();
  const own = models.filter(({ sha256 }) => sha256);
  const files = own.flatMap(({ url, sample }) => (sample ? [url, sample] : [url]));
  await store.addAll(files.map((file) => new URL(file, list)));
}

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
