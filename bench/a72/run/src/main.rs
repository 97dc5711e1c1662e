//! Runs the tokens of an image (bench/a72/image.ts) on a compiled runtime and counts instructions: `run <runtime.cwasm> <image> <counter>`.
//!
//! `counter` is the file of plugin/count.c. Prints one JSON object: instructions of each token, then of each unit over all tokens, counted once
//! more with the module's own profiling on, and the logits that differ from the expected ones.
use std::{
    env,
    error::Error,
    fs::{self, File},
    os::unix::fs::FileExt,
};
use wasmtime::{
    Caller, Config, Engine, Instance, Linker, MemoryType, Module, SharedMemory, Store, TypedFunc, WasmParams,
    WasmResults,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Of unitSeconds: assembly/profile.ts.
const UNITS: i32 = 8;
/// As host/runtime/engine.ts imports it.
const MEMORY_PAGES: (u32, u32) = (16, 65536);
const PAGE: usize = 65536;

/// A model in linear memory, set up by the host, and what its tokens must give.
struct Image {
    state: i32,
    logits_at: usize,
    tokens: Vec<i32>,
    /// i32 [tokens][vocabulary], as bytes.
    expected: Vec<u8>,
    memory: Vec<u8>,
}

impl Image {
    fn read(path: &str) -> Result<Self> {
        let bytes = fs::read(path)?;
        let word = |i: usize| u32::from_le_bytes(bytes[4 * i..4 * i + 4].try_into().expect("4 bytes"));
        let [state, logits_at, vocabulary, count] = [0, 1, 2, 3].map(word);
        let tokens = (0..count as usize).map(|t| word(4 + t) as i32).collect();
        let expected_at = 4 * (4 + count as usize);
        let memory_at = expected_at + 4 * (count * vocabulary) as usize;
        Ok(Self {
            state: state as i32,
            logits_at: logits_at as usize,
            tokens,
            expected: bytes[expected_at..memory_at].to_vec(),
            memory: bytes[memory_at..].to_vec(),
        })
    }
}

/// Instructions that the machine has executed so far.
struct Counter(File);

impl Counter {
    fn read(&self) -> u64 {
        let mut bytes = [0; 8];
        self.0.read_exact_at(&mut bytes, 0).expect("the plug-in's count");
        u64::from_le_bytes(bytes)
    }
}

/// What the module's profiling takes for the time. It adds up whatever is counted here: instructions, without those of profiling itself.
struct Clock {
    counter: Counter,
    calls: u64,
    /// Instructions that each call, with all around it, adds to a token.
    cost: f64,
}

impl Clock {
    fn read(&mut self) -> f64 {
        self.calls += 1;
        self.counter.read() as f64 - self.calls as f64 * self.cost
    }
}

struct Runtime {
    store: Store<Clock>,
    instance: Instance,
    memory: SharedMemory,
}

impl Runtime {
    fn load(path: &str, counter: Counter) -> Result<Self> {
        let mut config = Config::new();
        config.wasm_threads(true);
        config.shared_memory(true);
        let engine = Engine::new(&config)?;
        // SAFETY: the file was made by our own `aot` a moment ago.
        let module = unsafe { Module::deserialize_file(&engine, path)? };
        let memory = SharedMemory::new(&engine, MemoryType::shared(MEMORY_PAGES.0, MEMORY_PAGES.1))?;
        let clock = Clock {
            counter,
            calls: 0,
            cost: 0.0,
        };
        let mut store = Store::new(&engine, clock);
        let mut linker = Linker::new(&engine);
        linker.define(&store, "env", "memory", memory.clone())?;
        linker.func_wrap("host", "clock", |mut caller: Caller<'_, Clock>| {
            caller.data_mut().read()
        })?;
        // There is no device: whoever asks for one has a defect.
        let no_device = || Err::<(), _>(wasmtime::Error::msg("no device"));
        linker.func_wrap("accel", "write", move |_: u64, _: u32, _: u32| no_device())?;
        linker.func_wrap("accel", "read", move |_: u64, _: u32, _: u32| no_device())?;
        linker.func_wrap("accel", "run", move |_: u32, _: i32| no_device())?;
        let instance = linker.instantiate(&mut store, &module)?;
        Ok(Self {
            store,
            instance,
            memory,
        })
    }

    fn counted(&self) -> u64 {
        self.store.data().counter.read()
    }

    fn function<P: WasmParams, R: WasmResults>(&mut self, name: &str) -> Result<TypedFunc<P, R>> {
        Ok(self.instance.get_typed_func(&mut self.store, name)?)
    }

    /// Whatever the instance has in its memory is replaced.
    fn restore(&mut self, image: &[u8]) -> Result<()> {
        let missing = image.len().saturating_sub(self.memory.data_size());
        self.memory.grow(missing.div_ceil(PAGE) as u64)?;
        // SAFETY: no other thread has this memory, and no WebAssembly runs now.
        unsafe { std::ptr::copy_nonoverlapping(image.as_ptr(), self.memory.data()[0].get(), image.len()) };
        Ok(())
    }

    fn bytes(&self, at: usize, count: usize) -> Vec<u8> {
        // SAFETY: as in restore.
        self.memory.data()[at..at + count]
            .iter()
            .map(|cell| unsafe { *cell.get() })
            .collect()
    }
}

/// Instructions of a call that does next to nothing: getting in and out, and reading the counter.
fn cost_of_a_call(runtime: &mut Runtime) -> Result<u64> {
    let function = runtime.function::<(), i32>("passTokens")?;
    let before = runtime.counted();
    function.call(&mut runtime.store, ())?;
    Ok(runtime.counted() - before)
}

/// Consumes the image's first tokens; returns the instructions of each, and how many logits are wrong.
fn decode(runtime: &mut Runtime, image: &Image, tokens: usize) -> Result<(Vec<u64>, usize)> {
    let forward = runtime.function::<(i32, i32), ()>("forward")?;
    let call = cost_of_a_call(runtime)?;
    let row_bytes = image.expected.len() / image.tokens.len();
    let (mut counts, mut wrong) = (Vec::new(), 0);
    runtime.restore(&image.memory)?;
    for (token, expected) in image.tokens[..tokens]
        .iter()
        .zip(image.expected.chunks_exact(row_bytes))
    {
        let before = runtime.counted();
        forward.call(&mut runtime.store, (image.state, *token))?;
        counts.push(runtime.counted() - before - call);
        let logits = runtime.bytes(image.logits_at, row_bytes);
        wrong += logits
            .chunks_exact(4)
            .zip(expected.chunks_exact(4))
            .filter(|(a, b)| a != b)
            .count();
    }
    Ok((counts, wrong))
}

/// Instructions of each unit, over all tokens.
fn units(runtime: &mut Runtime) -> Result<Vec<u64>> {
    let seconds = runtime.function::<i32, f64>("unitSeconds")?;
    (0..UNITS)
        // It takes the clock for milliseconds.
        .map(|unit| Ok((seconds.call(&mut runtime.store, unit)? * 1000.0).round() as u64))
        .collect()
}

fn main() -> Result<()> {
    let [runtime, image, counter] = env::args()
        .skip(1)
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|_| "usage: run <runtime.cwasm> <image> <counter>")?;
    let image = Image::read(&image)?;
    let mut runtime = Runtime::load(&runtime, Counter(File::open(counter)?))?;
    let profile = runtime.function::<i32, ()>("profile")?;
    // The first call of a function is dearer than the next ones.
    profile.call(&mut runtime.store, 1)?;
    decode(&mut runtime, &image, 1)?;
    profile.call(&mut runtime.store, 0)?;
    let (tokens, mut wrong) = decode(&mut runtime, &image, image.tokens.len())?;
    profile.call(&mut runtime.store, 1)?;
    runtime.store.data_mut().calls = 0;
    let (profiled, _) = decode(&mut runtime, &image, 1)?;
    let clock = runtime.store.data_mut();
    clock.cost = (profiled[0] - tokens[0]) as f64 / clock.calls as f64;
    // The image has zeros where profiling adds up.
    wrong += decode(&mut runtime, &image, image.tokens.len())?.1;
    let units = units(&mut runtime)?;
    println!("{{\"tokens\":{tokens:?},\"units\":{units:?},\"wrong\":{wrong}}}");
    Ok(())
}
