//! The version of wasmtime that this workspace is locked to.
use std::{env, fs, path::Path};

fn main() {
    let lock = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("set by cargo")).join("../Cargo.lock");
    let text = fs::read_to_string(&lock).expect("Cargo.lock");
    let mut lines = text.lines().skip_while(|line| *line != "name = \"wasmtime\"").skip(1);
    let version = lines
        .next()
        .and_then(|line| line.strip_prefix("version = "))
        .expect("wasmtime's version");
    println!("cargo:rustc-env=WASMTIME_VERSION={}", version.trim_matches('"'));
    println!("cargo:rerun-if-changed={}", lock.display());
}
