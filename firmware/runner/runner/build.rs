//! The driver of the accelerator, firmware/dma, into this program.
use std::path::Path;

const DRIVER: &str = "../../dma";
const SOURCES: [&str; 6] = [
    "lm_cache.c",
    "lm_dma.c",
    "lm_error.c",
    "lm_memory.c",
    "lm_open.c",
    "lm_wait.c",
];

fn main() {
    let mut build = cc::Build::new();
    build
        .std("c11")
        .define("_POSIX_C_SOURCE", "200809L")
        .include(DRIVER)
        .file("src/device.c");
    build.files(SOURCES.map(|name| Path::new(DRIVER).join(name)));
    build.warnings(true).extra_warnings(true).compile("lm_dma");
    for path in [DRIVER, "../../include", "src/device.c"] {
        println!("cargo:rerun-if-changed={path}");
    }
}
