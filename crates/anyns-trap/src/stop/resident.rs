//! Whether a guest's memory can be had without waiting.
//!
//! The tracer waits for no guest, and memory that is not there may have to be brought by one: a
//! handler of page faults, or a file system in user space. `/proc/TID/pagemap` tells what is there and
//! brings nothing. What is not there at once a worker reads.
//!
//! Not excluded: that another thread of the guest takes the page away before it is read, and that it
//! is one of those that have to be brought by somebody.

use std::cell::RefCell;
use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::Tid;

const PAGE: u64 = 4096;
/// So many pages are looked at; more are left to a worker.
const MOST: usize = 4;

/// Bits of an entry (proc_pid_pagemap(5)).
const PRESENT: u64 = 1 << 63;
/// Of a file, or shared: a write may concern others.
const SHARED: u64 = 1 << 61;
/// A write has to wait for a handler of page faults.
const GUARDED: u64 = 1 << 57;

thread_local! {
    /// The last guest asked about: usually it is the next one, too.
    static LAST: RefCell<Option<(Tid, File)>> = const { RefCell::new(None) };
}

/// Whether `len` bytes from `addr` on can be read, or written, without waiting for anybody.
pub(crate) fn is_resident(tid: Tid, addr: u64, len: usize, write: bool) -> bool {
    let Some(last) = addr.checked_add((len as u64).saturating_sub(1)) else { return false };
    let (first, last) = (addr / PAGE, last / PAGE);
    let count = (last - first) as usize + 1;
    if count > MOST {
        return false;
    }
    let mut bytes = [0; MOST * 8];
    let bytes = &mut bytes[..count * 8];
    let known = LAST.with_borrow_mut(|cached| {
        if cached.as_ref().is_none_or(|(whose, _)| *whose != tid) {
            *cached = Some((tid, File::open(format!("/proc/{tid}/pagemap")).ok()?));
        }
        cached.as_ref()?.1.read_exact_at(bytes, first * 8).ok()
    });
    let (wanted, unwanted) = if write { (PRESENT, SHARED | GUARDED) } else { (PRESENT, 0) };
    known.is_some()
        && bytes.chunks_exact(8).all(|entry| {
            let entry = u64::from_ne_bytes(entry.try_into().expect("eight bytes"));
            entry & (wanted | unwanted) == wanted
        })
}

/// The number of `tid` may mean other memory from now on.
pub(super) fn forget(tid: Tid) {
    LAST.with_borrow_mut(|cached| {
        cached.take_if(|(whose, _)| *whose == tid);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_is_there() {
        let me = Tid(crate::sys::own_tid());
        let own = vec![1_u8; 3 * PAGE as usize];
        let at = own.as_ptr() as u64;
        assert!(is_resident(me, at, own.len(), false) && is_resident(me, at, own.len(), true));
        assert!(!is_resident(me, at, 5 * PAGE as usize, false), "more than is looked at");
        assert!(!is_resident(me, 8, 1, false) && !is_resident(me, u64::MAX, 2, false));
        // The program itself is there, and a file's.
        let code = tells_what_is_there as *const () as u64;
        assert!(is_resident(me, code, 1, false) && !is_resident(me, code, 1, true));
        forget(me);
        assert!(is_resident(me, at, 1, false));
    }
}
