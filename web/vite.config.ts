import { defineConfig, type Plugin } from "vite";

/** Lists the built files for the service worker, which keeps them all at the first visit. */
function fileList(): Plugin {
  return {
    name: "file-list",
    generateBundle(_, bundle) {
      const still = ["./", "icon.svg", "manifest.webmanifest"];
      const built = Object.keys(bundle).filter((name) => name !== "index.html");
      const source = JSON.stringify([...still, ...built]);
      this.emitFile({ type: "asset", fileName: "files.json", source });
    },
  };
}

export default defineConfig({
  base: "./",
  worker: { format: "es" },
  plugins: [fileList()],
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
