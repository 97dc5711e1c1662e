/** A number and how it is known. */

/** From what others say to what a clock or a count has said. */
export const KINDS = {
  published: "by the authors of LightMamba, or by others; not checked here",
  bound: "the least that bytes and rates allow: computed",
  estimated: "by the model of units and memory in host/estimate",
  synthesized: "by yosys, not placed and routed",
  simulated: "by the accelerator's RTL in Verilator, with a model of the board's memory",
  measured: "on a real machine; of the accelerator there is nothing of this kind",
} as const;

export type Kind = keyof typeof KINDS;

export interface Quantity {
  value: number;
  /** Where it lies with all banded figures against us, and for us. */
  band?: readonly [low: number, high: number];
  kind: Kind;
  /** A command, a file, a publication. */
  source: string;
}

/** As many digits as say something. */
export function formatNumber(value: number): string {
  if (value === 0 || Math.abs(value) >= 1000) return Math.round(value).toLocaleString("en-US");
  if (Number.isInteger(value)) return String(value);
  if (Math.abs(value) < 0.001) return value.toPrecision(2);
  return value.toFixed(Math.min(4, Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))))));
}

export function formatQuantity({ value, band }: Quantity): string {
  const range = band === undefined ? "" : ` (${band.map(formatNumber).join("–")})`;
  return `${formatNumber(value)}${range}`;
}

export const plural = (count: number, word: string) => `${count} ${word}${count === 1 ? "" : "s"}`;
