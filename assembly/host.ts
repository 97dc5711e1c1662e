// What the module imports beside its memory.

/** Milliseconds since any moment: for profiling alone, no result depends on it. */
export declare function clock(): f64;
