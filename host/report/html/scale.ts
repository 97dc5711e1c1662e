/** From values to places, and where the marks of an axis stand. */

export interface Scale {
  (value: number): number;
  readonly ticks: readonly number[];
}

type Interval = readonly [from: number, to: number];

/** From 0, or from `low`, to a round number not below `high`. */
export function linearScale([low, high]: Interval, [from, to]: Interval, count = 5): Scale {
  const step = roundStep((high - low) / count);
  const first = Math.floor(low / step + 1e-9);
  const last = Math.ceil(high / step - 1e-9);
  const [least, most] = [first * step, last * step];
  const ticks = Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
  return Object.assign((value: number) => from + ((value - least) / (most - least)) * (to - from), { ticks });
}

/** 1, 2 or 5 times a power of ten, not below `step`. */
function roundStep(step: number): number {
  const power = 10 ** Math.floor(Math.log10(step));
  const digit = [1, 2, 5, 10].find((one) => one * power >= step * (1 - 1e-9))!;
  return digit * power;
}

/** Between the next of 1, 2 and 5 times a power of ten outside; marks at those within. */
export function logScale([low, high]: Interval, [from, to]: Interval): Scale {
  const round = Array.from({ length: 24 }, (_, i) => i - 12).flatMap((power) =>
    [1, 2, 5].map((digit) => Number(`${digit}e${power}`)),
  );
  const first = round.findLastIndex((value) => value <= low);
  const last = round.findIndex((value) => value >= high);
  const [least, most] = [Math.log(round[first]!), Math.log(round[Math.max(last, first + 1)]!)];
  const place = (value: number) => from + ((Math.log(value) - least) / (most - least)) * (to - from);
  return Object.assign(place, { ticks: round.slice(first, Math.max(last, first + 1) + 1) });
}
