// Builds the management page into the package: `npm run build`. The result is committed; CI builds it again and compares.
import { build } from "esbuild";
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const OUT = process.argv[2] ?? "../broker/leveret/management/page";
const MOST_COMPRESSED_BYTES = 200_000;
const BUNDLED = ["preact", "uplot"];

mkdirSync(OUT, { recursive: true });
await build({
  entryPoints: { page: "src/main.tsx" },
  outdir: OUT,
  bundle: true,
  minify: true,
  format: "esm",
  target: ["chrome111", "firefox113", "safari16.4"],
  jsx: "automatic",
  jsxImportSource: "preact",
  legalComments: "none",
  charset: "utf8",
  logLevel: "warning",
});
for (const name of ["index.html", "icon.svg"]) cpSync(`src/${name}`, `${OUT}/${name}`);

const licences = BUNDLED.map((name) => {
  const { version, license, homepage } = JSON.parse(readFileSync(`node_modules/${name}/package.json`, "utf8"));
  const text = readFileSync(`node_modules/${name}/LICENSE`, "utf8").trim();
  return `${name} ${version} (${license})${homepage ? `\n${homepage}` : ""}\n\n${text}\n`;
});
writeFileSync(
  `${OUT}/licences.txt`,
  `The management page is part of Leveret (Apache License 2.0). It contains:\n\n${licences.join(`\n${"-".repeat(72)}\n\n`)}`,
);

const sizes = ["index.html", "page.js", "page.css", "icon.svg"].map((name) => gzipSync(readFileSync(`${OUT}/${name}`)).length);
const total = sizes.reduce((sum, size) => sum + size, 0);
console.log(`page: ${total} bytes compressed`);
if (total > MOST_COMPRESSED_BYTES) throw new Error(`the page is larger than ${MOST_COMPRESSED_BYTES} bytes compressed`);
