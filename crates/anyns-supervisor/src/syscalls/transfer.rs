//! process_vm_readv(2), process_vm_writev(2): the memory of somebody who is given by number.
//!
//! The kernel serves them once the number is its own. Their six arguments leave no room for the mark
//! of a call that a stopped guest makes after all, so where guests are traced for good, the bytes
//! are carried by us.

use anyns_trap::{MemError, Memory, Tid};
use rustix::io::Errno;

use crate::cx::{Cx, Served, Verdict};
use crate::numbers::NOBODY;

/// The most pieces a call can name (`UIO_MAXIOV`).
const PIECES: u64 = 1024;
/// Bytes that are carried at once; none of them crosses the border of a page, which is where memory
/// can begin to be missing.
const PAGE: u64 = 4096;

/// Serves both.
pub(crate) fn transfer(cx: &mut Cx<'_>) -> Served {
    super::subject::lets_look(cx, cx.int(0))?;
    let (number, view) = (cx.int(0), cx.view());
    let host = if number > 0 { view.find(number).unwrap_or(NOBODY) } else { number };
    if !cx.held().is_traced() {
        let mut args = cx.args();
        if host != number {
            args[0] = host as u64;
        }
        return cx.run_with(args);
    }
    if host == number && !cx.held().is_stopped() {
        return Ok(Verdict::Continue);
    }
    carried(cx, host)
}

/// A piece of memory: where it is and how long.
type Piece = (u64, u64);

fn carried(cx: &Cx<'_>, host: i32) -> Served {
    let [_, own, own_count, other, other_count, flags] = cx.args();
    if flags != 0 || own_count > PIECES || other_count > PIECES {
        return Err(Errno::INVAL.into());
    }
    let mut here = pieces(&cx.mem(), own, own_count)?;
    if here.iter().all(|(_, len)| *len == 0) || other_count == 0 {
        return Ok(Verdict::Return(0));
    }
    let mut there = pieces(&cx.mem(), other, other_count)?;
    if host <= 0 || host == NOBODY {
        return Err(Errno::SRCH.into());
    }
    let target = Memory::of_stopped(Tid(host));
    let mut done = 0;
    while let (Some((at, len)), Some((from, room))) = (next(&mut here), next(&mut there)) {
        let count = len.min(room).min(PAGE - at % PAGE).min(PAGE - from % PAGE);
        let mut bytes = vec![0; count as usize];
        let moved = match cx.nr() == libc::SYS_process_vm_readv {
            true => target.read(from, &mut bytes).and_then(|()| cx.mem().write(at, &bytes)),
            false => cx.mem().read(at, &mut bytes).and_then(|()| target.write(from, &bytes)),
        };
        match moved {
            Ok(()) => done += count as i64,
            Err(_) if done > 0 => break,
            Err(MemError::Gone) => return Err(Errno::SRCH.into()),
            Err(MemError::Denied) => return Err(Errno::PERM.into()),
            Err(error) => return Err(error.into()),
        }
        for list in [&mut here, &mut there] {
            if let Some(first) = list.first_mut() {
                *first = (first.0.wrapping_add(count), first.1 - count);
            }
        }
    }
    Ok(Verdict::Return(done))
}

/// The first piece of which something is left.
fn next(list: &mut Vec<Piece>) -> Option<Piece> {
    while list.first().is_some_and(|(_, len)| *len == 0) {
        list.remove(0);
    }
    list.first().copied()
}

/// Reads an array of `struct iovec`.
fn pieces(mem: &Memory<'_>, at: u64, count: u64) -> Result<Vec<Piece>, crate::trouble::Trouble> {
    let mut bytes = vec![0; count as usize * 16];
    if !bytes.is_empty() {
        mem.read(at, &mut bytes)?;
    }
    let word = |bytes: &[u8]| u64::from_ne_bytes(bytes.try_into().expect("eight bytes"));
    let list: Vec<Piece> =
        bytes.chunks_exact(16).map(|piece| (word(&piece[..8]), word(&piece[8..]))).collect();
    match list.iter().any(|(_, len)| *len > i64::MAX as u64) {
        true => Err(Errno::INVAL.into()),
        false => Ok(list),
    }
}
