/** Options by which a model's widths and a board's build are chosen: of `estimate` and `report`. */
import type { Command } from "commander";
import { BOARDS } from "../device/boards.generated.ts";
import type { BoardName } from "../device/index.ts";
import { OVERLAPS } from "../runtime/accelerator.ts";
import { decimal, integer, listOf, oneOf } from "./options.ts";

export const BOARD_NAMES = Object.keys(BOARDS) as BoardName[];
export const MOST_PORTS = 32;

export function addBuildOptions(command: Command): Command {
  return command
    .option("--activation-bits <bits>", "with --shape: 4, 5, 6 or 8 (default: 4)", oneOf([4, 5, 6, 8]))
    .option("--head-bits <bits>", "with --shape: width of lm_head, 4 or 8 (default: 4)", oneOf([4, 8]))
    .option("--board <name>", `memories, ports and processor: ${BOARD_NAMES.join(", ")}`, oneOf(BOARD_NAMES), "vck190")
    .option(
      "--ports <count>",
      "memory ports that stream weights (default: all of the board)",
      integer({ min: 1, max: MOST_PORTS }),
    )
    .option("--clock <mhz>", "of the logic (default: the board's plan)", decimal({ min: 10, max: 1000 }))
    .option(
      "--partition <name>",
      "fused: all on the device; split: vectors on the processor",
      oneOf(["fused", "split"]),
      "fused",
    )
    .option("--serial <list>", `what does not overlap: ${OVERLAPS.join(", ")}`, listOf(oneOf(OVERLAPS)), [])
    .option(
      "--state-lanes <count>",
      "groups of 16 state values a cycle: 1, 2, 4 or 8 (default: the board's build)",
      oneOf([1, 2, 4, 8]),
    );
}
