//! The accelerator, through the driver in firmware/dma: lm_dma.h says what each call does.
use crate::error::{Error, Exit, Result, usage};
use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    path::PathBuf,
    ptr::{null, null_mut},
};

/// A command takes milliseconds on a board, but a simulator may play it.
pub const TIMEOUT_MS: u32 = 60_000;
const OK: c_int = 0;
const ARGUMENT: c_int = 1;
const COMMAND: c_int = 7;

/// Where the device is. Memories that are not named are the maps of the node.
#[derive(Clone, Debug)]
pub struct Place {
    pub uio: PathBuf,
    pub memories: Vec<Memory>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Memory {
    pub path: PathBuf,
    /// As the device sees it.
    pub address: u64,
    pub bytes: u64,
    /// In the file.
    pub offset: u64,
}

#[repr(C)]
struct Options {
    registers: *const c_char,
    register_offset: u64,
    memory: *const c_char,
    memory_address: u64,
    memory_bytes: u64,
    memory_offset: u64,
    interrupts: c_int,
}

#[repr(C)]
struct Failure {
    code: c_int,
    status: u8,
    sequence: u32,
    info: u64,
    text: [c_char; 256],
    expected: [c_char; 64],
    found: [c_char; 64],
}

#[repr(C)]
#[derive(Default)]
struct Start {
    ring_log2: u32,
    watchdog: u32,
    timeout_ms: u32,
    weight_bytes: u64,
}

/// What the logic was built for.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Build {
    pub lanes: u32,
    pub ports: u32,
    pub tokens: u32,
    pub act_bits: u32,
    pub max_inputs: u32,
    pub max_rows: u32,
    pub max_heads: u32,
    pub max_head_dim: u32,
    pub max_state: u32,
    pub max_groups: u32,
    pub units: u32,
    pub max_copy: u32,
    pub max_words: u32,
    pub max_taps: u32,
    pub max_norm_group: u32,
    pub max_order: u32,
    pub max_log2: u32,
    pub state_ports: u32,
}

/// How the memory is divided.
#[repr(C)]
pub struct Layout {
    pub ring: u64,
    pub completions: u64,
    pub data: u64,
    pub data_bytes: u64,
    pub weights: u64,
    pub weight_bytes: u64,
}

// device.c holds the other side to the same sizes.
const _: () = {
    assert!(size_of::<Options>() == 56);
    assert!(size_of::<Failure>() == 408);
    assert!(size_of::<Start>() == 24);
    assert!(size_of::<Build>() == 72);
    assert!(size_of::<Layout>() == 48);
};

unsafe extern "C" {
    fn lm_dma_open(options: *const Options, device: *mut *mut c_void, error: *mut Failure) -> c_int;
    fn lm_dma_close(device: *mut c_void);
    fn lm_dma_add_memory(
        device: *mut c_void,
        path: *const c_char,
        address: u64,
        bytes: u64,
        offset: u64,
        error: *mut Failure,
    ) -> c_int;
    fn lm_dma_start(device: *mut c_void, start: *const Start, error: *mut Failure) -> c_int;
    fn lm_dma_build(device: *const c_void) -> Build;
    fn lm_dma_layout(device: *const c_void) -> Layout;
    fn lm_dma_memory_bytes(device: *const c_void) -> u64;
    fn lm_dma_has_interrupts(device: *const c_void) -> bool;
    fn lm_dma_memory(device: *const c_void, i: u32, address: *mut u64, bytes: *mut u64) -> bool;
    fn lm_dma_place_ports(device: *mut c_void, memories: *const u8, count: u32, error: *mut Failure) -> c_int;
    fn lm_dma_reserve_weights(device: *mut c_void, bytes: u64, error: *mut Failure) -> c_int;
    fn lm_dma_write(device: *mut c_void, at: u64, from: *const u8, bytes: usize, error: *mut Failure) -> c_int;
    fn lm_dma_read(device: *mut c_void, at: u64, into: *mut u8, bytes: usize, error: *mut Failure) -> c_int;
    fn lm_dma_give(device: *mut c_void, at: u64, bytes: usize, error: *mut Failure) -> c_int;
    fn lm_dma_take(device: *mut c_void, at: u64, bytes: usize, error: *mut Failure) -> c_int;
    fn lm_dma_submit(device: *mut c_void, list: *const u8, n: usize, last: *mut u32, error: *mut Failure) -> c_int;
    fn lm_dma_wait(device: *mut c_void, sequence: u32, completion: *mut c_void, error: *mut Failure) -> c_int;
    fn lm_dma_reset(device: *mut c_void, error: *mut Failure) -> c_int;
    fn lm_runner_busy_cycles(device: *const c_void) -> u64;
    fn lm_runner_version(device: *const c_void) -> u32;
    fn lm_runner_copy(device: *mut c_void, from: u64, to: u64, bytes: u32, error: *mut Failure) -> c_int;
}

/// Closed when it is dropped.
pub struct Device {
    handle: *mut c_void,
    last: c_int,
}

// SAFETY: the library has no globals, and only one thread at a time has the handle.
unsafe impl Send for Device {}

impl Drop for Device {
    fn drop(&mut self) {
        // SAFETY: the handle is open, or null.
        unsafe { lm_dma_close(self.handle) }
    }
}

impl Device {
    /// For this process alone. Ring and windows are set up; what else is in its memory stays.
    pub fn open(place: &Place) -> Result<Self> {
        let text = |path: &PathBuf| {
            CString::new(path.as_os_str().as_encoded_bytes()).map_err(|_| usage("a path with a NUL in it"))
        };
        let uio = text(&place.uio)?;
        let paths: Vec<CString> = place
            .memories
            .iter()
            .map(|memory| text(&memory.path))
            .collect::<Result<_>>()?;
        let part = |of: fn(&Memory) -> u64| place.memories.first().map_or(0, of);
        let options = Options {
            registers: uio.as_ptr(),
            register_offset: 0,
            memory: paths.first().map_or(null(), |path| path.as_ptr()),
            memory_address: part(|memory| memory.address),
            memory_bytes: part(|memory| memory.bytes),
            memory_offset: part(|memory| memory.offset),
            interrupts: 0,
        };
        let mut device = Self {
            handle: null_mut(),
            last: OK,
        };
        let handle = &raw mut device.handle;
        // SAFETY, here and below: the structures have the layout of lm_dma.h, pointers are valid for the call, and the handle is open.
        device.act(|_, error| unsafe { lm_dma_open(&options, handle, error) })?;
        for (path, more) in paths.iter().zip(&place.memories).skip(1) {
            let (
                path,
                Memory {
                    address, bytes, offset, ..
                },
            ) = (path.as_ptr(), more);
            device.act(|handle, error| unsafe { lm_dma_add_memory(handle, path, *address, *bytes, *offset, error) })?;
        }
        let start = Start {
            timeout_ms: TIMEOUT_MS,
            ..Start::default()
        };
        device.act(|handle, error| unsafe { lm_dma_start(handle, &start, error) })?;
        Ok(device)
    }

    fn act(&mut self, call: impl FnOnce(*mut c_void, *mut Failure) -> c_int) -> Result<()> {
        // SAFETY: all of its bits may be zero.
        let mut failure: Failure = unsafe { std::mem::zeroed() };
        self.last = call(self.handle, &mut failure);
        if self.last == OK {
            Ok(())
        } else {
            Err(failed(self.last, &failure))
        }
    }

    /// Whether what failed last was a command that the device refused: it is usable then.
    pub fn refused(&self) -> bool {
        self.last == COMMAND
    }

    pub fn build(&self) -> Build {
        unsafe { lm_dma_build(self.handle) }
    }

    pub fn layout(&self) -> Layout {
        unsafe { lm_dma_layout(self.handle) }
    }

    pub fn memory_bytes(&self) -> u64 {
        unsafe { lm_dma_memory_bytes(self.handle) }
    }

    pub fn has_interrupts(&self) -> bool {
        unsafe { lm_dma_has_interrupts(self.handle) }
    }

    /// Major and minor.
    pub fn version(&self) -> (u32, u32) {
        let version = unsafe { lm_runner_version(self.handle) };
        (version >> 16, version & 0xffff)
    }

    pub fn busy_cycles(&self) -> u64 {
        unsafe { lm_runner_busy_cycles(self.handle) }
    }

    pub fn reserve_weights(&mut self, bytes: u64) -> Result<()> {
        self.act(|handle, error| unsafe { lm_dma_reserve_weights(handle, bytes, error) })
    }

    /// Address and bytes of memory i, if there is one.
    pub fn memory(&self, i: u32) -> Option<(u64, u64)> {
        let (mut address, mut bytes) = (0, 0);
        unsafe { lm_dma_memory(self.handle, i, &mut address, &mut bytes) }.then_some((address, bytes))
    }

    /// In which memory each port has its weights.
    pub fn place_ports(&mut self, memories: &[u8]) -> Result<()> {
        self.act(|handle, error| unsafe { lm_dma_place_ports(handle, memories.as_ptr(), memories.len() as u32, error) })
    }

    pub fn write(&mut self, address: u64, from: *const u8, bytes: usize) -> Result<()> {
        self.act(|handle, error| unsafe { lm_dma_write(handle, address, from, bytes, error) })?;
        self.act(|handle, error| unsafe { lm_dma_give(handle, address, bytes, error) })
    }

    pub fn read(&mut self, address: u64, into: *mut u8, bytes: usize) -> Result<()> {
        self.act(|handle, error| unsafe { lm_dma_take(handle, address, bytes, error) })?;
        self.act(|handle, error| unsafe { lm_dma_read(handle, address, into, bytes, error) })
    }

    /// Executes descriptors of 64 bytes each, and returns when all have ended.
    pub fn run(&mut self, descriptors: *const u8, count: usize) -> Result<()> {
        let mut last = 0;
        self.act(|handle, error| unsafe { lm_dma_submit(handle, descriptors, count, &mut last, error) })?;
        self.act(|handle, error| unsafe { lm_dma_wait(handle, last, null_mut(), error) })
    }

    pub fn copy(&mut self, from: u64, to: u64, bytes: u32) -> Result<()> {
        self.act(|handle, error| unsafe { lm_runner_copy(handle, from, to, bytes, error) })
    }

    pub fn reset(&mut self) -> Result<()> {
        self.act(|handle, error| unsafe { lm_dma_reset(handle, error) })
    }
}

fn failed(code: c_int, failure: &Failure) -> Error {
    // SAFETY: the library ends its texts with a NUL.
    let text = |of: &[c_char]| unsafe { CStr::from_ptr(of.as_ptr()) }.to_string_lossy().into_owned();
    let exit = if code == ARGUMENT { Exit::Usage } else { Exit::Device };
    let mut error = Error::new(exit, text(&failure.text));
    for (part, add) in [
        (&failure.expected, Error::expected as fn(Error, String) -> Error),
        (&failure.found, Error::found),
    ] {
        let part = text(part);
        if !part.is_empty() {
            error = add(error, part);
        }
    }
    error
}
