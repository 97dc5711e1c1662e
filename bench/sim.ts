/** `npm run sim:report`: cycles of the simulated RTL: each overlap switched off, ports, tokens a pass, partitions; and what it keeps on chip. */
import { BOARDS } from "../host/device/boards.generated.ts";
import type { BoardName } from "../host/device/index.ts";
import { LightMambaError } from "../host/errors.ts";
import { resultsPath, type Sim, type SimRow } from "../host/report/recorded.ts";
import { readScriptOptions, runScript } from "../host/tools/script.ts";
import { buildRows } from "./buffers.ts";
import { writeRecord } from "./pages.ts";
import { embeddedSubject, measure, SETTINGS, shapeSubject } from "./sim/measure.ts";
import { formatSim } from "./sim/table.ts";

const USAGE = `usage: npm run sim:report -- [options]

Runs two layers of the 2.7B shape, and the embedded model, on the simulated RTL with the memory of a board, and prints what its
cycle counters say; and the bytes that each unit of the RTL keeps on chip. Nothing here was measured on silicon.

  --board <name>   memory and clock: vck190 (default), u280, sim
  --layers <n>     of the 2.7B shape, at least 2. Default: 2
  --a72 <µs>       time of the processor for each hand-over of the split partition. Default: 40
  --save           keep it in bench/results/sim.json, with when each command worked; then: npm run report
  --json
  -h, --help

Examples:
  npm run sim:report
  npm run sim:report -- --board sim --json
  npm run sim:report -- --save`;

function readOptions(args: string[]) {
  const text = { type: "string" } as const;
  const flag = { type: "boolean", default: false } as const;
  const options = {
    ...{ board: { ...text, default: "vck190" }, layers: { ...text, default: "2" }, a72: { ...text, default: "40" } },
    ...{ save: flag, json: flag, help: { ...flag, short: "h" } },
  } as const;
  return readScriptOptions(args, options);
}

function number(text: string, name: string, least: number): number {
  const value = Number(text);
  if (value >= least && Number.isFinite(value)) return value;
  throw new LightMambaError("usage", `${name}: not a number`, { expected: `at least ${least}`, found: text });
}

function boardNamed(name: string): BoardName {
  if (Object.hasOwn(BOARDS, name)) return name as BoardName;
  throw new LightMambaError("usage", "no such board", { expected: Object.keys(BOARDS).join(", "), found: name });
}

function run(board: BoardName, layers: number, a72: number): Sim {
  const subjects = [shapeSubject("mamba2-2.7b", layers), embeddedSubject()];
  const all = subjects.flatMap((subject) => SETTINGS.map((setting) => ({ subject, setting })));
  const rows = all.map(({ subject, setting }, i): SimRow => {
    process.stderr.write(`${i + 1}/${all.length} ${subject.name}, ${setting.name}\n`);
    return measure(subject, setting, board, a72);
  });
  const date = new Date().toISOString();
  return { by: "npm run sim:report -- --save", date, board, layers, a72, rows, builds: buildRows() };
}

runScript("sim:report", () => {
  const options = readOptions(process.argv.slice(2));
  if (options.help) {
    process.stdout.write(`${USAGE}\n`);
    return;
  }
  const board = boardNamed(options.board);
  const sim = run(board, number(options.layers, "--layers", 2), number(options.a72, "--a72", 0));
  if (options.save) writeRecord(resultsPath("sim.json"), sim);
  process.stdout.write(options.json ? `${JSON.stringify(sim, null, 2)}\n` : formatSim(sim));
});
