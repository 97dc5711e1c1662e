/** The sampler inside runtime.wasm, draw by draw, against its rules in plain JavaScript. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { quantizeCheckpoint } from "../../host/quantize/index.ts";
import type { WasmVariant } from "../../host/runtime/engine.ts";
import { Model } from "../../host/runtime/model.ts";
import type { SamplerOptions, Session } from "../../host/runtime/session.ts";
import { expectError } from "../checkpoint/support.ts";
import { noise } from "../reference/support.ts";
import { candidates, draw, greedy, penalized, type Settings, uniforms } from "./model.ts";

const scratch = mkdtempSync(join(tmpdir(), "lightmamba-sampler-"));
after(() => rmSync(scratch, { recursive: true, force: true }));

/** 259 tokens and 272 rows: ids from 259 on are padding. */
const dir = join(scratch, "model");
await quantizeCheckpoint("tests/golden/odd-f-original", dir, { calibrationTokens: 256, weights: { method: "rtn" } });
const models = { plain: Model.load(dir, { variant: "plain" }), relaxed: Model.load(dir, { variant: "relaxed" }) };
const { vocabUsed, vocabSize } = models.plain.config;

/** Draws from these logits as if the last token had given them. */
function sampleFrom(model: Model, session: Session, logits: Int32Array): number {
  model.rawLogits().set(logits);
  return session.sample();
}

/** Random logits from -spread to spread in Q16, about one in eight the same as another. */
function randomLogits(seed: number, spread: number): Int32Array {
  const values = Int32Array.from(noise(vocabSize, seed), (value) => Math.round(value * spread * 65536));
  for (let i = 8; i < vocabSize; i += 8) values[i] = values[i - 3]!;
  return values;
}

const FLAT: Settings = { temperature: 1, topP: 1 };

const SETTINGS: [name: string, settings: Settings][] = [
  ["the defaults", {}],
  ["nothing but temperature 1", FLAT],
  ["cold", { temperature: 0.05, topP: 1 }],
  ["hot", { temperature: 20, topP: 1 }],
  ["as hot as the command line lets it", { temperature: 100, topP: 1 }],
  ["top-k 1", { ...FLAT, topK: 1 }],
  ["top-k 7", { ...FLAT, topK: 7 }],
  ["top-k above the vocabulary", { ...FLAT, topK: 1 << 24 }],
  ["top-p 0.1", { temperature: 1, topP: 0.1 }],
  ["top-p 0.9", { temperature: 1, topP: 0.9 }],
  ["a top-p that leaves one", { temperature: 1, topP: 1e-9 }],
  ["min-p 0.2", { ...FLAT, minP: 0.2 }],
  ["min-p 1: all that are as likely as the likeliest", { ...FLAT, minP: 1 }],
  ["repetition 1.3", { ...FLAT, repetitionPenalty: 1.3 }],
  ["repetition below 1: what was seen is liked", { ...FLAT, repetitionPenalty: 0.5 }],
  ["presence 2", { ...FLAT, presencePenalty: 2 }],
  ["frequency 0.7", { ...FLAT, frequencyPenalty: 0.7 }],
  ["negative penalties", { ...FLAT, presencePenalty: -1, frequencyPenalty: -0.5 }],
  [
    "all at once",
    {
      temperature: 0.7,
      topK: 40,
      topP: 0.8,
      minP: 0.02,
      repetitionPenalty: 1.1,
      presencePenalty: 0.3,
      frequencyPenalty: 0.2,
    },
  ],
];

describe("draws are those of the rules", () => {
  for (const variant of Object.keys(models) as WasmVariant[]) {
    for (const [name, settings] of SETTINGS) {
      it(`${variant}: ${name}`, () => {
        const model = models[variant];
        const session = model.session({ ...settings, seed: 42 });
        const uniform = uniforms(42);
        const seen = new Map<number, number>();
        for (let step = 0; step < 120; step++) {
          const logits = randomLogits(step, 1 + (step % 12));
          const values = penalized(logits, seen, settings);
          const expected = draw(candidates(values, vocabUsed, settings), uniform());
          const token = sampleFrom(model, session, logits);
          assert.equal(token, expected, `draw ${step}`);
          // Only what is fed counts as seen: a few tokens, so that some come again and again.
          const fed = step % 3 ? token : step % 5;
          session.feed(fed);
          seen.set(fed, (seen.get(fed) ?? 0) + 1);
        }
      });
    }
  }

  it("greedy: the likeliest after penalties, without a random number", () => {
    const settings = { temperature: 0, repetitionPenalty: 1.2, presencePenalty: 0.5, frequencyPenalty: 0.1 };
    const session = models.plain.session(settings);
    const seen = new Map<number, number>();
    for (let step = 0; step < 200; step++) {
      const logits = randomLogits(step, 1 + (step % 3));
      const token = sampleFrom(models.plain, session, logits);
      assert.equal(token, greedy(penalized(logits, seen, settings), vocabUsed), `draw ${step}`);
      session.feed(token);
      seen.set(token, (seen.get(token) ?? 0) + 1);
    }
    session.setSampler(FLAT);
    const logits = randomLogits(1, 3);
    const expected = draw(candidates(penalized(logits, seen, FLAT), vocabUsed, FLAT), uniforms(0)());
    assert.equal(sampleFrom(models.plain, session, logits), expected);
  });
});

describe("greedy", () => {
  const LOWEST = -(2 ** 31);
  const CASES: [name: string, logits: [token: number, value: number][], rest: number, expected: number][] = [
    [
      "takes the lowest id of equals",
      [
        [200, 5],
        [7, 5],
        [90, 5],
      ],
      0,
      7,
    ],
    ["takes the first token where all are equal", [], 3, 0],
    ["takes the first token where all are as low as can be", [], LOWEST, 0],
    [
      "tells apart logits that differ by one step",
      [
        [3, 100],
        [250, 101],
      ],
      0,
      250,
    ],
    ["takes the last token", [[258, 1]], 0, 258],
    [
      "takes no padding, however likely",
      [
        [4, 1],
        [259, 1 << 30],
        [271, 1 << 30],
      ],
      0,
      4,
    ],
    ["finds the largest and the smallest numbers", [[8, 2 ** 31 - 1]], LOWEST, 8],
  ];
  for (const [name, logits, rest, expected] of CASES) {
    it(name, () => {
      const row = new Int32Array(vocabSize).fill(rest);
      for (const [token, value] of logits) row[token] = value;
      for (const model of Object.values(models)) {
        assert.equal(sampleFrom(model, model.session({ temperature: 0 }), row), expected);
      }
    });
  }
});

describe("ids that stand for no token", () => {
  for (const settings of [FLAT, { temperature: 100, topP: 1 }, { temperature: 1, topP: 0.5 }, { ...FLAT, topK: 3 }]) {
    it(`are never drawn: ${JSON.stringify(settings)}`, () => {
      const session = models.plain.session(settings);
      const logits = new Int32Array(vocabSize).fill(0).fill(1 << 30, vocabUsed);
      for (let i = 0; i < 3000; i++) assert.ok(sampleFrom(models.plain, session, logits) < vocabUsed);
    });
  }
});

describe("frequencies", () => {
  /** Bound on chi-square with 7 degrees of freedom, exceeded once in 10 million: the seed is fixed, a fault is not. */
  const BOUND = 45;
  const PROBABILITIES = [0.4, 0.25, 0.15, 0.1, 0.05, 0.03, 0.015, 0.005];
  const PLACES = [3, 250, 17, 100, 0, 258, 64, 9];

  const CASES: [name: string, settings: Settings, expected: number[]][] = [
    ["are the probabilities", FLAT, PROBABILITIES],
    ["at temperature 2, their roots", { temperature: 2, topP: 1 }, PROBABILITIES.map(Math.sqrt)],
    ["at temperature 0.5, their squares", { temperature: 0.5, topP: 1 }, PROBABILITIES.map((p) => p * p)],
    ["with top-p 0.7, of the first three", { temperature: 1, topP: 0.7 }, PROBABILITIES.slice(0, 3)],
    ["with top-k 5, of the first five", { ...FLAT, topK: 5 }, PROBABILITIES.slice(0, 5)],
    ["with min-p 0.2, of the first four", { ...FLAT, minP: 0.2 }, PROBABILITIES.slice(0, 4)],
  ];
  for (const [name, settings, expected] of CASES) {
    it(name, () => {
      const logits = new Int32Array(vocabSize).fill(-60 * 65536);
      PLACES.forEach((token, i) => {
        logits[token] = Math.round(Math.log(PROBABILITIES[i]!) * 65536);
      });
      const counts = new Map<number, number>();
      const session = models.relaxed.session({ ...settings, seed: 9 });
      for (let i = 0; i < 20_000; i++) {
        const token = sampleFrom(models.relaxed, session, logits);
        counts.set(token, (counts.get(token) ?? 0) + 1);
      }
      const total = expected.reduce((a, b) => a + b);
      assert.deepEqual(new Set(counts.keys()), new Set(PLACES.slice(0, expected.length)));
      let chi = 0;
      expected.forEach((p, i) => {
        const mean = (p / total) * 20_000;
        chi += (counts.get(PLACES[i]!)! - mean) ** 2 / mean;
      });
      assert.ok(chi < BOUND, `chi-square ${chi}`);
    });
  }
});

describe("a seed", () => {
  /** Text that the model writes by itself. */
  function write(variant: WasmVariant, options: SamplerOptions, tokens = 60): number[] {
    const session = models[variant].session(options);
    const out: number[] = [];
    for (let token = 1; out.length < tokens; token = out.at(-1)!) {
      session.feed(token);
      out.push(session.sample());
    }
    return out;
  }

  it("gives the same tokens again, and in both variants", () => {
    for (const seed of [0, 1, 0xffff_ffff, Number.MAX_SAFE_INTEGER]) {
      const first = write("plain", { seed });
      assert.deepEqual(write("plain", { seed }), first);
      assert.deepEqual(write("relaxed", { seed }), first);
    }
  });

  it("other than another gives other tokens, neighbours too", () => {
    const texts = Array.from({ length: 20 }, (_, seed) => write("plain", { seed }, 12).join());
    assert.equal(new Set(texts).size, 20);
  });

  it("is 0 when none is given", () => assert.deepEqual(write("plain", {}), write("plain", { seed: 0 })));

  it("goes on after a change of the rules, and starts again with seed()", () => {
    const session = models.plain.session(FLAT);
    const logits = randomLogits(5, 2);
    const uniform = uniforms(0);
    const next = () => draw(candidates(penalized(logits, new Map(), FLAT), vocabUsed, FLAT), uniform());
    assert.equal(sampleFrom(models.plain, session, logits), next());
    session.setSampler(FLAT);
    assert.equal(sampleFrom(models.plain, session, logits), next());
    session.seed(0);
    const again = draw(candidates(penalized(logits, new Map(), FLAT), vocabUsed, FLAT), uniforms(0)());
    assert.equal(sampleFrom(models.plain, session, logits), again);
  });
});

describe("sessions of one model", () => {
  it("have counts and random numbers of their own; a fork goes on with a copy of both", () => {
    const settings = { ...FLAT, frequencyPenalty: 1.5 };
    const logits = randomLogits(8, 2);
    const [first, other] = [models.plain.session({ ...settings, seed: 4 }), models.plain.session(settings)];
    for (const token of [5, 5, 6, 7]) first.feed(token);
    sampleFrom(models.plain, other, logits);
    const fork = first.fork();
    const draws = (session: Session) => Array.from({ length: 30 }, () => sampleFrom(models.plain, session, logits));
    const expected = draws(first);
    assert.deepEqual(draws(fork), expected);
    assert.notDeepEqual(draws(other), expected);
  });

  it("a restored one draws on as the saved one does, by rules of its own", () => {
    const file = join(scratch, "a.state");
    const rules = { ...FLAT, presencePenalty: 2 };
    const session = models.plain.session({ ...rules, seed: 12 });
    for (const token of [1, 2, 3]) session.feed(token);
    sampleFrom(models.plain, session, randomLogits(1, 4));
    session.save(file, 3);
    const restored = models.relaxed.session(rules);
    assert.equal(restored.restore(file), 3);
    for (let i = 0; i < 30; i++) {
      const logits = randomLogits(i, 4);
      assert.equal(sampleFrom(models.relaxed, restored, logits), sampleFrom(models.plain, session, logits));
    }
  });

  for (const token of [-1, vocabSize, 1.5, Number.NaN]) {
    it(`refuse to be fed ${token}`, () => {
      expectError(() => models.plain.session().feed(token), "badInput", "vocabulary", "0 to 271");
    });
  }
});

describe("temperatures next to 0", () => {
  for (const temperature of [1e-3, 1e-300, 1e-308]) {
    it(`${temperature} draws the likeliest`, () => {
      const logits = new Int32Array(vocabSize).fill(65536);
      logits[9] = 50 * 65536;
      logits[200] = 40 * 65536;
      assert.equal(sampleFrom(models.plain, models.plain.session({ temperature }), logits), 9);
    });
  }
});
