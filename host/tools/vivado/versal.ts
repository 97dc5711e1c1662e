/**
 * project.tcl for a Versal board: processor (CIPS), one NoC instance for each memory, the IP, in the segmented configuration flow: the boot image
 * has the processor, the NoC and the memory controllers; the logic is loaded later, by Linux.
 *
 *   processor ── NMUs ─┐                        ┌─ INI ─ noc of every other memory
 *   lm m00 … ── NMUs ──┴─ noc of the first memory
 *   processor ── M_AXI_FPD ── SmartConnect ── lm registers;   lm interrupt ── pl_ps_irq
 */
import { LightMambaError } from "../../errors.ts";
import { type Design, header, hex } from "./design.ts";
import { vlnv } from "./package.ts";

/** Regions of the NoC's address map (PG313) where memory for the accelerator may be. DDR_LOW0, 2 GiB, is the processor's alone. */
const REGIONS = [
  { region: "DDR_LOW1", address: 0x8_0000_0000 },
  { region: "DDR_CH1", address: 0x500_0000_0000 },
  { region: "DDR_CH2", address: 0x600_0000_0000 },
  { region: "DDR_CH3", address: 0x700_0000_0000 },
];

/** Interfaces of VCK190's board file, and regions, of each controller. */
const CONTROLLERS: { [memory: string]: { [property: string]: string } } = {
  ddr4: {
    CH0_DDR4_0_BOARD_INTERFACE: "ddr4_dimm1",
    sys_clk0_BOARD_INTERFACE: "ddr4_dimm1_sma_clk",
    MC_CHAN_REGION0: "DDR_LOW0",
    MC_CHAN_REGION1: "DDR_LOW1",
  },
  lpddr4_0: {
    CH0_LPDDR4_0_BOARD_INTERFACE: "ch0_lpddr4_c0",
    CH1_LPDDR4_0_BOARD_INTERFACE: "ch1_lpddr4_c0",
    sys_clk0_BOARD_INTERFACE: "lpddr4_sma_clk1",
    MC_CHAN_REGION0: "DDR_CH1",
  },
  lpddr4_1: {
    CH0_LPDDR4_0_BOARD_INTERFACE: "ch0_lpddr4_c1",
    CH1_LPDDR4_0_BOARD_INTERFACE: "ch1_lpddr4_c1",
    sys_clk0_BOARD_INTERFACE: "lpddr4_sma_clk2",
    MC_CHAN_REGION0: "DDR_CH2",
  },
};

/** Masters of the processor at the NoC: interface, its clock, the NoC's category. */
const PROCESSOR = [
  ...[0, 1, 2, 3].map((i) => ({ master: `FPD_CCI_NOC_${i}`, clock: `fpd_cci_noc_axi${i}_clk`, category: "ps_cci" })),
  { master: "LPD_AXI_NOC_0", clock: "lpd_axi_noc_clk", category: "ps_rpu" },
  { master: "PMC_NOC_AXI_0", clock: "pmc_axi_noc_axi0_clk", category: "ps_pmc" },
];

/** First SPI of the 16 interrupts of the logic. */
export const FIRST_INTERRUPT = 84;
const CONTROLLER_PORTS = 4;

/** A memory with the NoC instance that has its controller. */
interface Noc {
  memory: string;
  cell: string;
  region: string;
  address: number;
  bytes: number;
  /** Ports of lm_top, and the NoC's slave interfaces that they are at. */
  ports: { port: number; slave: string; controllerPort: number }[];
}

const slaveName = (index: number) => `S${String(index).padStart(2, "0")}_AXI`;
const ini = (side: "S" | "M", index: number) => `${side}${String(index).padStart(2, "0")}_INI`;
const hub = (index: number) => index === 0;

export function nocs({ board }: Design): Noc[] {
  return board.memories.map(({ name, address, bytes }, index) => {
    const region = REGIONS.find((one) => one.address === address);
    if (region === undefined || !Object.values(CONTROLLERS[name] ?? {}).includes(region.region))
      throw new LightMambaError("badInput", "no memory controller can be there", {
        file: `boards/${board.name}.yaml`,
        field: `memories.${name}.address`,
        expected: REGIONS.map((one) => `${hex(one.address)} (${one.region})`).join(", "),
        found: hex(address),
      });
    const first = hub(index) ? PROCESSOR.length : 0;
    const own = board.ports.flatMap((port, i) => (port.memory === name ? [i] : []));
    const ports = own.map((port, i) => ({
      port,
      slave: slaveName(first + i),
      // Those of the processor share the lowest port of the controller with none of ours, where there are enough
      controllerPort: CONTROLLER_PORTS - 1 - (i % CONTROLLER_PORTS),
    }));
    return { ...{ memory: name, cell: `noc_${name}`, region: region.region, address, bytes }, ports };
  });
}

export function projectScript(design: Design): string {
  const { board, flow, top } = design;
  return [
    ...header(
      design,
      "#",
      `Makes the block design and, with the argument "implement", boot and PL images. package_ip.tcl comes first:`,
      "  vivado -mode batch -source project.tcl [-tclargs implement]",
    ),
    "",
    "set here [file dirname [file normalize [info script]]]",
    `create_project -force -part ${flow.part} ${top}_project [file join $here project]`,
    `set_property board_part ${flow.boardPart} [current_project]`,
    "# The logic comes in an image of its own, which Linux loads",
    "set_property segmented_configuration true [current_project]",
    "set_property ip_repo_paths [list [file join $here ip]] [current_project]",
    "update_ip_catalog",
    "add_files -fileset constrs_1 [file join $here constraints.xdc]",
    "set_property USED_IN {synthesis out_of_context} [get_files [file join $here constraints.xdc]]",
    "create_bd_design system",
    "",
    ...processor(design),
    ...logic(design),
    ...nocs(design).flatMap((noc, index, all) => nocLines(design, noc, index, all)),
    ...addresses(design),
    "",
    "validate_bd_design",
    "save_bd_design",
    "make_wrapper -top -import [get_files system.bd]",
    "set_property top system_wrapper [get_filesets sources_1]",
    "",
    `if {[lindex $argv 0] eq "implement"} {`,
    "  launch_runs impl_1 -to_step write_device_image",
    "  wait_on_run impl_1",
    "  open_run impl_1",
    "  report_timing_summary -file [file join $here timing.rpt]",
    "  report_utilization -hierarchical -file [file join $here utilization.rpt]",
    `  write_hw_platform -fixed -include_bit -force -file [file join $here ${board.name}.xsa]`,
    "}",
    "",
  ].join("\n");
}

function processor({ board }: Design): string[] {
  const channel = board.interrupt!.value - FIRST_INTERRUPT;
  const channels = Array.from({ length: 16 }, (_, i) => `{CH${i} ${i === channel ? 1 : 0}}`);
  return [
    "# Processor: the board file's settings, and what the logic needs",
    "create_bd_cell -type ip -vlnv xilinx.com:ip:versal_cips:* cips",
    "set_property -dict [list \\",
    "  CONFIG.CLOCK_MODE {Custom} CONFIG.DDR_MEMORY_MODE {Custom} CONFIG.PS_PL_CONNECTIVITY_MODE {Custom} \\",
    "  CONFIG.PS_BOARD_INTERFACE {ps_pmc_fixed_io} \\",
    "  CONFIG.PS_PMC_CONFIG { \\",
    "    CLOCK_MODE Custom DDR_MEMORY_MODE Custom DESIGN_MODE 1 PS_PL_CONNECTIVITY_MODE Custom \\",
    "    PS_BOARD_INTERFACE ps_pmc_fixed_io \\",
    `    PMC_CRP_PL0_REF_CTRL_FREQMHZ ${board.clock_mhz.value} PS_USE_PMCPL_CLK0 1 PS_NUM_FABRIC_RESETS 1 \\`,
    "    PMC_USE_PMC_NOC_AXI0 1 PS_USE_FPD_CCI_NOC 1 PS_USE_NOC_LPD_AXI0 1 PS_USE_M_AXI_FPD 1 PS_M_AXI_FPD_DATA_WIDTH 32 \\",
    `    PS_IRQ_USAGE {${channels.join(" ")}} \\`,
    "  }] [get_bd_cells cips]",
    "create_bd_cell -type ip -vlnv xilinx.com:ip:proc_sys_reset:* reset",
    "connect_bd_net [get_bd_pins cips/pl0_ref_clk] [get_bd_pins reset/slowest_sync_clk]",
    "connect_bd_net [get_bd_pins cips/pl0_resetn] [get_bd_pins reset/ext_reset_in]",
    "",
  ];
}

function logic(design: Design): string[] {
  const { flow, board, registers, interrupt } = design;
  const channel = board.interrupt!.value - FIRST_INTERRUPT;
  return [
    `# The accelerator; its interrupt is SPI ${board.interrupt!.value}`,
    `create_bd_cell -type ip -vlnv ${vlnv(design)} lm`,
    `connect_bd_net [get_bd_pins cips/pl0_ref_clk] [get_bd_pins lm/${flow.clock}]`,
    `connect_bd_net [get_bd_pins reset/peripheral_aresetn] [get_bd_pins lm/${flow.reset}]`,
    `connect_bd_net [get_bd_pins lm/${interrupt}] [get_bd_pins cips/pl_ps_irq${channel}]`,
    "create_bd_cell -type ip -vlnv xilinx.com:ip:smartconnect:* control",
    "set_property -dict [list CONFIG.NUM_SI {1} CONFIG.NUM_MI {1} CONFIG.NUM_CLKS {1}] [get_bd_cells control]",
    "connect_bd_net [get_bd_pins cips/pl0_ref_clk] [get_bd_pins cips/m_axi_fpd_aclk] [get_bd_pins control/aclk]",
    "connect_bd_net [get_bd_pins reset/peripheral_aresetn] [get_bd_pins control/aresetn]",
    "connect_bd_intf_net [get_bd_intf_pins cips/M_AXI_FPD] [get_bd_intf_pins control/S00_AXI]",
    `connect_bd_intf_net [get_bd_intf_pins control/M00_AXI] [get_bd_intf_pins lm/${registers.name}]`,
    "",
  ];
}

/** MB/s that the NoC compiler is asked for: our ports get equal shares of nine tenths of what the memory gives. */
function request({ board }: Design, noc: Noc): number {
  const memory = board.memories.find(({ name }) => name === noc.memory)!;
  const share = (0.9 * memory.gigabytes_per_second.value * memory.efficiency.value) / noc.ports.length;
  const most = Math.min(...noc.ports.map(({ port }) => board.ports[port]!.gigabytes_per_second.value));
  return Math.floor(1000 * Math.min(share, most));
}

/** Port 0 writes activations and state; the others only read weights. */
const writeRequest = (port: number) => (port === 0 ? 1000 : 5);
const PROCESSOR_BANDWIDTH = "read_bw {100} write_bw {100} read_avg_burst {4} write_avg_burst {4} initial_boot {true}";

function nocLines(design: Design, noc: Noc, index: number, all: readonly Noc[]): string[] {
  const masters = hub(index) ? PROCESSOR : [];
  const settings = {
    ...CONTROLLERS[noc.memory],
    NUM_MC: "1",
    NUM_MCP: String(CONTROLLER_PORTS),
    NUM_SI: String(masters.length + noc.ports.length),
    NUM_CLKS: String(masters.length + 1),
    NUM_MI: "0",
    NUM_NSI: hub(index) ? "0" : "1",
    NUM_NMI: hub(index) ? String(all.length - 1) : "0",
  };
  const others = all.slice(1).map((_, i) => `${ini("M", i)} {${PROCESSOR_BANDWIDTH}}`);
  const pl = masters.length;
  const bandwidth = request(design, noc);
  return [
    `# ${noc.memory}: ${hex(noc.bytes)} bytes at ${hex(noc.address)} (${noc.region}), for ${noc.ports.map(({ port }) => design.masters[port]!.name).join(", ")}`,
    `create_bd_cell -type ip -vlnv xilinx.com:ip:axi_noc:* ${noc.cell}`,
    "set_property -dict [list \\",
    ...Object.entries(settings).map(([name, value]) => `  CONFIG.${name} {${value}} \\`),
    `] [get_bd_cells ${noc.cell}]`,
    ...masters.flatMap(({ master, clock, category }, i) => [
      `set_property -dict [list CONFIG.CATEGORY {${category}} CONFIG.CONNECTIONS {MC_0 {${PROCESSOR_BANDWIDTH}} ${others.join(" ")}}] [get_bd_intf_pins ${noc.cell}/${slaveName(i)}]`,
      `set_property CONFIG.ASSOCIATED_BUSIF {${slaveName(i)}} [get_bd_pins ${noc.cell}/aclk${i}]`,
      `connect_bd_intf_net [get_bd_intf_pins cips/${master}] [get_bd_intf_pins ${noc.cell}/${slaveName(i)}]`,
      `connect_bd_net [get_bd_pins cips/${clock}] [get_bd_pins ${noc.cell}/aclk${i}]`,
    ]),
    ...(hub(index)
      ? []
      : [
          `set_property -dict [list CONFIG.INI_STRATEGY {load} CONFIG.CONNECTIONS {MC_0 {${PROCESSOR_BANDWIDTH}}}] [get_bd_intf_pins ${noc.cell}/${ini("S", 0)}]`,
          `connect_bd_intf_net [get_bd_intf_pins ${all[0]!.cell}/${ini("M", index - 1)}] [get_bd_intf_pins ${noc.cell}/${ini("S", 0)}]`,
        ]),
    ...noc.ports.flatMap(({ port, slave, controllerPort }) => [
      `set_property -dict [list CONFIG.CATEGORY {pl} CONFIG.CONNECTIONS {MC_${controllerPort} {read_bw {${bandwidth}} write_bw {${writeRequest(port)}} read_avg_burst {16} write_avg_burst {16}}}] [get_bd_intf_pins ${noc.cell}/${slave}]`,
      `connect_bd_intf_net [get_bd_intf_pins lm/${design.masters[port]!.name}] [get_bd_intf_pins ${noc.cell}/${slave}]`,
    ]),
    `set_property CONFIG.ASSOCIATED_BUSIF {${noc.ports.map(({ slave }) => slave).join(":")}} [get_bd_pins ${noc.cell}/aclk${pl}]`,
    `connect_bd_net [get_bd_pins cips/pl0_ref_clk] [get_bd_pins ${noc.cell}/aclk${pl}]`,
    "",
  ];
}

function addresses(design: Design): string[] {
  const { board, registers, masters, pageBytes } = design;
  const all = nocs(design);
  const assign = (address: number, bytes: number, space: string, segment: string) =>
    `assign_bd_address -offset ${hex(address)} -range ${hex(bytes)} -target_address_space [get_bd_addr_spaces ${space}] [get_bd_addr_segs ${segment}]`;
  return [
    "# Addresses: those of boards/ for the registers and for what the accelerator may reach; the processor reaches all of it, as Vivado assigns it",
    assign(board.registers.address, pageBytes, "cips/M_AXI_FPD", `lm/${registers.name}/reg0`),
    ...all.flatMap((noc) =>
      noc.ports.map(({ port, slave, controllerPort }) =>
        assign(
          noc.address,
          noc.bytes,
          `lm/${masters[port]!.name}`,
          `${noc.cell}/${slave}/C${controllerPort}_${noc.region}`,
        ),
      ),
    ),
    ...all[0]!.ports.map(
      ({ port, slave, controllerPort }) =>
        `exclude_bd_addr_seg -target_address_space [get_bd_addr_spaces lm/${masters[port]!.name}] [get_bd_addr_segs ${all[0]!.cell}/${slave}/C${controllerPort}_DDR_LOW0]`,
    ),
    ...PROCESSOR.map(({ master }) => `assign_bd_address -target_address_space [get_bd_addr_spaces cips/${master}]`),
  ];
}
