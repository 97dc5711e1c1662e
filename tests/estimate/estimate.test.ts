/** The model of speed: what its numbers are held against that needs no RTL, and that what must be slower is. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { BOARDS, FIGURES } from "../../host/device/boards.generated.ts";
import { LightMambaError } from "../../host/errors.ts";
import {
  bandedBoard,
  type Configuration,
  type EstimateBoard,
  estimate,
  estimatePass,
} from "../../host/estimate/estimate.ts";
import { checkFit } from "../../host/estimate/fit.ts";
import { layerInstructions, processorSeconds } from "../../host/estimate/processor.ts";
import { readModelHeader } from "../../host/model/description.ts";
import { type ShapeName, shapeConfig } from "../../host/model/shapes.ts";
import { withPorts } from "../../host/runtime/ports.ts";
import { type SyntheticRecipe, syntheticDescription } from "../../host/runtime/synthetic.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const source = (path: string) => readFileSync(join(ROOT, path), "utf8");

function shapeOf(name: ShapeName, layers?: number, recipe: SyntheticRecipe = {}) {
  const config = shapeConfig(name, layers);
  return { config, description: syntheticDescription(config, recipe) };
}

function configuration(ports = 6, change: Partial<Configuration> = {}): Configuration {
  const board: EstimateBoard = { ...BOARDS.vck190, ...withPorts(BOARDS.vck190, ports) };
  return {
    board,
    build: { stateLanes: 2, prefetch: 2048 },
    partition: "fused",
    serial: [],
    ...change,
  };
}

const SMALL = shapeOf("mamba2-130m", 3);
const decode = (c: Configuration, shape = SMALL) => estimatePass(shape, c, { tokens: 1, logits: true });

describe("an estimate", () => {
  it("is slower with fewer ports, fewer state lanes, and each overlap switched off", () => {
    const all = decode(configuration());
    assert.ok(decode(configuration(1)).cycles > decode(configuration(4)).cycles);
    assert.ok(decode(configuration(4)).cycles > all.cycles);
    assert.ok(decode(configuration(6, { build: { stateLanes: 1, prefetch: 2048 } })).cycles > all.cycles);
    for (const overlap of ["ssm", "weights", "htu"] as const)
      assert.ok(decode(configuration(6, { serial: [overlap] })).cycles > all.cycles, overlap);
  });

  it("is never faster than memory and ports", () => {
    for (const ports of [1, 2, 4, 6]) {
      const { cycles, boundCycles } = decode(configuration(ports));
      assert.ok(cycles > boundCycles, `${ports} ports: ${cycles} of ${boundCycles}`);
    }
  });

  it("of many layers is that of the layers one by one", () => {
    const [three, five] = [decode(configuration()), decode(configuration(), shapeOf("mamba2-130m", 5))];
    const unrotated = shapeOf("mamba2-130m", 5);
    unrotated.description.rotation.unrotated = [4]; // not alike: all are simulated
    const simulated = decode(configuration(), unrotated);
    assert.ok(Math.abs(five.cycles - simulated.cycles) / five.cycles < 0.03, `${five.cycles}, ${simulated.cycles}`);
    assert.ok(three.cycles < five.cycles);
  });

  it("of a long prompt takes its passes, and the last one has logits", () => {
    const { prompt } = estimate(SMALL, configuration(), { tokens: 4, prompt: 9 });
    const body = estimatePass(SMALL, configuration(), { tokens: 4, logits: false });
    assert.equal(prompt.passes, 3);
    assert.ok(Math.abs(prompt.seconds - 2 * body.seconds - decode(configuration()).seconds) < 1e-12);
  });

  it("lies within that of the board at its worst and best", () => {
    const seconds = (board: EstimateBoard) => decode({ ...configuration(), board }).seconds;
    const [worst, best] = (["worst", "best"] as const).map((end) => bandedBoard(BOARDS.vck190, FIGURES.vck190!, end));
    assert.ok(seconds(worst!) > seconds(BOARDS.vck190) && seconds(BOARDS.vck190) > seconds(best!));
    assert.equal(worst!.memories[0]!.latency_ns, FIGURES.vck190!["memories.0.latency_ns"]!.band![1]);
    assert.equal(worst!.memories[0]!.efficiency, FIGURES.vck190!["memories.0.efficiency"]!.band![0]);
  });
});

describe("numbers of the model", () => {
  it("are the parameters of lm_top", () => {
    const top = source("firmware/rtl/lm_top.sv");
    for (const [name, value] of [
      ["ROWS", 2],
      ["STATE_LANES", 2],
    ] as const)
      assert.match(top, new RegExp(`parameter int ${name} += ${value}\\b`));
    assert.match(top, /WEIGHT_BURSTS = PORTS > 1 \? 4 : 8;/);
    assert.match(
      top,
      /\.BURST\(r == RD_FETCH \? 2 : 16\), \.OUTSTANDING\(r == RD_FETCH \|\| r == RD_TABLE \? 2 : r == RD_WEIGHTS \? WEIGHT_BURSTS : 16\)/,
    );
    assert.match(
      top,
      /r == RD_FETCH \? 2 : r == RD_TABLE \? 16 : r == RD_COPY \? 256 : r == RD_WEIGHTS \? PREFETCH : 64/,
    );
    assert.match(top, /BURST = w == WR_DONE \|\| w == WR_MMU \|\| w == WR_SSMU \? 2 : 16/);
    assert.match(top, /\.OUTSTANDING\(p <= STATE_PORTS \? WEIGHT_BURSTS : 16\), \.DEPTH\(PREFETCH\)/);
    const part = source("firmware/rtl/lm_state_port.sv");
    assert.match(part, /\.OUTSTANDING\(16\), \.DEPTH\(i == 0 \? 64 : 256\)/);
    assert.match(source("firmware/rtl/lm_ssmu_unit.sv"), /lm_fifo #\(\.WIDTH\(131\), \.DEPTH\(32\)\) u_z/);
    const ssmu = source("firmware/rtl/lm_ssmu.sv");
    assert.match(ssmu, /localparam int BANKS = 4;/);
    assert.match(source("firmware/rtl/lm_ssmu_unit.sv"), /\.DEPTH\(8 \* HEAD_DIM\)/);
    assert.match(source("firmware/rtl/lm_mmu.sv"), /parameter int QUEUE {4}= 4/);
  });

  it("of the processor are the instructions that were counted", () => {
    interface Row {
      model: string;
      width: string;
      variant: string;
      part: string;
      counts: { [name: string]: number };
    }
    const { rows } = JSON.parse(source("bench/a72/counts.json")) as { rows: Row[] };
    let compared = 0;
    for (const { model, width, counts } of rows.filter((r) => r.variant === "relaxed" && r.part === "layer")) {
      const activationBits = Number(width.at(-1)) as 4 | 8;
      const found = layerInstructions(shapeOf(model as ShapeName, 1, { activationBits }));
      const counted = counts.NQU! + counts.HTU!;
      assert.ok(Math.abs(found / counted - 1) < 0.1, `${model} ${width}: ${found}, counted ${counted}`);
      compared++;
    }
    assert.ok(compared >= 6);
  });

  it("say nothing of a processor that the board does not have", () => {
    assert.equal(processorSeconds(SMALL, undefined, { partition: "split", tokens: 1, logits: true }), 0);
  });
});

describe("a model that does not fit", () => {
  const refusal = (shape: typeof SMALL, board: Parameters<typeof checkFit>[1], tokens = 1) => {
    try {
      checkFit(shape, board, { partition: "fused", tokens });
    } catch (error) {
      assert.ok(error instanceof LightMambaError, String(error));
      return [error.exit, error.detail.field];
    }
    return undefined;
  };

  it("is refused by what it passes", () => {
    const { vck190, sim } = BOARDS;
    assert.equal(refusal(shapeOf("mamba2-2.7b"), vck190), undefined);
    assert.deepEqual(refusal(SMALL, vck190, 5), ["unsupported", "tokens"]);
    assert.deepEqual(refusal(shapeOf("mamba2-130m", 1, { activationBits: 8 }), vck190), [
      "unsupported",
      "activation_bits",
    ]);
    assert.equal(refusal(shapeOf("mamba2-130m", 1, { activationBits: 8 }), sim), undefined);
    assert.deepEqual(refusal(shapeOf("mamba2-130m", 1, { stateBits: 16 }), sim), ["unsupported", "state_bits"]);
    const narrow = { ...vck190, build: { ...vck190.build, max_order: 16 } };
    assert.deepEqual(refusal(shapeOf("mamba2-2.7b"), narrow), ["unsupported", "order of the Hadamard matrix"]);
    assert.deepEqual(refusal(shapeOf("mamba2-2.7b"), sim), ["unsupported", "memory ddr4"]);
  });

  it("fits where it was run", () => {
    assert.equal(refusal(readModelHeader(join(ROOT, "models/tiny-w4a4")), BOARDS.sim, 4), undefined);
  });
});
