//! Compiles the runtime ahead of time: `aot <target> <runtime.wasm> <output.cwasm>`.
use std::{env, error::Error, fs};
use wasmtime::{Config, Engine};

fn main() -> Result<(), Box<dyn Error>> {
    let [target, from, to] = env::args()
        .skip(1)
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|_| "usage: aot <target> <runtime.wasm> <output.cwasm>")?;
    let mut config = Config::new();
    // A target that is named has none of its optional instructions on: aarch64 is plain ARMv8.0, which the Cortex-A72 is. This machine has its own.
    if !target.starts_with(env::consts::ARCH) {
        config.target(&target)?;
    }
    config.wasm_threads(true);
    config.wasm_relaxed_simd(true);
    let module = fs::read(from)?;
    let code = Engine::new(&config)?.precompile_module(&module)?;
    fs::write(to, cwasm::seal(&target, &module, &code))?;
    Ok(())
}
