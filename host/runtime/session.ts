/** A conversation: recurrent state and sampler, both of constant size; saving, restoring and forking are copies. */
import { createHash } from "node:crypto";
import { TOKEN_MODULUS } from "../../assembly/contract.ts";
import { SafetensorsFile, writeSafetensors } from "../checkpoint/safetensors.ts";
import { badInput, LightMambaError } from "../errors.ts";
import type { Engine } from "./engine.ts";
import { allocate } from "./load.ts";

export interface SamplerOptions {
  /** 0: always the likeliest token. */
  temperature?: number;
  /** 0: all. */
  topK?: number;
  topP?: number;
  minP?: number;
  repetitionPenalty?: number;
  presencePenalty?: number;
  frequencyPenalty?: number;
  /** Same seed, same tokens on every machine. Default 0. */
  seed?: number;
}

/** In the order of the runtime's setSampler. */
export const DEFAULT_SAMPLER: Required<Omit<SamplerOptions, "seed">> = {
  temperature: 0.8,
  topK: 0,
  topP: 0.95,
  minP: 0,
  repetitionPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
};

/** What a session needs of its model. */
export interface SessionOwner {
  engine: Engine;
  /** Ids from here on are padding and never drawn. */
  vocabUsed: number;
  vocabSize: number;
  layers: number;
  /** Identifies the model a saved state belongs to. */
  modelId: string;
  /** Memory of closed sessions, for the next ones: WebAssembly memory is never given back. */
  free: SessionMemory[];
}

export interface SessionMemory {
  state: number;
  sampler: number;
}

const STATE_FORMAT = "lightmamba-state";
const STATE_VERSION = "1";

export class Session {
  readonly #owner: SessionOwner;
  readonly #memory: SessionMemory;
  #open = true;

  constructor(owner: SessionOwner, options: SamplerOptions = {}) {
    this.#owner = owner;
    const { exports } = owner.engine;
    checkSeed(options.seed ?? 0);
    this.#memory = owner.free.pop() ?? {
      state: allocate(owner.engine, exports.stateBytes(), "the state"),
      sampler: allocate(owner.engine, exports.samplerBytes(), "the sampler"),
    };
    exports.resetState(this.#state);
    this.#samplerView().fill(0);
    this.setSampler(options);
    this.seed(options.seed ?? 0);
  }

  get #owned(): SessionMemory {
    if (this.#open) return this.#memory;
    throw new LightMambaError("usage", "the session is closed");
  }

  get #state(): number {
    return this.#owned.state;
  }

  get #sampler(): number {
    return this.#owned.sampler;
  }

  /** Gives the session's memory to the next one. A program that opens many sessions must close them. */
  close(): void {
    if (this.#open) this.#owner.free.push(this.#memory);
    this.#open = false;
  }

  /** Tokens consumed since the state was empty. */
  get tokens(): number {
    return new Uint32Array(this.#owner.engine.memory.buffer, this.#state, 1)[0]!;
  }

  /** Changes the sampler's rules; what it has seen and its random numbers go on. */
  setSampler(options: SamplerOptions): void {
    const rule = (name: keyof typeof DEFAULT_SAMPLER) => options[name] ?? DEFAULT_SAMPLER[name];
    this.#owner.engine.exports.setSampler(
      this.#sampler,
      rule("temperature"),
      rule("topK"),
      rule("topP"),
      rule("minP"),
      rule("repetitionPenalty"),
      rule("presencePenalty"),
      rule("frequencyPenalty"),
      this.#owner.vocabUsed,
    );
  }

  seed(seed: number): void {
    checkSeed(seed);
    this.#owner.engine.exports.seedSampler(this.#sampler, BigInt(seed));
  }

  /** Consumes one token; afterwards logits and sample speak of the next. Where a device fails, the session is what it was before. */
  feed(token: number): void {
    const { exports } = this.#owner.engine;
    this.#checkToken(token);
    exports.forward(this.#state, token);
    exports.observe(this.#sampler, token);
  }

  /** Consumes many tokens, several for each pass over the weights: the same state and logits as feeding them one by one. */
  prefill(tokens: ArrayLike<number>): void {
    const { exports, memory } = this.#owner.engine;
    for (let i = 0; i < tokens.length; i++) this.#checkToken(tokens[i]!);
    const most = exports.passTokens();
    for (let from = 0; from < tokens.length; from += most) {
      const count = Math.min(most, tokens.length - from);
      const ids = new Int32Array(memory.buffer, exports.tokensAt(), count);
      for (let i = 0; i < count; i++) ids[i] = tokens[from + i]!;
      const before = this.tokens;
      try {
        exports.forwardAll(this.#state, count, Number(from + count === tokens.length));
      } finally {
        // A device that fails has consumed some of them.
        const consumed = (this.tokens - before + TOKEN_MODULUS) % TOKEN_MODULUS;
        for (let i = 0; i < consumed; i++) exports.observe(this.#sampler, tokens[from + i]!);
      }
    }
  }

  #checkToken(token: number): void {
    const { vocabSize } = this.#owner;
    if (Number.isInteger(token) && token >= 0 && token < vocabSize) return;
    throw badInput("token id outside the vocabulary", { expected: `0 to ${vocabSize - 1}`, found: token });
  }

  /** Like feed in WebAssembly, stopping after each stage: `see(index)` with -1 after the embedding, then after each layer. */
  feedByLayer(token: number, see: (index: number) => void): void {
    const { engine, layers } = this.#owner;
    const { exports } = engine;
    this.#checkToken(token);
    exports.settle(this.#state);
    exports.embed(token);
    see(-1);
    for (let i = 0; i < layers; i++) {
      exports.layer(this.#state, i);
      see(i);
    }
    exports.head();
    exports.advance(this.#state);
    exports.observe(this.#sampler, token);
  }

  /** Draws the next token from the logits of the token fed last, whichever session fed it. */
  sample(): number {
    const { exports } = this.#owner.engine;
    return exports.sample(this.#sampler, exports.logitsAt());
  }

  /** A copy of the recurrent state. */
  state(): Uint8Array {
    return this.#stateView().slice();
  }

  /** An independent session that goes on from here. */
  fork(): Session {
    const [state, sampler] = [this.#stateView(), this.#samplerView()].map((view) => view.slice()) as [
      Uint8Array,
      Uint8Array,
    ];
    const copy = new Session(this.#owner);
    copy.#stateView().set(state);
    copy.#samplerView().set(sampler);
    return copy;
  }

  /** Writes the whole conversation, sampler included, so that it goes on with the same tokens. */
  save(path: string, pending: number | undefined): void {
    const lastToken = String(pending ?? "");
    const parts = { state: this.#stateView(), sampler: this.#samplerMemory() };
    writeSafetensors(
      path,
      Object.entries(parts).map(([name, data]) => ({ name, dtype: "U8", shape: [data.length], data })),
      {
        metadata: {
          format: STATE_FORMAT,
          version: STATE_VERSION,
          model: this.#owner.modelId,
          last_token: lastToken,
          sha256: checksum(parts.state, parts.sampler, lastToken),
        },
      },
    );
  }

  /** Replaces state and sampler by saved ones; returns the token that was sampled but not yet fed, if any. */
  restore(path: string): number | undefined {
    const file = SafetensorsFile.open(path);
    try {
      const { metadata } = file;
      const expect = (field: string, expected: string) => {
        if (metadata[field] === expected) return;
        const found = metadata[field] ?? "nothing";
        throw badInput("not a state of this model", { file: path, field, expected, found });
      };
      expect("format", STATE_FORMAT);
      expect("version", STATE_VERSION);
      expect("model", this.#owner.modelId);
      const state = readPart(file, path, "state", this.#stateView().length);
      const sampler = readPart(file, path, "sampler", this.#samplerMemory().length);
      if (metadata.sha256 !== checksum(state, sampler, metadata.last_token ?? "")) {
        throw new LightMambaError("verification", "the checksum does not hold: the file is damaged", { file: path });
      }
      const last = this.#lastToken(metadata.last_token ?? "", path);
      const before = this.state();
      this.#stateView().set(state);
      if (this.#owner.engine.exports.checkState(this.#state) === 0) {
        this.#stateView().set(before);
        throw badInput("holds values that no model produces", { file: path, field: "state" });
      }
      this.#samplerMemory().set(sampler);
      return last;
    } finally {
      file.close();
    }
  }

  #lastToken(text: string, path: string): number | undefined {
    if (text === "") return undefined;
    const token = /^[0-9]+$/.test(text) ? Number(text) : Number.NaN;
    if (token < this.#owner.vocabSize) return token;
    throw badInput("not a token id", { file: path, field: "last_token", expected: `below ${this.#owner.vocabSize}` });
  }

  /** The state as it is now, wherever it was; a view until a token is fed. */
  #stateView(): Uint8Array {
    this.#owner.engine.exports.settle(this.#state);
    return this.#view(this.#state, this.#owner.engine.exports.stateBytes());
  }

  #samplerView(): Uint8Array {
    return this.#view(this.#sampler, this.#owner.engine.exports.samplerBytes());
  }

  /** The part of the sampler that is saved: random numbers and counts, not the rules. */
  #samplerMemory(): Uint8Array {
    return this.#samplerView().subarray(this.#owner.engine.exports.samplerMemory());
  }

  #view(pointer: number, bytes: number): Uint8Array {
    return new Uint8Array(this.#owner.engine.memory.buffer, pointer, bytes);
  }
}

function checkSeed(seed: number): void {
  if (!Number.isSafeInteger(seed)) throw new LightMambaError("usage", "a seed is a whole number", { found: seed });
}

function readPart(file: SafetensorsFile, path: string, name: string, length: number): Uint8Array {
  const bytes = file.readBytes(name);
  if (bytes.length === length) return bytes;
  const sizes = { expected: `${length} bytes`, found: `${bytes.length}` };
  throw badInput("another size than this model's", { file: path, field: name, ...sizes });
}

function checksum(...parts: (Uint8Array | string)[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
}
