/**
 * Decoding and prefill beside llama.cpp: the same shapes with random weights, the same threads, one run of each in turn, so
 * that a slow minute of the machine hits all alike. A ratio is of two runs of the same round.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { BenchResult } from "../../host/bench/bench.ts";
import { spreadToken } from "../../host/bench/candidate.ts";
import { busyRemark } from "../../host/bench/machine.ts";
import { type Spread, spread } from "../../host/bench/spread.ts";
import { type ShapeName, shapeConfig } from "../../host/model/shapes.ts";
import type { Variant } from "../../host/runtime/engine.ts";
import { CLI } from "../paths.ts";
import type { Llama, PeerIsa } from "./llama.ts";
import { readProgram, say } from "./programs.ts";
import { makeShapeFiles, type Quantization, type ShapeFile } from "./shapes.ts";
import type { Steps } from "./step.ts";

const DECODED = 64;
/** Of ours: bits of activations, and whose vectors. */
const OURS: readonly [bits: 4 | 8, simd: Variant][] = [
  [4, "native"],
  [8, "native"],
  [4, "relaxed"],
];

export interface SpeedOptions {
  shapes: readonly ShapeName[];
  threads: readonly number[];
  /** Lengths of prompts. */
  prefill: readonly number[];
  /** Of our lm_head. Theirs is Q6_K in Q4_0, and with 4 bits Q4_0 too ("pure"). */
  headBits: 4 | 8;
  rounds: number;
  /** What llama.cpp is built for: each is a program of its own. */
  isas: readonly PeerIsa[];
}

/** Tokens a second by name of the phase: "decode", "prefill 64", … */
export type Phases<Value> = Record<string, Value>;

export interface SpeedRow {
  shape: ShapeName;
  threads: number;
  engine: "llama.cpp" | "lightmamba";
  name: string;
  /** Of llama.cpp: what it was built for, and what it says that it uses. */
  isa?: PeerIsa;
  features?: string;
  /** Of weights, read for each token. */
  bytesPerToken: number;
  tokensPerSecond: Phases<Spread>;
  /** To the 4 bits of each llama.cpp. */
  ratio: Partial<Record<PeerIsa, Phases<Spread>>>;
}

interface Inputs {
  steps: Steps;
  /** One for each of the options' isas. */
  llamas: readonly Llama[];
  jobs: number;
}

/** What peer.cpp prints. */
interface PeerResult {
  prefill: number;
  decode: number;
  features: string;
}

/** One of those that run in turn. */
interface Peer extends Pick<SpeedRow, "shape" | "threads" | "engine" | "name" | "isa" | "features"> {
  /** Known before, or after the first run. */
  bytesPerToken: number;
  run(): Phases<number>;
  seen: Phases<number>[];
}

export function measureSpeed(options: SpeedOptions, inputs: Inputs): SpeedRow[] {
  const { shapes, threads, rounds } = options;
  const [four, eight] = quantizations(options);
  const groups = shapes.flatMap((shape) => {
    const files = makeShapeFiles(inputs.llamas[0]!, inputs, shape, [four, eight]);
    return threads.map((count) => [
      ...inputs.llamas.flatMap((llama) => files.map((file) => theirPeer(shape, count, file, options, llama, inputs))),
      ...OURS.map(([bits, simd]) => ourPeer(shape, count, bits, simd, options, inputs)),
    ]);
  });
  const peers = groups.flat();
  say(`${rounds} rounds of ${peers.length} in turn …`);
  const busy = busyRemark();
  if (busy !== undefined) say(busy);
  for (let round = 0; round < rounds; round++) {
    for (const { shape, threads: count, name, isa, run, seen } of peers) {
      say(`  round ${round + 1}: ${shape}, ${count} thread${count > 1 ? "s" : ""}, ${name}${isa ? `, ${isa}` : ""}`);
      seen.push(run());
    }
  }
  return groups.flatMap((group) => group.map((peer) => rowOf(peer, basesOf(group))));
}

function quantizations({ headBits }: SpeedOptions): [Quantization, Quantization] {
  const four = { name: "Q4_0", type: "Q4_0", flags: [] };
  const pure = { name: "Q4_0 pure", type: "Q4_0", flags: ["--pure"] };
  return [headBits === 4 ? pure : four, { name: "Q8_0", type: "Q8_0", flags: [] }];
}

function theirPeer(
  shape: ShapeName,
  threads: number,
  { quantization, gguf, bytesPerToken }: ShapeFile,
  { prefill }: SpeedOptions,
  llama: Llama,
  { steps }: Inputs,
): Peer {
  const ids = join(steps.cache, "shapes", "ids.bin");
  const { vocabUsed } = shapeConfig(shape);
  const length = Math.max(...prefill) + DECODED;
  writeFileSync(
    ids,
    Int32Array.from({ length }, (_, i) => spreadToken(i, vocabUsed)),
  );
  const { isa } = llama;
  const peer: Peer = {
    ...{ shape, threads, engine: "llama.cpp", name: quantization.name, isa, bytesPerToken, seen: [] },
    run: () =>
      phases(prefill, (prompt, decoded) => {
        const args = ["speed", gguf, ids, String(threads), String(prompt), String(decoded)];
        const found = JSON.parse(readProgram(llama.peer, args, steps.log("speed"))) as PeerResult;
        peer.features = found.features;
        return found;
      }),
  };
  return peer;
}

function ourPeer(
  shape: ShapeName,
  threads: number,
  activationBits: 4 | 8,
  simd: Variant,
  { prefill, headBits }: SpeedOptions,
  { steps }: Inputs,
): Peer {
  const widths = ["--activation-bits", String(activationBits), "--head-bits", String(headBits), "--simd", simd];
  const peer: Peer = {
    shape,
    threads,
    engine: "lightmamba",
    name: `W4A${activationBits}-H${headBits}${simd === "native" ? "" : ", WebAssembly alone"}`,
    bytesPerToken: 0,
    seen: [],
    run: () =>
      phases(prefill, (length, decoded) => {
        const what = ["bench", "--shape", shape, ...widths, "--threads", String(threads), "--rounds", "1"];
        const args = [...what, "--prefill", String(length), "--tokens", String(decoded), "--json", "--quiet"];
        const result = JSON.parse(readProgram(process.execPath, [CLI, ...args], steps.log("speed"))) as BenchResult;
        const { weightBytesPerToken, prefillTokensPerSecond, decodeTokensPerSecond } = result.runs[0]!;
        peer.bytesPerToken = weightBytesPerToken;
        return { prefill: prefillTokensPerSecond.median, decode: decodeTokensPerSecond.median };
      }),
  };
  return peer;
}

/** Both programs run each phase once to warm up. Decoding is measured after the first prompt only. */
function phases(
  lengths: readonly number[],
  run: (length: number, decoded: number) => { prefill: number; decode: number },
): Phases<number> {
  const found: Phases<number> = {};
  for (const [i, length] of lengths.entries()) {
    const { prefill, decode } = run(length, i === 0 ? DECODED : 1);
    if (i === 0) found.decode = decode;
    found[`prefill ${length}`] = prefill;
  }
  return found;
}

/** llama.cpp's 4 bits of each isa. */
function basesOf(group: readonly Peer[]): Map<PeerIsa, Peer> {
  const bases = new Map<PeerIsa, Peer>();
  for (const peer of group) if (peer.isa !== undefined && !bases.has(peer.isa)) bases.set(peer.isa, peer);
  return bases;
}

function rowOf(
  { shape, threads, engine, name, isa, features, bytesPerToken, seen }: Peer,
  bases: ReadonlyMap<PeerIsa, Peer>,
): SpeedRow {
  const each = (value: (phase: string, round: number) => number): Phases<Spread> =>
    Object.fromEntries(
      Object.keys(seen[0]!).map((phase) => [phase, spread(seen.map((_, round) => value(phase, round)))]),
    );
  const ratio = [...bases].map(([of, base]) => [
    of,
    each((phase, round) => seen[round]![phase]! / base.seen[round]![phase]!),
  ]);
  return {
    ...{ shape, threads, engine, name, ...(isa && { isa, features }), bytesPerToken },
    tokensPerSecond: each((phase, round) => seen[round]![phase]!),
    ratio: Object.fromEntries(ratio),
  };
}
