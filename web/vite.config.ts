import { defineConfig } from "vite";

export default defineConfig({
  base: "./",
  worker: { format: "es" },
  build: {
    target: "es2022",
    // Everything stays a file of its own: no data URI has to be allowed.
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 4096,
    rolldownOptions: {
      // The page, and the library for other pages.
      input: { index: "index.html", amaes: "src/amaes.ts" },
      preserveEntrySignatures: "exports-only",
      output: {
        entryFileNames: ({ name }) =>
          name === "amaes" ? "amaes.js" : "assets/[name]-[hash].js",
      },
    },
  },
});
