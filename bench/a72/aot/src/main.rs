//! Compiles a WebAssembly module ahead of time for the Cortex-A72: `aot <module.wasm> <output.cwasm>`.
use std::{env, error::Error, fs};
use wasmtime::{Config, Engine};

fn main() -> Result<(), Box<dyn Error>> {
    let [from, to] = env::args()
        .skip(1)
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|_| "usage: aot <module.wasm> <output.cwasm>")?;
    let mut config = Config::new();
    // Another machine's target has none of its optional instructions on: this is plain ARMv8.0.
    config.target("aarch64-unknown-linux-gnu")?;
    config.wasm_threads(true);
    config.wasm_relaxed_simd(true);
    fs::write(to, Engine::new(&config)?.precompile_module(&fs::read(from)?)?)?;
    Ok(())
}
