//! runtime.wasm, compiled ahead of time: its memory, its threads and its exports (assembly/index.ts).
use crate::{
    error::{Error, Exit, Result, bad_input},
    link::Link,
    setup::{RuntimeId, Variant, read_limited},
};
use std::{path::Path, path::PathBuf, process, ptr, sync::mpsc, thread, time::Duration, time::Instant};
use wasmtime::{
    Caller, Config, Engine, Func, Instance, Linker, MemoryType, Module, SharedMemory, Store, TypedFunc, Val,
};

/// As host/runtime/engine.ts imports it.
const MEMORY_PAGES: (u32, u32) = (16, 65536);
const MOST_CODE_BYTES: u64 = 64 << 20;
const START_TIMEOUT: Duration = Duration::from_secs(20);
pub const MOST_THREADS: u32 = 64;

pub struct Host {
    start: Instant,
    pub link: Link,
}

pub struct Runtime {
    store: Store<Host>,
    instance: Instance,
    exports: Exports,
    memory: SharedMemory,
    pub threads: u32,
}

/// Exports as methods; a failure of a device comes through as it was.
macro_rules! exports {
    ($($name:ident = $export:literal ($($arg:ident: $type:ty),*) $(-> $result:ty)?;)*) => {
        struct Exports { $($name: TypedFunc<($($type,)*), exports!(@$($result)?)>,)* }

        impl Exports {
            fn of(instance: &Instance, store: &mut Store<Host>) -> wasmtime::Result<Self> {
                Ok(Self { $($name: instance.get_typed_func(&mut *store, $export)?,)* })
            }
        }

        impl Runtime {
            $(
                #[allow(clippy::too_many_arguments)]
                pub fn $name(&mut self, $($arg: $type),*) -> Result<exports!(@$($result)?)> {
                    self.exports.$name.call(&mut self.store, ($($arg,)*)).map_err(failed)
                }
            )*
        }
    };
    (@$result:ty) => { $result };
    (@) => { () };
}

exports! {
    version = "version"() -> i32;
    set_threads = "setThreads"(threads: u32);
    allocate = "allocate"(bytes: u32) -> u32;
    state_bytes = "stateBytes"() -> u32;
    check_state = "checkState"(state: u32) -> i32;
    reset_state = "resetState"(state: u32);
    settle = "settle"(state: u32);
    forward = "forward"(state: u32, token: u32);
    pass_tokens = "passTokens"() -> u32;
    tokens_at = "tokensAt"() -> u32;
    forward_all = "forwardAll"(state: u32, count: u32, logits: u32);
    logits_at = "logitsAt"() -> u32;
    sampler_bytes = "samplerBytes"() -> u32;
    sampler_memory = "samplerMemory"() -> u32;
    set_sampler = "setSampler"(at: u32, temperature: f64, top_k: i32, top_p: f64, min_p: f64, repetition: f64, presence: f64, frequency: f64, usable: u32);
    seed_sampler = "seedSampler"(at: u32, seed: u64);
    observe = "observe"(at: u32, token: u32);
    sample = "sample"(at: u32, logits: u32) -> u32;
    plan_device = "planDevice"(in_proj: u32, others: u32, memories: u32, split: u32, serial: u32) -> u32;
    misfit_found = "misfitFound"() -> i32;
    misfit_limit = "misfitLimit"() -> i32;
    device_data_bytes = "deviceDataBytes"() -> u64;
    device_weight_bytes = "deviceWeightBytes"(memory: u32) -> u64;
    set_device_weights = "setDeviceWeights"(memory: u32, at: u64);
    open_device = "openDevice"(data: u64);
}

fn failed(error: wasmtime::Error) -> Error {
    error
        .downcast::<Error>()
        .unwrap_or_else(|error| Error::new(Exit::Bug, format!("the runtime failed: {error:#}")))
}

impl Runtime {
    /// Of a file that must have been compiled from `wanted`.
    pub fn load(path: &Path, wanted: &RuntimeId, threads: u32) -> Result<Self> {
        let start = || -> wasmtime::Result<Engine> {
            let mut config = Config::new();
            config.wasm_threads(true);
            config.shared_memory(true);
            Engine::new(&config)
        };
        let engine = start().map_err(failed)?;
        let module = read_module(&engine, path, wanted)?;
        let memory = SharedMemory::new(&engine, MemoryType::shared(MEMORY_PAGES.0, MEMORY_PAGES.1)).map_err(failed)?;
        let (mut store, instance) = instantiate(&engine, &module, &memory).map_err(failed)?;
        let exports = Exports::of(&instance, &mut store).map_err(failed)?;
        start_threads(&engine, &module, &memory, threads)?;
        let mut runtime = Self {
            store,
            instance,
            exports,
            memory,
            threads,
        };
        let version = runtime.version()?;
        if version != wanted.version {
            let error = Error::new(Exit::Unsupported, "the runtime is of another version");
            return Err(error.file(path).expected(wanted.version).found(version));
        }
        runtime.set_threads(threads)?;
        Ok(runtime)
    }

    pub fn link(&mut self) -> &mut Link {
        &mut self.store.data_mut().link
    }

    /// An export by its name, for what was recorded.
    pub fn function(&mut self, name: &str) -> Option<(Func, &mut Store<Host>)> {
        let function = self.instance.get_func(&mut self.store, name)?;
        Some((function, &mut self.store))
    }

    /// What a device was built for, in the order of assembly/accel-build.ts.
    pub fn set_build(&mut self, limits: &[u32]) -> Result<()> {
        let args: Vec<Val> = limits.iter().map(|limit| Val::I32(*limit as i32)).collect();
        let function = self.instance.get_func(&mut self.store, "setBuild");
        let function = function.ok_or_else(|| Error::new(Exit::Bug, "the runtime has no setBuild"))?;
        function.call(&mut self.store, &args, &mut []).map_err(failed)
    }

    /// Memory for `what`.
    pub fn reserve(&mut self, bytes: u32, what: &str) -> Result<u32> {
        self.allocate(bytes).map_err(|_| {
            Error::new(Exit::Prerequisite, format!("no memory for {what}")).expected(format!("{bytes} bytes"))
        })
    }

    /// Where a range of linear memory lies in this process. No WebAssembly may run while it is used, and none does: calls are synchronous,
    /// and the other threads of the runtime wait for work between them.
    pub fn span(&self, at: u32, bytes: usize) -> Result<*mut u8> {
        span(&self.memory, at, bytes)
    }

    pub fn read(&self, at: u32, bytes: usize) -> Result<Vec<u8>> {
        let from = self.span(at, bytes)?;
        // SAFETY: span checked the range.
        Ok(unsafe { std::slice::from_raw_parts(from, bytes) }.to_vec())
    }

    pub fn write(&mut self, at: u32, bytes: &[u8]) -> Result<()> {
        let to = self.span(at, bytes.len())?;
        // SAFETY: span checked the range, and nobody else has a reference into linear memory.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
        Ok(())
    }
}

fn span(memory: &SharedMemory, at: u32, bytes: usize) -> Result<*mut u8> {
    let outside = || Error::new(Exit::Bug, format!("{bytes} bytes at {at} are not in linear memory"));
    let data = memory.data();
    let range = data
        .get(at as usize..(at as usize).saturating_add(bytes))
        .ok_or_else(outside)?;
    Ok(range.as_ptr() as *mut u8)
}

pub fn compiled_path(folder: &Path, variant: Variant) -> PathBuf {
    folder.join(format!("{}.cwasm", variant.name()))
}

/// What a whole file for this machine was compiled from, and its code.
fn open_compiled(path: &Path) -> Result<(String, Vec<u8>)> {
    let file = read_limited(path, MOST_CODE_BYTES)?;
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let (header, code) = cwasm::open(&file, &target).map_err(|m| {
        bad_input("the compiled runtime cannot be used")
            .file(path)
            .field(m.field)
            .expected(m.expected)
            .found(m.found)
    })?;
    Ok((header.runtime_sha256, code.to_vec()))
}

/// SHA-256 of the module that this program's own runtime was compiled from: the relaxed one, for which models are prepared.
pub fn own_runtime(folder: &Path) -> Result<String> {
    open_compiled(&compiled_path(folder, Variant::Relaxed)).map(|(sha256, _)| sha256)
}

/// The code of a file that was compiled from `wanted`.
fn read_compiled(path: &Path, wanted: &RuntimeId) -> Result<Vec<u8>> {
    let (runtime_sha256, code) = open_compiled(path)?;
    if runtime_sha256 == wanted.sha256 {
        return Ok(code);
    }
    let error = Error::new(Exit::Verification, "the model was prepared for another runtime").file(path);
    let error = error
        .field("runtime_sha256")
        .expected(&wanted.sha256)
        .found(&runtime_sha256);
    Err(error.hint("prepare the model with the same version of lightmamba"))
}

pub fn check_compiled(path: &Path, wanted: &RuntimeId) -> Result<()> {
    read_compiled(path, wanted).map(|_| ())
}

fn read_module(engine: &Engine, path: &Path, wanted: &RuntimeId) -> Result<Module> {
    let code = read_compiled(path, wanted)?;
    // SAFETY: these are the bytes that our own compiler made for this version and this target: cwasm::open compared their SHA-256.
    unsafe { Module::deserialize(engine, code) }.map_err(|error| bad_input(format!("{error:#}")).file(path))
}

fn instantiate(engine: &Engine, module: &Module, memory: &SharedMemory) -> wasmtime::Result<(Store<Host>, Instance)> {
    let mut store = Store::new(
        engine,
        Host {
            start: Instant::now(),
            link: Link::default(),
        },
    );
    let mut linker = Linker::new(engine);
    linker.define(&store, "env", "memory", memory.clone())?;
    linker.func_wrap("host", "clock", |caller: Caller<'_, Host>| {
        caller.data().start.elapsed().as_secs_f64() * 1000.0
    })?;
    let own = memory.clone();
    linker.func_wrap(
        "accel",
        "write",
        move |mut caller: Caller<'_, Host>, address: u64, at: u32, bytes: u32| {
            let from = span(&own, at, bytes as usize)?;
            Ok(caller.data_mut().link.write(address, from, bytes as usize)?)
        },
    )?;
    let own = memory.clone();
    linker.func_wrap(
        "accel",
        "read",
        move |mut caller: Caller<'_, Host>, address: u64, at: u32, bytes: u32| {
            let into = span(&own, at, bytes as usize)?;
            Ok(caller.data_mut().link.read(address, into, bytes as usize)?)
        },
    )?;
    let own = memory.clone();
    linker.func_wrap(
        "accel",
        "run",
        move |mut caller: Caller<'_, Host>, at: u32, count: u32| {
            let list = span(&own, at, count as usize * crate::link::DESCRIPTOR)?;
            Ok(caller.data_mut().link.run(list, count as usize)?)
        },
    )?;
    let instance = linker.instantiate(&mut store, module)?;
    Ok((store, instance))
}

/// Threads 1 to count - 1, which run `serve` until the program ends. An instance writes the module's static data anew, so all must be there
/// before the first is set up.
fn start_threads(engine: &Engine, module: &Module, memory: &SharedMemory, count: u32) -> Result<()> {
    let (ready, started) = mpsc::channel();
    for number in 1..count {
        let (engine, module, memory, ready) = (engine.clone(), module.clone(), memory.clone(), ready.clone());
        let body = move || {
            let serve = instantiate(&engine, &module, &memory).and_then(|(mut store, instance)| {
                let serve = instance.get_typed_func::<u32, ()>(&mut store, "serve")?;
                let _ = ready.send(());
                serve.call(&mut store, number)
            });
            // Without its part no token is ever done.
            eprintln!("lightmamba: thread {number} failed: {serve:?}");
            process::exit(Exit::Bug as i32);
        };
        let spawned = thread::Builder::new().name(format!("lightmamba-{number}")).spawn(body);
        spawned.map_err(|error| Error::new(Exit::Prerequisite, format!("no thread: {error}")).hint("--threads 1"))?;
    }
    for found in 1..count {
        started.recv_timeout(START_TIMEOUT).map_err(|_| {
            let error = Error::new(Exit::Prerequisite, "the threads did not start");
            error
                .expected(format!("{count} threads within {} s", START_TIMEOUT.as_secs()))
                .found(found)
                .hint("--threads 1")
        })?;
    }
    Ok(())
}
