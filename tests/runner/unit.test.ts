/** The tests in the sources of the board's program: parsers and formats that do not show from outside. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { build } from "../firmware.ts";
import { runnerFor } from "./support.ts";

it("hold", { skip: runnerFor("native").skip }, () => {
  const { stdout } = build("firmware/runner/build.mjs", "--target", "native", "--test");
  assert.ok(JSON.parse(stdout).passed > 0, stdout);
});
