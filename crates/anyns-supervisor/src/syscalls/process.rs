//! fork(2), vfork(2), clone(2), clone3(2): a task is born.
//!
//! The kernel makes the process; what is ours is the child's entry in the model, made while parent
//! and child are stopped, so that the child never runs a step unknown.
//! Not decided here: whether the namespaces may be made; that is `nsproxy`'s.

use anyns_trap::{Failed, Forked, Memory, Tid};
use nsproxy::{CloneArgs, CloneFlags, Newborn};

use crate::cx::{Cx, Met, Served, Verdict};
use crate::trouble::Trouble;

/// What the kernel must not see: namespaces, which are ours to make, and the flag that hides a
/// child from whoever follows its birth.
const OURS: CloneFlags = CloneFlags::NAMESPACES.union(CloneFlags::UNTRACED);

/// The same for clone(2), where the flag of the time namespace is part of the exit signal.
const OURS_IN_CLONE: CloneFlags = OURS.difference(CloneFlags::NEWTIME);

/// Where the flags are in the argument block of clone3(2).
const CLONE3_FLAGS: std::ops::Range<usize> = 0..8;

/// Serves `fork()`.
pub(crate) fn fork(cx: &mut Cx<'_>) -> Served {
    born(cx, &CloneArgs::fork(), Edit::None)
}

/// Serves `vfork()`.
pub(crate) fn vfork(cx: &mut Cx<'_>) -> Served {
    born(cx, &CloneArgs::vfork(), Edit::None)
}

/// Serves `clone(flags, ...)`.
pub(crate) fn clone(cx: &mut Cx<'_>) -> Served {
    let args = CloneArgs::legacy(cx.arg(0));
    let mut edited = cx.args();
    edited[0] &= !OURS_IN_CLONE.bits();
    let edit = if edited == cx.args() { Edit::None } else { Edit::Registers(edited) };
    born(cx, &args, edit)
}

/// Serves `clone3(args, size)`.
pub(crate) fn clone3(cx: &mut Cx<'_>) -> Served {
    let (address, size) = (cx.arg(0), cx.arg(1));
    let Ok(len) = CloneArgs::block_len(size) else { return Ok(Verdict::Continue) };
    let mut block = vec![0; len];
    if cx.mem().read(address, &mut block).is_err() {
        // Unreadable: the kernel refuses it without making anything.
        return Ok(Verdict::Continue);
    }
    let flags = u64::from_ne_bytes(block[CLONE3_FLAGS].try_into().expect("eight bytes"));
    let flags = CloneFlags::from_bits_retain(flags);
    if cx.guest().is_none() && !needs_model(flags) {
        return Ok(Verdict::Continue);
    }
    let args = CloneArgs::from_block(&block)?;
    let plain = (flags - OURS).bits();
    let edit = if plain == flags.bits() {
        Edit::None
    } else {
        Edit::Memory { address, plain, asked: flags.bits() }
    };
    born(cx, &args, edit)
}

/// How the kernel is kept from making the namespaces itself.
enum Edit {
    /// Nothing to keep from it.
    None,
    /// Other arguments while the call runs.
    Registers([u64; 6]),
    /// Other flags in the argument block while the call runs.
    Memory { address: u64, plain: u64, asked: u64 },
}

/// Tells whether the child of an unknown task has to be known.
fn needs_model(flags: CloneFlags) -> bool {
    // A shared fs_struct is an argument of later rules (setns to a user namespace), so the model
    // must know of it; threads share theirs anyway and are looked up when it matters.
    let shares_fs = flags.contains(CloneFlags::FS) && !flags.contains(CloneFlags::THREAD);
    flags.intersects(CloneFlags::NAMESPACES) || shares_fs
}

fn born(cx: &mut Cx<'_>, args: &CloneArgs, edit: Edit) -> Served {
    if cx.guest().is_none() && !needs_model(args.flags) {
        return Ok(Verdict::Continue);
    }
    if let Some(guest) = cx.guest()
        && args.flags.contains(CloneFlags::THREAD)
        && !args.flags.intersects(CloneFlags::NAMESPACES)
        && cx.sup.guests.make_quietly(guest)
    {
        return Ok(Verdict::Continue);
    }
    let met = cx.meet()?;
    if args.flags.intersects(CloneFlags::NAMESPACES) {
        // The dead do not count against the limits.
        cx.sup.settle();
    }
    let newborn = nsproxy::prepare_clone(&met.task, args)?;
    let registers = match edit {
        Edit::None => None,
        Edit::Registers(edited) => Some(edited),
        Edit::Memory { address, plain, .. } => {
            cx.mem().write(address, &plain.to_ne_bytes())?;
            // So that it stands where the call ends, whatever its end, and the flags can be put back.
            Some(cx.args())
        }
    };
    let restore = |tid| {
        if let Edit::Memory { address, asked, .. } = edit {
            let _ = Memory::of_stopped(tid).write(address, &asked.to_ne_bytes());
        }
    };
    let caller = Tid(cx.tid());
    let mut newborn = Some(newborn);
    // A caller that was refused must find nothing changed: no namespace counted, its flags as they
    // were. So must one that makes its call anew after a signal.
    let made = cx.take().let_fork_undoing(registers, &mut || {
        newborn = None;
        restore(caller);
    });
    match made {
        Ok(forked) => {
            // The child has its own copy of the block, or shares the parent's.
            restore(forked.parent());
            restore(forked.child());
            let newborn = newborn.expect("undone only when nothing was born");
            Ok(Verdict::Answered(introduce(cx, met, args, newborn, forked)))
        }
        // Nothing was born.
        Err(Failed::Errno(_, answered) | Failed::Restarted(answered) | Failed::Gone(answered)) => {
            Ok(Verdict::Answered(answered))
        }
        Err(Failed::Untraceable(call)) => {
            restore(caller);
            cx.put_back(call);
            untraceable(cx, met, matches!(edit, Edit::None))
        }
    }
}

/// Enters the child, while both are stopped, and lets both go.
fn introduce(
    cx: &Cx<'_>,
    mut met: Met<'_>,
    args: &CloneArgs,
    newborn: Newborn,
    forked: Forked,
) -> anyns_trap::Answered {
    let child = forked.child().0;
    let task = newborn.commit();
    let tgid = if args.flags.contains(CloneFlags::THREAD) { met.tgid } else { child };
    // Of a shared fs_struct both sides must be known, or neither.
    let known = !args.flags.contains(CloneFlags::FS) || met.keep().is_ok();
    if !known || cx.sup.enter(child, tgid, task).is_err() {
        // It cannot be known, so it must not run: better a dead child than one in the wrong
        // namespaces. It dies at its first stop, unseen.
        let _ = rustix::process::kill_process(
            rustix::process::Pid::from_raw(child).expect("a child has a number"),
            rustix::process::Signal::KILL,
        );
    }
    forked.release()
}

/// A guest traced by another guest: its children are recognised when they first call.
fn untraceable(cx: &mut Cx<'_>, mut met: Met<'_>, unedited: bool) -> Served {
    if !unedited {
        return Err(Trouble::Errno(rustix::io::Errno::PERM));
    }
    let guest = met.keep()?;
    cx.sup.guests.mark_traced(&guest);
    Ok(Verdict::Continue)
}
