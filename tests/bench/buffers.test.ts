/** Bytes on chip: what the XML of Verilator says, whose they are, and that yosys counts the same. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { describe, it } from "node:test";
import { BUFFER_UNITS, buffersOf, totalOf, unfused, unitBuffers } from "../../bench/buffers.ts";
import { ROOT } from "../../bench/paths.ts";
import { shapeConfig } from "../../host/model/shapes.ts";
import { elaborate, type Module, type Netlist, parseNetlist, RTL } from "../../host/tools/netlist.ts";
import { sourcesOf } from "../../host/tools/vivado/sources.ts";

const starts = (program: string) => spawnSync(program, ["--version"]).error === undefined;
const hint = "(firmware/tools/install.sh installs it)";
const noVerilator = !starts("verilator") && `no Verilator ${hint}`;
const noYosys = noVerilator || (spawnSync("yosys", ["-V"]).error !== undefined && `no yosys ${hint}`);

const module = (name: string, rest: Partial<Module>): Module => ({
  ...{ name, ports: [], parameters: new Map(), instances: [], memories: [], constants: new Map() },
  ...rest,
});

const instance = (name: string, of: string) => ({ name, module: of, connections: new Map() });

describe("Verilator's XML", () => {
  const types = `<typetable><basicdtype id="1" name="logic"/><basicdtype id="2" name="logic" left="7" right="0"/>
    <basicdtype id="3" name="int"/>
    <unpackarraydtype id="4" sub_dtype_id="2"><range><const name="32&apos;sh0"/><const name="32&apos;h3f"/></range></unpackarraydtype>
    <unpackarraydtype id="5" sub_dtype_id="4"><range><const name="32&apos;h1"/><const name="32&apos;h0"/></range></unpackarraydtype>
    <packarraydtype id="6" sub_dtype_id="2"><range><const name="32&apos;h3"/><const name="32&apos;h0"/></range></packarraydtype>
    <refdtype id="7" sub_dtype_id="6"/></typetable>`;
  const xml = (body: string) =>
    `<?xml version="1.0" ?><!-- <a> --><verilator_xml><files><file filename="&lt;built-in&gt;"/><file filename="a.sv"/></files>
    <netlist><module name="a__P1" origName="a" topModule="1">${body}</module>${types}</netlist></verilator_xml>`;
  const read = (body: string) => parseNetlist(xml(body)).top;

  it("has ports, with the widths of types that are made of others", () => {
    const { ports } = read(`<var name="clk" dtype_id="1" dir="input" pinIndex="1"/>
      <var name="data" dtype_id="7" dir="output" pinIndex="2"/><var name="inner" dtype_id="2"/>`);
    assert.deepEqual(ports, [
      { name: "clk", width: 1, output: false },
      { name: "data", width: 32, output: true },
    ]);
  });

  it("has parameters and instances, those of generate blocks too, connections, and variables that are constant", () => {
    const { parameters, instances, constants } =
      read(`<var name="P" dtype_id="3" param="true"><const name="32&apos;sh1f"/></var>
      <begin name="g[2]"><var name="U" dtype_id="3" localparam="true"><const name="32&apos;h2"/></var>
      <begin><instance name="u_b" defName="b__D4"><port name="clk"/>
      <port name="d"><concat><varref name="b1"/><sel><varref name="b0"/></sel></concat></port></instance></begin></begin>
      <initial><assign><const name="64&apos;hffffffffffffffff"/><varref name="ones"/></assign></initial>
      <initial><begin><assign><const name="1&apos;h0"/><varref name="later"/></assign></begin></initial>`);
    assert.deepEqual(
      [...parameters],
      [
        ["P", 31],
        ["g[2].U", 2],
      ],
    );
    const connections = new Map([
      ["clk", []],
      ["d", ["b1", "b0"]],
    ]);
    assert.deepEqual(instances, [{ name: "g[2].u_b", module: "b__D4", connections }]);
    assert.deepEqual([...constants], [["ones", 2n ** 64n - 1n]]);
  });

  it("has arrays: neither wires nor constants", () => {
    const { memories } = read(`<var name="mem" dtype_id="4" vartype=""/><var name="two" dtype_id="5" vartype=""/>
      <var name="word" dtype_id="6" vartype="logic"/><var name="net" dtype_id="4" vartype="wire"/>
      <var name="rom" dtype_id="4" localparam="true"/>`);
    assert.deepEqual(memories, [
      { name: "mem", words: 64, bits: 8 },
      { name: "two", words: 128, bits: 8 },
    ]);
  });

  it("names the files that were read", () => {
    assert.deepEqual(parseNetlist(xml("")).files, [join(process.cwd(), "a.sv")]);
  });

  it("that is cut off is an error", () => {
    assert.throws(() => parseNetlist(xml("").slice(0, -20)), /does not end/);
    assert.throws(() => parseNetlist(xml("</begin>")), /ends nothing/);
  });
});

describe("whose an array is", () => {
  const units = Object.entries({ COPY: 1, MMU: 2, SSMU: 3, HTU: 4, NQU: 5, EMBED: 6, RD_WEIGHTS: 1 });
  const queue = { name: "mem", words: 128, bits: 8 };
  const netlist = (names: readonly string[], parameters: [string, number][]): Netlist => ({
    top: module("lm_top", {
      parameters: new Map([...units, ...parameters]),
      instances: names.map((name) => instance(name, "unit")),
      memories: [queue],
    }),
    modules: new Map([
      [
        "unit",
        module("unit", {
          instances: [instance("a", "q"), instance("b", "q")],
        }),
      ],
      ["q", module("q", { memories: [queue, { name: "small", words: 2, bits: 511 }] })],
    ]),
    files: [],
  });
  const of = (names: readonly string[], parameters: [string, number][] = []) => {
    const buffers = unitBuffers(netlist(names, parameters));
    return BUFFER_UNITS.filter((unit) => buffers[unit] > 0).map((unit) => [unit, buffers[unit]]);
  };

  it("arrays below 1024 bits are registers, others count for each instance", () => {
    assert.deepEqual(of([]), [["other", 128]]);
    assert.deepEqual(of(["g_ssmu.u_unit"]), [
      ["SSMU", 256],
      ["other", 128],
    ]);
  });

  it("a master is its unit's, one that reads weights ahead is apart", () => {
    const parameters: [string, number][] = [
      ["g_rd_of[0].U", 0],
      ["g_rd_of[1].U", 2],
      ["g_rd_of[2].U", 5],
      ["g_wr_of[1].U", 4],
    ];
    assert.deepEqual(of(["g_rd[2].u_rd", "g_wr[1].u_wr", "g_rd[1].u_rd", "g_port[3].u_rd"], parameters), [
      ["weights", 512],
      ["HTU", 256],
      ["NQU", 256],
      ["other", 128],
    ]);
    assert.deepEqual(of(["g_rd[0].u_rd", "u_cmd", "u_copy", "g_embed.u_unit"], parameters), [["other", 4 * 256 + 128]]);
  });
});

describe("bytes of a build", { skip: noVerilator }, () => {
  const full = buffersOf.bind(undefined, "top-p6");

  it("follow the parameters: a queue of 513 bits a beat for each port, vectors of each token in the MMU", () => {
    const some = full({ PREFETCH: 64 });
    assert.equal(full().weights - some.weights, (6 * (2048 - 64) * 513) / 8);
    const one = full({ TOKENS: 1 });
    assert.ok(one.MMU < full().MMU);
    assert.deepEqual({ ...one, MMU: 0 }, { ...full(), MMU: 0 });
  });

  it("are those of the units that are there", () => {
    const bare = full({ PRESENT: 3 });
    assert.ok(bare.SSMU < full().SSMU && bare.MMU < full().MMU);
    assert.ok(totalOf(bare) < totalOf(full()));
  });

  const bits = ({ modules }: Netlist, { memories, instances }: Module): number =>
    instances.reduce(
      (sum, one) => sum + bits({ modules } as Netlist, modules.get(one.module)!),
      memories.reduce((sum, one) => sum + one.words * one.bits, 0),
    );

  for (const name of ["lm_taps", "lm_gate", "lm_htu_unit", "lm_nqu_unit"]) {
    it(`${name}: yosys counts as many bits`, { skip: noYosys }, () => {
      const files = sourcesOf([name], []).sources.map((file) => join(RTL, file));
      const script = `read_verilog -sv -DSYNTHESIS -I ${join(RTL, "include")} ${files.join(" ")}; hierarchy -top ${name}; flatten; stat`;
      const { status, stdout, stderr } = spawnSync("yosys", ["-p", script], { encoding: "utf8", maxBuffer: 2 ** 26 });
      assert.equal(status, 0, stderr);
      const counted = Number(/Number of memory bits: +(\d+)/.exec(stdout)?.[1]);
      const netlist = elaborate(join(RTL, `${name}.sv`));
      assert.equal(bits(netlist, netlist.top), counted);
    });
  }

  it("a build or a parameter that cannot be is refused", () => {
    const netlist = (...args: string[]) =>
      spawnSync(process.execPath, ["firmware/rtl/build.mjs", "--netlist", ...args], { cwd: ROOT, encoding: "utf8" });
    for (const args of [["tip"], [], ["top", "PORTS"], ["top", "PORTS=x"], ["top", "../x=1"]]) {
      const { status, stderr } = netlist(...args);
      assert.match(stderr, /--netlist takes a build and NAME=value/);
      assert.equal(status, 2);
    }
    assert.equal(netlist("top", "NO_SUCH=1").status, 1);
  });
});

it("a scan without fusion holds three int32 of E x N", () => {
  assert.equal(unfused(shapeConfig("mamba2-2.7b")).bytes, 7_864_320);
});
