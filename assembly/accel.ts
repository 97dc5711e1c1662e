// What the host provides to reach a device, under the module name `accel`: host/runtime/accelerator.ts. Addresses are the device's, pointers those
// of linear memory. Each throws when there is no device, or when it fails; the pass is over then, and the instance as usable as before.
//
// accel-build.ts: does the model fit; accel-memory.ts: where everything lies; accel-commands.ts: descriptors; accel-split.ts: what
// the runtime computes itself in the split partition; accel-pass.ts: tokens through the device, and whose state it holds. docs/accelerator.md.

/** Linear memory → device memory. */
export declare function write(address: u64, pointer: usize, bytes: usize): void;

/** Device memory → linear memory; nothing is written when it fails. */
export declare function read(address: u64, pointer: usize, bytes: usize): void;

/** Executes descriptors, and returns when all have ended. The driver fills in sequence numbers and check words. */
export declare function run(descriptors: usize, count: i32): void;
