/**
 * A reporter for `node --test`: one line a test file, everything about a failure, and the closing line
 * `N passed, N failed, N skipped`.
 *
 * LIGHTMAMBA_NO_SKIP=1 (CI) counts a skipped test as a failure and says which. LIGHTMAMBA_COUNTS=<file> writes the
 * counts there as JSON instead of printing the closing line: the caller adds other suites and prints it once.
 */
import { writeFileSync } from "node:fs";
import { relative } from "node:path";
import { inspect } from "node:util";

const noSkip = process.env.LIGHTMAMBA_NO_SKIP === "1";
const counts = { passed: 0, failed: 0, skipped: 0 };
/** Per file: its own counts, and what went wrong in it as text. */
const files = new Map();

function entry(file) {
  const key = file ?? "(no file)";
  if (!files.has(key)) files.set(key, { passed: 0, failed: 0, skipped: 0, trouble: [], path: [] });
  return files.get(key);
}

/** A test's name with those of the suites around it. Starts arrive outermost first, so the path is a stack. */
function fullName(own, { nesting, name }) {
  return [...own.path.slice(0, nesting), name].join(" > ");
}

function isGroup(data) {
  // A suite fails when a test in it does: only the test counts. A suite whose own hook failed counts itself.
  return data.details?.type === "suite" && data.details.error?.failureType !== "hookFailed";
}

function describe(error) {
  const cause = error?.cause ?? error;
  if (cause instanceof Error) return cause.stack ?? cause.message;
  return typeof cause === "string" ? cause : inspect(cause, { depth: 6 });
}

function indent(text) {
  return text.replaceAll(/^(?=.)/gm, "    ");
}

function add(own, kind, line) {
  own[kind]++;
  counts[kind]++;
  if (line !== undefined) own.trouble.push(line);
}

function passed(data) {
  const own = entry(data.file);
  // Of a suite that is skipped, its tests are never heard of: it counts once.
  if (isGroup(data) && (data.skip === undefined || data.skip === false)) return;
  const reason = data.skip ?? data.todo;
  if (reason === undefined || reason === false) return add(own, "passed");
  const why = typeof reason === "string" && reason !== "" ? `: ${reason}` : "";
  const line = `  skipped: ${fullName(own, data)}${why}`;
  if (noSkip) add(own, "failed", `${line} (a skip is a failure here: LIGHTMAMBA_NO_SKIP)`);
  else add(own, "skipped", line);
}

function failed(data) {
  const own = entry(data.file);
  if (isGroup(data)) return;
  // A test that only failed because its subtests did: they are counted already.
  if (data.details?.error?.failureType === "subtestsFailed") return;
  if (data.todo !== undefined && data.todo !== false && !noSkip)
    return add(own, "skipped", `  todo: ${fullName(own, data)}`);
  add(own, "failed", `  FAILED: ${fullName(own, data)}\n${indent(describe(data.details?.error))}`);
}

function fileLine(file, milliseconds) {
  const own = entry(file);
  const parts = [`${own.passed} passed`];
  if (own.failed > 0) parts.push(`${own.failed} failed`);
  if (own.skipped > 0) parts.push(`${own.skipped} skipped`);
  const name = file === undefined ? "(no file)" : relative(process.cwd(), file);
  return [`${name}: ${parts.join(", ")}, ${(milliseconds / 1000).toFixed(1)} s`, ...own.trouble, ""].join("\n");
}

function close() {
  if (counts.failed > 0) process.exitCode = 1;
  const target = process.env.LIGHTMAMBA_COUNTS;
  if (target === undefined) return `${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped\n`;
  writeFileSync(target, JSON.stringify(counts));
  return "";
}

export default async function* reporter(source) {
  const reported = new Set();
  for await (const { type, data } of source) {
    if (type === "test:start") {
      const { path } = entry(data.file);
      path.length = data.nesting;
      path[data.nesting] = data.name;
    } else if (type === "test:pass") passed(data);
    else if (type === "test:fail") failed(data);
    else if (type === "test:stderr" || type === "test:stdout") yield data.message;
    else if (type === "test:summary" && data.file !== undefined) {
      reported.add(data.file);
      yield fileLine(data.file, data.duration_ms);
    }
  }
  // A file that died before its summary still has to be heard of.
  for (const [file, own] of files) if (!reported.has(file) && own.failed > 0) yield fileLine(file, 0);
  yield close();
}
