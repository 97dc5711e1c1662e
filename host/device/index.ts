export { type Command, type Completion, encode, seal } from "./descriptor.ts";
export { type Build, CommandError, Device, type DeviceOptions } from "./device.ts";
export { DeviceMemory, type Region } from "./memory.ts";
export { type Board, Simulator, type SimulatorOptions, simulatorPath, timing } from "./simulator.ts";
