import { availableParallelism } from "node:os";
import { type Command, InvalidArgumentError } from "commander";
import { type Column, formatTable, percent } from "../../bench/table.ts";
import type { BoardName } from "../../device/index.ts";
import { LightMambaError } from "../../errors.ts";
import {
  explore,
  front,
  lutsOf,
  merged,
  pointsOf,
  readResults,
  type Space,
  shardOf,
  writeResults,
} from "../../estimate/explore.ts";
import { type Evaluated, limited } from "../../estimate/point.ts";
import { showJoules } from "../../estimate/report.ts";
import { type Limits, NAMES, type Shares } from "../../estimate/resources.ts";
import type { ActivationBits } from "../../model/description.ts";
import type { ShapeName } from "../../model/shapes.ts";
import { packageVersion } from "../../package.ts";
import type { Partition } from "../../runtime/accelerator.ts";
import { BOARD_NAMES, MOST_PORTS } from "../build-options.ts";
import { defineCommand } from "../command.ts";
import { decimal, integer, listOf, oneOf, shapeName } from "../options.ts";
import type { Output } from "../output.ts";

interface ExploreFlags {
  shape: ShapeName[];
  activationBits: ActivationBits[];
  headBits: (4 | 8)[];
  board: BoardName[];
  partition: Partition[];
  clock: number[];
  ports: number[];
  stateLanes: number[];
  statePorts: number[];
  prefetch: number[];
  out?: string;
  shard?: [index: number, count: number];
  jobs: number;
  merge?: string[];
  maxLut?: number;
  maxFf?: number;
  maxDsp?: number;
  maxRamb36?: number;
  maxUram?: number;
}

/** Options that limit what a build may take. */
const LIMITS: readonly [kind: keyof Shares, flag: keyof ExploreFlags & `max${string}`][] = [
  ["luts", "maxLut"],
  ["flipFlops", "maxFf"],
  ["dsps", "maxDsp"],
  ["blockRams", "maxRamb36"],
  ["ultraRams", "maxUram"],
];

export function define(output: Output): Command {
  const count = (most: number) => listOf(integer({ min: 1, max: most }));
  const command = defineCommand(
    "explore",
    "Estimate many configurations of a board, and show those that no other beats.",
    [
      ["the largest published shape on VCK190", "explore --shape 2.7b --ports 2,4,6 --out vck190.jsonl"],
      [
        "one of four shards, on a machine of its own",
        "explore --shape 2.7b --ports 2,4,6 --shard 1/4 --out shard-1.jsonl",
      ],
      ["what all of them found", "explore --merge shard-1.jsonl shard-2.jsonl shard-3.jsonl shard-4.jsonl"],
      ["what fits a part with less logic", "explore --shape 130m --ports 1,2,4 --max-lut 150000 --max-uram 48"],
      [
        "whether more state lanes help a card with much memory",
        "explore --board u280 --ports 16,32 --state-lanes 2,4 --state-ports 0,4",
      ],
    ],
  )
    .option("--shape <list>", "published shapes: 130m, 370m, 780m, 1.3b, 2.7b", listOf(shapeName), ["mamba2-2.7b"])
    .option("--activation-bits <list>", "4, 5, 6, 8", listOf(oneOf([4, 5, 6, 8])), [4])
    .option("--head-bits <list>", "width of lm_head: 4, 8", listOf(oneOf([4, 8])), [4])
    .option("--board <list>", BOARD_NAMES.join(", "), listOf(oneOf(BOARD_NAMES)), ["vck190"])
    .option("--partition <list>", "fused, split", listOf(oneOf(["fused", "split"])), ["fused"])
    .option("--clock <list>", "MHz of the logic", listOf(decimal({ min: 10, max: 1000 })), [200, 250, 300])
    .option("--ports <list>", "memory ports that stream weights", count(MOST_PORTS), [1, 2, 4, 6])
    .option(
      "--state-lanes <list>",
      "groups of 16 state values a cycle: 1, 2, 4, 8",
      listOf(oneOf([1, 2, 4, 8])),
      [1, 2, 4],
    )
    .option(
      "--state-ports <list>",
      "ports that have a part of the state each: 0 (port 0 has it), 2, 4, 8",
      listOf(oneOf([0, 2, 4, 8])),
      [0],
    )
    .option(
      "--prefetch <list>",
      "beats of weights that a port reads ahead: powers of two",
      listOf(powerOfTwo),
      [512, 2048],
    )
    .option("-o, --out <file>", "keep results, a line each; what is there is not estimated again")
    .option("--shard <i/n>", "only every n-th configuration, from the i-th on: 1/n to n/n", shard)
    .option("--jobs <count>", "threads", integer({ min: 1, max: 256 }), availableParallelism())
    .option("--merge <files...>", "show what these files have, and estimate nothing; with --out also keep it in one")
    .action((flags: ExploreFlags) => run(flags, output));
  for (const [kind] of LIMITS) {
    const most = integer({ min: 0, max: 1e8 });
    command.option(
      `--max-${NAMES[kind].toLowerCase()} <count>`,
      `${NAMES[kind]} of the design (default: the board's)`,
      most,
    );
  }
  return command;
}

function powerOfTwo(text: string): number {
  const value = integer({ min: 16, max: 4096 })(text);
  if (Number.isInteger(Math.log2(value))) return value;
  throw new InvalidArgumentError("Expected powers of two from 16 to 4096.");
}

function shard(text: string): [number, number] {
  const [index, count] = /^(\d+)\/(\d+)$/.exec(text)?.slice(1).map(Number) ?? [];
  if (index !== undefined && count !== undefined && index >= 1 && index <= count) return [index - 1, count];
  throw new InvalidArgumentError("Expected i/n as in 1/4, i from 1 to n.");
}

async function run(flags: ExploreFlags, output: Output): Promise<void> {
  const results = limited(flags.merge === undefined ? await explored(flags, output) : merge(flags), limitsFrom(flags));
  const best = front(results);
  const refused = results.filter((one) => one.refused !== undefined);
  if (output.json) {
    output.record({ configurations: results.length, refused, front: best });
    return;
  }
  if (best.length > 0) output.line(formatTable(best, COLUMNS));
  output.line();
  output.line(`${best.length} of ${results.length} configurations are beaten by no other of their model and board:`);
  output.line("none is as fast with no more J/token, LUT and MHz. Estimated, never measured; J/token with its band.");
  for (const reason of new Set(refused.map((one) => one.refused!))) output.note(`not possible: ${reason}`);
}

function limitsFrom(flags: ExploreFlags): Limits {
  return Object.fromEntries(LIMITS.flatMap(([kind, flag]) => (flags[flag] === undefined ? [] : [[kind, flags[flag]]])));
}

async function explored(flags: ExploreFlags, output: Output): Promise<Evaluated[]> {
  const { shape, activationBits, headBits, board, partition, ports, stateLanes, statePorts, prefetch } = flags;
  const space: Space = {
    shape,
    activationBits,
    headBits,
    board,
    partition,
    clockMhz: flags.clock,
    ports,
    stateLanes,
    statePorts,
    prefetch,
  };
  const points = shardOf(pointsOf(space), flags.shard ?? [0, 1]);
  const progress = output.progress("explore");
  try {
    return await explore({
      points,
      version: packageVersion(),
      file: flags.out,
      jobs: flags.jobs,
      progress: progress.update,
    });
  } finally {
    progress.done();
  }
}

function merge({ merge: files, out, shard }: ExploreFlags): Evaluated[] {
  if (shard !== undefined) {
    throw new LightMambaError("usage", "--merge estimates nothing that could be a shard", {
      hint: "leave --shard out",
    });
  }
  const all = merged(files!.flatMap((file) => readResults(file)));
  if (out !== undefined) writeResults(out, all);
  return all;
}

const COLUMNS: readonly Column<Evaluated>[] = [
  { title: "shape", left: true, cell: ({ point }) => point.shape },
  { title: "bits", left: true, cell: ({ point }) => `W4A${point.activationBits}, head ${point.headBits}` },
  { title: "board", left: true, cell: ({ point }) => point.board },
  { title: "partition", left: true, cell: ({ point }) => point.partition },
  { title: "ports", cell: ({ point }) => String(point.ports) },
  { title: "state lanes", cell: ({ point }) => String(point.stateLanes) },
  { title: "MHz", cell: ({ point }) => String(point.clockMhz) },
  { title: "beats ahead", cell: ({ point }) => String(point.prefetch) },
  { title: "LUT", cell: ({ resources }) => lutsOf(resources!).toLocaleString("en-US") },
  { title: "URAM", cell: ({ resources }) => String(resources!.ultraRams) },
  { title: "J/token", cell: ({ joulesPerToken, joulesBand }) => joulesBand && showJoules(joulesPerToken!, joulesBand) },
  { title: "tok/s", cell: ({ tokensPerSecond }) => tokensPerSecond!.toFixed(2) },
  { title: "of the bound", cell: ({ shareOfBound }) => percent(shareOfBound!) },
];
