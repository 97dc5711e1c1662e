/** Tables for a terminal, and numbers in their cells. */

export const whole = (value: number) => Math.round(value).toLocaleString("en-US");
export const percent = (share: number) => `${(100 * share).toFixed(1)} %`;

export interface Column<Row> {
  title: string;
  /** Nothing where a row has no such value; a column with nothing in any row is left out. */
  cell(row: Row): string | undefined;
  left?: true;
}

/** Cells of rows, for whatever shows them. */
export interface Grid {
  titles: string[];
  /** Of each column. */
  left: boolean[];
  cells: string[][];
}

export function gridOf<Row>(rows: readonly Row[], all: readonly Column<Row>[], none: string): Grid {
  const columns = all.filter(({ cell }) => rows.some((row) => cell(row) !== undefined));
  return {
    titles: columns.map(({ title }) => title),
    left: columns.map(({ left }) => left === true),
    cells: rows.map((row) => columns.map(({ cell }) => cell(row) ?? none)),
  };
}

export function formatTable<Row>(rows: readonly Row[], columns: readonly Column<Row>[]): string {
  return formatGrid(gridOf(rows, columns, "-"));
}

export function formatGrid({ titles, left, cells }: Grid): string {
  const widths = titles.map((title, i) => Math.max(title.length, ...cells.map((line) => line[i]!.length)));
  const line = (texts: string[]) =>
    texts
      .map((text, i) => (left[i] ? text.padEnd(widths[i]!) : text.padStart(widths[i]!)))
      .join("  ")
      .trimEnd();
  return [titles, ...cells].map(line).join("\n");
}
