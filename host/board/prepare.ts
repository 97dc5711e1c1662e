/**
 * A model for the runner on a board (firmware/runner): the weights as they are, the tokenizer, and setup.json, which says how to set up the
 * runtime. The loader has checked the model by then; the runner checks that it has the same files and the same runtime. docs/runner.md.
 */
import { createHash } from "node:crypto";
import {
  constants,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { TOKEN_MODULUS } from "../../assembly/contract.ts";
import { InputFile } from "../checkpoint/file.ts";
import { fileSha256 } from "../checkpoint/sha256.ts";
import { BOARDS, UNIT_NAMES } from "../device/boards.generated.ts";
import { LightMambaError } from "../errors.ts";
import { boundCycles } from "../estimate/estimate.ts";
import { endIds, promptIds } from "../generate.ts";
import { MODEL_FILES, type ModelHeader, readModelHeader } from "../model/description.ts";
import { packageVersion } from "../package.ts";
import { LIMITS, portPlan } from "../runtime/accelerator.ts";
import { instantiate, RUNTIME_VERSION, runtimePath, type WasmVariant } from "../runtime/engine.ts";
import { loadWeights } from "../runtime/load.ts";
import { Model } from "../runtime/model.ts";
import { withPorts } from "../runtime/ports.ts";
import { DEFAULT_SAMPLER } from "../runtime/session.ts";
import { checkQuickly } from "../verify.ts";
import { type RecordedCall, record } from "./recording.ts";

export const SETUP_FILE = "setup.json";
export const SETUP_FORMAT = "lightmamba-board-model";
/** Raised when a runner of the older version would set up another model, or fail. */
export const SETUP_VERSION = 2;
const TOKENIZER = "tokenizer.json";
/** As many ports as builds of the RTL have, and no fewer than a board's. */
const LEAST_PORTS = 4;
const SELFTEST = { prompt: "Once upon a time", tokens: 8 };

export interface BoardModelOptions {
  /** Of the runtime. Default: relaxed, the faster one on the Cortex-A72 (bench/a72). */
  variant?: WasmVariant;
  /** Whose memory and clock the device has. Default: vck190. */
  board?: keyof typeof BOARDS;
}

export interface FileSum {
  bytes: number;
  sha256: string;
}

/** setup.json. All of it is checked by firmware/runner/runner/src/setup.rs. */
export interface BoardSetup {
  format: typeof SETUP_FORMAT;
  format_version: typeof SETUP_VERSION;
  generator: string;
  runtime: { version: number; variant: WasmVariant; sha256: string };
  files: Record<string, FileSum>;
  model: {
    /** By which saved states know it. */
    id: string;
    layers: number;
    d_model: number;
    vocab_size: number;
    vocab_used: number;
    weight_bytes_per_token: number;
    state_bytes: number;
    /** A state counts its tokens modulo this. */
    token_modulus: number;
  };
  text: { end_ids: number[]; begin_id: number };
  /** In the order of the runtime's setSampler. */
  sampler: typeof DEFAULT_SAMPLER;
  device: {
    board: string;
    clock_mhz: number;
    /** Arguments of planDevice, for 1, 2, … ports; and cycles in which memories and ports could move the bytes of a token at best. */
    ports: { in_proj: number[]; others: number[]; memories: number[]; bound_cycles: number }[];
    /** What misfit 1, 2, … of planDevice is about. */
    limits: (readonly [field: string, what: string])[];
    units: readonly string[];
  };
  /** Greedy tokens, and the SHA-256 of their ids as little-endian int32. */
  selftest: { prompt: number[]; tokens: number; sha256: string };
  calls: RecordedCall[];
}

/** Writes the model directory `to`, which must not be there, or empty. Throws LightMambaError. */
export function prepareBoardModel(from: string, to: string, options: BoardModelOptions = {}): BoardSetup {
  if (existsSync(to) && readdirSync(to).length > 0) {
    throw new LightMambaError("usage", "exists already", { file: to, expected: "a new directory" });
  }
  const setup = describe(from, options);
  const temporary = `${resolve(to)}.${process.pid}.tmp`;
  try {
    mkdirSync(temporary, { recursive: true });
    for (const name of Object.keys(setup.files)) {
      copyFileSync(join(from, name), join(temporary, name), constants.COPYFILE_FICLONE);
    }
    checkCopies(temporary, setup);
    writeFileSync(join(temporary, SETUP_FILE), `${JSON.stringify(setup)}\n`);
    renameSync(temporary, to);
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
  return setup;
}

function describe(dir: string, { variant = "relaxed", board = "vck190" }: BoardModelOptions): BoardSetup {
  checkQuickly(dir);
  const header = readModelHeader(dir);
  const engine = instantiate(variant);
  const calls = record(engine, (recorder) => loadWeights(recorder, header));
  // An instance of its own: nothing but the loader is in the recording
  const model = Model.load(dir, { variant });
  try {
    const { config, description } = header;
    return {
      format: SETUP_FORMAT,
      format_version: SETUP_VERSION,
      generator: `lightmamba ${packageVersion()}`,
      runtime: { version: RUNTIME_VERSION, variant, sha256: fileSha256(runtimePath(variant)) },
      files: Object.fromEntries([MODEL_FILES.weights, TOKENIZER].map((name) => [name, checksum(join(dir, name))])),
      model: {
        id: description.weightsSha256,
        layers: config.nLayers,
        d_model: config.dModel,
        vocab_size: config.vocabSize,
        vocab_used: config.vocabUsed,
        weight_bytes_per_token: model.weightBytesPerToken,
        state_bytes: model.stateBytes,
        token_modulus: TOKEN_MODULUS,
      },
      text: { end_ids: [...endIds(model)], begin_id: promptIds(model, "")[0]! },
      sampler: DEFAULT_SAMPLER,
      device: deviceOf(header, board),
      selftest: selftestOf(model),
      calls,
    };
  } finally {
    model.close();
  }
}

function deviceOf(header: ModelHeader, name: keyof typeof BOARDS): BoardSetup["device"] {
  const board = BOARDS[name];
  // Of no account for bytes
  const build = { stateLanes: 1, prefetch: board.build.prefetch };
  const ports = Array.from({ length: Math.max(LEAST_PORTS, board.ports.length) }, (_, i) => {
    // A build with fewer ports has the state with port 0
    const statePorts = i < board.build.state_ports ? 0 : board.build.state_ports;
    const { inProj, others, memories } = portPlan(header, board, i + 1, statePorts);
    const used = { ...board, ...withPorts(board, i + 1) };
    const bound = boundCycles(header, { board: used, build: { ...build, statePorts }, partition: "fused", serial: [] });
    return { in_proj: inProj, others, memories, bound_cycles: bound };
  });
  return { board: name, clock_mhz: board.clock_mhz, ports, limits: [...LIMITS], units: UNIT_NAMES };
}

function selftestOf(model: Model): BoardSetup["selftest"] {
  const session = model.session({ temperature: 0 });
  const prompt = promptIds(model, SELFTEST.prompt);
  session.prefill(prompt);
  const ids = Buffer.alloc(4 * SELFTEST.tokens);
  for (let i = 0; i < SELFTEST.tokens; i++) {
    const id = session.sample();
    ids.writeInt32LE(id, 4 * i);
    session.feed(id);
  }
  return { prompt, tokens: SELFTEST.tokens, sha256: createHash("sha256").update(ids).digest("hex") };
}

export function checksum(path: string): FileSum {
  const file = InputFile.open(path);
  file.close();
  return { bytes: file.size, sha256: fileSha256(path) };
}

/** What was copied is what was described, whoever changed the model meanwhile. */
function checkCopies(dir: string, { files }: BoardSetup): void {
  for (const [name, want] of Object.entries(files)) {
    const found = checksum(join(dir, name));
    if (found.sha256 === want.sha256) continue;
    const detail = { file: join(dir, name), expected: `sha256 ${want.sha256}`, found: found.sha256 };
    throw new LightMambaError("verification", "the file changed while it was copied", detail);
  }
}
