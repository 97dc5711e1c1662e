/** Holds text back while it may still turn out to be the beginning of a stop text. */
export class StopFilter {
  readonly #stops: readonly string[];
  #held = "";
  #stopped = false;

  constructor(stops: readonly string[]) {
    this.#stops = stops.filter((stop) => stop !== "");
  }

  /** A stop text was found; the text before it has been given out. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** Takes text, returns what is certain to come before any stop text. */
  push(text: string): string {
    if (this.#stopped) return "";
    const all = this.#held + text;
    const end = this.#firstEnd(all);
    if (end !== undefined) {
      this.#stopped = true;
      this.#held = "";
      return all.slice(0, end);
    }
    const keep = this.#longestBeginning(all);
    this.#held = all.slice(all.length - keep);
    return all.slice(0, all.length - keep);
  }

  /** What is still held back, at the end of the text. */
  flush(): string {
    const rest = this.#held;
    this.#held = "";
    return rest;
  }

  /** Where the text ends: at the start of the stop text that is complete first, however the text comes in pieces. */
  #firstEnd(text: string): number | undefined {
    const found = this.#stops
      .map((stop) => ({ start: text.indexOf(stop), length: stop.length }))
      .filter(({ start }) => start >= 0)
      .sort((a, b) => a.start + a.length - (b.start + b.length) || a.start - b.start);
    return found[0]?.start;
  }

  /** Length of the longest end of `text` with which some stop text begins. */
  #longestBeginning(text: string): number {
    let longest = 0;
    for (const stop of this.#stops) {
      for (let n = Math.min(stop.length - 1, text.length); n > longest; n--) {
        if (text.endsWith(stop.slice(0, n))) longest = n;
      }
    }
    return longest;
  }
}
