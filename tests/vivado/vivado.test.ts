/** The scripts for Vivado: that what is written fits the RTL, the board and the contract, and that the check finds what does not. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import * as lm from "../../assembly/device.generated.ts";
import { LightMambaError } from "../../host/errors.ts";
import { readBoards } from "../../host/tools/contract.ts";
import { elaborate, type Netlist, RTL } from "../../host/tools/netlist.ts";
import { checkFolder } from "../../host/tools/vivado/check.ts";
import { BOARD_NAMES, type Design, designOf } from "../../host/tools/vivado/design.ts";
import { filesOf } from "../../host/tools/vivado/files.ts";
import { bankOf } from "../../host/tools/vivado/kernel.ts";
import { describe as text } from "../../host/tools/vivado/problem.ts";
import { record, tclList, tclPairs } from "../../host/tools/vivado/record.ts";
import { nocs } from "../../host/tools/vivado/versal.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const MAIN = join(ROOT, "host", "tools", "vivado", "main.ts");

const starts = (program: string, args: string[]) => spawnSync(program, args, { input: "" }).error === undefined;
const hint = "(firmware/tools/install.sh installs it)";
const noTcl = !starts("tclsh", []) && `no tclsh ${hint}`;
const noVerilator = !starts("verilator", ["--version"]) && `no Verilator ${hint}`;
const skip = noTcl || noVerilator;

const scratch = mkdtempSync(join(tmpdir(), "lightmamba-vivado-"));
after(() => rmSync(scratch, { recursive: true }));

function folderOf(design: Design): string {
  const folder = mkdtempSync(join(scratch, `${design.board.name}-`));
  for (const [name, content] of Object.entries(filesOf(design, folder))) writeFileSync(join(folder, name), content);
  return folder;
}

/** Runs `action` while a file is another. */
function changed(path: string, from: string | RegExp, to: string, action: () => void): void {
  const content = readFileSync(path, "utf8");
  const other = content.replace(from, to);
  assert.ok(other !== content, `${path} has no ${from}`);
  writeFileSync(path, other);
  try {
    action();
  } finally {
    writeFileSync(path, content);
  }
}

const run = (...args: string[]) => spawnSync(process.execPath, [MAIN, ...args], { encoding: "utf8", cwd: ROOT });
const refused = (exit: string, message: RegExp) => (error: unknown) =>
  error instanceof LightMambaError && error.exit === exit && message.test(error.message);

describe("the design", () => {
  it("has every word of the contract, each once", () => {
    const { words, masters } = designOf("vck190");
    const windows = lm.WINDOWS - 1 + masters.length;
    const registers = Object.entries(lm).filter(([name]) => /^REG_/.test(name) && name !== "REG_WINDOW");
    for (const [name, offset] of registers) {
      assert.deepEqual(words.find((word) => `REG_${word.name}` === name)?.offset, offset, name);
    }
    assert.equal(words.length, registers.length + 5 * windows);
    assert.equal(new Set(words.map(({ offset }) => offset)).size, words.length);
    const last = lm.REG_WINDOW + (windows - 1) * lm.WINDOW_STRIDE + lm.WINDOW_FLAGS;
    assert.equal(words.at(-1)!.offset, last);
  });

  it("has a master for each port of the board", () => {
    for (const board of BOARD_NAMES) {
      const {
        masters,
        board: { ports },
      } = designOf(board);
      assert.equal(masters.length, ports.length);
    }
    assert.deepEqual(designOf("u280").masters.at(-1)!.name, "m31_axi");
  });

  it("is there for two boards", () => {
    assert.throws(
      () => designOf("sim"),
      refused("usage", /no Vivado project .* \(expected vck190 or u280, found sim\)/),
    );
  });

  it("an address that no memory controller can have is refused", () => {
    const boards = structuredClone(readBoards());
    boards.find(({ name }) => name === "vck190")!.memories[2]!.address = 0x501_0000_0000;
    const message = /^boards\/vck190.yaml: memories.lpddr4_1.address: no memory controller .* found 0x50100000000\)/;
    assert.throws(() => nocs(designOf("vck190", boards)), refused("badInput", message));
  });

  it("a memory that is not the pseudo-channel of its name is refused", () => {
    const boards = structuredClone(readBoards());
    boards.find(({ name }) => name === "u280")!.memories[3]!.address += 0x1000;
    assert.throws(() => bankOf(designOf("u280", boards), "hbm3"), refused("badInput", /memories.hbm3.address/));
  });
});

describe("the top", () => {
  it("has port 0 lowest in what goes to lm_top", () => {
    const top = filesOf(designOf("vck190"), scratch)["lm_vck190.sv"]!;
    for (const signal of ["araddr", "rdata", "wdata", "bresp"]) {
      const ports = [5, 4, 3, 2, 1, 0].map((port) => `m0${port}_axi_${signal}`);
      assert.ok(top.includes(`.m_${signal}({${ports.join(", ")}})`), signal);
    }
  });

  for (const board of BOARD_NAMES) {
    it(`of ${board} has no warning`, { skip: noVerilator }, () => {
      const design = designOf(board);
      const file = join(folderOf(design), `${design.top}.sv`);
      const options = ["--lint-only", "-Wall", "-y", RTL, `-I${join(RTL, "include")}`, "--top-module", design.top];
      const { status, stdout, stderr } = spawnSync("verilator", [...options, file], { encoding: "utf8" });
      assert.equal(`${stdout}${stderr}`, "");
      assert.equal(status, 0);
    });
  }
});

describe("what is written", { skip }, () => {
  const made = Object.fromEntries(BOARD_NAMES.map((board) => [board, designOf(board)] as const));
  const folders = new Map<string, { folder: string; netlist: Netlist }>();
  before(() => {
    for (const [board, design] of Object.entries(made)) {
      const folder = folderOf(design);
      folders.set(board, { folder, netlist: elaborate(join(folder, `${design.top}.sv`)) });
    }
  });

  for (const [board, design] of Object.entries(made)) {
    it(`for ${board} fits, and says that it was never run`, () => {
      const { folder } = folders.get(board)!;
      assert.deepEqual(checkFolder(design, folder), []);
      for (const file of readdirSync(folder)) assert.match(readFileSync(join(folder, file), "utf8"), /NEVER RUN/);
    });
  }

  const source = "  [file join $rtl lm_fifo.sv] \\\n";
  const cases: [board: string, file: string, what: string, from: string | RegExp, to: string, problem: RegExp][] = [
    ["vck190", "package_ip.tcl", "a source is missing", source, "", /source .*lm_fifo.sv is missing/],
    ["vck190", "package_ip.tcl", "a source is there twice", source, source + source, /lm_fifo.sv is there twice/],
    ["vck190", "package_ip.tcl", "a source does not exist", "lm_fifo.sv", "lm_fifi.sv", /no source .*lm_fifi.sv/],
    [
      "vck190",
      "package_ip.tcl",
      "a source is not needed",
      source,
      `${source}  [file join $rtl addon addon.cpp] \\\n`,
      /addon.cpp is not part of the top/,
    ],
    ["vck190", "package_ip.tcl", "a header is missing", /.*lm_boards.svh.*\n/, "", /lm_boards.svh is missing/],
    [
      "vck190",
      "package_ip.tcl",
      "a port is missing",
      "  ARLEN m03_axi_arlen\n",
      "",
      /port m03_axi_arlen is in no interface/,
    ],
    [
      "vck190",
      "package_ip.tcl",
      "a port has a wrong name",
      "m03_axi_arlen",
      "m3_axi_arlen",
      /m03_axi\/ARLEN: the top has no port m3_axi_arlen/,
    ],
    [
      "vck190",
      "package_ip.tcl",
      "two signals are changed",
      "ARLEN m03_axi_arlen",
      "ARLEN m03_axi_awlen",
      /port m03_axi_awlen is in two interfaces/,
    ],
    [
      "vck190",
      "package_ip.tcl",
      "a master is a slave",
      "m02_axi xilinx.com:interface:aximm master",
      "m02_axi xilinx.com:interface:aximm slave",
      /mode of m02_axi \(expected master, found slave\)/,
    ],
    [
      "vck190",
      "package_ip.tcl",
      "a width is wrong",
      "DATA_WIDTH 512",
      "DATA_WIDTH 256",
      /DATA_WIDTH of m00_axi \(expected 512, found 256\)/,
    ],
    [
      "vck190",
      "package_ip.tcl",
      "an interface has no clock",
      "-busif m05_axi -clock clk",
      "-busif m05_axi -clock aclk",
      /clock of m05_axi \(expected clk, found aclk\)/,
    ],
    ["vck190", "package_ip.tcl", "the reset's polarity is wrong", "ACTIVE_LOW", "ACTIVE_HIGH", /polarity of the reset/],
    [
      "vck190",
      "package_ip.tcl",
      "the page is too large",
      "range 4096",
      "range 65536",
      /bytes of the register page \(expected 4096, found 65536\)/,
    ],
    [
      "vck190",
      "package_ip.tcl",
      "a register is elsewhere",
      "  HEAD 0x400",
      "  HEAD 0x404",
      /register HEAD \(expected 0x400, found 0x404\)/,
    ],
    [
      "vck190",
      "package_ip.tcl",
      "a register is missing",
      "  RESETS 0x2c\n",
      "",
      /register RESETS \(expected 0x2c, found nothing\)/,
    ],
    [
      "vck190",
      "package_ip.tcl",
      "a register is too much",
      "  RESETS 0x2c",
      "  RESETS 0x2c\n  MORE 0x7fc",
      /register MORE is not in the contract/,
    ],
    ["vck190", "package_ip.tcl", "the mark is missing", "NEVER RUN", "Run", /does not say "NEVER RUN"/],
    [
      "vck190",
      "lm_vck190.sv",
      "a parameter is not the board's",
      "LM_BUILD_ACT_BITS",
      "8",
      /parameter ACT_BITS of lm_top \(expected 5, found 8\)/,
    ],
    [
      "vck190",
      "lm_vck190.sv",
      "a port is too narrow",
      "[2:0] s_axi_lite_awprot",
      "[1:0] s_axi_lite_awprot",
      /width of port s_axi_lite_awprot \(expected 3, found 2\)/,
    ],
    [
      "vck190",
      "lm_vck190.sv",
      "a port is gone",
      /,\s*(input {2}logic \[2:0\] )?s_axi_lite_awprot/g,
      "",
      /the top lacks port s_axi_lite_awprot/,
    ],
    [
      "vck190",
      "lm_vck190.sv",
      "a port is too much",
      "input  logic clk,",
      "input  logic clk,\n    input  logic more,",
      /port more is in no interface/,
    ],
    [
      "vck190",
      "project.tcl",
      "a memory is elsewhere",
      "-offset 0x50000000000",
      "-offset 0x50100000000",
      /address of lpddr4_0 for m02_axi \(expected 0x50000000000, found 0x50100000000\)/,
    ],
    [
      "vck190",
      "project.tcl",
      "a memory is smaller",
      "-range 0x180000000",
      "-range 0x80000000",
      /bytes of ddr4 for m00_axi/,
    ],
    [
      "vck190",
      "project.tcl",
      "the registers are elsewhere",
      "-offset 0xa4000000",
      "-offset 0xa4010000",
      /address of the registers/,
    ],
    [
      "vck190",
      "project.tcl",
      "the registers' range is not theirs",
      "-range 0x1000 ",
      "-range 0x10000 ",
      /bytes of the registers \(expected 0x1000, found 0x10000\)/,
    ],
    [
      "vck190",
      "project.tcl",
      "a master has no address",
      /assign_bd_address.*lm\/m04_axi.*\n/,
      "",
      /address assignments of m04_axi \(expected 1, found 0\)/,
    ],
    [
      "vck190",
      "project.tcl",
      "a master is at another memory",
      "[get_bd_intf_pins noc_lpddr4_1/S01_AXI]\nset_property CONFIG.ASSOC",
      "[get_bd_intf_pins noc_ddr4/S09_AXI]\nset_property CONFIG.ASSOC",
      /memory of m05_axi \(expected noc_lpddr4_1, found noc_ddr4\)/,
    ],
    [
      "vck190",
      "project.tcl",
      "a master is at another port of the controller",
      "noc_ddr4/S06_AXI/C3_DDR_LOW1",
      "noc_ddr4/S06_AXI/C2_DDR_LOW1",
      /segment of m00_axi/,
    ],
    [
      "vck190",
      "project.tcl",
      "the interrupt is another",
      "cips/pl_ps_irq0",
      "cips/pl_ps_irq1",
      /lm's interrupt is not SPI 84/,
    ],
    ["vck190", "project.tcl", "the interrupt is off", "{CH0 1}", "{CH0 0}", /interrupts of the processor that are on/],
    [
      "vck190",
      "project.tcl",
      "the clock is another",
      "FREQMHZ 300",
      "FREQMHZ 400",
      /MHz of the PL clock \(expected 300, found 400\)/,
    ],
    [
      "vck190",
      "project.tcl",
      "the logic is in the boot image",
      "segmented_configuration true",
      "segmented_configuration false",
      /segmented configuration/,
    ],
    ["vck190", "project.tcl", "a pin is none of the IP", "lm/interrupt", "lm/irq", /lm\/irq: the IP has no such pin/],
    [
      "vck190",
      "project.tcl",
      "a cell is not made",
      /create_bd_cell.* reset\n/,
      "",
      /reset\/slowest_sync_clk: there is no such cell/,
    ],
    [
      "vck190",
      "project.tcl",
      "a NoC instance has too few interfaces",
      "CONFIG.NUM_SI {8}",
      "CONFIG.NUM_SI {7}",
      /noc_ddr4\/S07_AXI: the NoC instance has 7 of these/,
    ],
    ["vck190", "constraints.xdc", "the period is another", "3.333", "2.5", /period \(expected 3.333, found 2.5\)/],
    ["u280", "lm_u280.cfg", "a master is at another bank", "m07_axi:HBM[7]", "m07_axi:HBM[8]", /memory of m07_axi/],
    [
      "u280",
      "lm_u280.cfg",
      "a master has no bank",
      /sp=lm.m31_axi.*\n/,
      "",
      /masters with a memory \(expected 32, found 31\)/,
    ],
    ["u280", "kernel.xml", "a master is missing", /.*name="m31_axi" mode.*\n/, "", /masters/],
    ["u280", "kernel.xml", "the page is another", 'range="0x1000"', 'range="0x10000"', /bytes of the register page/],
    ["u280", "kernel.xml", "an argument is elsewhere", 'offset="0x908"', 'offset="0x90c"', /arguments/],
    [
      "u280",
      "package_ip.tcl",
      "an argument binds another master",
      "bank05 0x928 m05_axi",
      "bank05 0x928 m06_axi",
      /argument bank05 \(expected m05_axi, found m06_axi\)/,
    ],
    ["u280", "package_xo.tcl", "XRT would start the kernel", "user_managed", "ap_ctrl_hs", /-ctrl_protocol/],
  ];
  for (const [board, file, what, from, to, problem] of cases) {
    it(`${board}/${file}: ${what}: is found`, () => {
      const { folder, netlist } = folders.get(board)!;
      const top = `${made[board]!.top}.sv`;
      changed(join(folder, file), from, to, () => {
        const found = checkFolder(made[board]!, folder, file === top ? undefined : netlist).map(text);
        // What is wrong with the top shows beside what the IP is packaged with
        assert.ok(found.every((line) => line.startsWith(file === top ? "package_ip.tcl: " : `${file}: `)));
        assert.match(found.join("\n"), problem);
      });
    });
  }

  const broken: [what: string, from: RegExp, to: string, message: RegExp][] = [
    ["is no SystemVerilog", /endmodule/, "endmodul", /lm_vck190.sv: .*syntax error/],
    ["has a port that is too narrow", /\[63:0\] m01_axi_araddr/, "[39:0] m01_axi_araddr", /expects 384 bits/],
    ["leaves a port of lm_top open", /\.m_rresp\(.*\),/, "", /PINMISSING.*m_rresp/],
  ];
  for (const [what, from, to, message] of broken) {
    it(`a top that ${what} is an error`, () => {
      const { folder } = folders.get("vck190")!;
      changed(join(folder, "lm_vck190.sv"), from, to, () => {
        assert.throws(() => checkFolder(made.vck190!, folder), refused("badInput", message));
      });
    });
  }

  it("a file that is gone is found", () => {
    const folder = folderOf(made.u280!);
    rmSync(join(folder, "kernel.xml"));
    assert.deepEqual(checkFolder(made.u280!, folder).map(text), ["kernel.xml: is missing"]);
  });
});

describe("the recorder", { skip: noTcl }, () => {
  const recorded = (script: string, ...args: string[]) => {
    const file = join(scratch, "script.tcl");
    writeFileSync(file, script);
    return record(file, args);
  };

  it("gives calls, options and properties", () => {
    const calls = recorded("set_property -dict {a 1 b {2 3}} [create_bd_cell -type ip -vlnv x:* cell]\nclose_project");
    assert.deepEqual(
      calls.map(({ command, args }) => [command, ...args]),
      [
        ["create_bd_cell", "cell"],
        ["set_property", "a", "1", "cell"],
        ["set_property", "b", "2 3", "cell"],
        ["close_project"],
      ],
    );
    assert.deepEqual(
      [...calls[0]!.options],
      [
        ["-type", "ip"],
        ["-vlnv", "x:*"],
      ],
    );
  });

  it("runs the branch that arguments ask for", () => {
    const script = 'if {[lindex $argv 0] eq "more"} { open_run impl_1 }';
    assert.deepEqual(recorded(script), []);
    assert.equal(recorded(script, "more").length, 1);
  });

  const errors: [what: string, script: string, message: RegExp][] = [
    [
      "an unknown command",
      "current_project\nconnect_bd_nets a b",
      /script.tcl: line 2: invalid command name "connect_bd_nets"/,
    ],
    ["an unknown option", "create_bd_cell -kind ip cell", /line 1: create_bd_cell: no option -kind/],
    ["an option without its value", "create_bd_cell cell -vlnv", /create_bd_cell: -vlnv has no value/],
    ["too few arguments", "connect_bd_net a", /connect_bd_net: 1 arguments, expected 2 to 99/],
    ["too many arguments", "get_bd_pins a b", /get_bd_pins: 2 arguments, expected 1 to 1/],
    ["a property of nothing", "set_property a b [update_ip_catalog]", /set_property: of nothing/],
    ["a property without a value", "set_property -dict {a 1 b} cell", /a name without a value/],
    ["a brace that is not closed", "set a {b", /missing close-brace/],
    ["a variable that is not there", "current_project\n\nset a $b", /line 3: can't read "b"/],
    ["a program that is started", "exec true", /invalid command name "exec"/],
    ["a file that is written", "open x w", /invalid command name "open"/],
    ["a file that is deleted", "file delete x", /file delete is not for these scripts/],
  ];
  for (const [what, script, message] of errors) {
    it(`refuses ${what}`, () => {
      assert.throws(() => recorded(script), refused("verification", message));
    });
  }
});

describe("lists of Tcl", () => {
  it("are words and groups", () => {
    assert.deepEqual(tclList(" a {b c} {d {e f}}  g\n{}"), ["a", "b c", "d {e f}", "g", ""]);
    assert.deepEqual(
      [...tclPairs("a {1 2} b 3")],
      [
        ["a", "1 2"],
        ["b", "3"],
      ],
    );
  });

  it("a brace that is not closed is an error", () => {
    assert.throws(() => tclList("a {b {c}"), /is not closed/);
  });
});

describe("npm run vivado", { skip }, () => {
  it("writes, checks, and checks again", () => {
    const folder = join(scratch, "made", "vck190");
    const { status, stdout } = run("--board", "vck190", "-o", folder);
    assert.match(
      stdout,
      /lm_vck190.sv, package_ip.tcl, constraints.xdc, project.tcl\nno problem found; never run in Vivado\n$/,
    );
    assert.equal(status, 0);
    assert.deepEqual(readdirSync(folder).sort(), ["constraints.xdc", "lm_vck190.sv", "package_ip.tcl", "project.tcl"]);
    const script = join(folder, "project.tcl");
    writeFileSync(script, readFileSync(script, "utf8").replace("pl_ps_irq0", "pl_ps_irq2"));
    const again = run("--board", "vck190", "--check", folder, "--json");
    assert.equal(again.status, 6);
    assert.deepEqual(JSON.parse(again.stdout).problems, [
      { file: "project.tcl", what: "lm's interrupt is not SPI 84" },
    ]);
  });

  const wrong: [args: string[], status: number, message: RegExp][] = [
    [["-o", "x"], 2, /--board is missing/],
    [["--board", "vck190"], 2, /either -o or --check/],
    [["--board", "vck190", "-o", "x", "--check", "x"], 2, /either -o or --check/],
    [["--board", "qemu", "-o", "x"], 2, /expected vck190 or u280, found qemu/],
    [["--bord", "vck190"], 2, /Unknown option '--bord'/],
  ];
  for (const [args, status, message] of wrong) {
    it(`${args.join(" ")}: exit code ${status}`, () => {
      const { status: found, stderr } = run(...args);
      assert.match(stderr, message);
      assert.equal(found, status);
    });
  }

  it("a folder that cannot be made is a wrong argument, and nothing is left", () => {
    const file = join(scratch, "file");
    writeFileSync(file, "");
    const { status, stderr } = run("--board", "u280", "-o", file);
    assert.match(stderr, /vivado: .*file: cannot be written: /);
    assert.equal(status, 2);
  });

  it("a folder without the files is a failed check", () => {
    const { status, stdout } = run("--board", "u280", "--check", scratch);
    assert.equal(status, 6);
    assert.match(stdout, /kernel.xml: is missing/);
  });
});
