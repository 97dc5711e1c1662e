/** Something in the scripts that does not fit. */
export interface Problem {
  /** File that it is in; the check of a file leaves it to who reports. */
  file?: string;
  what: string;
  expected?: string | number | undefined;
  found?: string | number | undefined;
}

export function describe({ file, what, expected, found }: Problem): string {
  const pair =
    expected === undefined
      ? found === undefined
        ? ""
        : ` (found ${found})`
      : ` (expected ${expected}, found ${found ?? "nothing"})`;
  return `${file === undefined ? "" : `${file}: `}${what}${pair}`;
}

/** A problem, unless both are the same. */
export function differs(
  what: string,
  expected: string | number | undefined,
  found: string | number | undefined,
): Problem[] {
  return String(expected) === String(found) ? [] : [{ what, expected, found }];
}
