//! Guests' own filters, as far as ours hides what they say.
//!
//! Our SIGSYS outranks the errno of a filter that a guest has installed itself. So the programs that
//! guests install are remembered, and run again for each stopped call: an errno is the answer then.
//! What is stronger than ours (kill, and a newer SIGSYS) the kernel has done already.
//!
//! A program is read when it is installed, by us and by the kernel one after the other: a guest that
//! changes it in between fools itself.

use std::sync::Arc;

use super::{Keeper, Slot};
use crate::arch;
use crate::call::Call;
use crate::engine::Serve;
use crate::trace::Failed;

/// One instruction: code, jumps, operand.
type Insn = (u16, u8, u8, u32);

/// A program, as it was installed.
pub(crate) struct Program(Vec<Insn>);

/// The programs of a thread, the oldest first.
pub(crate) type Filters = Arc<Vec<Arc<Program>>>;

/// As many instructions as the kernel takes (`BPF_MAXINSNS`).
const MAX: usize = 4096;
const INSN: usize = 8;

/// The calls that install one, by their first argument. `prctl` has another mode, too.
pub(crate) const INSTALLS: [(i64, u32); 2] = [
    (libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER),
    (libc::SYS_prctl, libc::PR_SET_SECCOMP as u32),
];

/// Whether this call installs a filter; where its program is.
pub(crate) fn installs(call: &Call) -> Option<u64> {
    match (call.nr(), call.arg(0) as u32) {
        (libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER) => Some(call.arg(2)),
        (libc::SYS_prctl, option) if option == libc::PR_SET_SECCOMP as u32 => {
            (call.arg(1) == u64::from(libc::SECCOMP_MODE_FILTER)).then(|| call.arg(2))
        }
        _ => None,
    }
}

/// Has the caller install its filter, and remembers it.
pub(super) fn serve_install(server: &dyn Serve, call: Call, at: u64) {
    let program = Program::read(&call, at);
    let shared = is_shared(&call);
    let (Some(slot), Some(keeper)) = (call.slot(), call.keeper().cloned()) else { return };
    let (tid, args) = (call.tid(), call.args());
    match call.let_run(args) {
        Ok(ran) => {
            // A thread's number: it could not be brought in line, and nothing was installed.
            let installed = ran.result() == 0 || (ran.result() > 0 && !shared);
            if let (true, Some(program)) = (installed, program) {
                let mut all = (*slot.filters()).clone();
                all.push(Arc::new(program));
                let all = Arc::new(all);
                slot.set_filters(Arc::clone(&all));
                if shared {
                    synchronise(&keeper, tid.0, &all);
                    server.filter_shared(tid);
                }
            }
            let _ = ran.release();
        }
        Err(Failed::Untraceable(call)) => drop(call),
        Err(failed) => drop(failed.settle()),
    }
}

/// Has a caller install a filter whose calls are told: they are whatever its filters say.
pub(crate) fn serve_told(server: &dyn Serve, call: Call) {
    if !is_shared(&call) {
        drop(call.resume());
        return;
    }
    let (tid, args) = (call.tid(), call.args());
    match call.let_run(args) {
        Ok(ran) => {
            if ran.result() == 0 {
                server.filter_shared(tid);
            }
            let _ = ran.release();
        }
        // It cannot be seen whether it is.
        Err(Failed::Untraceable(call)) => drop(call.resume()),
        Err(failed) => drop(failed.settle()),
    }
}

/// Whether a filter is installed for all threads of the process.
fn is_shared(call: &Call) -> bool {
    call.nr() == libc::SYS_seccomp && call.arg(1) & libc::SECCOMP_FILTER_FLAG_TSYNC != 0
}

/// All threads of the process have the same filters now.
fn synchronise(keeper: &Keeper, tid: i32, all: &Filters) {
    for slot in super::threads_of(crate::Tid(tid)).into_iter().filter_map(|tid| keeper.slot(tid)) {
        slot.set_filters(Arc::clone(all));
    }
}

/// The error number that the caller's own filters give this call, if that is what they say.
pub(super) fn refusal(call: &Call, slot: &Slot) -> Option<i32> {
    let filters = slot.filters();
    let verdicts = filters.iter().rev().map(|program| program.run(call));
    // The least is the strongest; of equals, the newest.
    let action = |verdict: &u32| (verdict & libc::SECCOMP_RET_ACTION_FULL) as i32;
    let strongest = verdicts.min_by_key(action)?;
    const HIGHEST: u32 = 4095;
    (strongest & libc::SECCOMP_RET_ACTION_FULL == libc::SECCOMP_RET_ERRNO)
        .then(|| (strongest & libc::SECCOMP_RET_DATA).min(HIGHEST) as i32)
}

impl Program {
    /// Reads a `struct sock_fprog` and the program it names.
    fn read(call: &Call, at: u64) -> Option<Program> {
        let [length, address] = call.mem().read_value::<[u64; 2]>(at).ok()?;
        let length = usize::from(length as u16);
        if length == 0 || length > MAX {
            return None;
        }
        let mut bytes = vec![0; length * INSN];
        call.mem().read(address, &mut bytes).ok()?;
        let insn = |b: &[u8]| {
            let code = u16::from_ne_bytes([b[0], b[1]]);
            (code, b[2], b[3], u32::from_ne_bytes([b[4], b[5], b[6], b[7]]))
        };
        Some(Program(bytes.chunks_exact(INSN).map(insn).collect()))
    }

    /// Runs it for a call, as the kernel did, which has checked it: what cannot be allows.
    fn run(&self, call: &Call) -> u32 {
        self.interpret(&data(call)).unwrap_or(libc::SECCOMP_RET_ALLOW)
    }

    fn interpret(&self, data: &[u32; 16]) -> Option<u32> {
        let (mut pc, mut a, mut x, mut memory) = (0usize, 0u32, 0u32, [0u32; 16]);
        loop {
            let (code, jt, jf, k) = *self.0.get(pc)?;
            pc += 1;
            let operand = if code & 0x08 != 0 { x } else { k };
            match code & 0x07 {
                // Loads and stores.
                0x00 | 0x01 => {
                    let value = match code & 0xe0 {
                        0x00 => k,
                        0x20 => *data.get(k as usize / 4)?,
                        0x60 => *memory.get(k as usize)?,
                        0x80 => size_of_val(data) as u32,
                        _ => return None,
                    };
                    if code & 0x07 == 0 { a = value } else { x = value }
                }
                0x02 => *memory.get_mut(k as usize)? = a,
                0x03 => *memory.get_mut(k as usize)? = x,
                0x04 => {
                    a = match code & 0xf0 {
                        0x00 => a.wrapping_add(operand),
                        0x10 => a.wrapping_sub(operand),
                        0x20 => a.wrapping_mul(operand),
                        // By 0: the kernel's program ends with 0, which kills, so we are not here.
                        0x30 => a.checked_div(operand)?,
                        0x40 => a | operand,
                        0x50 => a & operand,
                        0x60 => a.wrapping_shl(operand),
                        0x70 => a.wrapping_shr(operand),
                        0x80 => a.wrapping_neg(),
                        0xa0 => a ^ operand,
                        _ => return None,
                    }
                }
                0x05 => {
                    let holds = match code & 0xf0 {
                        0x00 => {
                            pc = pc.checked_add(k as usize)?;
                            continue;
                        }
                        0x10 => a == operand,
                        0x20 => a > operand,
                        0x30 => a >= operand,
                        0x40 => a & operand != 0,
                        _ => return None,
                    };
                    pc += usize::from(if holds { jt } else { jf });
                }
                0x06 => return Some(if code & 0x18 == 0x10 { a } else { k }),
                _ if code & 0xf8 == 0x80 => a = x,
                _ => x = a,
            }
        }
    }
}

/// `struct seccomp_data` in words: number, architecture, address, arguments.
fn data(call: &Call) -> [u32; 16] {
    let mut words = [0; 16];
    (words[0], words[1]) = (call.nr() as u32, arch::AUDIT_ARCH);
    let long = std::iter::once(call.ip()).chain(call.args());
    for (place, value) in words[2..].chunks_exact_mut(2).zip(long) {
        (place[0], place[1]) = (value as u32, (value >> 32) as u32);
    }
    words
}
