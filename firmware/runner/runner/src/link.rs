//! What the runtime imports as `accel`: a device's memory and its commands, as host/runtime/link.ts.
use crate::{
    device::Device,
    error::{Error, Exit, Result},
    heartbeat,
};

pub const DESCRIPTOR: usize = 64;

#[derive(Default)]
pub struct Link {
    pub device: Option<Device>,
    /// It may still be at work on something that was given up: a time-out, a reset that failed.
    suspect: bool,
}

impl Link {
    pub fn write(&mut self, address: u64, from: *const u8, bytes: usize) -> Result<()> {
        self.act(|device| device.write(address, from, bytes))
    }

    pub fn read(&mut self, address: u64, into: *mut u8, bytes: usize) -> Result<()> {
        self.act(|device| device.read(address, into, bytes))
    }

    pub fn run(&mut self, descriptors: *const u8, count: usize) -> Result<()> {
        self.act(|device| device.run(descriptors, count))
    }

    fn act(&mut self, action: impl FnOnce(&mut Device) -> Result<()>) -> Result<()> {
        heartbeat::step();
        let device = self
            .device
            .as_mut()
            .ok_or_else(|| Error::new(Exit::Bug, "the runtime asks for a device that is not there"))?;
        if self.suspect {
            device.reset()?;
        }
        let result = action(device);
        self.suspect = result.is_err() && !device.refused();
        result
    }
}
