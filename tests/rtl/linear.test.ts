/** Linear layers: lanes, queues and row scale together, several matrices in a row, against section 3.2. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { plainOrder } from "../../host/model/frames.ts";
import type { MmuCase } from "../units/cases.ts";
import { deal, packLinear } from "../units/linear.ts";
import { assertSame, caseName } from "../units/support.ts";
import { blocksOf, expected, groupsOf, KINDS, type Layer, layerOf, list } from "./layers.ts";
import { Request, type Result, runBench, STALLS, simulate, skipReason } from "./support.ts";

/** As the lines rtl-build of mmu.cpp say, and who gets which block. */
interface Build {
  name: string;
  lanes: number;
  rows: number;
  patterns: readonly (readonly number[])[];
}

const BUILDS: readonly Build[] = [
  { name: "mmu", lanes: 1, rows: 2, patterns: [[0]] },
  {
    name: "mmu-l4",
    lanes: 4,
    rows: 8,
    patterns: [[0, 1, 2, 3], [2], [3, 0, 0, 1, 3], [1, 0], list(32, (i) => (i * 7 + (i >> 2)) % 4)],
  },
];

/** The command, whose words are those of mmu.cpp up to `base`; then the pattern, and each lane's blocks and bytes of weights. */
function addCommand(
  request: Request,
  words: readonly number[],
  pattern: readonly number[],
  shares: readonly { blocks: number; bytes: Buffer }[],
): void {
  request.words(...words, pattern.length).bytes8(pattern);
  for (const { blocks, bytes } of shares) request.words(blocks, bytes.length);
}

function addLayer(request: Request, layer: Layer, base: number, { lanes }: Build, pattern: readonly number[]): void {
  const { kind, shape, linear, vectors, factors, fractions, residuals } = layer;
  const { frames } = packLinear(linear, plainOrder(shape.rows));
  const [groups, blocks] = [groupsOf(shape), blocksOf(shape)];
  const shares = deal(frames, shape.rows, pattern, lanes);
  const [wide, group16] = [shape.weightBits === 8 ? 1 : 0, shape.group === 16 ? 1 : 0];
  const words = [KINDS[kind], blocks, vectors.length, linear.bias ? 1 : 0, groups, wide, group16, 1, base];
  addCommand(request, words, pattern, shares);
  for (const { m, shift } of factors) request.words(m, shift);
  for (const { v, sa } of vectors) {
    for (let group = 0; group < groups; group++) request.bytes8([...v.slice(16 * group, 16 * group + 16), sa[group]!]);
  }
  for (const { bytes } of shares) request.bytes8(bytes);
  const rowsOf = (values: readonly number[], block: number) => list(8, (r) => values[8 * block + r] ?? 0);
  for (let block = 0; block < blocks; block++) request.bytes8([...rowsOf(linear.rw, block), fractions[block]!]);
  if (linear.bias) for (let block = 0; block < blocks; block++) request.words32(rowsOf(linear.bias, block));
  if (kind !== "out_proj") return;
  for (let block = 0; block < blocks; block++) for (const values of residuals) request.words32(rowsOf(values, block));
}

function checkLayer(result: Result, layer: Layer): void {
  const found = layer.vectors.map((): number[] => []);
  for (let block = 0; block < blocksOf(layer.shape); block++) for (const rows of found) rows.push(...result.words32(8));
  found.forEach((rows, token) => {
    assertSame(rows, expected(layer, token), `${layer.kind}, ${caseName(layer.shape)}, vector ${token}`);
  });
}

/** A layer of models/tiny and its head in part, and odd ones; at most 1024 groups together. */
const SHAPES: readonly MmuCase[] = [
  { K: 320, rows: 200, bits: 4, weightBits: 4, group: 32 },
  { K: 640, rows: 320, bits: 4, weightBits: 4, group: 32 },
  { K: 320, rows: 100, bits: 4, weightBits: 8, group: 32 },
  { K: 33, rows: 90, bits: 5, weightBits: 4, group: 16 },
  { K: 257, rows: 9, bits: 4, weightBits: 8, group: 16 },
  { K: 1, rows: 33, bits: 4, weightBits: 4, group: 32 },
  { K: 5120, rows: 16, bits: 4, weightBits: 4, group: 32 },
];

const skip = skipReason("mmu");

describe("lm_mmu", { skip }, () => {
  for (const build of BUILDS) {
    const { name, lanes, rows, patterns } = build;
    for (const [i, kind] of (["in_proj", "out_proj", "lm_head"] as const).entries()) {
      for (const stall of STALLS) {
        test(`${name}: ${kind} first, stalls ${stall}/256`, () => {
          const kinds = [kind, "out_proj", "lm_head", "in_proj"] as const;
          const layers = SHAPES.map((shape, at) => layerOf(kinds[at % 4]!, shape, 1 + ((at + i) % 2), 10 * i + at));
          const request = new Request(i + stall, stall).words(layers.length);
          let base = 0;
          for (const [at, layer] of layers.entries()) {
            addLayer(request, layer, base, build, patterns[(at + i) % patterns.length]!);
            base += groupsOf(layer.shape);
          }
          const result = simulate(name, request);
          for (const layer of layers) checkLayer(result, layer);
          assert.ok(result.cycles() > 0);
          assert.ok(result.done);
        });
      }
    }

    test(`${name}: a beat a lane and cycle, where a block has more beats than its rows take`, () => {
      const shape: MmuCase = { K: 320, rows: 800, bits: 4, weightBits: 4, group: 32 };
      const layer = layerOf("in_proj", shape, 2, 1);
      const request = new Request(1, 0).words(1);
      addLayer(request, layer, 0, build, patterns[0]!);
      const result = simulate(name, request);
      checkLayer(result, layer);
      // 22 beats a block; then the way through lane (6), queue (1), rows (7 and more), and the sums of all lanes that
      // end at once, each as long as its rows take, less the first.
      const steps = 8 / rows;
      assert.equal(result.cycles(), 1 + (22 * 100) / lanes + 6 + 1 + (7 + steps - 1) + (2 * lanes - 1) * steps);
    });

    test(`${name}: a command of no groups does nothing, and the next goes on`, () => {
      const layer = layerOf("out_proj", SHAPES[3]!, 2, 5);
      const request = new Request(1, 64).words(2);
      addCommand(
        request,
        [1, 7, 1, 1, 0, 0, 0, 1, 0],
        [0],
        list(lanes, () => ({ blocks: 7, bytes: Buffer.alloc(0) })),
      );
      request.words(1, 0);
      addLayer(request, layer, 0, build, patterns.at(-1)!);
      checkLayer(simulate(name, request), layer);
    });
  }

  test("row exponents that do not come: it waits, and the testbench says so", () => {
    const request = new Request(1, 0).words(1);
    addCommand(request, [0, 1, 1, 0, 2, 0, 0, 1, 0], [0], [{ blocks: 1, bytes: Buffer.alloc(0) }]);
    request.words(1, 0).bytes8(Array(2 * 17 + 9).fill(0));
    assert.equal(runBench("mmu", request).status, 4);
  });
});
