/** `npm run sim:size`: what lm_top takes of a part of silicon, by yosys: every part of a build, and its longest path. docs/resources.md. */
import { mkdtempSync, rmSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { BOARDS } from "../host/device/boards.generated.ts";
import { LightMambaError } from "../host/errors.ts";
import { readRecorded, resultsPath } from "../host/report/recorded.ts";
import { readScriptOptions, runScript } from "../host/tools/script.ts";
import { type Page, pageOf, writePage, writeText } from "./pages.ts";
import { ROOT } from "./paths.ts";
import { type Build, buildOf, elaborate, type Part } from "./size/design.ts";
import { type BuildSizes, formatMarkdown, formatTerminal, type Sizes } from "./size/table.ts";
import { measure, yosysVersion } from "./size/yosys.ts";

const USAGE = `usage: npm run sim:size -- [options]

Synthesizes every part of builds of lm_top with yosys, for UltraScale+ as the nearest that yosys knows, and adds them up. Parts that were measured before come
from the cache; without it all builds take about half an hour of a core. Estimates: nothing is placed and routed.

  --build <list>   vck190, vck190-a8, vck190-t1, sim. Default: all
  --cache <dir>    where sizes are kept (default: $LIGHTMAMBA_CACHE, else .cache/lightmamba in the home directory)
  --save           write bench/results/size.json and the tables in docs/resources.md; takes all builds
  --json           the sizes as JSON on standard output
  -h, --help

Examples:
  npm run sim:size -- --build vck190
  npm run sim:size -- --save`;

/** The 6-port build of the board, the same for wider activations and for one vector at a time, and what the tests simulate. */
export const BUILDS: readonly Build[] = [
  buildOf("vck190", BOARDS.vck190),
  buildOf("vck190-a8", BOARDS.vck190, { ACT_BITS: 8 }),
  buildOf("vck190-t1", BOARDS.vck190, { TOKENS: 1 }),
  buildOf("sim", BOARDS.sim),
];

export const RESULTS = resultsPath("size.json");

function readOptions(args: string[]) {
  const flag = { type: "boolean", default: false } as const;
  return readScriptOptions(args, {
    build: { type: "string" },
    cache: { type: "string" },
    ...{ save: flag, json: flag, help: { ...flag, short: "h" } },
  });
}

function chosen(list: string | undefined, save: boolean): readonly Build[] {
  if (list === undefined) return BUILDS;
  if (save) throw new LightMambaError("usage", "--save takes all builds, so it does not go with --build");
  return list.split(",").map((name) => {
    const build = BUILDS.find((one) => one.name === name);
    if (build !== undefined) return build;
    const expected = BUILDS.map((one) => one.name).join(", ");
    throw new LightMambaError("usage", "no such build", { field: "--build", expected, found: name });
  });
}

/** Where what was measured before is kept. */
export function sizesFolder(cache = process.env.LIGHTMAMBA_CACHE ?? join(homedir(), ".cache", "lightmamba")): string {
  return join(resolve(cache), "sizes");
}

/** Seconds that no synthesis is done in. */
const CACHED = 0.2;

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

interface Work {
  build: Build;
  rtlil: string;
  parts: Part[];
}

export function measureAll(builds: readonly Build[], cache: string): Sizes {
  const folder = mkdtempSync(join(tmpdir(), "lightmamba-size-"));
  try {
    const work = builds.map((build): Work => {
      const rtlil = join(folder, `${build.name}.il`);
      return { build, rtlil, parts: elaborate(build, rtlil) };
    });
    const progress = new Progress(work.flatMap(({ parts }) => parts));
    const sizes = work.map(({ build, rtlil, parts }): BuildSizes => {
      const rows = parts.map((part) => {
        const { module, count, hash } = part;
        const start = performance.now();
        const size = measure(part, rtlil, cache);
        progress.done(build, part, (performance.now() - start) / 1000);
        return { module, count, hash, ...size };
      });
      return { ...build, parts: rows };
    });
    return { date: new Date().toISOString(), yosys: yosysVersion(), builds: sizes };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Says how far it is, and how long the rest takes if all of it goes at the speed of what was synthesized so far. */
class Progress {
  readonly #total: number;
  #left: number;
  #parts = 0;
  #seconds = 0;
  #cells = 0;

  constructor(parts: readonly Part[]) {
    this.#total = parts.length;
    this.#left = parts.reduce((sum, { cells }) => sum + cells, 0);
  }

  done({ name }: Build, { module, cells }: Part, seconds: number): void {
    this.#parts++;
    this.#left -= cells;
    const cached = seconds < CACHED;
    if (!cached) {
      this.#seconds += seconds;
      this.#cells += cells;
    }
    const rest = this.#cells > 0 ? `, at most ${Math.ceil((this.#seconds / this.#cells) * this.#left)} s left` : "";
    say(`${this.#parts}/${this.#total} ${name} ${module}: ${cached ? "cached" : `${Math.round(seconds)} s`}${rest}`);
  }
}

/** docs/resources.md with the tables of `sizes`. */
export function sizePage(sizes: Sizes): Page {
  return pageOf("docs/resources.md", { sizes: formatMarkdown(sizes) });
}

export function readSizes(): Sizes {
  return readRecorded(RESULTS, ["builds"]);
}

function save(sizes: Sizes): void {
  const page = sizePage(sizes);
  writeText(RESULTS, `${JSON.stringify(sizes, undefined, 2)}\n`);
  writePage(page);
  say(`saved ${RESULTS} and ${join(ROOT, page.file)}`);
}

function main(): void {
  const options = readOptions(process.argv.slice(2));
  if (options.help) {
    process.stdout.write(`${USAGE}\n`);
    return;
  }
  const sizes = measureAll(chosen(options.build, options.save), sizesFolder(options.cache));
  if (options.save) save(sizes);
  process.stdout.write(`${options.json ? JSON.stringify(sizes) : formatTerminal(sizes)}\n`);
}

if (process.argv[1] === import.meta.filename) runScript("sim:size", main);
