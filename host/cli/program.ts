import { Command, CommanderError } from "commander";
import { packageVersion } from "../package.ts";
import type { Output } from "./output.ts";

/** A command's file exports this. It is loaded only when its command is chosen or its help is asked for. */
export interface CommandModule {
  define(output: Output): Command;
}

interface Entry {
  summary: string;
  load: () => Promise<CommandModule>;
}

/** In the order in which a newcomer meets them. */
export const COMMANDS: Record<string, Entry> = {
  run: { summary: "generate text with a quantized model", load: () => import("./commands/run.ts") },
  quantize: { summary: "turn a checkpoint into a 4-bit model directory", load: () => import("./commands/quantize.ts") },
  eval: { summary: "measure perplexity, and KL against the checkpoint", load: () => import("./commands/eval.ts") },
  bench: { summary: "measure the speed of a model or a shape", load: () => import("./commands/bench.ts") },
  estimate: { summary: "tell how fast a model would be on a board", load: () => import("./commands/estimate.ts") },
  explore: {
    summary: "estimate many configurations, show the best ones",
    load: () => import("./commands/explore.ts"),
  },
  report: { summary: "put all of that into one page", load: () => import("./commands/report.ts") },
  inspect: { summary: "show what is in a checkpoint or model directory", load: () => import("./commands/inspect.ts") },
  tokenize: { summary: "turn text into token ids, or ids into text", load: () => import("./commands/tokenize.ts") },
  trace: { summary: "record logits and hidden states for given token ids", load: () => import("./commands/trace.ts") },
  selftest: {
    summary: "check that a device computes what WebAssembly does",
    load: () => import("./commands/selftest.ts"),
  },
  image: { summary: "build, examine and boot SD card images", load: () => import("./commands/image.ts") },
  flash: { summary: "write an image to a card, without fear", load: () => import("./commands/flash.ts") },
  bundle: { summary: "make and check update bundles for a board", load: () => import("./commands/bundle.ts") },
  update: { summary: "bring a bundle onto a running board", load: () => import("./commands/update.ts") },
  doctor: { summary: "check this machine and this installation", load: () => import("./commands/doctor.ts") },
};

const EXAMPLES = `
Examples:
  # write a story with the embedded model
  lightmamba run "Once upon a time"

  # what this machine lacks, if anything
  lightmamba doctor`;

/** The settings that every command shares; commander does not pass them on to commands made elsewhere. */
function settle(command: Command): Command {
  return command
    .exitOverride()
    .configureOutput({ outputError: () => {} })
    .configureHelp({ showGlobalOptions: true })
    .showSuggestionAfterError(true);
}

function settleAll(command: Command): Command {
  for (const below of command.commands) settle(below);
  return settle(command);
}

/** The first word that is not an option names the command. Global options have no values, so nothing is skipped. */
export function chosenCommand(args: readonly string[]): string | undefined {
  const words = args.filter((arg) => !arg.startsWith("-"));
  return words[0] === "help" ? words[1] : words[0];
}

/** The command tree; of the commands, only the chosen one is loaded, the others are names with a summary. */
export async function buildProgram(output: Output, args: readonly string[]): Promise<Command> {
  const program = settle(new Command("lightmamba"))
    .description("Take a Mamba-2 checkpoint to 4 bits and generate tokens: the same bits on every device.")
    .version(packageVersion(), "-V, --version", "print the version")
    .option("--json", "write results as JSON on standard output")
    .option("-q, --quiet", "no progress and no remarks")
    .option("--no-color", "no colours (also: NO_COLOR=1)")
    .addHelpText("after", EXAMPLES);
  const chosen = chosenCommand(args);
  for (const [name, { summary, load }] of Object.entries(COMMANDS)) {
    const command = name === chosen ? settleAll((await load()).define(output)) : new Command(name);
    program.addCommand(command.summary(summary));
  }
  return program;
}

/** Parses and runs; throws what goes wrong. */
export async function execute(output: Output, args: readonly string[]): Promise<void> {
  // `help mistyped` would only print the general help; as a command it gets a suggestion.
  const topic = args[0] === "help" ? args[1] : undefined;
  if (topic !== undefined && !topic.startsWith("-") && !(topic in COMMANDS)) return execute(output, [topic]);
  const program = await buildProgram(output, args);
  if (args.length === 0) return program.outputHelp();
  if (chosenCommand(args) === undefined && !args.some((arg) => /^(--help|-h|--version|-V|help)$/.test(arg))) {
    // Options without a command. Parsing still finds the unknown ones; what is left is a missing command.
    program.action(() => {
      throw new CommanderError(2, "lightmamba.missingCommand", "error: no command given");
    });
  }
  await program.parseAsync([...args], { from: "user" });
}
