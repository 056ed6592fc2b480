/** What this page has loaded, from the browser's own account. */

import { element, make } from "./dom.ts";

/** Entries seen so far: the browser keeps only some. */
const seen: PerformanceResourceTiming[] = [];

/** Keeps the panel up to date. */
export function watchTraffic(): void {
  const draw = (list: PerformanceObserverEntryList) => {
    seen.push(...(list.getEntries() as PerformanceResourceTiming[]));
    show();
  };
  new PerformanceObserver(draw).observe({ type: "resource", buffered: true });
  show();
}

function local(entry: PerformanceResourceTiming): boolean {
  const url = new URL(entry.name);
  return url.origin === location.origin || ["blob:", "data:"].includes(url.protocol);
}

function show(): void {
  const foreign = seen.filter((entry) => !local(entry));
  const bytes = seen.reduce((sum, entry) => sum + entry.encodedBodySize, 0);
  const elsewhere =
    foreign.length === 0 ? "None went to another site" : `${foreign.length} went to other sites`;
  element("network").textContent =
    `${seen.length} files were loaded from ${location.host} (${(bytes / 2 ** 20).toFixed(1)} MiB). ` +
    `${elsewhere}; the page's security policy forbids it. Images and labels are never sent.`;
  const rows = seen.slice(-100).map((entry) => {
    const { origin, pathname, protocol } = new URL(entry.name);
    const name = local(entry) ? (protocol === "blob:" ? "a file of yours, in memory" : pathname) : origin;
    const size = `${(entry.encodedBodySize / 1024).toFixed(0)} kB`;
    return make("tr", {}, make("td", { textContent: name }), make("td", { textContent: size }));
  });
  element("requests").replaceChildren(...rows);
}
