/** What this page has loaded, from the browser's own account. */

/** One line about all requests so far. */
export function traffic(): string {
  const entries = performance.getEntriesByType("resource") as PerformanceResourceTiming[];
  const foreign = entries.filter((entry) => {
    const url = new URL(entry.name);
    return url.origin !== location.origin && !["blob:", "data:"].includes(url.protocol);
  });
  const bytes = entries.reduce((sum, entry) => sum + entry.encodedBodySize, 0);
  const elsewhere =
    foreign.length === 0
      ? "None went to another site"
      : `To other sites: ${foreign.map((entry) => entry.name).join(", ")}`;
  return `${entries.length} files were loaded from ${location.host} (${(bytes / 2 ** 20).toFixed(1)} MiB). ${elsewhere}; the page's security policy forbids it. Images and labels are never sent.`;
}
