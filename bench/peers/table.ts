/** Rows of the comparison and how they are shown. A new measurement is a new column here, and a field of the row. */

export interface Row {
  engine: "llama.cpp" | "lightmamba";
  name: string;
  /** Widths: of weights and their scales, of activations, of the head. */
  about: string;
  fileBytes: number;
  /** Of weights, read for each token. */
  bytesPerToken: number;
  perplexity: number;
  /** To the FP32 checkpoint, nats a token. */
  kl: number;
  top1Agreement: number;
  /** Tokens a second by number of threads; only where it was measured. */
  decode?: Record<number, Speed>;
}

export interface Speed {
  median: number;
  low: number;
  high: number;
}

interface Column {
  title: string;
  /** Nothing where a row was not measured; a column with nothing in any row is left out. */
  cell(row: Row): string | undefined;
  left?: true;
}

const COLUMNS: Column[] = [
  { title: "engine", cell: (row) => row.engine, left: true },
  { title: "model", cell: (row) => row.name, left: true },
  { title: "file MB", cell: (row) => megabytes(row.fileBytes) },
  { title: "MB/token", cell: (row) => megabytes(row.bytesPerToken) },
  { title: "perplexity", cell: (row) => row.perplexity.toFixed(3) },
  { title: "KL", cell: (row) => small(row.kl) },
  { title: "top-1 %", cell: (row) => (100 * row.top1Agreement).toFixed(1) },
  decodeColumn(1),
  decodeColumn(2),
  { title: "weights", cell: (row) => row.about, left: true },
];

function decodeColumn(threads: number): Column {
  return {
    title: `decode tok/s, ${threads} thread${threads > 1 ? "s" : ""}`,
    cell: ({ decode }) => {
      const speed = decode?.[threads];
      return speed && `${speed.median.toFixed(0)} (${speed.low.toFixed(0)}-${speed.high.toFixed(0)})`;
    },
  };
}

/** Best first. */
export function sorted(rows: readonly Row[]): Row[] {
  return rows.toSorted((a, b) => a.kl - b.kl);
}

export function formatTable(rows: readonly Row[]): string {
  const columns = COLUMNS.filter(({ cell }) => rows.some((row) => cell(row) !== undefined));
  const cells = rows.map((row) => columns.map(({ cell }) => cell(row) ?? "-"));
  const widths = columns.map(({ title }, i) => Math.max(title.length, ...cells.map((line) => line[i]!.length)));
  const line = (texts: string[]) =>
    texts
      .map((text, i) => (columns[i]!.left ? text.padEnd(widths[i]!) : text.padStart(widths[i]!)))
      .join("  ")
      .trimEnd();
  return [columns.map(({ title }) => title), ...cells].map(line).join("\n");
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(2);
}

/** Two figures, written out: from a few hundredths down to what FP16 leaves. */
function small(value: number): string {
  if (Math.abs(value) < 1e-7) return value.toExponential(1);
  return value.toFixed(Math.max(4, 1 - Math.floor(Math.log10(Math.abs(value)))));
}
