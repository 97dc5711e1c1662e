/** From readings of power to the energy of some spans of time: docs/power.md. The board's program computes the same (firmware/runner/runner/src/power/integrate.rs). */

/** When, in seconds of one clock, and microwatts; undefined: the monitor said nothing that could be. */
export type Reading = readonly [second: number, microwatts: number | undefined];
export type Span = readonly [begin: number, end: number];

export interface RailEnergy {
  rail: string;
  chip: string;
  /** Mean of the spans; null where the rail is left out of the sum, for the reason in `note`. */
  watts: number | null;
  joules: number | null;
  /** During the spans, and of these such as were refused. */
  readings: number;
  refused: number;
  note?: string;
}

/** A monitor that has said nothing for so long at the end is gone. */
const GONE_SECONDS = 1;
/** Of the readings during the spans so many must have been possible. */
const LEAST_GOOD = 0.5;

export function railEnergy(
  rail: string,
  chip: string,
  readings: readonly Reading[],
  spans: readonly Span[],
): RailEnergy {
  const inside = readings.filter(([second]) => spans.some(([begin, end]) => begin <= second && second <= end));
  const refused = inside.filter(([, microwatts]) => microwatts === undefined).length;
  const good = readings.filter((reading): reading is readonly [number, number] => reading[1] !== undefined);
  const counted = { rail, chip, readings: inside.length, refused };
  const note = faultOf(good, counted, spans);
  if (note !== undefined) return { ...counted, watts: null, joules: null, note };
  const joules = spans.reduce((sum, span) => sum + integral(good, span), 0) / 1e6;
  return { ...counted, watts: joules / lengthOf(spans), joules };
}

/** Why a rail cannot be counted. */
function faultOf(
  good: readonly (readonly [number, number])[],
  { readings, refused }: { readings: number; refused: number },
  spans: readonly Span[],
): string | undefined {
  const last = good.at(-1)?.[0];
  if (last === undefined) return "said nothing from 0 to 1000 W";
  const missing = spans.at(-1)![1] - last;
  if (missing > GONE_SECONDS) return `gone ${missing.toFixed(1)} s before the end`;
  if (readings > 0 && readings - refused < LEAST_GOOD * readings)
    return `${refused} of ${readings} readings were not from 0 to 1000 W`;
  return undefined;
}

export function lengthOf(spans: readonly Span[]): number {
  return spans.reduce((sum, [begin, end]) => sum + end - begin, 0);
}

/** Of straight lines between readings; before the first one and after the last one as these. In microjoules. */
function integral(readings: readonly (readonly [second: number, microwatts: number])[], [begin, end]: Span): number {
  const at = (second: number) => {
    const after = readings.findIndex(([time]) => time >= second);
    if (after <= 0) return readings.at(after)![1];
    const [[t0, p0], [t1, p1]] = [readings[after - 1]!, readings[after]!];
    return p0 + ((p1 - p0) * (second - t0)) / (t1 - t0);
  };
  const inner = readings.filter(([second]) => begin < second && second < end);
  const points = [[begin, at(begin)] as const, ...inner, [end, at(end)] as const];
  return points.slice(1).reduce((sum, [time, power], i) => {
    const [before, powerBefore] = points[i]!;
    return sum + ((power + powerBefore) / 2) * (time - before);
  }, 0);
}
