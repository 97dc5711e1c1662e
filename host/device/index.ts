export { type Command, type Completion, encode, seal } from "./descriptor.ts";
export { type Build, CommandError, Device, type DeviceOptions } from "./device.ts";
export { addonPath, type BoardPlace, buildAddon, MappedMemory, type MemoryPlace, openBoard } from "./mapped.ts";
export { DeviceMemory, type Region, unnamedFile } from "./memory.ts";
export {
  type Board,
  type BoardName,
  buildName,
  buildSimulation,
  hasRtl,
  memoriesInUse,
  Simulator,
  type SimulatorOptions,
  simulatorPath,
  startOn,
  timing,
  verilatorVersion,
} from "./simulator.ts";
