/** The rules that systems with loadable logic set for it: boards/overlay.md. Held against what is generated, without any tool. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { BOARDS } from "../../host/device/boards.generated.ts";
import { designOf } from "../../host/tools/vivado/design.ts";
import { filesOf } from "../../host/tools/vivado/files.ts";

const MOST_MHZ = 333;
const folder = mkdtempSync(join(tmpdir(), "lightmamba-overlay-"));
after(() => rmSync(folder, { recursive: true }));

describe("an overlay for the VCK190", () => {
  const files = filesOf(designOf("vck190"), folder);
  const project = files["project.tcl"]!;

  it("is slow enough, with one interrupt, and apart from the boot image", () => {
    assert.ok(BOARDS.vck190.clock_mhz <= MOST_MHZ, `${BOARDS.vck190.clock_mhz} MHz`);
    assert.equal([...project.matchAll(/connect_bd_net .*\/pl_ps_irq\d/g)].length, 1);
    assert.match(project, /^set_property segmented_configuration true \[current_project\]$/m);
  });

  it("says who it is: identity words that a driver reads first", () => {
    const words = readFileSync(join(import.meta.dirname, "../../firmware/rtl/lm_top.sv"), "utf8");
    for (const name of ["LM_REG_ID", "LM_REG_VERSION", "LM_REG_CONTRACT"])
      assert.match(words, new RegExp(`device_words\\[8\\*${name} `));
  });
});
