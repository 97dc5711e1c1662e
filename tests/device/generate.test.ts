/**
 * Whole models on a device: every logit, and the state, equal those of WebAssembly alone. The bound is 0. One table for two devices: the one of
 * model.ts, written from docs/device.md, and the simulated RTL.
 */
import { join } from "node:path";
import { describe, it } from "node:test";
import * as lm from "../../assembly/device.generated.ts";
import { BOARDS } from "../../host/device/boards.generated.ts";
import { Device } from "../../host/device/index.ts";
import { shapeConfig } from "../../host/model/shapes.ts";
import type { Partition } from "../../host/runtime/accelerator.ts";
import type { Variant } from "../../host/runtime/engine.ts";
import { Model } from "../../host/runtime/model.ts";
import type { Session } from "../../host/runtime/session.ts";
import { syntheticDescription } from "../../host/runtime/synthetic.ts";
import { type RandomShape, randomModel } from "../oracle/model.ts";
import { Random } from "../oracle/random.ts";
import { skipReason } from "../rtl/support.ts";
import { emptyDirectory, newPath, quantizedTiny, writeModel } from "../runtime/support.ts";
import { assertSame, caseName } from "../units/support.ts";
import { DeviceModel } from "./model.ts";
import { skipModels } from "./support.ts";

const EMBEDDED = join(import.meta.dirname, "../../models/tiny-w4a4");

interface Setting {
  partition: Partition;
  ports: 1 | 3 | 4;
  /** Default: 0, port 0 has the whole state. */
  statePorts?: 2;
  /** Of a pass. */
  tokens: 1 | 4;
  variant: Variant;
  /** Entries of the ring, where it is to be small. */
  ringLog2?: number;
  /** With several memories; default: one. */
  board?: "vck190" | "u280";
}

const SETTINGS: readonly Setting[] = [
  { partition: "fused", ports: 1, tokens: 4, variant: "relaxed" },
  { partition: "split", ports: 1, tokens: 4, variant: "plain" },
  { partition: "fused", ports: 4, tokens: 1, variant: "plain", ringLog2: 3 },
  { partition: "split", ports: 4, tokens: 1, variant: "relaxed" },
  { partition: "fused", ports: 4, tokens: 4, variant: "plain" },
  { partition: "split", ports: 4, tokens: 4, variant: "relaxed", ringLog2: 2 },
  { partition: "fused", ports: 3, statePorts: 2, tokens: 4, variant: "plain" },
];

type Shape = RandomShape & { seed: number };

/** What a model directory can say: normGroups is G. Sizes that fill no block, frame, group or beat among them. */
const SHAPES: readonly Shape[] = [
  { seed: 1, D: 32, H: 4, P: 8, N: 16, G: 1, W: 4, V: 40, layers: 2 },
  { seed: 2, D: 24, H: 5, P: 8, N: 24, G: 1, W: 3, V: 17, layers: 2, projectionBias: true, activationBits: 8 },
  { seed: 3, D: 33, H: 3, P: 7, N: 5, G: 1, W: 2, V: 9, layers: 3, activationBits: 5, unrotated: [1] },
  { seed: 4, D: 48, H: 8, P: 12, N: 16, G: 2, W: 4, V: 33, layers: 2, normGroups: 2, projectionBias: true },
  { seed: 5, D: 40, H: 16, P: 5, N: 32, G: 8, W: 4, V: 64, layers: 2, normGroups: 8, weightGroup: 16, stress: true },
  { seed: 6, D: 1, H: 1, P: 1, N: 1, G: 1, W: 2, V: 1, layers: 1, projectionBias: true, activationBits: 6 },
  {
    ...{ seed: 7, D: 300, H: 10, P: 24, N: 64, G: 1, W: 4, V: 50, layers: 1, activationBits: 8, weightGroup: 16 },
    ...{ wide: ["layers.0.in_proj", "layers.0.out_proj", "lm_head"] },
  },
  { seed: 8, D: 17, H: 7, P: 6, N: 40, G: 7, W: 3, V: 23, layers: 4, normGroups: 7, activationBits: 5, stress: true },
  { seed: 9, D: 64, H: 2, P: 64, N: 128, G: 1, W: 4, V: 30, layers: 1, wide: ["lm_head"] },
  { seed: 10, D: 48, H: 4, P: 8, N: 16, G: 1, W: 4, V: 20, layers: 2, tied: "rotated", wide: ["lm_head"] },
  { seed: 11, D: 33, H: 4, P: 8, N: 16, G: 1, W: 4, V: 20, layers: 1, tied: "plain", wide: ["lm_head"], stress: true },
  // A power of two beyond the butterflies, which goes into the matrix: 1024 = 8 · 128; 1536 = 12 · 128
  { seed: 12, D: 16, H: 16, P: 64, N: 16, G: 1, W: 2, V: 8, layers: 1, activationBits: 6, weightGroup: 16 },
  { seed: 13, D: 32, H: 24, P: 64, N: 8, G: 1, W: 3, V: 8, layers: 1 },
];

const FORMAT_BASE = { D: 40, H: 4, P: 9, N: 20, G: 1, W: 4, V: 30, layers: 2 } as const;
const WIDE: readonly (readonly string[])[] = [[], ["lm_head"], ["layers.0.in_proj"], ["layers.1.out_proj"]];

/** Each of activations, weight groups, wide matrices and unrotated layers with each of the others. */
const FORMATS: readonly Shape[] = ([4, 5, 6, 8] as const).flatMap((activationBits, a) =>
  ([16, 32] as const).flatMap((weightGroup, g) =>
    WIDE.map((wide, w) => {
      const seed = 100 + 8 * a + 4 * g + w;
      return { ...FORMAT_BASE, seed, activationBits, weightGroup, wide, unrotated: seed % 3 === 0 ? [1] : [] };
    }),
  ),
);

interface Backend {
  name: string;
  skip: string | false;
  load(dir: string, setting: Setting): Model;
  shapes: readonly Shape[];
  formats: readonly Shape[];
  settings: readonly Setting[];
  embedded: { tokens: number; settings: readonly Setting[] };
  /** Of its checkpoint with 8-bit activations. */
  wide: { tokens: number; settings: readonly Setting[] };
}

const MODEL: Backend = {
  name: "the model of the device",
  skip: false,
  load: (dir, { partition, ports, statePorts = 0, tokens, variant, ringLog2 = 9 }) => {
    const build = { [lm.REG_BUILD_STATE_PORTS]: statePorts };
    return Model.load(dir, {
      device: new Device(new DeviceModel({ ports, tokens, build }), { ringLog2 }),
      ...{ partition, variant },
    });
  },
  shapes: SHAPES,
  formats: FORMATS,
  settings: SETTINGS,
  embedded: { tokens: 32, settings: SETTINGS.slice(0, 2) },
  wide: { tokens: 4, settings: SETTINGS.slice(0, 1) },
};

/** Both partitions, one port and four. */
const WHOLE = SETTINGS.filter(({ tokens, statePorts }) => tokens === 4 && statePorts === undefined);

/** Parts of the state on ports of their own, behind which are memories of their own. */
const PARTS: Setting = { ...SETTINGS.at(-1)!, board: "u280" };

const RTL: Backend = {
  name: "the simulated RTL",
  skip: skipModels() || skipReason("top-p4") || skipReason("top-p3-s2"),
  load: (dir, { partition, ports, statePorts = 0, variant, ringLog2 = 9, board }) => {
    const simulator = { ringLog2, stall: ports > 1 ? 64 : 0 };
    const memories = board === undefined ? {} : { board: BOARDS[board] };
    return Model.load(dir, { device: "rtl", ...memories, partition, ports, statePorts, variant, simulator });
  },
  shapes: SHAPES,
  formats: FORMATS,
  settings: WHOLE,
  embedded: { tokens: 32, settings: [WHOLE[0]!, { ...WHOLE.at(-1)!, board: "vck190" }, PARTS] },
  wide: { tokens: 32, settings: WHOLE.slice(0, 1) },
};

/** What a conversation shows, step by step, whoever computes it. */
interface Trace {
  logits: number[][];
  states: Uint8Array[];
}

/**
 * Passes of one and of several tokens, two conversations by turns, a fork, a saved and restored one: over all of them the same states and
 * logits.
 */
function play(model: Model, random: Random): Trace {
  const trace: Trace = { logits: [], states: [] };
  const tokens = (count: number) => Array.from({ length: count }, () => random.integer(0, model.config.vocabSize - 1));
  const step = (session: Session, count: number) => {
    if (count === 1) session.feed(tokens(1)[0]!);
    else session.prefill(tokens(count));
    trace.logits.push([...model.rawLogits()]);
  };
  const [first, second] = [model.session(), model.session()];
  for (const count of [1, 6, 1, 3]) step(first, count);
  for (const session of [second, first, second, second]) step(session, 2);
  trace.states.push(second.state());
  const fork = first.fork();
  step(first, 1);
  step(fork, 4);
  step(first, 1);
  const path = newPath();
  second.save(path, undefined);
  const restored = model.session();
  step(second, 1);
  restored.restore(path);
  step(restored, 5);
  trace.states.push(...[first, second, fork, restored].map((session) => session.state()));
  fork.close();
  // Its memory, and a reset state in it
  const reborn = model.session();
  step(reborn, 3);
  trace.states.push(reborn.state());
  return trace;
}

function same(found: Trace, expected: Trace): void {
  found.logits.forEach((logits, i) => {
    assertSame(logits, expected.logits[i]!, `logits of step ${i}`);
  });
  found.states.forEach((state, i) => {
    assertSame(state, expected.states[i]!, `state ${i}`);
  });
}

function directoryOf(shape: Shape): string {
  const dir = emptyDirectory();
  writeModel(randomModel(shape.seed, shape), dir);
  return dir;
}

function settingName({ variant, ...setting }: Setting): string {
  return `${caseName(setting)}, ${variant}`;
}

function compare(backend: Backend, dir: string, setting: Setting, seed: number): void {
  const expected = play(Model.load(dir, { variant: setting.variant }), new Random(seed));
  withModel(backend.load(dir, setting), (model) => same(play(model, new Random(seed)), expected));
}

/** One conversation, token by token; then as many again in passes of four. */
function everyToken(backend: Backend, dir: string, setting: Setting, tokens: number): void {
  const plain = Model.load(dir, { variant: setting.variant });
  withModel(backend.load(dir, setting), (model) => {
    const [session, expected] = [model.session(), plain.session()];
    for (let i = 0; i < tokens; i++) {
      const id = (i * 997 + 47) % 4096;
      session.feed(id);
      expected.feed(id);
      assertSame(model.rawLogits(), plain.rawLogits(), `logits of token ${i}`);
    }
    assertSame(model.residual(), plain.residual(), "residual");
    for (let i = 0; i < tokens; i += 4) {
      const ids = [0, 1, 2, 3].map((j) => ((i + j) * 733 + 11) % 4096);
      session.prefill(ids);
      expected.prefill(ids);
      assertSame(model.rawLogits(), plain.rawLogits(), `logits of pass ${i / 4}`);
    }
    assertSame(session.state(), expected.state(), "state");
  });
}

function withModel<T>(model: Model, action: (model: Model) => T): T {
  try {
    return action(model);
  } finally {
    model.close();
  }
}

describe("a layer of the 2.7B shape on the simulated RTL", { skip: RTL.skip }, () => {
  for (const setting of [WHOLE[0]!, WHOLE.at(-1)!]) {
    it(settingName(setting), () => {
      const config = { ...shapeConfig("mamba2-2.7b", 1), vocabSize: 64, vocabUsed: 64 };
      const description = syntheticDescription(config, { seed: 3 });
      const { partition, ports, variant } = setting;
      const plain = Model.synthetic(config, description, { variant, threads: 1 });
      withModel(Model.synthetic(config, description, { device: "rtl", partition, ports, variant }), (model) => {
        const [session, expected] = [model.session(), plain.session()];
        for (const ids of [[5], [9, 33]]) {
          session.prefill(ids);
          expected.prefill(ids);
          assertSame(model.rawLogits(), plain.rawLogits(), `logits after ${ids.length} more`);
        }
        assertSame(session.state(), expected.state(), "state");
      });
    });
  }
});

for (const backend of [MODEL, RTL]) {
  describe(backend.name, { skip: backend.skip }, () => {
    for (const shape of backend.shapes) {
      const { seed } = shape;
      describe(caseName(shape), () => {
        const dir = directoryOf(shape);
        for (const setting of backend.settings) {
          it(settingName(setting), () => compare(backend, dir, setting, seed));
        }
      });
    }

    for (const [i, shape] of backend.formats.entries()) {
      const setting = backend.settings[i % backend.settings.length]!;
      it(`${caseName(shape)}; ${settingName(setting)}`, () =>
        compare(backend, directoryOf(shape), setting, shape.seed));
    }

    describe("the embedded model", () => {
      for (const setting of backend.embedded.settings) {
        it(settingName(setting), () => everyToken(backend, EMBEDDED, setting, backend.embedded.tokens));
      }
    });

    it("its checkpoint with 8-bit activations, in_proj of the first layer and lm_head of 8 bits, groups of 16", async () => {
      const dir = await quantizedTiny(8, { wide: ["lm_head", "layers.0.in_proj"], group: 16 });
      for (const setting of backend.wide.settings) everyToken(backend, dir, setting, backend.wide.tokens);
    });
  });
}
