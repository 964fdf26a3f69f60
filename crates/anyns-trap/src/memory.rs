//! The caller's memory, read and written as the kernel itself would.
//!
//! `process_vm_readv` first; where that is denied (a caller that is not dumpable) the caller's
//! `/proc/TID/mem`. After each read the notification is checked to be still waiting: the number
//! might have been given to another thread meanwhile.

use std::ffi::{CStr, CString};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::{fmt, io};

use crate::notify::Port;
use crate::stop::{self, Slot, resident};
use crate::{Tid, sys};

/// Why the caller's memory could not be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemError {
    /// The caller passed a bad address: EFAULT.
    Fault,
    /// A string did not end within the limit.
    TooLong,
    /// The caller has died or been interrupted: undo, answer nobody.
    Gone,
    /// The host does not let us look (not dumpable, Yama).
    Denied,
    /// It is not there at once, for a call that is served at once.
    Later,
}

impl fmt::Display for MemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MemError::Fault => "bad address",
            MemError::TooLong => "string too long",
            MemError::Gone => "the caller is gone",
            MemError::Denied => "access to the caller's memory denied",
            MemError::Later => "memory that is not there",
        })
    }
}

impl std::error::Error for MemError {}

/// A fixed-size integer, or an array of such, that any bytes make a value of.
pub trait Plain: Sized + Copy {
    /// Its size in bytes.
    const SIZE: usize;
    /// Makes it of exactly [`SIZE`](Self::SIZE) bytes in the machine's order.
    fn from_bytes(bytes: &[u8]) -> Self;
    /// Appends its bytes in the machine's order.
    fn to_bytes(self, out: &mut Vec<u8>);
}

macro_rules! plain {
    ($($t:ty)*) => {$(
        impl Plain for $t {
            const SIZE: usize = size_of::<$t>();
            fn from_bytes(bytes: &[u8]) -> Self {
                let mut own = [0; size_of::<$t>()];
                own.copy_from_slice(bytes);
                <$t>::from_ne_bytes(own)
            }
            fn to_bytes(self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_ne_bytes());
            }
        }
    )*};
}
plain!(u8 i8 u16 i16 u32 i32 u64 i64);

impl<T: Plain, const N: usize> Plain for [T; N] {
    const SIZE: usize = T::SIZE * N;
    fn from_bytes(bytes: &[u8]) -> Self {
        std::array::from_fn(|i| T::from_bytes(&bytes[i * T::SIZE..(i + 1) * T::SIZE]))
    }
    fn to_bytes(self, out: &mut Vec<u8>) {
        self.into_iter().for_each(|v| v.to_bytes(out));
    }
}

/// The smallest unit in which memory can be unreadable.
const PAGE: u64 = 4096;

/// One caller's memory, for as long as its call is held.
pub struct Memory<'a> {
    tid: Tid,
    waits: Waits<'a>,
}

/// What must still be so for what was read to be the caller's.
#[derive(Clone, Copy)]
enum Waits<'a> {
    /// The notification waits.
    Told(&'a Port, u64),
    /// The thread has not died where it stands.
    Stopped(&'a Slot),
    Unknown,
}

impl<'a> Memory<'a> {
    pub(crate) fn of_caller(tid: Tid, port: &'a Port, id: u64) -> Memory<'a> {
        Memory { tid, waits: Waits::Told(port, id) }
    }

    pub(crate) fn of_standing(tid: Tid, slot: &'a Slot) -> Memory<'a> {
        Memory { tid, waits: Waits::Stopped(slot) }
    }

    /// Memory of a thread, by number alone: of whoever has the number now. For threads that are
    /// kept from ending, and for looks that may be wrong.
    pub fn of_stopped(tid: Tid) -> Memory<'a> {
        Memory { tid, waits: Waits::Unknown }
    }

    /// Fills `into` from address `addr`, or says why not.
    pub fn read(&self, addr: u64, into: &mut [u8]) -> Result<(), MemError> {
        let n = self.read_some(addr, into)?;
        if n == into.len() { Ok(()) } else { Err(MemError::Fault) }
    }

    /// Reads up to the first unreadable page; [`MemError::Fault`] only when nothing is readable.
    pub fn read_some(&self, addr: u64, into: &mut [u8]) -> Result<usize, MemError> {
        if into.is_empty() {
            return Ok(0);
        }
        self.check_resident(addr, into.len(), false)?;
        let got = match sys::vm_read(self.tid.0, addr, into) {
            Ok(n) => Ok(n),
            Err(e) => match e.raw_os_error() {
                Some(libc::EPERM) | Some(libc::ENOSYS) => self.file_read(addr, into),
                _ => Err(classify(&e)),
            },
        };
        self.check_waiting()?;
        match got? {
            0 => Err(MemError::Fault),
            n => Ok(n),
        }
    }

    /// Writes all of `from` to address `addr`. As in the kernel, what precedes an unwritable page
    /// has been written when this says [`MemError::Fault`].
    pub fn write(&self, addr: u64, from: &[u8]) -> Result<(), MemError> {
        if from.is_empty() {
            return Ok(());
        }
        self.check_resident(addr, from.len(), true)?;
        self.check_waiting()?;
        let n = match sys::vm_write(self.tid.0, addr, from) {
            Ok(n) => n,
            Err(e) => match e.raw_os_error() {
                Some(libc::EPERM) | Some(libc::ENOSYS) => self.file_write(addr, from)?,
                _ => return Err(classify(&e)),
            },
        };
        if n == from.len() { Ok(()) } else { Err(MemError::Fault) }
    }

    /// Writes to what the program itself may not write, too, and to where its stack will be once it
    /// grows: for a program that has not run yet, and below a stack.
    pub(crate) fn overwrite(&self, addr: u64, from: &[u8]) -> Result<(), MemError> {
        let file = self.open(true)?;
        self.check_waiting()?;
        file.write_all_at(from, addr).map_err(|e| classify(&e))
    }

    /// Writes below a stack, which grows if it does not reach so far yet.
    pub(crate) fn write_below(&self, addr: u64, from: &[u8]) -> Result<(), MemError> {
        match self.write(addr, from) {
            Err(MemError::Fault) => self.overwrite(addr, from),
            done => done,
        }
    }

    /// Reads a NUL-terminated string of at most `max` bytes, the NUL included.
    ///
    /// Never asks for bytes of a page that the string has not reached.
    pub fn read_cstr(&self, addr: u64, max: usize) -> Result<CString, MemError> {
        // Most strings are short paths: do not fetch a page for each.
        let mut first = [0; 256];
        let mut later = Vec::new();
        let mut text = Vec::new();
        while text.len() < max {
            let at = addr.checked_add(text.len() as u64).ok_or(MemError::Fault)?;
            let step = ((PAGE - at % PAGE) as usize).min(max - text.len());
            let part = if text.is_empty() {
                &mut first[..step.min(256)]
            } else {
                later.resize(step, 0);
                &mut later[..]
            };
            self.read(at, part)?;
            match CStr::from_bytes_until_nul(part) {
                Ok(end) if text.is_empty() => return Ok(end.to_owned()),
                Ok(end) => {
                    text.extend_from_slice(end.to_bytes());
                    return Ok(CString::new(text).expect("cut at the first NUL"));
                }
                Err(_) => text.extend_from_slice(part),
            }
        }
        Err(MemError::TooLong)
    }

    /// Reads one number or array of numbers.
    pub fn read_value<T: Plain>(&self, addr: u64) -> Result<T, MemError> {
        let mut bytes = [0u8; 64];
        if T::SIZE <= bytes.len() {
            self.read(addr, &mut bytes[..T::SIZE])?;
            return Ok(T::from_bytes(&bytes[..T::SIZE]));
        }
        let mut bytes = vec![0; T::SIZE];
        self.read(addr, &mut bytes)?;
        Ok(T::from_bytes(&bytes))
    }

    /// Writes one number or array of numbers.
    pub fn write_value<T: Plain>(&self, addr: u64, value: T) -> Result<(), MemError> {
        let mut bytes = Vec::with_capacity(T::SIZE);
        value.to_bytes(&mut bytes);
        self.write(addr, &bytes)
    }

    /// Reads `count` numbers.
    pub fn read_values<T: Plain>(&self, addr: u64, count: usize) -> Result<Vec<T>, MemError> {
        let mut bytes = vec![0; T::SIZE * count];
        self.read(addr, &mut bytes)?;
        Ok(bytes.chunks_exact(T::SIZE).map(T::from_bytes).collect())
    }

    /// Writes a run of numbers.
    pub fn write_values<T: Plain>(&self, addr: u64, values: &[T]) -> Result<(), MemError> {
        let mut bytes = Vec::with_capacity(T::SIZE * values.len());
        values.iter().for_each(|v| v.to_bytes(&mut bytes));
        self.write(addr, &bytes)
    }

    fn check_waiting(&self) -> Result<(), MemError> {
        let waits = match self.waits {
            Waits::Told(port, id) => port.is_waiting(id),
            Waits::Stopped(slot) => slot.is_alive(),
            Waits::Unknown => true,
        };
        if waits { Ok(()) } else { Err(MemError::Gone) }
    }

    /// A tracer takes only what it need not wait for.
    fn check_resident(&self, addr: u64, len: usize, write: bool) -> Result<(), MemError> {
        let waits = matches!(self.waits, Waits::Stopped(_))
            && stop::is_tracer()
            && !resident::is_resident(self.tid, addr, len, write);
        if waits { Err(MemError::Later) } else { Ok(()) }
    }

    fn file_read(&self, addr: u64, into: &mut [u8]) -> Result<usize, MemError> {
        let file = self.open(false)?;
        file.read_at(into, addr).map_err(|e| classify(&e))
    }

    fn file_write(&self, addr: u64, from: &[u8]) -> Result<usize, MemError> {
        // A write through this file ignores page protection, which the kernel's own never does.
        let end = addr.checked_add(from.len() as u64).ok_or(MemError::Fault)?;
        let allowed = self.writable_up_to(addr, end)?;
        if allowed == 0 {
            return Err(MemError::Fault);
        }
        let file = self.open(true)?;
        self.check_waiting()?;
        file.write_at(&from[..allowed], addr).map_err(|e| classify(&e))
    }

    fn open(&self, write: bool) -> Result<File, MemError> {
        let path = format!("/proc/{}/mem", self.tid);
        OpenOptions::new().read(true).write(write).open(path).map_err(|e| classify(&e))
    }

    /// How many bytes from `addr` on lie in writable mappings.
    fn writable_up_to(&self, addr: u64, end: u64) -> Result<usize, MemError> {
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", self.tid))
            .map_err(|e| classify(&e))?;
        let mut reached = addr;
        for line in maps.lines() {
            let mut words = line.split(' ');
            let (Some(range), Some(mode)) = (words.next(), words.next()) else { continue };
            let Some((from, to)) = range.split_once('-') else { continue };
            let (Ok(from), Ok(to)) = (u64::from_str_radix(from, 16), u64::from_str_radix(to, 16))
            else {
                continue;
            };
            if from <= reached && reached < to && mode.as_bytes().get(1) == Some(&b'w') {
                reached = to.min(end);
            }
        }
        Ok((reached - addr) as usize)
    }
}

fn classify(e: &io::Error) -> MemError {
    match e.raw_os_error() {
        Some(libc::ESRCH) | Some(libc::ENOENT) => MemError::Gone,
        Some(libc::EPERM) | Some(libc::EACCES) => MemError::Denied,
        _ => MemError::Fault,
    }
}
