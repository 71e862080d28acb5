// Reads diagrams as a JSON array of texts from stdin, draws each with the real Mermaid in a real browser, and writes what
// came of each as a JSON array: {"texts": [...]} with every text that the picture shows, or {"error": "..."}.
// Usage: node render.mjs CHROMIUM PROFILE [PICTURES], where PROFILE is an empty folder and PICTURES takes 0.png, 1.png, ...
import { createRequire } from "node:module";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { chromium } from "playwright-core";

const [executablePath, profile, pictures] = process.argv.slice(2);
const library = join(createRequire(import.meta.url).resolve("mermaid"), "..", "mermaid.min.js");

const browser = await chromium.launchPersistentContext(profile, {
  executablePath,
  headless: true,
  offline: true,
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
});
const page = await browser.newPage();
await page.setContent("<!doctype html><meta charset=utf-8><body></body>");
await page.addScriptTag({ path: library });
await page.evaluate(() => mermaid.initialize({ startOnLoad: false, securityLevel: "strict" }));

const drawn = [];
for (const [number, diagram] of JSON.parse(await text(process.stdin)).entries()) {
  drawn.push(
    await page.evaluate(async (source) => {
      try {
        await mermaid.parse(source);
        const { svg } = await mermaid.render("picture", source);
        document.body.innerHTML = svg;
        const texts = [...document.querySelectorAll("svg text")].map((each) => each.textContent);
        return { texts, foreign: document.querySelectorAll("svg script, svg a, svg img, svg foreignObject").length };
      } catch (error) {
        return { error: String(error.message ?? error) };
      }
    }, diagram),
  );
  if (pictures) {
    await page.locator("svg").first().screenshot({ path: join(pictures, `${number}.png`) });
  }
}
await browser.close();
process.stdout.write(JSON.stringify(drawn));
