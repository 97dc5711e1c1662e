/** A conversation's state: fork, save and restore give the same next bits; what is no state of this model is refused. */
import assert from "node:assert/strict";
import { readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { describe, test } from "node:test";
import { type ExitName, LightMambaError } from "../../host/errors.ts";
import { Model } from "../../host/runtime/model.ts";
import type { Session } from "../../host/runtime/session.ts";
import { initialState, type RandomShape, randomModel, step, TOKEN_PERIOD } from "../oracle/model.ts";
import { stateLayout } from "../units/backend.ts";
import { assertSame } from "../units/support.ts";
import { forged, resealed, rewritten } from "./forged.ts";
import { emptyDirectory, newPath, VARIANTS, writeModel } from "./support.ts";

const SHAPE: RandomShape = { D: 40, H: 6, P: 8, N: 24, G: 2, W: 4, V: 60, layers: 3, normGroups: 2 };
const SAMPLING = { temperature: 1.3, topP: 1, repetitionPenalty: 1.1, presencePenalty: 0.1, seed: 5 };
const PROMPT = [3, 14, 15, 9, 26, 5, 35, 58];

function directory(seed: number, shape = SHAPE): string {
  const dir = emptyDirectory();
  writeModel(randomModel(seed, shape), dir);
  return dir;
}

const dir = directory(1);

/** Tokens that follow, and all their logits. */
function goOn(model: Model, session: Session, count = 20): { tokens: number[]; logits: number[] } {
  const [tokens, logits]: [number[], number[]] = [[], []];
  for (let i = 0; i < count; i++) {
    const token = session.sample();
    session.feed(token);
    tokens.push(token);
    logits.push(...model.rawLogits());
  }
  return { tokens, logits };
}

/** A session that has read the prompt; the model's logits are its own. */
function started(model: Model): Session {
  const session = model.session(SAMPLING);
  for (const token of PROMPT) session.feed(token);
  return session;
}

function same(found: ReturnType<typeof goOn>, expected: ReturnType<typeof goOn>): void {
  assert.deepEqual(found.tokens, expected.tokens);
  assertSame(found.logits, expected.logits, "logits");
}

describe("a conversation goes on with the same bits", () => {
  for (const variant of VARIANTS) {
    test(`${variant}: forked, and neither disturbs the other`, () => {
      const model = Model.load(dir, { variant });
      const expected = goOn(model, started(model));
      assert.ok(new Set(expected.tokens).size > 3, "a text of one token shows nothing");
      const session = started(model);
      const fork = session.fork();
      assert.equal(fork.tokens, PROMPT.length);
      same(goOn(model, fork), expected);
      // The original is where it was; its own logits have to be made again.
      const again = session.fork();
      assert.deepEqual(again.state(), session.state());
      assert.equal(session.tokens, PROMPT.length);
    });

    test(`${variant}: saved, and restored in another instance`, () => {
      const model = Model.load(dir, { variant });
      const [session, path] = [started(model), newPath()];
      const last = session.sample();
      session.save(path, last);
      session.feed(last);
      const expected = goOn(model, session);
      // The state says nothing of the variant either.
      for (const other of VARIANTS) {
        const fresh = Model.load(dir, { variant: other });
        const restored = fresh.session({ ...SAMPLING, seed: 99 });
        assert.equal(restored.restore(path), last);
        assert.equal(restored.tokens, PROMPT.length);
        restored.feed(last);
        same(goOn(fresh, restored), expected);
      }
    });
  }

  test("a state without a token to come says so", () => {
    const model = Model.load(dir);
    const [session, path] = [started(model), newPath()];
    session.save(path, undefined);
    assert.equal(model.session().restore(path), undefined);
  });

  test("token 0 to come is not mistaken for none", () => {
    const model = Model.load(dir);
    const [session, path] = [started(model), newPath()];
    session.save(path, 0);
    assert.equal(model.session().restore(path), 0);
  });

  test("the size is constant, in memory and in the file", () => {
    const model = Model.load(dir);
    const session = model.session();
    const sizes = new Set<number>();
    for (let i = 0; i < 300; i++) {
      if (i % 50 === 0) {
        const path = newPath();
        session.save(path, 7);
        sizes.add(statSync(path).size);
        sizes.add(session.state().length - model.stateBytes + statSync(path).size);
      }
      session.feed(i % 60);
    }
    assert.equal(sizes.size, 1);
  });

  test("saving the same state twice gives the same file", () => {
    const model = Model.load(dir);
    const [session, first, second] = [started(model), newPath(), newPath()];
    session.save(first, 1);
    session.save(second, 1);
    assert.deepEqual(readFileSync(first), readFileSync(second));
  });
});

/** The package's own error, and the session still holds what it held. */
function refused(model: Model, path: string, { exit, field }: { exit?: ExitName; field?: string } = {}): void {
  const session = started(model);
  const before = session.state();
  assert.throws(
    () => session.restore(path),
    (error: unknown) => {
      assert.ok(error instanceof LightMambaError, `not a LightMambaError: ${(error as Error).stack}`);
      assert.equal(error.detail.file, path);
      if (field !== undefined) assert.equal(error.detail.field, field);
      if (exit !== undefined) assert.equal(error.exit, exit);
      return true;
    },
  );
  assert.deepEqual(session.state(), before);
}

describe("refused", () => {
  const model = Model.load(dir);
  const path = newPath();
  started(model).save(path, 4);

  test("no file", () => refused(model, newPath()));
  test("an empty file", () => {
    const empty = newPath();
    writeFileSync(empty, "");
    refused(model, empty);
  });

  test("a state of another model", () => {
    refused(
      model,
      rewritten(path, (_, metadata) => Object.assign(metadata, { model: "another" })),
      { field: "model" },
    );
    const other = newPath();
    const shape = { ...SHAPE, N: 16 };
    const otherModel = Model.load(directory(2, shape));
    otherModel.session().save(other, 1);
    // Random models have no checksum of their own: the size tells these two apart.
    refused(model, other, { field: "state" });
  });

  const metadata: [field: string, value: string][] = [
    ["format", "something"],
    ["version", "2"],
    ["model", ""],
  ];
  for (const value of ["0".repeat(64), "", undefined]) {
    test(`metadata: sha256 is ${value}`, () => {
      refused(
        model,
        rewritten(path, (_, found) =>
          value === undefined ? Reflect.deleteProperty(found, "sha256") : Object.assign(found, { sha256: value }),
        ),
        { exit: "verification" },
      );
    });
  }
  for (const [field, value] of metadata) {
    test(`metadata: ${field} is "${value}"`, () => {
      refused(
        model,
        rewritten(path, (_, found) => Object.assign(found, { [field]: value })),
        { exit: "badInput", field },
      );
    });
    test(`metadata: no ${field}`, () => {
      refused(
        model,
        rewritten(path, (_, found) => Reflect.deleteProperty(found, field)),
        { exit: "badInput", field },
      );
    });
  }

  for (const part of ["state", "sampler"]) {
    test(`no ${part}`, () =>
      refused(
        model,
        rewritten(path, (tensors) => tensors.delete(part)),
        { field: part },
      ));
    for (const by of [-1, 1]) {
      test(`${part} ${by < 0 ? "shorter" : "longer"}`, () => {
        const resize = (tensors: Map<string, Uint8Array>) =>
          tensors.set(part, new Uint8Array(tensors.get(part)!.length + by));
        refused(model, rewritten(path, resize), { exit: "badInput", field: part });
      });
    }
    test(`a bit of ${part} flipped`, () => {
      for (let at = 0; at < 40; at++) {
        const flip = (tensors: Map<string, Uint8Array>) => {
          const bytes = tensors.get(part)!;
          bytes[Math.floor((at * bytes.length) / 40)]! ^= 1 << (at % 8);
        };
        refused(model, rewritten(path, flip), { exit: "verification" });
      }
    });
  }

  test("cut short anywhere", () => {
    const bytes = readFileSync(path);
    for (let i = 0; i < 60; i++) {
      const cut = newPath();
      writeFileSync(cut, bytes);
      truncateSync(cut, Math.floor((i * bytes.length) / 60));
      refused(model, cut);
    }
  });

  test("a byte of the file flipped", () => {
    const bytes = readFileSync(path);
    const header = 8 + Number(bytes.readBigUInt64LE(0));
    for (let at = 0; at < bytes.length; at += at < header ? 1 : 37) {
      const flipped = Buffer.from(bytes);
      flipped[at]! ^= 1 << (at % 8);
      const target = newPath();
      writeFileSync(target, flipped);
      refused(model, target);
    }
  });

  for (const last of ["x", "-1", "1.5", "60", "1e999", " ", "0x1", "+1"]) {
    test(`a token to come that is none: "${last}"`, () => {
      refused(
        model,
        rewritten(path, (_, found) => Object.assign(found, { last_token: last })),
        { exit: "verification" },
      );
      refused(
        model,
        resealed(path, (_, found) => Object.assign(found, { last_token: last })),
        { exit: "badInput", field: "last_token" },
      );
    });
  }
  test("a token to come that is not the one that was saved", () => {
    refused(
      model,
      rewritten(path, (_, found) => Object.assign(found, { last_token: "5" })),
      { exit: "verification" },
    );
  });
});

describe("forged, with its own checksum", () => {
  for (const stateBits of [8, 16] as const) {
    const model = Model.load(directory(1, { ...SHAPE, stateBits }));
    const path = newPath();
    started(model).save(path, 4);
    const at = stateLayout(SHAPE);
    const [bytes, lowest] = stateBits === 8 ? ([1, -128] as const) : ([2, -32768] as const);
    const last = at.codes + (SHAPE.H * SHAPE.P * at.groups * 16 - 1) * bytes;
    const rows: [what: string, at: number, bytes: 1 | 2 | 4, inside: number[], outside: number[]][] = [
      ["t", 0, 4, [0, TOKEN_PERIOD - 1], [TOKEN_PERIOD, 2 ** 32 - 1]],
      ["F", at.decay, 4, [0, 2 ** 24 - 1], [2 ** 24, 2 ** 32 - 1]],
      ["F of the last head", at.decay + 4 * (SHAPE.H - 1), 4, [2 ** 24 - 1], [2 ** 24]],
      ["an exponent", at.exponents, 1, [-64, 63], [-65, 64, -128, 127]],
      ["a code", at.codes, bytes, [lowest + 1, -lowest - 1], [lowest]],
      ["the last code", last, bytes, [lowest + 1], [lowest]],
    ];
    for (const [what, offset, size, inside, outside] of rows) {
      test(`${stateBits}-bit state: ${what} at its ends, and beyond`, () => {
        for (const value of outside) refused(model, forged(path, offset, size, value), { field: "state" });
        for (const value of inside) {
          const session = model.session();
          assert.equal(session.restore(forged(path, offset, size, value)), 4);
          session.feed(4);
          session.close();
        }
      });
    }
  }

  test("a sampler of any bytes: the next token is one of the vocabulary", () => {
    const model = Model.load(dir);
    const path = newPath();
    started(model).save(path, 4);
    for (const fill of [0, 0x7f, 0x80, 0xff]) {
      const session = started(model);
      session.restore(resealed(path, (tensors) => tensors.get("sampler")!.fill(fill)));
      for (let i = 0; i < 20; i++) {
        const token = session.sample();
        assert.ok(token >= 0 && token < SHAPE.V, `token ${token}`);
        session.feed(token);
      }
      session.close();
    }
  });

  test("the rules are those of the session that restores", () => {
    const model = Model.load(dir);
    const path = newPath();
    started(model).save(path, 4);
    const greedy = () => model.session({ temperature: 0 });
    const [session, expected] = [greedy(), greedy()];
    session.restore(path);
    for (const token of PROMPT) expected.feed(token);
    same(goOn(model, fed(session, 4)), goOn(model, fed(expected, 4)));
  });
});

function fed(session: Session, token: number): Session {
  session.feed(token);
  return session;
}

describe("t goes from 3 · 2^30 - 1 to 0", () => {
  for (const W of [2, 3, 4]) {
    for (const stateBits of [8, 16] as const) {
      test(`W ${W}, ${stateBits}-bit state`, () => {
        const oracle = randomModel(W, { ...SHAPE, W, stateBits });
        const where = emptyDirectory();
        writeModel(oracle, where);
        const state = initialState(oracle);
        state.t = TOKEN_PERIOD - 5;
        const sessions = VARIANTS.map((variant) => {
          const model = Model.load(where, { variant });
          const [session, path] = [model.session(), newPath()];
          session.save(path, undefined);
          session.restore(forged(path, 0, 4, state.t));
          return { model, session };
        });
        for (const token of [...PROMPT, 1, 2]) {
          const { logits } = step(oracle, state, token);
          for (const { model, session } of sessions) {
            session.feed(token);
            assertSame(model.rawLogits(), logits, `logits of t before ${state.t}`);
            assert.equal(session.tokens, state.t);
          }
        }
        assert.equal(state.t, PROMPT.length + 2 - 5);
      });
    }
  }
});

describe("closed", () => {
  test("its memory serves the next session, which starts empty", () => {
    const model = Model.load(dir);
    const expected = goOn(model, started(model));
    const used = started(model);
    goOn(model, used);
    const bytes = model.memoryBytes;
    used.close();
    used.close();
    for (let i = 0; i < 200; i++) {
      const session = started(model);
      if (i % 50 === 0) same(goOn(model, session), expected);
      session.close();
    }
    assert.equal(model.memoryBytes, bytes);
    // Closed twice, its memory is not given out twice.
    const [one, two] = [started(model), model.session()];
    two.feed(1);
    assert.equal(one.tokens, PROMPT.length);
    assert.equal(two.tokens, 1);
  });

  test("its sampler is no longer its own", () => {
    const model = Model.load(dir);
    const expected = goOn(model, started(model));
    const closed = model.session();
    closed.close();
    const next = started(model);
    assert.throws(() => closed.seed(99), LightMambaError);
    same(goOn(model, next), expected);
  });

  const acts: Record<string, (session: Session) => unknown> = {
    feed: (session) => session.feed(1),
    feedByLayer: (session) => session.feedByLayer(1, () => {}),
    tokens: (session) => session.tokens,
    state: (session) => session.state(),
    fork: (session) => session.fork(),
    save: (session) => session.save(newPath(), 1),
    restore: (session) => session.restore(saved()),
    sample: (session) => session.sample(),
    seed: (session) => session.seed(1),
    setSampler: (session) => session.setSampler({}),
  };
  const saved = () => {
    const path = newPath();
    Model.load(dir).session().save(path, 1);
    return path;
  };
  for (const [name, act] of Object.entries(acts)) {
    test(`${name} says so`, () => {
      const session = Model.load(dir).session();
      session.close();
      assert.throws(
        () => act(session),
        (error: unknown) => error instanceof LightMambaError && error.exit === "usage",
      );
    });
  }
});

describe("arguments that are none", () => {
  const model = Model.load(dir);
  const ids = [-1, SHAPE.V, 0.5, Number.NaN, 2 ** 32];
  for (const id of ids) {
    test(`token id ${id}`, () => {
      const session = model.session();
      assert.throws(() => session.feed(id), LightMambaError);
      assert.throws(() => session.feedByLayer(id, () => {}), LightMambaError);
      assert.equal(session.tokens, 0);
    });
  }
  for (const seed of [1.5, Number.NaN, 2 ** 53, Number.POSITIVE_INFINITY]) {
    test(`seed ${seed}`, () => {
      assert.throws(() => model.session({ seed }), LightMambaError);
      assert.throws(() => model.session().seed(seed), LightMambaError);
    });
  }

  const wild = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -1, 1e300, 5e-324];
  for (const name of ["temperature", "topK", "topP", "minP", "repetitionPenalty", "presencePenalty"] as const) {
    test(`${name} of any number: refused, or tokens of the vocabulary`, () => {
      for (const value of wild) {
        const session = model.session();
        try {
          session.setSampler({ [name]: value });
        } catch (error) {
          assert.ok(error instanceof LightMambaError, (error as Error).stack);
          continue;
        }
        for (const token of PROMPT) {
          session.feed(token);
          const next = session.sample();
          assert.ok(next >= 0 && next < SHAPE.V, `${name} ${value}: token ${next}`);
        }
      }
    });
  }
});
