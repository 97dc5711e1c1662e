/** Tables for a terminal. */

export interface Column<Row> {
  title: string;
  /** Nothing where a row has no such value; a column with nothing in any row is left out. */
  cell(row: Row): string | undefined;
  left?: true;
}

export function formatTable<Row>(rows: readonly Row[], all: readonly Column<Row>[]): string {
  const columns = all.filter(({ cell }) => rows.some((row) => cell(row) !== undefined));
  const cells = rows.map((row) => columns.map(({ cell }) => cell(row) ?? "-"));
  const widths = columns.map(({ title }, i) => Math.max(title.length, ...cells.map((line) => line[i]!.length)));
  const line = (texts: string[]) =>
    texts
      .map((text, i) => (columns[i]!.left ? text.padEnd(widths[i]!) : text.padStart(widths[i]!)))
      .join("  ")
      .trimEnd();
  return [columns.map(({ title }) => title), ...cells].map(line).join("\n");
}
