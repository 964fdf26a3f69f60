//! What the guest's memory looks like: the structures that system calls read and write.
//!
//! One file per architecture where they differ; nothing here decides anything.

#[cfg(target_arch = "x86_64")]
mod x86_64;
#[cfg(target_arch = "x86_64")]
use x86_64 as arch;

pub(crate) mod dirent;
pub(crate) mod ipc;
pub(crate) mod message;
pub(crate) mod statmount;
pub(crate) mod statx;

pub(crate) use arch::{LegacyPathCalls, encode_stat};

/// Appends fixed-width little-endian fields to a structure.
pub(crate) struct Fields<'a> {
    to: &'a mut Vec<u8>,
}

impl<'a> Fields<'a> {
    /// Starts writing at the end of `to`.
    pub(crate) fn new(to: &'a mut Vec<u8>) -> Self {
        Fields { to }
    }

    /// Appends a 16-bit field.
    pub(crate) fn u16(&mut self, value: u16) -> &mut Self {
        self.to.extend_from_slice(&value.to_ne_bytes());
        self
    }

    /// Appends a 32-bit field.
    pub(crate) fn u32(&mut self, value: u32) -> &mut Self {
        self.to.extend_from_slice(&value.to_ne_bytes());
        self
    }

    /// Appends a 64-bit field.
    pub(crate) fn u64(&mut self, value: u64) -> &mut Self {
        self.to.extend_from_slice(&value.to_ne_bytes());
        self
    }

    /// Appends a signed 64-bit field.
    pub(crate) fn i64(&mut self, value: i64) -> &mut Self {
        self.to.extend_from_slice(&value.to_ne_bytes());
        self
    }

    /// Appends zeroes up to `size` bytes in all.
    pub(crate) fn pad_to(&mut self, size: usize) {
        self.to.resize(size, 0);
    }
}
