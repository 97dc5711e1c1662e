/** Model directories that are not what they must be: each row breaks a good one, and says what the user is told. */
import assert from "node:assert/strict";
import { cpSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { writeSafetensors } from "../../host/checkpoint/safetensors.ts";
import { type ErrorDetail, type ExitName, LightMambaError } from "../../host/errors.ts";
import { FRACTION_RANGES, MODEL_FILES } from "../../host/model/description.ts";
import { Model } from "../../host/runtime/model.ts";
import { type RandomShape, randomModel } from "../oracle/model.ts";
import { Random } from "../oracle/random.ts";
import { emptyDirectory, newPath, type RawTensor, tensorsOf, VARIANTS, writeModel } from "./support.ts";

/** E = 48: order 12, log2 2. */
const SHAPE: RandomShape = { D: 24, H: 6, P: 8, N: 24, G: 2, W: 4, V: 20, layers: 2, normGroups: 2 };
const MODEL = randomModel(1, { ...SHAPE, projectionBias: true });
const good = emptyDirectory();
writeModel(MODEL, good);

// biome-ignore lint/suspicious/noExplicitAny: tests break JSON in ways its types would forbid.
type Json = any;

function copyOf(dir: string): string {
  const path = newPath();
  cpSync(dir, path, { recursive: true });
  return path;
}

function editJson(file: string, edit: (json: Json) => unknown): void {
  const json = JSON.parse(readFileSync(file, "utf8"));
  edit(json);
  writeFileSync(file, JSON.stringify(json));
}

type Edit<T> = (target: T) => unknown;
type Row<T> = [what: string, edit: Edit<T>, exit: ExitName, detail: ErrorDetail];

/** The error must have all of these parts, and be about the file that was broken. */
function expectError(dir: string, file: string, exit: ExitName, detail: ErrorDetail): void {
  assert.throws(
    () => Model.load(dir),
    (error: unknown) => {
      assert.ok(error instanceof LightMambaError, `not a LightMambaError: ${(error as Error).stack}`);
      assert.equal(error.exit, exit, error.message);
      assert.ok(!error.message.includes("\\n"), "more than one line");
      assert.equal(error.detail.file, join(dir, file), error.message);
      for (const [part, value] of Object.entries(detail)) {
        assert.equal(error.detail[part as keyof ErrorDetail], value, `${part} of: ${error.message}`);
      }
      return true;
    },
  );
}

function table<T>(title: string, file: string, rows: Row<T>[], apply: (path: string, edit: Edit<T>) => void): void {
  describe(title, () => {
    for (const [what, edit, exit, detail] of rows) {
      test(what, () => {
        const dir = copyOf(good);
        apply(join(dir, file), edit);
        expectError(dir, file, exit, detail);
      });
    }
  });
}

// ---------------------------------------------------------------------------------------------------- files

describe("files", () => {
  for (const [name, file] of Object.entries(MODEL_FILES)) {
    test(`no ${name}`, () => {
      const dir = copyOf(good);
      rmSync(join(dir, file));
      // Without the description it is no model directory at all: the error is about the directory.
      expectError(dir, name === "description" ? "." : file, "badInput", {});
    });
    test(`${name} is empty`, () => {
      const dir = copyOf(good);
      writeFileSync(join(dir, file), "");
      expectError(dir, file, "badInput", {});
    });
    test(`${name} is cut short anywhere`, () => {
      const bytes = readFileSync(join(good, file));
      // The last byte of a JSON file is a line end, which nobody misses.
      for (let i = 0; i < 25; i++) {
        const dir = copyOf(good);
        truncateSync(join(dir, file), Math.floor((i * (bytes.length - 2)) / 25));
        expectError(dir, file, "badInput", {});
      }
    });
  }

  test("not a directory", () => {
    const path = newPath();
    assert.throws(() => Model.load(path), LightMambaError);
    writeFileSync(path, "x");
    assert.throws(() => Model.load(path), LightMambaError);
  });
});

// ----------------------------------------------------------------------------------------- quantization.json

const set =
  (...pairs: [path: string, value: unknown][]): Edit<Json> =>
  (json) => {
    for (const [path, value] of pairs) {
      const keys = path.split(".");
      const last = keys.pop()!;
      const target = keys.reduce((at, key) => at[key], json);
      if (value === undefined) delete target[last];
      else target[last] = value;
    }
  };

const ORDER = { field: "rotation.inner.order" };
const descriptionRows: Row<Json>[] = [
  [
    "another format",
    set(["format", "gguf"]),
    "badInput",
    { field: "format", expected: '"lightmamba"', found: '"gguf"' },
  ],
  ["no format", set(["format", undefined]), "badInput", { field: "format", found: "nothing" }],
  ["a later version", set(["format_version", 2]), "unsupported", { field: "format_version", expected: 1, found: 2 }],
  ["an earlier version", set(["format_version", 0]), "unsupported", { field: "format_version", found: 0 }],
  ["version 1.5", set(["format_version", 1.5]), "badInput", { field: "format_version" }],
  ["no version", set(["format_version", undefined]), "badInput", { field: "format_version" }],
  ["another method", set(["method", "gptq?"]), "badInput", { field: "method" }],
  [
    "7-bit activations",
    set(["activation_bits", 7]),
    "badInput",
    { field: "activation_bits", expected: "4 or 5 or 6 or 8", found: "7" },
  ],
  ['"4"-bit activations', set(["activation_bits", "4"]), "badInput", { field: "activation_bits" }],
  ["no activation bits", set(["activation_bits", undefined]), "badInput", { field: "activation_bits" }],
  ...[undefined, "lm_head", {}, ["head"], ["layers.2.in_proj"], ["layers.-1.in_proj"], [0], ["lm_head.frames"]].map(
    (value): Row<Json> => [
      `8-bit matrices: ${JSON.stringify(value)}`,
      set(["eight_bit_matrices", value]),
      "badInput",
      { field: "eight_bit_matrices" },
    ],
  ),
  ["an embedding of neither kind", set(["embedding", "tied"]), "badInput", { field: "embedding" }],
  ["no fraction of the embedding", set(["embedding_fraction", undefined]), "badInput", { field: "embedding_fraction" }],
  ["a fraction of 31", set(["embedding_fraction", 31]), "badInput", { field: "embedding_fraction" }],
  ["12-bit state", set(["state_bits", 12]), "badInput", { field: "state_bits", expected: "8 or 16", found: "12" }],
  ["no state bits", set(["state_bits", undefined]), "badInput", { field: "state_bits" }],
  ...[undefined, 1, [2], [-1], [0.5], ["0"], { 0: 1 }].map(
    (value): Row<Json> => [
      `layers without rotation: ${JSON.stringify(value)}`,
      set(["rotation.unrotated", value]),
      "badInput",
      { field: "rotation.unrotated" },
    ],
  ),
  ["no record of errors", set(["errors", undefined]), "badInput", { field: "errors.head_db" }],
  ["errors of no layer", set(["errors.layers", []]), "badInput", { field: "errors.layers[0]" }],
  ["a weight group of 48", set(["weight_group", 48]), "badInput", { field: "weight_group" }],
  ["power_of_two_scales of 1", set(["power_of_two_scales", 1]), "badInput", { field: "power_of_two_scales" }],
  ["no rotation", set(["rotation", undefined]), "badInput", { field: "rotation.residual.blocks" }],
  ["rotation is a list", set(["rotation", []]), "badInput", { field: "rotation" }],
  [
    "a product too large",
    set(["rotation.inner.blocks", 2]),
    "badInput",
    { field: "rotation.inner.blocks", expected: "a product of 48" },
  ],
  ["a product too small", set(["rotation.inner.log2", 1]), "badInput", { field: "rotation.inner.blocks" }],
  ["no blocks", set(["rotation.inner.blocks", 0]), "badInput", { field: "rotation.inner.blocks" }],
  ["order 512", set(["rotation.inner.order", 512]), "badInput", { field: "rotation.inner.order" }],
  ["log2 of 17", set(["rotation.inner.log2", 17]), "badInput", { field: "rotation.inner.log2" }],
  ["the residual's product", set(["rotation.residual.blocks", 23]), "badInput", { field: "rotation.residual.blocks" }],
  ["sign_seed of 2^32", set(["rotation.sign_seed", 2 ** 32]), "badInput", { field: "rotation.sign_seed" }],
  ["order 3", set(["rotation.inner.order", 3], ["rotation.inner.log2", 4]), "badInput", ORDER],
  ["order 6", set(["rotation.inner.order", 6], ["rotation.inner.log2", 3]), "badInput", ORDER],
  [
    "order 2",
    set(["rotation.inner.order", 2], ["rotation.inner.log2", 0], ["rotation.inner.blocks", 24]),
    "badInput",
    ORDER,
  ],
  [
    "order 16 (no Paley prime)",
    set(["rotation.inner.order", 16], ["rotation.inner.log2", 0], ["rotation.inner.blocks", 3]),
    "badInput",
    ORDER,
  ],
  [
    "the residual's order",
    set(["rotation.residual", { blocks: 4, order: 6, log2: 0 }]),
    "badInput",
    { field: "rotation.residual.order" },
  ],
  [
    "more tokens than rows",
    set(["vocab_used", 21]),
    "badInput",
    { field: "vocab_used", expected: "an integer from 1 to 20" },
  ],
  ["no token", set(["vocab_used", 0]), "badInput", { field: "vocab_used" }],
  ["a residual too fine", set(["residual_fraction", 17]), "badInput", { field: "residual_fraction" }],
  ["a residual of -1", set(["residual_fraction", -1]), "badInput", { field: "residual_fraction" }],
  ["a residual of 3.5", set(["residual_fraction", 3.5]), "badInput", { field: "residual_fraction" }],
  ["a layer missing", (json) => json.layers.pop(), "badInput", { field: "layers", expected: "a list of 2" }],
  ["a layer too many", (json) => json.layers.push(json.layers[0]), "badInput", { field: "layers" }],
  ["layers is an object", set(["layers", {}]), "badInput", { field: "layers" }],
  ["a layer is a number", set(["layers.1", 7]), "badInput", { field: "layers[1]" }],
  ["no calibration", set(["calibration", undefined]), "badInput", { field: "calibration.source" }],
  ["no calibration tokens", set(["calibration.tokens", 0]), "badInput", { field: "calibration.tokens" }],
  ["a generator that is a number", set(["generator", 3]), "badInput", { field: "generator" }],
  ["no checksum of the weights", set(["weights_sha256", undefined]), "badInput", { field: "weights_sha256" }],
  ["no checksum of the source", set(["source_sha256", undefined]), "badInput", { field: "source_sha256" }],
  ...Object.entries(FRACTION_RANGES).flatMap(([name, [low, high]]) =>
    [low - 1, high + 1, undefined].map((value): Row<Json> => {
      const what = value === undefined ? `no fraction ${name}` : `fraction ${name} of ${value}`;
      return [what, set([`layers.1.${name}`, value]), "badInput", { field: `layers[1].${name}` }];
    }),
  ),
];
table("quantization.json", MODEL_FILES.description, descriptionRows, editJson);

// ----------------------------------------------------------------------------------------------- config.json

const configRows: Row<Json>[] = [
  ["another model", set(["model_type", "llama"]), "badInput", { field: "model_type", expected: '"mamba2"' }],
  ["no model type", set(["model_type", undefined]), "badInput", { field: "model_type" }],
  ["a width of 0", set(["hidden_size", 0]), "badInput", { field: "hidden_size" }],
  ["a width as text", set(["hidden_size", "24"]), "badInput", { field: "hidden_size" }],
  ["another number of heads", set(["num_heads", 5]), "badInput", { field: "num_heads" }],
  ["heads that do not divide", set(["head_dim", 7]), "badInput", { field: "head_dim" }],
  ["groups that do not divide", set(["n_groups", 4]), "badInput", { field: "n_groups" }],
  ["a conv of 5 taps", set(["conv_kernel", 5]), "unsupported", { field: "conv_kernel", found: 5 }],
  ["a conv of 1 tap", set(["conv_kernel", 1]), "unsupported", { field: "conv_kernel" }],
  [
    "states beyond 512",
    set(["state_size", 513]),
    "unsupported",
    { field: "state_size", expected: "at most 512", found: 513 },
  ],
  ["a vocabulary beyond 2^20", set(["vocab_size", 2 ** 20 + 1]), "unsupported", { field: "vocab_size" }],
  ["a width beyond 8192", set(["hidden_size", 8193], ["expand", 48 / 8193]), "unsupported", { field: "hidden_size" }],
  [
    "an inner size beyond 8192",
    set(["expand", 64], ["hidden_size", 256], ["num_heads", 2048]),
    "unsupported",
    { field: "d_inner" },
  ],
  ["an epsilon of 0", set(["layer_norm_epsilon", 0]), "badInput", { field: "layer_norm_epsilon" }],
  ["an epsilon of 2", set(["layer_norm_epsilon", 2]), "badInput", { field: "layer_norm_epsilon" }],
  ["limits the wrong way round", set(["time_step_limit", [1, 0]]), "badInput", { field: "time_step_limit" }],
  ["a limit below 0", set(["time_step_limit", [-1, 1]]), "badInput", { field: "time_step_limit" }],
  ["three limits", set(["time_step_limit", [0, 1, 2]]), "badInput", { field: "time_step_limit" }],
  ["a bias that is 1", set(["use_bias", 1]), "badInput", { field: "use_bias" }],
  ["an end token beyond the vocabulary", set(["eos_token_id", 20]), "badInput", { field: "eos_token_id" }],
];
table("config.json", MODEL_FILES.config, configRows, editJson);

describe("config.json against the weights", () => {
  const rows: [what: string, edit: Edit<Json>, field: string][] = [
    ["a wider vocabulary", set(["vocab_size", 28]), "embedding.codes"],
    ["more states", set(["state_size", 32]), "layers.0.in_proj.frames"],
    ["one group", set(["n_groups", 1]), "layers.0.in_proj.frames"],
    ["fewer taps", set(["conv_kernel", 3]), "layers.0.conv.weight"],
    ["no biases", set(["use_bias", false]), "layers.0.in_proj.bias"],
    ["wider heads", set(["head_dim", 16], ["num_heads", 3], ["n_groups", 1]), "layers.0.in_proj.frames"],
  ];
  for (const [what, edit, field] of rows) {
    test(what, () => {
      const dir = copyOf(good);
      editJson(join(dir, MODEL_FILES.config), edit);
      expectError(dir, MODEL_FILES.weights, "badInput", { field });
    });
  }

  for (const name of ["lm_head", "layers.0.in_proj", "layers.1.out_proj"]) {
    test(`${name} of 8 bits where the file has 4`, () => {
      const dir = copyOf(good);
      editJson(join(dir, MODEL_FILES.description), set(["eight_bit_matrices", [name]]));
      expectError(dir, MODEL_FILES.weights, "badInput", { field: `${name}.frames` });
    });
  }

  test("an embedding out of the head where the file has a table", () => {
    const dir = copyOf(good);
    editJson(join(dir, MODEL_FILES.description), set(["embedding", "head"], ["eight_bit_matrices", ["lm_head"]]));
    expectError(dir, MODEL_FILES.description, "badInput", { field: "embedding" });
  });

  test("an embedding out of a 4-bit head", () => {
    const dir = emptyDirectory();
    writeModel(randomModel(1, { ...SHAPE, tied: "rotated" }), dir);
    assert.throws(() => Model.load(dir), LightMambaError);
  });

  test("weight groups of 16 where the file has 32", () => {
    const dir = copyOf(good);
    editJson(join(dir, MODEL_FILES.description), set(["weight_group", 16]));
    expectError(dir, MODEL_FILES.weights, "badInput", { field: "layers.0.in_proj.frames" });
  });

  test("an epsilon beyond 64 bits: round(eps · E/G · 2^(2 fg))", () => {
    const dir = copyOf(good);
    editJson(join(dir, MODEL_FILES.config), set(["layer_norm_epsilon", 1]));
    editJson(join(dir, MODEL_FILES.description), set(["layers.0.g", 30]));
    assert.throws(
      () => Model.load(dir),
      (error: unknown) => error instanceof LightMambaError && error.exit === "unsupported",
    );
  });

  test("the largest epsilon of a residual fits", () => {
    const dir = copyOf(good);
    editJson(join(dir, MODEL_FILES.config), set(["layer_norm_epsilon", 1]));
    editJson(join(dir, MODEL_FILES.description), set(["residual_fraction", 16], ["activation_bits", 8]));
    Model.load(dir).session().feed(1);
  });
});

// ---------------------------------------------------------------------------------------------- the weights

type Tensors = Map<string, RawTensor>;

/** Writes one value into a tensor. */
function put(name: string, index: number, value: number): Edit<Tensors> {
  return (tensors) => {
    const { data, dtype } = tensors.get(name)!;
    const bytes = data.slice();
    const view = new DataView(bytes.buffer);
    if (dtype === "I8") view.setInt8(index, value);
    else if (dtype === "U8") view.setUint8(index, value);
    else if (dtype === "I16") view.setInt16(2 * index, value, true);
    else view.setInt32(4 * index, value, true);
    tensors.get(name)!.data = bytes;
  };
}

/** Another type or shape; data of that size. */
function change(name: string, with_: Partial<RawTensor>): Edit<Tensors> {
  return (tensors) => Object.assign(tensors.get(name)!, with_);
}

const RANGE = { expected: "-100 to 14" };
const tensorRows: Row<Tensors>[] = [
  ...[...tensorsOf(MODEL)].map(
    ({ name }): Row<Tensors> => [`no ${name}`, (tensors) => tensors.delete(name), "badInput", { field: name }],
  ),
  [
    "a tensor too many",
    (tensors) => tensors.set("extra", { name: "extra", dtype: "U8", shape: [1], data: new Uint8Array(1) }),
    "badInput",
    { field: "extra" },
  ],
  [
    "tensors of a third layer",
    (tensors) => tensors.set("layers.2.skip", { ...tensors.get("layers.1.skip")!, name: "layers.2.skip" }),
    "badInput",
    { field: "layers.2.skip" },
  ],
  [
    "another type",
    change("layers.0.decay", { dtype: "I16" }),
    "badInput",
    { field: "layers.0.decay", expected: "U16 [6]", found: "I16 [6]" },
  ],
  [
    "another shape",
    change("embedding.codes", { shape: [24, 20] }),
    "badInput",
    { field: "embedding.codes", expected: "I8 [20,24]" },
  ],
  ["another rank", change("layers.1.gate_norm", { shape: [6, 8] }), "badInput", { field: "layers.1.gate_norm" }],
  [
    "a shorter tensor",
    change("final_norm", { shape: [23], data: new Uint8Array(92) }),
    "badInput",
    { field: "final_norm" },
  ],
  [
    "a row exponent of 15",
    put("lm_head.row_exponent", 3, 15),
    "badInput",
    { field: "lm_head.row_exponent[3]", ...RANGE, found: 15 },
  ],
  [
    "a row exponent of -101",
    put("layers.1.in_proj.row_exponent", 0, -101),
    "badInput",
    { field: "layers.1.in_proj.row_exponent[0]", ...RANGE },
  ],
  [
    "out_proj's row exponent",
    put("layers.0.out_proj.row_exponent", 23, 127),
    "badInput",
    { field: "layers.0.out_proj.row_exponent[23]" },
  ],
  [
    "an embedding exponent of 15",
    put("embedding.exponent", 19, 15),
    "badInput",
    { field: "embedding.exponent[19]", ...RANGE, found: 15 },
  ],
  ["an embedding exponent of -128", put("embedding.exponent", 0, -128), "badInput", { field: "embedding.exponent[0]" }],
  [
    "a decay shift of 48",
    put("layers.1.decay_shift", 5, 48),
    "badInput",
    { field: "layers.1.decay_shift[5]", expected: "0 to 47", found: 48 },
  ],
  ["a decay shift of 255", put("layers.0.decay_shift", 0, 255), "badInput", { field: "layers.0.decay_shift[0]" }],
  [
    "a conv that overflows by its bias",
    put("layers.0.conv.bias", 7, -(2 ** 31)),
    "badInput",
    { field: "layers.0.conv.weight, channel 7" },
  ],
  [
    "a conv that overflows by its weights",
    (tensors) => {
      const channels = SHAPE.H * SHAPE.P + 2 * SHAPE.G * SHAPE.N;
      for (let tap = 0; tap < SHAPE.W; tap++) put("layers.1.conv.weight", tap * channels + 9, -32768)(tensors);
    },
    "badInput",
    { field: "layers.1.conv.weight, channel 9" },
  ],
];

function rewriteTensors(path: string, edit: Edit<Tensors>): void {
  const tensors = new Map(tensorsOf(MODEL).map((tensor) => [tensor.name, { ...tensor }]));
  edit(tensors);
  writeSafetensors(path, tensors.values());
}
table("model.safetensors", MODEL_FILES.weights, tensorRows, rewriteTensors);

describe("model.safetensors of another writer", () => {
  // Another order, so that odd sizes are in front.
  const write = (dir: string, align?: number) => {
    const tensors = tensorsOf(MODEL).map((tensor) => ({ ...tensor, align: align ?? tensor.align! }));
    writeSafetensors(join(dir, MODEL_FILES.weights), [...tensors.slice(-1), ...tensors.slice(0, -1)]);
  };
  for (const align of [1, 2, 4, 8, 32, 64, 2048]) {
    test(`tensors aligned to ${align} are refused`, () => {
      const dir = copyOf(good);
      write(dir, align);
      expectError(dir, MODEL_FILES.weights, "badInput", {});
    });
  }
  for (const align of [undefined, 4096, 8192]) {
    test(`another order, aligned to ${align ?? "what each needs"}, loads`, () => {
      const dir = copyOf(good);
      write(dir, align);
      const [model, expected] = [Model.load(dir), Model.load(good)];
      for (const each of [model, expected]) each.session().feed(1);
      assert.deepEqual(model.rawLogits(), expected.rawLogits());
    });
  }
});

// ----------------------------------------------------------------------------------------------- good ones

describe("good directories", () => {
  const load = (name: string, edit: (dir: string) => void) =>
    test(name, () => {
      const dir = copyOf(good);
      edit(dir);
      for (const variant of VARIANTS) {
        const model = Model.load(dir, { variant });
        model.session().feed(3);
        assert.equal(model.rawLogits().length, SHAPE.V);
      }
    });
  const config = (edit: Edit<Json>) => (dir: string) => editJson(join(dir, MODEL_FILES.config), edit);
  const description = (edit: Edit<Json>) => (dir: string) => editJson(join(dir, MODEL_FILES.description), edit);
  load("as written", () => {});
  load("no upper limit of the time step", config(set(["time_step_limit", [0, { __float__: "Infinity" }]])));
  load("no limits of the time step", config(set(["time_step_limit", undefined])));
  load("a lower limit far too high", config(set(["time_step_limit", [1e300, { __float__: "Infinity" }]])));
  load("the smallest epsilon", config(set(["layer_norm_epsilon", 5e-324])));
  load("fields nobody knows", description(set(["note", { a: [1] }], ["layers.0.note", "x"])));
  load("16-bit state", description(set(["state_bits", 16])));
  load("weight groups of 64: scales are stored per 32", description(set(["weight_group", 64])));
  load("every layer unrotated", description(set(["rotation.unrotated", [0, 1]])));
  load("a layer unrotated twice", description(set(["rotation.unrotated", [1, 1]])));
  for (const bits of [5, 6, 8]) load(`${bits}-bit activations`, description(set(["activation_bits", bits])));
  load("fewer tokens than rows", description(set(["vocab_used", 7])));
  load("the inner rotation passed by", description(set(["rotation.inner", { blocks: 48, order: 1, log2: 0 }])));
  load("blocks of order 4", description(set(["rotation.inner", { blocks: 12, order: 4, log2: 0 }])));
  load("every fraction at its lowest", description(set(...extremes(0))));
  load("every fraction at its highest", description(set(...extremes(1))));
});

function extremes(end: 0 | 1): [string, number][] {
  return Object.entries(FRACTION_RANGES).flatMap(([name, range]) =>
    [0, 1].map((layer): [string, number] => [`layers.${layer}.${name}`, range[end]]),
  );
}

// ---------------------------------------------------------------------------------------------------- fuzz

const NUMBERS = [
  0,
  -1,
  1,
  2,
  3,
  5,
  7,
  8,
  12,
  15,
  16,
  17,
  24,
  48,
  255,
  256,
  2 ** 20,
  2 ** 31,
  2 ** 32,
  2 ** 53,
  1e300,
  0.5,
];
const VALUES = [...NUMBERS, null, true, "", "4", [], {}, [[]], "Infinity"];

/** Replaces, drops or moves a value somewhere in a JSON document, and returns its text. */
function mutateValue(json: Json, random: Random): string {
  let at = json;
  for (;;) {
    const keys = Object.keys(at);
    const key = keys[random.integer(0, keys.length - 1)];
    if (key === undefined) break;
    if (typeof at[key] === "object" && at[key] && random.integer(0, 9) > 0) {
      at = at[key];
      continue;
    }
    const what = random.integer(0, 4);
    if (what === 0) delete at[key];
    else if (what === 1 && typeof at[key] === "number") at[key] += random.integer(-3, 3);
    else at[key] = VALUES[random.integer(0, VALUES.length - 1)];
    break;
  }
  return JSON.stringify(json);
}

/** Changes, drops, doubles or inserts a few characters. */
function mutateText(text: string, random: Random): string {
  const at = random.integer(0, text.length - 1);
  const length = random.integer(1, 9);
  const [before, after] = [text.slice(0, at), text.slice(at)];
  const inserted = ["0", "9", "-", '"', "{", "]", "e5", ",", "\\u0000", "NaN", "Infinity"][random.integer(0, 10)]!;
  switch (random.integer(0, 3)) {
    case 0:
      return before + after.slice(length);
    case 1:
      return before + after.slice(0, length) + after;
    case 2:
      return before + inserted + after;
    default:
      return before + String.fromCharCode(after.charCodeAt(0) ^ (1 << random.integer(0, 6))) + after.slice(1);
  }
}

describe("fuzz", () => {
  for (const file of [MODEL_FILES.description, MODEL_FILES.config]) {
    for (const kind of ["values", "text"] as const) {
      test(`${kind} of ${file}`, () => {
        const rounds = 700;
        const random = new Random(file.length + kind.length);
        const dir = copyOf(good);
        const text = readFileSync(join(dir, file), "utf8");
        let refused = 0;
        for (let round = 0; round < rounds; round++) {
          const mutated = kind === "text" ? mutateText(text, random) : mutateValue(JSON.parse(text), random);
          writeFileSync(join(dir, file), mutated);
          try {
            Model.load(dir).session().feed(1);
          } catch (error) {
            assert.ok(error instanceof LightMambaError, `round ${round}: ${mutated}\n${(error as Error).stack}`);
            assert.ok(error.exit === "badInput" || error.exit === "unsupported", error.message);
            refused++;
          }
        }
        assert.ok(refused > rounds / 4, `only ${refused} of ${rounds} refused`);
      });
    }
  }
});
