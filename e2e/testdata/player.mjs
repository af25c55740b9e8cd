// Plays an asciicast in asciinema-player's own core, without a browser: what it
// would put on the screen goes to standard output.
//
//   node player.mjs NODE_MODULES FILE
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

const [, , modules, file] = process.argv;
const dist = join(modules, "asciinema-player", "dist");
const core = readdirSync(dist).find((name) => /^core-.*\.js$/.test(name));
const { C: Core } = await import(join(dist, core));

const fail = (...what) => {
  console.error(...what);
  process.exit(1);
};
const logger = { debug() {}, info() {}, warn: fail, error: fail };
const player = new Core({ data: readFileSync(file, "utf8") }, { autoPlay: true, speed: 100, logger });
player.addEventListener("output", (output) => process.stdout.write([output].flat().join("")));
player.addEventListener("input", (i) => console.error("input", JSON.stringify(i.data)));
player.addEventListener("resize", (s) => console.error("resize", `${s.cols}x${s.rows}`));
player.addEventListener("error", (e) => fail("error", e));
player.addEventListener("ended", () => {
  console.error("ended");
  process.exit(0);
});
player.terminalReady();
await player.init();
