import { setImmediate } from "node:timers/promises";
import { type Command, Option } from "commander";
import { BOARDS } from "../../device/boards.generated.ts";
import { type BoardName, Device } from "../../device/index.ts";
import { LightMambaError } from "../../errors.ts";
import { type GeneratedToken, type GenerationSummary, generate, promptIds } from "../../generate.ts";
import { readModelHeader } from "../../model/description.ts";
import { EMBEDDED_MODEL, modelDir } from "../../package.ts";
import { checkThreads, type Partition } from "../../runtime/accelerator.ts";
import { VARIANTS, type Variant } from "../../runtime/engine.ts";
import { type LoadOptions, Model } from "../../runtime/model.ts";
import type { Session } from "../../runtime/session.ts";
import { MOST_THREADS } from "../../runtime/threads.ts";
import { BOARD_NAMES } from "../build-options.ts";
import { defineCommand } from "../command.ts";
import { addBoardOptions, type BoardOptions, buildFor, openNamedBoard } from "../device.ts";
import { textInput } from "../input.ts";
import { onInterrupt } from "../interrupt.ts";
import { collect, decimal, integer, oneOf, SIMD_HELP } from "../options.ts";
import type { Output } from "../output.ts";

/** What `npm start` goes on from. */
const DEFAULT_PROMPT = "Once upon a time";

/** Options of `run` as commander hands them over. */
export interface RunOptions extends BoardOptions {
  model: string;
  promptFile?: string;
  tokens: number;
  seed?: number;
  temperature: number;
  topK: number;
  topP: number;
  minP: number;
  repetitionPenalty: number;
  presencePenalty: number;
  frequencyPenalty: number;
  greedy?: boolean;
  stop?: string[];
  device: "wasm" | "rtl" | "board";
  partition?: Partition;
  ports?: number;
  board?: BoardName;
  threads?: number;
  simd?: Variant;
  saveState?: string;
  loadState?: string;
}

export function define(output: Output): Command {
  const command = defineCommand("run", "Generate text with a quantized model.", [
    ["write a story with the embedded model", 'run "Once upon a time"'],
    ["the same story again, on any machine", 'run "Once upon a time" --seed 3 --tokens 100'],
    ["the likeliest continuation of a file", "run --prompt-file letter.txt --greedy --model my-model-w4a4"],
    ["go on where an earlier run ended", "run --load-state story.state --save-state story.state"],
    ["for programs: one JSON object a token, then a summary", 'run "Hello" --json'],
    ["the same text from the accelerator's RTL in simulation, slowly", 'run "Once" -n 4 --seed 3 --device rtl'],
  ])
    .argument("[prompt]", "text to continue; - reads standard input")
    .option("-m, --model <dir>", "model directory", EMBEDDED_MODEL)
    .option("--prompt-file <file>", "read the prompt from a file")
    .option("-n, --tokens <count>", "how many tokens to generate at most", integer({ min: 0, max: 1 << 24 }), 256)
    .option(
      "--seed <number>",
      "seed of the sampler; the same seed gives the same text",
      integer({ min: 0, max: 0xffff_ffff }),
    )
    .option("--temperature <number>", "0 is greedy; higher is wilder", decimal({ min: 0, max: 100 }), 0.8)
    .option("--top-k <count>", "sample from the k likeliest tokens; 0 = all", integer({ min: 0, max: 1 << 24 }), 0)
    .option(
      "--top-p <number>",
      "sample from the likeliest tokens that make up p",
      decimal({ min: 0, above: true, max: 1 }),
      0.95,
    )
    .option("--min-p <number>", "drop tokens less likely than p times the likeliest", decimal({ min: 0, max: 1 }), 0)
    .option(
      "--repetition-penalty <number>",
      "divide the logits of seen tokens; 1 = off",
      decimal({ min: 0, above: true, max: 10 }),
      1,
    )
    .option(
      "--presence-penalty <number>",
      "subtract from the logits of seen tokens; 0 = off",
      decimal({ min: -10, max: 10 }),
      0,
    )
    .option(
      "--frequency-penalty <number>",
      "the same for each time it was seen; 0 = off",
      decimal({ min: -10, max: 10 }),
      0,
    )
    .addOption(new Option("--greedy", "always take the likeliest token").conflicts(["seed"]))
    .option("--stop <text...>", "end when the model has written one of these texts", collect)
    .option(
      "--device <name>",
      "where to compute: wasm, rtl, the simulated accelerator, or board, one that is there",
      oneOf(["wasm", "rtl", "board"]),
      "wasm",
    )
    .option(
      "--partition <name>",
      "with a device: fused, all of a token on it, or split, its matrices and SSM alone (default: fused)",
      oneOf(["fused", "split"]),
    )
    .option(
      "--ports <count>",
      "with --device rtl: memory ports that stream weights, 1 or 4 (default: 1)",
      oneOf([1, 4]),
    )
    .option(
      "--board <name>",
      `with a device: whose memories, and in simulation whose clock and timing: ${BOARD_NAMES.join(", ")} (default: sim)`,
      oneOf(BOARD_NAMES),
    )
    .option(
      "--threads <count>",
      "threads to compute with; the text is the same (default: all cores, 1 for a small model)",
      integer({ min: 1, max: MOST_THREADS }),
    )
    .option("--simd <name>", SIMD_HELP, oneOf(VARIANTS))
    .option("--save-state <file>", "write the model's state after the last token")
    .option("--load-state <file>", "go on from a saved state");
  return addBoardOptions(command).action((prompt: string | undefined, options: RunOptions) =>
    run(prompt, options, output),
  );
}

async function run(argument: string | undefined, options: RunOptions, output: Output): Promise<void> {
  const text = await textInput(argument, options.promptFile);
  const dir = modelDir(options.model);
  const loadOptions = await optionsOfModel(dir, options, output);
  const board = loadOptions.device instanceof Device ? loadOptions.device : undefined;
  try {
    const model = Model.load(dir, loadOptions);
    const release = onInterrupt(() => model.close());
    try {
      await generateText(model, text, options, output);
    } finally {
      release();
      model.close();
    }
  } finally {
    board?.memory.close();
  }
}

/** Options that only some devices have. */
const ABOUT: Record<string, readonly RunOptions["device"][]> = {
  partition: ["rtl", "board"],
  ports: ["rtl"],
  board: ["rtl", "board"],
  uio: ["board"],
  memory: ["board"],
};

/** What the device needs is built once the rest is known to be right. */
async function optionsOfModel(dir: string, options: RunOptions, output: Output): Promise<LoadOptions> {
  const { threads, simd, device, partition, ports, board } = options;
  for (const [name, devices] of Object.entries(ABOUT)) {
    if (options[name as keyof RunOptions] === undefined || devices.includes(device)) continue;
    const hint = `add --device ${devices[0]}`;
    throw new LightMambaError("usage", `this is not about --device ${device}`, { field: `--${name}`, hint });
  }
  const chosen = {
    ...(threads === undefined ? {} : { threads }),
    ...(simd === undefined ? {} : { variant: simd }),
    ...(partition ? { partition } : {}),
    ...(board ? { board: BOARDS[board] } : {}),
  };
  if (device === "wasm") return chosen;
  checkThreads(threads);
  readModelHeader(dir);
  await buildFor(device, ports ?? 1, output);
  if (device === "board") return { ...chosen, device: openNamedBoard(options) };
  return { ...chosen, device, ...(ports ? { ports } : {}) };
}

async function generateText(
  model: Model,
  text: string | undefined,
  options: RunOptions,
  output: Output,
): Promise<void> {
  const session = model.session();
  const pending = options.loadState === undefined ? undefined : session.restore(options.loadState);
  session.setSampler(options.greedy === true ? { ...options, temperature: 0 } : options);
  const seed = chooseSeed(options);
  if (seed !== undefined) session.seed(seed);

  const prompt = promptFor(model, text, pending, options.loadState !== undefined);
  if (!output.json && prompt.shown !== "") output.data(prompt.shown);
  const cycles = new CycleCount(model, session);
  const summary = await stream(generate(model, session, prompt.ids, options), cycles, output);
  if (options.saveState !== undefined) session.save(options.saveState, summary.pending);
  finish(model, summary, cycles, seed, output);
}

/** Cycles of a device for each token that follows the first. */
class CycleCount {
  readonly #model: Model;
  readonly #session: Session;
  #first: { cycles: bigint; tokens: number } | undefined;

  constructor(model: Model, session: Session) {
    this.#model = model;
    this.#session = session;
  }

  #now(): { cycles: bigint; tokens: number } | undefined {
    const cycles = this.#model.accelerator?.device.busyCycles();
    return cycles === undefined ? undefined : { cycles, tokens: this.#session.tokens };
  }

  /** The first token is there, so the prompt has been read. */
  begin(): void {
    this.#first ??= this.#now();
  }

  /** Undefined without a device, and where no token was fed since the first. */
  perToken(): number | undefined {
    const [first, last] = [this.#first, this.#now()];
    if (first === undefined || last === undefined || last.tokens <= first.tokens) return undefined;
    return Number(last.cycles - first.cycles) / (last.tokens - first.tokens);
  }
}

/** A seed is drawn, and shown, where none is given; a restored conversation goes on with its own numbers. */
function chooseSeed({ seed, loadState }: RunOptions): number | undefined {
  return seed ?? (loadState === undefined ? Math.floor(Math.random() * 2 ** 32) : undefined);
}

/** The ids to feed and the text to show before the model's own. */
function promptFor(model: Model, text: string | undefined, pending: number | undefined, restored: boolean) {
  if (!restored) return { ids: promptIds(model, text ?? DEFAULT_PROMPT), shown: text ?? DEFAULT_PROMPT };
  const more = text === undefined ? [] : model.tokenizer.encode(text);
  return { ids: pending === undefined ? more : [pending, ...more], shown: text ?? "" };
}

interface Streamed extends GenerationSummary {
  /** Since the command was started. */
  timeToFirstToken: number;
}

/** Prints tokens as they come; Ctrl-C gets through between two of them. */
async function stream(
  tokens: Generator<GeneratedToken, GenerationSummary>,
  cycles: CycleCount,
  output: Output,
): Promise<Streamed> {
  const endLine = onInterrupt(() => output.json || output.data("\n"));
  let timeToFirstToken = 0;
  for (;;) {
    const step = tokens.next();
    cycles.begin();
    if (timeToFirstToken === 0) timeToFirstToken = performance.now() / 1000;
    if (step.done === true) {
      endLine();
      if (!output.json) output.data("\n");
      return { ...step.value, timeToFirstToken };
    }
    if (output.json) output.record(step.value);
    else output.data(step.value.text);
    await setImmediate();
  }
}

function finish(model: Model, summary: Streamed, cycles: CycleCount, seed: number | undefined, output: Output): void {
  const { tokens, tokensPerSecond, timeToFirstToken, finish } = summary;
  const { weightBytesPerToken, stateBytes, variant, threads, accelerator } = model;
  const device = deviceSummary(model, cycles.perToken());
  if (output.json) {
    const common = { weightBytesPerToken, stateBytes, device: "wasm", variant, threads };
    output.record({ summary: { ...summary, seed, ...common, ...device } });
    return;
  }
  const parts = [
    `${tokens} tokens`,
    `${tokensPerSecond.toFixed(accelerator === undefined ? 0 : 2)} tok/s`,
    `first token after ${timeToFirstToken.toFixed(2)} s`,
    `${(weightBytesPerToken / 1e6).toFixed(2)} MB of weights a token`,
    ...(threads > 1 ? [`${threads} threads`] : []),
    ...(seed === undefined ? [] : [`seed ${seed}`]),
    ...(finish === "length" ? [] : [`ended by ${finish}`]),
  ];
  output.note(output.style("dim", `[${parts.join(", ")}]`));
  if (device?.cyclesPerToken !== undefined) {
    const { partition, ports, cyclesPerToken, clockMhz, simulatedTokensPerSecond } = device;
    const what = `${partition}, ${ports} ${ports === 1 ? "port" : "ports"}: ${cyclesPerToken} cycles a token`;
    const speed = `${simulatedTokensPerSecond?.toFixed(0)} tok/s at ${clockMhz} MHz`;
    const text =
      clockMhz === undefined ? `board, ${what}` : `simulated RTL, ${what}, ${speed}; never measured on silicon`;
    output.note(output.style("dim", `[${text}]`));
  }
}

/** In the split partition these are the device's cycles alone: what the host computes between them takes none. */
function deviceSummary({ accelerator }: Model, cycles: number | undefined) {
  if (accelerator === undefined) return undefined;
  const { name, partition, device, clockMhz } = accelerator;
  const { ports } = device.build;
  return {
    ...{ device: name, partition, ports },
    ...(cycles === undefined ? {} : { cyclesPerToken: Math.round(cycles) }),
    ...(cycles === undefined || clockMhz === undefined
      ? {}
      : { clockMhz, simulatedTokensPerSecond: (clockMhz * 1e6) / cycles }),
  };
}
