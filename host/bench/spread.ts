/** Repeated measurements in three numbers. */

export interface Spread {
  median: number;
  low: number;
  high: number;
}

/** Of one value or more; the lower of the middle two where their number is even. */
export function spread(values: readonly number[]): Spread {
  const ordered = values.toSorted((a, b) => a - b);
  return { median: ordered[(ordered.length - 1) >> 1]!, low: ordered[0]!, high: ordered.at(-1)! };
}

export function scaled({ median, low, high }: Spread, factor: number): Spread {
  return { median: median * factor, low: low * factor, high: high * factor };
}

/** As in "452 (440-460)". */
export function showSpread({ median, low, high }: Spread, digits = 0): string {
  return `${median.toFixed(digits)} (${low.toFixed(digits)}-${high.toFixed(digits)})`;
}
