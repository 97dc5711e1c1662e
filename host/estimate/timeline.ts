/** When each command of a pass works: of the model, and for whoever has the RTL's completions in the same order. */
import type { Command, UnitName } from "./device.ts";
import { type Configuration, passOf, simulatePass } from "./estimate.ts";
import type { Shape } from "./workload.ts";

/** A command in cycles since the first one of its pass began. */
export interface Span {
  unit: UnitName;
  /** The matrix of a MULTIPLY, otherwise what the unit makes. */
  what: string;
  /** -1: of no layer. */
  layer: number;
  start: number;
  cycles: number;
  /** Of these, in which the command before was at work too: waiting for it, or along with it. */
  held: number;
}

export interface Pass {
  tokens: number;
  logits: boolean;
}

const MADE: { [unit in Exclude<UnitName, "mmu">]: string } = {
  ...{ ssmu: "SSM", htu: "Hadamard", nqu: "codes", embed: "embedding" },
};

/** What was measured of a command. */
export type Measured = Pick<Span, "start" | "cycles" | "held">;

export function modelledTimeline(shape: Shape, configuration: Configuration, pass: Pass): Span[] {
  const { done } = simulatePass(shape, configuration, pass);
  const inOrder = done.toSorted((a, b) => a.start - b.start);
  return inOrder.map((one) => spanOf(one.command, one, inOrder[0]!.start));
}

/** Measurements of a pass's commands, in the order in which they were given to the device. */
export function measuredTimeline(
  shape: Shape,
  configuration: Configuration,
  pass: Pass,
  measured: readonly (Measured & { unit: UnitName })[],
): Span[] {
  const commands = passOf(shape, configuration, pass).flat();
  const alike = commands.length === measured.length && commands.every(({ unit }, i) => unit === measured[i]!.unit);
  if (!alike) throw new Error("the device was given other commands than the model has");
  return commands.map((command, i) => spanOf(command, measured[i]!, measured[0]!.start));
}

function spanOf(command: Command, { start, cycles, held }: Measured, origin: number): Span {
  const what = command.unit === "mmu" ? command.matrix : MADE[command.unit];
  return { unit: command.unit, what, layer: command.layer, start: start - origin, cycles, held };
}

/** Of one layer, in cycles since its first command was left alone by the layer before, which it followed; and until its last one ends. */
export function layerOf(spans: readonly Span[], layer: number): { spans: Span[]; cycles: number } {
  const own = spans.filter((span) => span.layer === layer);
  const origin = own[0]!.start + own[0]!.held;
  const end = Math.max(...own.map(({ start, cycles }) => start + cycles));
  return { spans: own.map((span) => ({ ...span, start: span.start - origin })), cycles: end - origin };
}
