//! fork(2), vfork(2), clone(2), clone3(2): a task is born.
//!
//! The kernel makes the process; what is ours is the child's entry in the model, made while parent
//! and child are stopped, so that the child never runs a step unknown.
//! Not decided here: whether the namespaces may be made; that is `nsproxy`'s.

use std::sync::Arc;

use anyns_trap::{Birth, Failed, Forked, Memory, Tid};
use nsproxy::{CloneArgs, CloneFlags, Facts, Newborn, Status, Task};
use rustix::process::Pid;

use crate::Supervisor;
use crate::cx::{Cx, Met, Served, Verdict};
use crate::guests::{self, Guest};
use crate::procfs;
use crate::trouble::Trouble;

/// What the kernel must not see: namespaces, which are ours to make, and the flag that hides a
/// child from whoever follows its birth.
const OURS: CloneFlags = CloneFlags::NAMESPACES.union(CloneFlags::UNTRACED);

/// The same for clone(2), where the flag of the time namespace is part of the exit signal.
const OURS_IN_CLONE: CloneFlags = OURS.difference(CloneFlags::NEWTIME);

/// What a birth that is like most has none of.
const NOT_ALIKE: CloneFlags =
    CloneFlags::NAMESPACES.union(CloneFlags::PARENT).union(CloneFlags::INTO_CGROUP);

/// Where the flags are in the argument block of clone3(2).
const CLONE3_FLAGS: std::ops::Range<usize> = 0..8;
/// Where the chosen numbers and their count are, in a block that has them.
const CLONE3_SET_TID: std::ops::Range<usize> = 64..80;
/// The most numbers that can be chosen.
const SET_TID_MAX: u64 = 32;

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
    note_files(cx, args.flags);
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
    note_files(cx, flags);
    if cx.guest().is_none() && !needs_model(flags) {
        return Ok(Verdict::Continue);
    }
    let args = CloneArgs::from_block(&block)?;
    let mut plain = block.clone();
    plain[CLONE3_FLAGS].copy_from_slice(&(flags - OURS).bits().to_ne_bytes());
    let below = cx.guest().is_some_and(|guest| bears_below(&guest.task));
    if below || flags.contains(CloneFlags::NEWPID) {
        // Numbers are the host's, whatever was chosen.
        if let Some(chosen) = plain.get_mut(CLONE3_SET_TID) {
            chosen.fill(0);
        }
    }
    let edit =
        if plain == block { Edit::None } else { Edit::Memory { address, plain, asked: block } };
    born(cx, &args, edit)
}

/// Has a process adopt the orphans below it.
const ADOPT: [u64; 6] = [libc::PR_SET_CHILD_SUBREAPER as u64, 1, 0, 0, 0, 0];

/// How the kernel is kept from making the namespaces itself.
enum Edit {
    /// Nothing to keep from it.
    None,
    /// Other arguments while the call runs.
    Registers([u64; 6]),
    /// Another argument block while the call runs.
    Memory { address: u64, plain: Vec<u8>, asked: Vec<u8> },
}

/// Tells whether the child of an unknown task has to be known.
fn needs_model(flags: CloneFlags) -> bool {
    // A shared fs_struct is an argument of later rules (setns to a user namespace), so the model
    // must know of it; threads share theirs anyway and are looked up when it matters.
    let shares_fs = flags.contains(CloneFlags::FS) && !flags.contains(CloneFlags::THREAD);
    flags.intersects(CloneFlags::NAMESPACES) || shares_fs
}

/// Tells whether a task's children are born in another pid namespace than its own, so that it can
/// make no threads.
fn bears_elsewhere(task: &Task) -> bool {
    let waiting = task.nsproxy().map(|proxy| proxy.pid_for_children.clone());
    waiting.is_some_and(|ns| task.pid_ns().is_some_and(|own| own != ns))
}

/// Tells whether a task's children are born in a pid namespace of ours.
fn bears_below(task: &Task) -> bool {
    let waiting = task.nsproxy().map(|proxy| proxy.pid_for_children.clone());
    waiting.is_some_and(|ns| !ns.is_initial())
}

/// The numbers that clone3(2) is to give the child (`set_tid`), the innermost first.
fn chosen_numbers(cx: &Cx<'_>, args: &CloneArgs) -> Result<Vec<i32>, Trouble> {
    if args.set_tid == 0 || args.set_tid_size > SET_TID_MAX {
        // The rules say what becomes of too many.
        return Ok(Vec::new());
    }
    let mut bytes = vec![0; args.set_tid_size as usize * 4];
    cx.mem().read(args.set_tid, &mut bytes)?;
    let number = |word: &[u8]| i32::from_ne_bytes(word.try_into().expect("four bytes"));
    Ok(bytes.chunks_exact(4).map(number).collect())
}

/// A process that shares its descriptors can exchange those of another (`syscalls::message`).
fn note_files(cx: &Cx<'_>, flags: CloneFlags) {
    if flags.contains(CloneFlags::FILES) && !flags.contains(CloneFlags::THREAD) {
        cx.sup.guests.note_shared_files();
    }
}

fn born(cx: &mut Cx<'_>, args: &CloneArgs, edit: Edit) -> Served {
    if cx.guest().is_none() && !needs_model(args.flags) {
        return Ok(Verdict::Continue);
    }
    if let Some(guest) = cx.guest()
        && args.flags.contains(CloneFlags::THREAD | CloneFlags::SYSVSEM)
        && !args.flags.intersects(CloneFlags::NAMESPACES)
        && !bears_elsewhere(&guest.task)
        && cx.sup.guests.make_quietly(guest)
    {
        return Ok(Verdict::Continue);
    }
    if let (Some(guest), Edit::None) = (cx.guest(), &edit)
        && !args.flags.intersects(NOT_ALIKE)
        && !bears_elsewhere(&guest.task)
        && args.set_tid_size == 0
        && args.set_tid == 0
        && !cx.sup.writes()
    {
        let guest = Arc::clone(guest);
        return born_alike(cx, &guest, args);
    }
    cx.may_wait()?;
    let met = cx.meet()?;
    let below = args.flags.contains(CloneFlags::NEWPID) || bears_below(&met.task);
    if args.flags.intersects(CloneFlags::NAMESPACES) {
        // The dead do not count against the limits.
        cx.settle()?;
    }
    cx.sup.guests.look_at_inits(&met.task);
    if args.flags.contains(CloneFlags::NEWCGROUP) {
        cx.sup.note_cgroups(cx.tid(), &met.task);
    }
    let numbers = chosen_numbers(cx, args)?;
    let facts = Facts { set_tid: &numbers, ..Facts::default() };
    let newborn = match nsproxy::prepare_clone_with(&met.task, args, facts) {
        // The kernel's own limit comes before some of the rules.
        Err(_) if is_crowded(cx.tid()) => {
            nsproxy::prepare_clone_with(&met.task, args, Facts { crowded: true, ..facts })?
        }
        prepared => prepared?,
    };
    let _birth = below.then(|| cx.sup.guests.expect_birth());
    let registers = match &edit {
        // So that its errno is known.
        Edit::None if args.flags.contains(CloneFlags::INTO_CGROUP) => Some(cx.args()),
        Edit::None => None,
        Edit::Registers(edited) => Some(*edited),
        Edit::Memory { address, plain, .. } => {
            cx.mem().write(*address, plain)?;
            // So that it stands where the call ends, whatever its end, and the flags can be put back.
            Some(cx.args())
        }
    };
    let restore = |tid| {
        if let Edit::Memory { address, asked, .. } = &edit {
            let _ = Memory::of_stopped(tid).write(*address, asked);
        }
    };
    let caller = Tid(cx.tid());
    let mut newborn = Some(newborn);
    let by = Arc::clone(&met.task);
    // A caller that was refused must find nothing changed: no namespace counted, its flags as they
    // were. So must one that makes its call anew after a signal.
    let made = cx.take().let_fork_undoing(registers, &mut |errno| {
        newborn = None;
        restore(caller);
        spoil(&by, args, errno);
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

/// The usual case: a known task makes a child that is in the same namespaces.
fn born_alike(cx: &mut Cx<'_>, guest: &Arc<Guest>, args: &CloneArgs) -> Served {
    // Its credentials are inherited, so they have to be up to date.
    let met = cx.meet()?;
    cx.sup.guests.look_at_inits(&guest.task);
    let newborn = nsproxy::prepare_clone(&met.task, args)?;
    let thread = args.flags.contains(CloneFlags::THREAD);
    let alike = Alike {
        sup: cx.sup.shared()?,
        newborn,
        group: thread.then_some(guest.tgid),
        expected: guest.is_numbered().then(|| cx.sup.guests.expect_birth()),
    };
    match cx.take().let_fork_then(Box::new(alike)) {
        Ok(answered) => Ok(Verdict::Answered(answered)),
        Err(Failed::Untraceable(call)) => {
            cx.put_back(call);
            untraceable(cx, met, true)
        }
        Err(failed) => Ok(Verdict::Answered(failed.settle())),
    }
}

/// A child that is about to be made.
struct Alike {
    sup: Arc<Supervisor>,
    newborn: Newborn,
    /// The process that it is a thread of; none if it is one of its own.
    group: Option<i32>,
    /// For an init that may end meanwhile.
    expected: Option<guests::Birth>,
}

impl Birth for Alike {
    fn born(self: Box<Self>, parent: Tid, child: Tid) {
        let Alike { sup, newborn, group, expected } = *self;
        newborn.task().set_tag(child.0 as u64);
        let task = newborn.commit_as(child.0 as u32);
        match sup.enter(child.0, group.unwrap_or(child.0), task) {
            Ok(guest) => {
                if group.is_none()
                    && let Some(parent) = sup.find_guest(parent.0)
                {
                    sup.mounts.note_fork(parent.tgid, child.0);
                    guest.inherit(&parent);
                }
                sup.guests.kill_if_dead(&guest);
            }
            Err(_) => kill_unknown(child),
        }
        drop(expected);
    }
}

/// A child that cannot be known must not run: better a dead one than one in the wrong namespaces. It
/// dies at its first stop, unseen.
fn kill_unknown(child: Tid) {
    let child = Pid::from_raw(child.0).expect("a child has a number");
    let _ = rustix::process::kill_process(child, rustix::process::Signal::KILL);
}

/// A birth that the kernel refuses because of its cgroup has had its number already: if it was the
/// first in its pid namespace, that has ended.
fn spoil(by: &Task, args: &CloneArgs, errno: Option<i32>) {
    let later = !matches!(errno, None | Some(libc::EAGAIN | libc::ENOMEM | libc::EINTR));
    if args.flags.contains(CloneFlags::INTO_CGROUP)
        && later
        && let Some(proxy) = by.nsproxy()
    {
        proxy.pid_for_children.spoil();
    }
}

/// Tells whether a thread's user has as many processes as RLIMIT_NPROC lets it have.
fn is_crowded(tid: i32) -> bool {
    let read = |path: String| {
        let text = procfs::read_file(&path).ok()?;
        String::from_utf8(text).ok()
    };
    let words = |text: &str, name: &str| -> Vec<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.split_whitespace().map_while(|word| word.parse().ok()).collect()
    };
    let limits = read(format!("/proc/{tid}/limits")).unwrap_or_default();
    let Some(&limit) = words(&limits, "Max processes").first() else { return false };
    let status = |pid: &str| read(format!("/proc/{pid}/status"));
    let uid = |text: &str| words(text, "Uid:").first().copied();
    let Some(own) = status(&tid.to_string()).as_deref().and_then(uid) else { return false };
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let count: u64 = processes
        .filter_map(|entry| status(entry.file_name().to_str()?))
        .filter(|text| uid(text) == Some(own))
        .map(|text| words(&text, "Threads:").first().copied().unwrap_or(0))
        .sum();
    count >= limit
}

/// Enters the child, while both are stopped, and lets both go.
fn introduce(
    cx: &Cx<'_>,
    mut met: Met<'_>,
    args: &CloneArgs,
    newborn: Newborn,
    mut forked: Forked,
) -> anyns_trap::Answered {
    let child = forked.child().0;
    newborn.task().set_tag(child as u64);
    if args.flags.contains(CloneFlags::NEWCGROUP | CloneFlags::INTO_CGROUP) {
        cx.sup.note_birth_in_cgroup(child, &newborn);
    }
    let task = newborn.commit_as(child as u32);
    // Its orphans shall be its own.
    let adopts =
        !task.is_init() || forked.inject(libc::SYS_prctl, ADOPT).is_some_and(|done| done == 0);
    let tgid = if args.flags.contains(CloneFlags::THREAD) { met.tgid } else { child };
    // Of a shared fs_struct both sides must be known, or neither.
    let known = !args.flags.contains(CloneFlags::FS) || met.keep().is_ok();
    let entered = match known && adopts {
        true => cx.sup.enter(child, tgid, task).ok(),
        false => {
            drop(nsproxy::exit_with(&task, Status::default()));
            None
        }
    };
    if let Some(guest) = entered {
        if tgid == child {
            cx.sup.mounts.note_fork(met.tgid, child);
            if let Some(parent) = cx.guest() {
                guest.inherit(parent);
            }
        }
        if args.flags.contains(CloneFlags::NEWNS)
            && let Some(tree) = cx.sup.any_tree_of(&met.task)
        {
            cx.sup.note_descriptors(child, &tree);
        }
        guest.note_maker(&met.task);
        if let Some(sibling) = cx.guest()
            && args.flags.contains(CloneFlags::PARENT)
        {
            guest.note_sibling(sibling);
        }
        cx.sup.guests.kill_if_dead(&guest);
    } else {
        kill_unknown(Tid(child));
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
