//! Linux namespaces as a library.
//!
//! This crate is the kernel's namespace subsystem: tasks that point to an `nsproxy`, `nsproxy`
//! objects that point to one namespace of each type, and the few functions that swap that pointer
//! on a running task. It *decides* and does nothing else: give it tasks and calls, it gives
//! results or refusals. It makes no system call, reads no clock and knows no descriptor, register
//! or process of the host. It can serve real processes, be embedded in a kernel written in Rust, be
//! driven by a property test, or answer "what would Linux say?" without doing anything.
//!
//! ```
//! use nsproxy::{CloneFlags, Config, Cred, Kgid, Kuid, System, unshare};
//!
//! let system = System::new(Config::default());
//! let task = system.adopt(None, Cred::user(&system.init_user(), Kuid(1000), Kgid(1000)));
//!
//! let refusal = unshare(&task, CloneFlags::NEWUTS).unwrap_err();
//! assert_eq!(
//!     refusal.to_string(),
//!     "namespace-needs-admin (EPERM): making a namespace other than a user namespace needs \
//!      CAP_SYS_ADMIN in the user namespace that will own it; flags NEWUTS, owner user:[4026531837]"
//! );
//! unshare(&task, CloneFlags::NEWUSER | CloneFlags::NEWUTS)?;
//! # Ok::<(), nsproxy::Refusal>(())
//! ```
//!
//! [`KindSet::ROOMS`] says which of the eight types the crate has. The flags of the others are known,
//! and refused as by a kernel built without them; [`Config::built`] makes it fewer still.
//!
//! # The walk of one unshare
//!
//! `unshare(CLONE_NEWUSER | CLONE_NEWUTS)` by an ordinary user, without libraries in between:
//!
//! 1. [`prepare_unshare`] takes the task's *change lock*: nobody else can change it now. A task
//!    that has exited is refused.
//! 2. The flags are completed (`NEWUSER` brings `THREAD` and `FS`) and checked: unknown bits, then
//!    whether the process has other threads. No permission has been looked at yet; an unknown bit
//!    is EINVAL even for those who may nothing.
//! 3. If the task shares its root directory, a copy of its own is made ready.
//! 4. The user namespace comes first, with the credentials: is it nested too deep, is there room
//!    below the limit at every level, is the caller in a chroot, are its ids mapped? It is made:
//!    charged, numbered, a child of the caller's, without maps. New credentials point to it, with
//!    every capability.
//! 5. May the caller make a uts namespace *in the user namespace that will own it*? That is the
//!    new one, whose maker holds everything in it, so yes. Types are made in a fixed order
//!    into a private copy of the task's `NsProxy`.
//! 6. All of it is in a [`Change`]. Whatever refused on the way dropped what was made so far:
//!    charges were given back, numbers are free again, and nobody has seen anything. Dropping the
//!    `Change` does the same.
//! 7. [`Change::commit`] cannot fail. The pointer to the new `NsProxy` is published; then the root
//!    directory, then the credentials. Readers on other threads, which take no lock, see the old
//!    object or the new one. The onlooker is told, and the old object dropped: whatever namespace
//!    only it named is freed now, or when the last reader lets go.
//!
//! # The ways in
//!
//! There is one function that swaps a task's namespaces, `switch_task_namespaces`, and five ways
//! to it, of which setns(2) has two forms. [`book::ways`] is a chapter about them, with an example
//! each that runs.
//!
//! | way | prepare | then |
//! |---|---|---|
//! | a task moves itself to new namespaces | [`prepare_unshare`] | [`Change::commit`] |
//! | a task joins one by its descriptor | [`prepare_setns`], [`JoinTarget::Namespace`] | [`Change::commit`] |
//! | a task joins several of a process | [`prepare_setns`], [`JoinTarget::Pidfd`] | [`Change::commit`] |
//! | another process is switched, all its threads at once | [`prepare_switch`] | [`Switch::commit`] |
//! | a task moves to the time namespace that waits for it | [`prepare_exec`] | [`Exec::commit`] |
//! | a task exits | | [`exit()`] |
//! | a clone fails after its namespaces were made | [`prepare_clone`] | drop the [`Newborn`] |
//!
//! A clone that succeeds switches nothing: [`Newborn::commit`] lets a task live that was born
//! there. That is how clone(2), clone3(2) with its [argument block](CloneArgs), fork(2) and vfork(2)
//! come to new namespaces, or to those that wait for children.
//!
//! # The types
//!
//! What there is to hold in the hand; [`book::types`] is a chapter about the eight namespaces.
//!
//! | type | what it is | where it comes from |
//! |---|---|---|
//! | [`System`] | a kernel's worth of namespaces and tasks | [`System::new`], from a [`Config`] |
//! | [`Task`] | a thread: what calls are made by | [`System::adopt`], [`Newborn::commit`] |
//! | [`NsProxy`] | one namespace of each type but user; never changes | [`Task::nsproxy`] |
//! | [`UtsNs`], [`ipc::IpcNs`], [`MntNs`], [`PidNs`], [`net::NetNs`], [`CgroupNs`], [`TimeNs`] | a namespace | the fields of [`NsProxy`] |
//! | [`UserNs`], [`Cred`], [`CapSet`] | a user namespace; ids and capabilities in it | [`Task::user_ns`], [`Task::cred`] |
//! | [`AnyNamespace`], [`Kind`], [`Link`] | a namespace of whatever type, as a descriptor holds it; its type; its name in `/proc/PID/ns` | [`Task::namespace`] |
//! | [`Change`], [`Newborn`], [`Exec`], [`Switch`] | what a call will do: commit it, or drop it and nothing happened | `prepare_*` |
//! | [`MountChange`], [`Removal`], [`SetName`] | the same for calls of one type of namespace | [`Mounter`], [`prepare_remove`], [`prepare_set_name`] |
//! | [`Refusal`], [`Rule`], [`Errno`] | why not | every call |
//! | [`Events`], [`Event`] | an onlooker: switches, births, ends, refusals | [`System::with_events`] |
//!
//! # The rules
//!
//! Every way to be refused is a [`Rule`]: a sentence, the reason Linux has it, errno, calls and
//! manual page. Each is raised in one place of this crate, and its [`Refusal`] shows the values
//! that broke it. The order of the checks is Linux's, so that a call which breaks several rules
//! ends in the same errno. Where Linux 6.18 differs from its manual, [`Rule::kernel`] says so.
//!
//! ```
//! use nsproxy::Rule;
//! for rule in Rule::ALL.iter().filter(|rule| rule.calls().contains(&"setns")) {
//!     println!("{} {}: {}", rule.errno(), rule.name(), rule.sentence());
//! }
//! ```
//!
//! # Where to find what
//!
//! | file | what lives there | kernel names it answers for |
//! |---|---|---|
//! | `task.rs` | [`Task`]; the lock order | `task_struct` |
//! | `group.rs` | who shares threads, root directory, handlers, memory with whom | `signal_struct`, `fs_struct`, `sighand_struct`, `mm_struct` |
//! | `nsproxy.rs` | [`NsProxy`], [`AnyNamespace`]; build, switch, drop | `struct nsproxy`, `create_new_namespaces`, `switch_task_namespaces`, `exit_task_namespaces` |
//! | `rcu.rs` | the published pointer | `rcu_assign_pointer`, `rcu_dereference` |
//! | `sync.rs` | the one choice of primitives: std, no std, loom | - |
//! | `cred.rs`, `capability.rs` | [`Cred`], [`CapSet`], [`ns_capable`] | `struct cred`, `commit_creds`, `ns_capable` |
//! | `creds/` | [`creds`]: the calls that change credentials | `sys_setuid` ..., `cap_capset`, `cap_task_prctl` |
//! | `limits.rs` | counts at every level, `/proc/sys/user` | `ucounts`, `inc_ucount` |
//! | `access.rs` | [`may_signal`], [`may_read`], [`proc_owner`] | `kill_ok_by_cred`, `ptrace_may_access` |
//! | `call/unshare.rs` | [`prepare_unshare`] | `ksys_unshare` |
//! | `call/switch.rs` | [`prepare_switch`]: another process, all threads at once | none |
//! | `call/setns.rs` | [`prepare_setns`] | `sys_setns`, `validate_nsset` |
//! | `call/clone.rs`, `clone_args.rs` | [`prepare_clone`], [`CloneArgs`] | `copy_process`, `copy_namespaces`, `clone3_args_valid` |
//! | `call/exit.rs` | [`exit()`] | `exit_task_namespaces` |
//! | `call/exec.rs` | [`prepare_exec`] | `bprm_fill_uid`, `cap_bprm_creds_from_file`, `begin_new_exec` |
//! | `call/change.rs` | [`Change`] | `commit_nsset` |
//! | `namespace/mod.rs` | what every type can do | `ns_common`, `proc_ns_operations` |
//! | `namespace/kind.rs` | [`Kind`], [`KindSet`], [`Link`] | `proc_ns_operations` |
//! | `namespace/mnt/` | [`MntNs`], [`Mounter`]: what is mounted where; [`Place`], [`Table`] | `mnt_namespace`, `mount`, `attach_recursive_mnt`, `umount_tree`, `pnode.c` |
//! | `namespace/uts.rs` | [`UtsNs`], names and their sysctl files | `uts_namespace`, `proc_do_uts_string` |
//! | `namespace/cgroup/` | [`CgroupNs`], [`Cgroup`]: paths as a namespace shows them | `cgroup_namespace`, `css_set`, `proc_cgroup_show` |
//! | `namespace/net/` | [`net`]: devices, nsids, ports and abstract names | `struct net`, `dev_change_net_namespace`, `peernet2id`, `inet_csk_get_port` |
//! | `namespace/ipc/` | [`ipc`]: System V objects, semaphore undos, POSIX queues, their limits | `ipc_namespace`, `ipc_addid`, `ipcperms`, `exit_sem`, `exit_shm`, `mqueue_fs` |
//! | `namespace/time/` | [`TimeNs`], offsets and their file | `time_namespace`, `timens_on_fork`, `proc_timens_set_offset` |
//! | `namespace/pid/` | [`PidNs`], numbers, parents, zombies, [`wait()`], [`kill_targets`] | `pid_namespace`, `alloc_pid`, `zap_pid_ns_processes`, `find_new_reaper` |
//! | `namespace/user/` | [`UserNs`], maps, `setgroups` | `user_namespace`, `map_write`, `proc_setgroups_write` |
//! | `namespace/ioctl.rs` | [`ioctl_userns`] and its relatives, [`open_handle`] | `ns_ioctl`, `nsfs_fh_to_dentry` |
//! | `namespace/pidfd.rs` | [`ioctl_pidfd`] | `pidfd_ioctl` |
//! | `rule/` | [`Rule`], [`Refusal`] | - |
//! | `events.rs` | [`Events`]: what an onlooker is told | - |
//! | `system.rs` | [`System`], [`Config`], inode numbers | `init_nsproxy`, `ns_alloc_inum` |
//! | `version.rs` | [`KernelVersion`] | - |
//!
//! `docs/kernel-map.md` of the repository is the long form, function by function.
//!
//! # Threads
//!
//! Everything is `Send` and `Sync`, and many threads may call at once, for the same task as well:
//! changes of one task come one after the other. Reading a task's namespaces, credentials or ids,
//! a user namespace's maps, waits for nobody. The lock order heads `task.rs`.
//!
//! The crate forbids `unsafe`, so what a checker of undefined behaviour could find in it, it
//! cannot contain; that what it builds on (`parking_lot`, `spin`, `slotmap`) behaves under it, the unit
//! tests show under Miri. The
//! published pointer (`rcu.rs`) and the protocol around it (`tests/loom.rs`) are explored
//! completely by `loom`, that the books balance after every call by random programs
//! (`tests/random_programs.rs`), and the real primitives run under load in `tests/stress.rs`.
//!
//! # What the embedder keeps
//!
//! Descriptors (EBADF), guest memory (EFAULT), files and what is in them, packets, the delivery of
//! signals, sleep and waking up, resource limits (`RLIMIT_NPROC`, `RLIMIT_MSGQUEUE`, which it tells),
//! `PR_SET_PDEATHSIG`. It tells the model what it learns of a task's surroundings:
//! [`Task::set_chrooted`], [`Task::set_dumpable`], [`Task::set_cred`].
//!
//! # Features
//!
//! `std` (default): locks sleep. Without it the crate is `no_std + alloc` and locks spin. Readers
//! wait in neither.
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod access;
pub mod book;
mod call;
mod capability;
mod cred;
pub mod creds;
mod errno;
mod events;
mod flags;
mod group;
mod id;
mod inode;
mod limits;
mod namespace;
mod nsproxy;
mod number;
mod rcu;
mod rule;
mod sync;
mod system;
mod tally;
mod task;
mod version;

pub use access::{Whose, may_claim, may_read, may_signal, proc_owner};
pub use call::{
    Change, CloneArgs, Dumpable, Exec, ExecFile, Facts, FileCaps, JoinTarget, Newborn, Switch,
    exec, exit, exit_with, prepare_clone, prepare_clone_with, prepare_exec, prepare_setns,
    prepare_switch, prepare_unshare, setns, switch, try_exit_with, unshare,
};
pub use capability::{Cap, CapSet, capable, ns_capable};
pub use cred::{Cred, SecureBits};
pub use errno::Errno;
pub use events::{Event, Events, Ids, Way};
pub use flags::CloneFlags;
pub use id::{Kgid, Kuid};
pub use limits::{
    max_namespaces, may_set_max_namespaces, namespaces_charged, namespaces_charged_to_all,
    read_max_namespaces, set_max_namespaces,
};
pub use namespace::{
    cgroup::{Cgroup, CgroupNs, CgroupTarget, Hierarchy, read_cgroups},
    ioctl::{ioctl_id, ioctl_nstype, ioctl_owner_uid, ioctl_parent, ioctl_userns, open_handle},
    ipc,
    kind::{Kind, KindSet, Link},
    mnt::{
        Dentry, DetachedTree, Files, FsType, IdmapFile, MntNs, MountAttr, MountChange, MountFlags,
        MountId, MountList, MountMode, MountStatus, Mounted, Mounter, MountsInfo, MsFlags, Onto,
        OpenTree, Place, Propagation, Removal, Scope, Super, Table, UmountFlags, begin_mount,
        chroot, ioctl_mnt_id, ioctl_mnt_info, ioctl_mnt_neighbour, mount_list, mount_status,
        mountinfo, mounts, open_tree, open_tree_flags, prepare_remove, prepare_umount,
        setattr_flags, umount_flags,
    },
    net,
    pid::{
        Disposition, PidNs, Reboot, Status, WaitFor, WaitKind, Waited, getpgid, getsid,
        ioctl_number_here, ioctl_number_there, is_discarded, kill_targets, may_create_memfd,
        may_write_memfd_noexec, may_write_pid_max, read_last_pid, read_memfd_noexec, read_pid_max,
        reboot, sender_number, set_last_pid, set_memfd_noexec, set_pid_max, setpgid, setsid, wait,
    },
    pidfd::ioctl_pidfd,
    time::{Clocks, TimeNs, TimeSpec, read_time_offsets, write_time_offsets},
    user::{
        MapKind, Range, UserNs, open_setgroups_for_write, read_map, read_setgroups, write_map,
        write_setgroups,
    },
    uts::{
        Name, Names, SetName, UtsName, UtsNs, may_write_name_file, prepare_set_name,
        read_name_sysctl, set_name_sysctl,
    },
};
pub use nsproxy::{AnyNamespace, NsProxy};
pub use rule::{Refusal, Rule, Value};
pub use sync::Arc;
pub use system::{Config, Numbers, System};
pub use task::{Task, TaskId};
pub use version::KernelVersion;
