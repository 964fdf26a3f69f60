//! Two chapters to read after the front page: every way in, and every type, each with an example
//! that runs. There is no code here.

/// The ways in: what can swap a task's namespaces, one example each.
///
/// All of them end in `switch_task_namespaces`, which publishes a complete object and hands the
/// old one back to be dropped. All but the last two are in two steps: `prepare_*` checks and
/// builds, and can refuse; `commit` makes it so, and cannot.
///
/// # unshare(2): to new namespaces
///
/// ```
/// use nsproxy::{CloneFlags, Config, Cred, Kgid, Kuid, Link, System, prepare_unshare};
///
/// let system = System::new(Config::default());
/// let task = system.adopt(None, Cred::user(&system.init_user(), Kuid(1000), Kgid(1000)));
/// let before = task.ids();
///
/// let change = prepare_unshare(&task, CloneFlags::NEWUSER | CloneFlags::NEWNET)?;
/// assert_eq!(task.ids(), before); // prepared: nobody sees it
/// change.commit();
/// assert_ne!(task.ids().get(Link::Net), before.get(Link::Net));
/// assert_eq!(task.ids().get(Link::Uts), before.get(Link::Uts));
/// # Ok::<(), nsproxy::Refusal>(())
/// ```
///
/// # setns(2) with the descriptor of a namespace
///
/// ```
/// use nsproxy::{CloneFlags, Config, Cred, JoinTarget, Kind, System, setns, unshare};
///
/// let system = System::new(Config::default());
/// let (maker, guest) = (system.adopt(None, Cred::root(&system.init_user())),
///                       system.adopt(None, Cred::root(&system.init_user())));
/// unshare(&maker, CloneFlags::NEWUTS)?;
/// let uts = maker.namespace(Kind::Uts).unwrap(); // what a descriptor holds
///
/// let refusal = setns(&guest, JoinTarget::Namespace(&uts), CloneFlags::NEWNET.bits());
/// assert_eq!(refusal.unwrap_err().rule.name(), "join-other-kind");
/// setns(&guest, JoinTarget::Namespace(&uts), CloneFlags::NEWUTS.bits())?;
/// assert_eq!(guest.namespace(Kind::Uts), Some(uts));
/// # Ok::<(), nsproxy::Refusal>(())
/// ```
///
/// # setns(2) with the descriptor of a process
///
/// Several types at once, all or none: here an ordinary user enters the user namespace that he
/// made and, by the rights that he has inside, the mount namespace that it owns.
///
/// ```
/// use nsproxy::{CloneArgs, CloneFlags, Config, Cred, Dumpable, JoinTarget, Kgid, Kuid, System};
/// use nsproxy::{prepare_clone, setns};
///
/// let system = System::new(Config::default());
/// let shell = system.adopt(None, Cred::user(&system.init_user(), Kuid(1000), Kgid(1000)));
/// let both = CloneFlags::NEWUSER | CloneFlags::NEWNS;
/// let child = prepare_clone(&shell, &CloneArgs::legacy(both.bits() | 17))?.commit();
///
/// let pidfd = JoinTarget::Pidfd(&child, Dumpable(true));
/// let refusal = setns(&shell, pidfd, CloneFlags::NEWNS.bits()).unwrap_err();
/// assert_eq!(refusal.rule.name(), "join-needs-admin-in-own");
/// setns(&shell, pidfd, both.bits())?;
/// assert_eq!(shell.ids(), child.ids());
/// # Ok::<(), nsproxy::Refusal>(())
/// ```
///
/// # clone(2) and fork(2): a child is born elsewhere
///
/// Nothing is switched here: a task that nobody knows yet is born where it will be.
///
/// ```
/// use nsproxy::{CloneArgs, CloneFlags, Config, Cred, System, prepare_clone};
///
/// let system = System::new(Config::default());
/// let parent = system.adopt(None, Cred::root(&system.init_user()));
/// let newborn = prepare_clone(&parent, &CloneArgs::clone3(CloneFlags::NEWPID, 17))?;
/// // Here the embedder makes the process. Then:
/// let init = newborn.commit();
/// assert!(init.is_init());
/// assert_eq!(init.number_in(&init.pid_ns().unwrap()), Some(1));
///
/// let fork = prepare_clone(&init, &CloneArgs::fork())?.commit();
/// assert!(nsproxy::Arc::ptr_eq(&fork.nsproxy().unwrap(), &init.nsproxy().unwrap())); // shared
/// assert_eq!(fork.number_in(&init.pid_ns().unwrap()), Some(2));
/// # Ok::<(), nsproxy::Refusal>(())
/// ```
///
/// # clone3(2): chosen numbers, a chosen cgroup
///
/// The same with an argument block, which is read first: how long it may be, which of its fields
/// belong together. What lies elsewhere in memory (`set_tid`) comes with the call; the descriptor of
/// a cgroup is the embedder's to look up.
///
/// ```
/// use nsproxy::{CgroupTarget, CloneArgs, CloneFlags, Config, Cred, Facts, System};
/// use nsproxy::{prepare_clone, prepare_clone_with, read_cgroups};
///
/// let system = System::new(Config::default());
/// let parent = system.adopt(None, Cred::root(&system.init_user()));
/// let mut block = [0; 88]; // struct clone_args
/// let flags = CloneFlags::NEWPID | CloneFlags::INTO_CGROUP;
/// block[0..8].copy_from_slice(&flags.bits().to_ne_bytes());
/// block[32] = 17; // exit_signal
/// block[64..72].copy_from_slice(&0x7000_u64.to_ne_bytes()); // set_tid
/// block[72] = 2; // set_tid_size
/// block[80] = 5; // cgroup
///
/// let refusal = CloneArgs::block_len(40).unwrap_err();
/// assert_eq!(refusal.rule.name(), "clone-block-too-small");
/// let args = CloneArgs::from_block(&block[..CloneArgs::block_len(88)?])?;
/// let facts = Facts { set_tid: &[1, 4711], ..Facts::default() }; // inside, outside
/// let newborn = prepare_clone_with(&parent, &args, facts)?;
/// let slice = system.cgroup_root(0).unwrap().make(b"slice");
/// newborn.enter_cgroup(CgroupTarget::Cgroup(&slice), |_| true)?;
/// let init = newborn.commit();
/// assert_eq!(init.number_in(&system.init_pid()), Some(4711));
/// assert_eq!(read_cgroups(&init, &init.nsproxy().unwrap().cgroup), b"0::/slice\n");
/// # Ok::<(), nsproxy::Refusal>(())
/// ```
///
/// # vfork(2): a child that borrows the memory
///
/// It is born as by fork(2), but for the clocks, which belong to the memory: a time namespace that
/// waits goes on waiting until the child has a program of its own.
///
/// ```
/// use nsproxy::{CloneArgs, CloneFlags, Config, Cred, ExecFile, Link, System};
/// use nsproxy::{exec, prepare_clone, unshare};
///
/// let system = System::new(Config::default());
/// let parent = system.adopt(None, Cred::root(&system.init_user()));
/// unshare(&parent, CloneFlags::NEWTIME | CloneFlags::NEWUTS)?;
/// let child = prepare_clone(&parent, &CloneArgs::vfork())?.commit();
/// assert_eq!(child.ids(), parent.ids());
///
/// exec(&child, &ExecFile::default())?;
/// assert_ne!(child.namespace(Link::Time), parent.namespace(Link::Time));
/// assert_eq!(child.namespace(Link::Time), parent.namespace(Link::TimeForChildren));
/// # Ok::<(), nsproxy::Refusal>(())
/// ```
///
/// # A clone that fails
///
/// The namespaces are made before the process is, and memory or a signal can stop it still. Then
/// the child that was never born is switched to nothing, and what was made for it dies.
///
/// ```
/// use nsproxy::{CloneArgs, CloneFlags, Config, Cred, System, prepare_clone};
///
/// let system = System::new(Config::default());
/// let parent = system.adopt(None, Cred::root(&system.init_user()));
/// let newborn = prepare_clone(&parent, &CloneArgs::legacy(CloneFlags::NEWIPC.bits() | 17))?;
/// assert_eq!(system.namespaces_alive(), 1);
/// drop(newborn); // fork(2) of the host said EAGAIN, say
/// assert_eq!(system.namespaces_alive(), 0);
/// # Ok::<(), nsproxy::Refusal>(())
/// ```
///
/// # execve(2): to the time namespace that waits
///
/// unshare(2) cannot move the caller's clocks while its program runs; the next program starts with
/// the new ones.
///
/// ```
/// use nsproxy::{CloneFlags, Config, Cred, ExecFile, Link, System, prepare_exec, unshare};
///
/// let system = System::new(Config::default());
/// let task = system.adopt(None, Cred::root(&system.init_user()));
/// unshare(&task, CloneFlags::NEWTIME)?;
/// assert_ne!(task.namespace(Link::Time), task.namespace(Link::TimeForChildren));
/// prepare_exec(&task, &ExecFile::default())?.commit();
/// assert_eq!(task.namespace(Link::Time), task.namespace(Link::TimeForChildren));
/// # Ok::<(), nsproxy::Refusal>(())
/// ```
///
/// # exit(2): to nothing
///
/// ```
/// use nsproxy::{CloneFlags, Config, Cred, Kind, System, exit, unshare};
///
/// let system = System::new(Config::default());
/// let task = system.adopt(None, Cred::root(&system.init_user()));
/// unshare(&task, CloneFlags::NEWNET)?;
/// let descriptor = task.namespace(Kind::Net);
/// exit(&task);
/// assert!(task.nsproxy().is_none()); // a zombie: it still has its credentials
/// assert_eq!(system.namespaces_alive(), 1); // somebody holds a descriptor
/// drop(descriptor);
/// assert_eq!(system.namespaces_alive(), 0);
/// # Ok::<(), nsproxy::Refusal>(())
/// ```
///
/// # The switch: another process, all its threads
///
/// The kernel has no such call. Its rules are the kernel's for setns(2), asked of the caller.
///
/// ```
/// use nsproxy::{CloneArgs, CloneFlags, Config, Cred, JoinTarget, Kind, System};
/// use nsproxy::{prepare_clone, prepare_switch, unshare};
///
/// let system = System::new(Config::default());
/// let (manager, server) = (system.adopt(None, Cred::root(&system.init_user())),
///                          system.adopt(None, Cred::root(&system.init_user())));
/// let thread = CloneFlags::VM | CloneFlags::SIGHAND | CloneFlags::THREAD;
/// let worker = prepare_clone(&server, &CloneArgs::legacy(thread.bits()))?.commit();
///
/// unshare(&manager, CloneFlags::NEWNET)?;
/// let net = manager.namespace(Kind::Net).unwrap();
/// prepare_switch(&manager, &server, JoinTarget::Namespace(&net), 0)?.commit();
/// assert_eq!((server.ids(), worker.ids()), (manager.ids(), manager.ids()));
/// # Ok::<(), nsproxy::Refusal>(())
/// ```
pub mod ways {}

/// The types: what each of the eight keeps apart, one example each.
///
/// | type | keeps apart | object | its own calls |
/// |---|---|---|---|
/// | [user](#user) | ids, capabilities, limits | [`UserNs`](crate::UserNs) | [`write_map`](crate::write_map), [`write_setgroups`](crate::write_setgroups), [`creds`](crate::creds) |
/// | [mnt](#mnt) | what is mounted where | [`MntNs`](crate::MntNs) | [`begin_mount`](crate::begin_mount), [`Mounter`](crate::Mounter), [`prepare_umount`](crate::prepare_umount) |
/// | [uts](#uts) | the host's name | [`UtsNs`](crate::UtsNs) | [`prepare_set_name`](crate::prepare_set_name) |
/// | [ipc](#ipc) | System V objects, POSIX queues | [`IpcNs`](crate::ipc::IpcNs) | [`ipc`](crate::ipc) |
/// | [pid](#pid) | numbers of processes | [`PidNs`](crate::PidNs) | [`wait`](crate::wait()), [`kill_targets`](crate::kill_targets) |
/// | [cgroup](#cgroup) | where the tree of cgroups begins | [`CgroupNs`](crate::CgroupNs) | [`read_cgroups`](crate::read_cgroups) |
/// | [net](#net) | devices, ports, abstract names | [`NetNs`](crate::net::NetNs) | [`net`](crate::net) |
/// | [time](#time) | two clocks | [`TimeNs`](crate::TimeNs) | [`write_time_offsets`](crate::write_time_offsets) |
///
/// # user
///
/// An ordinary user becomes root of a namespace of his own.
///
/// ```
/// use nsproxy::{CloneFlags, Config, Cred, Kgid, Kuid, MapKind, System, unshare, write_map};
///
/// let system = System::new(Config::default());
/// let task = system.adopt(None, Cred::user(&system.init_user(), Kuid(1000), Kgid(1000)));
/// unshare(&task, CloneFlags::NEWUSER)?;
/// let (user, cred) = (task.user_ns(), task.cred());
/// assert_eq!(user.uid_in(cred.uid), 65534); // nothing is mapped yet
///
/// let refusal = write_map(MapKind::Uid, &user, &cred, &cred, 0, b"0 1001 1").unwrap_err();
/// assert_eq!(refusal.rule.errno(), nsproxy::Errno::EPERM);
/// write_map(MapKind::Uid, &user, &cred, &cred, 0, b"0 1000 1")?;
/// assert_eq!(user.uid_in(cred.uid), 0);
/// # Ok::<(), nsproxy::Refusal>(())
/// ```
///
/// # mnt
///
/// The embedder says what files there are, here none but roots of file systems; the crate says
/// what may be mounted on what, and who sees it.
///
/// ```
/// use nsproxy::{CloneFlags, Config, Cred, Dentry, Files, MountFlags, Super, System};
/// use nsproxy::{begin_mount, unshare};
/// use std::sync::Arc;
///
/// struct Roots;
/// impl Files for Roots {
///     fn is_directory(&self, _: Dentry) -> bool { true }
///     fn is_below(&self, at: Dentry, above: Dentry) -> bool { at == above }
///     fn is_unlinked(&self, _: Dentry) -> bool { false }
///     fn path(&self, _: Dentry, _: Dentry) -> Vec<u8> { Vec::new() }
/// }
///
/// let system = System::new(Config::default());
/// let disk = Arc::new(Super::new(1, "ext4", (8, 1), &system.init_user()));
/// let root = |id| Dentry { super_id: id, id: 0 };
/// system.mount_at_boot(None, &disk, root(1), b"/dev/sda1", MountFlags::RELATIME);
///
/// let task = system.adopt(None, Cred::root(&system.init_user()));
/// unshare(&task, CloneFlags::NEWNS)?;
/// let memory = Arc::new(Super::new(2, "tmpfs", (0, 40), &system.init_user()));
/// let here = task.root().unwrap();
/// let (mounter, _) = begin_mount(&task, 0)?;
/// mounter.mount(&Roots, &memory, root(2), b"none", &here, 0)?.commit();
/// assert_eq!(task.nsproxy().unwrap().mnt.mount_count(), 3);
/// assert_eq!(system.init_nsproxy().mnt.mount_count(), 2); // not there
/// # Ok::<(), nsproxy::Refusal>(())
/// ```
///
/// # uts
///
/// ```
/// use nsproxy::{CloneFlags, Config, Cred, Name, System, prepare_set_name, unshare};
///
/// let system = System::new(Config { hostname: "host".into(), ..Config::default() });
/// let task = system.adopt(None, Cred::root(&system.init_user()));
/// unshare(&task, CloneFlags::NEWUTS)?;
/// prepare_set_name(&task, Name::Host, 3)?.commit(b"box");
/// assert_eq!(task.nsproxy().unwrap().uts.names().host.as_bytes(), b"box");
/// assert_eq!(system.init_uts().names().host.as_bytes(), b"host");
/// # Ok::<(), nsproxy::Refusal>(())
/// ```
///
/// # ipc
///
/// ```
/// use nsproxy::{CloneFlags, Config, Cred, System, ipc::{sem_value, semget}, unshare};
///
/// let system = System::new(Config::default());
/// let task = system.adopt(None, Cred::root(&system.init_user()));
/// let set = semget(&task, 0, 1, 0o600)?;
/// assert_eq!(sem_value(&task, set, 0)?, 0);
/// unshare(&task, CloneFlags::NEWIPC)?;
/// assert_eq!(sem_value(&task, set, 0).unwrap_err().rule.errno(), nsproxy::Errno::EINVAL);
/// # Ok::<(), nsproxy::Refusal>(())
/// ```
///
/// # pid
///
/// ```
/// use nsproxy::{CloneArgs, CloneFlags, Config, Cred, System, prepare_clone, unshare};
///
/// let system = System::new(Config::default());
/// let shell = system.adopt(None, Cred::root(&system.init_user()));
/// unshare(&shell, CloneFlags::NEWPID)?; // for its children
/// let init = prepare_clone(&shell, &CloneArgs::fork())?.commit();
/// let inside = init.pid_ns().unwrap();
/// assert_eq!(init.number_in(&inside), Some(1));
/// assert_eq!(init.parent_number_in(&inside), None); // getppid(2) says 0
/// assert_eq!(shell.number_in(&inside), None);
/// # Ok::<(), nsproxy::Refusal>(())
/// ```
///
/// # cgroup
///
/// ```
/// use nsproxy::{CloneFlags, Config, Cred, System, read_cgroups, unshare};
///
/// let system = System::new(Config::default());
/// let task = system.adopt(None, Cred::root(&system.init_user()));
/// let slice = system.cgroup_root(0).unwrap().make(b"slice");
/// task.set_cgroup(&slice);
/// let seen = || read_cgroups(&task, &task.nsproxy().unwrap().cgroup);
/// assert_eq!(seen(), b"0::/slice\n");
/// unshare(&task, CloneFlags::NEWCGROUP)?;
/// assert_eq!(seen(), b"0::/\n");
/// # Ok::<(), nsproxy::Refusal>(())
/// ```
///
/// # net
///
/// ```
/// use nsproxy::{CloneFlags, Config, Cred, System, unshare};
/// use nsproxy::net::{LinkKind, Named, NewLink, Peer, link_add, links};
///
/// let system = System::new(Config::default());
/// let (host, guest) = (system.adopt(None, Cred::root(&system.init_user())),
///                      system.adopt(None, Cred::root(&system.init_user())));
/// unshare(&guest, CloneFlags::NEWNET)?;
/// let peer = Peer { name: Some("eth0"), target: Some(Named::Task(&guest)) };
/// let pair = NewLink { kind: Some(LinkKind::Veth), name: "v0", index: 0, target: None, peer };
/// link_add(&host, &pair)?;
/// assert_eq!(links(&guest)?.iter().map(|link| &*link.name).collect::<Vec<_>>(), ["lo", "eth0"]);
/// nsproxy::exit(&guest); // with one end goes the other
/// assert_eq!(links(&host)?.len(), 1);
/// # Ok::<(), nsproxy::Refusal>(())
/// ```
///
/// # time
///
/// ```
/// use nsproxy::{CloneArgs, CloneFlags, Clocks, Config, Cred, System, TimeSpec};
/// use nsproxy::{prepare_clone, unshare, write_time_offsets};
///
/// let system = System::new(Config::default());
/// let task = system.adopt(None, Cred::root(&system.init_user()));
/// unshare(&task, CloneFlags::NEWTIME)?;
/// let now = Clocks::default(); // the host's clocks, which only the embedder can read
/// write_time_offsets(Some(&task), &task.cred(), &now, 0, b"boottime 86400 0")?;
/// let child = prepare_clone(&task, &CloneArgs::fork())?.commit(); // freezes them
/// let day = TimeSpec { seconds: 86400, nanoseconds: 0 };
/// assert_eq!(child.nsproxy().unwrap().time.offsets().boottime, day);
/// let refusal = write_time_offsets(Some(&task), &task.cred(), &now, 0, b"boottime 1 0");
/// assert_eq!(refusal.unwrap_err().rule.name(), "time-offsets-frozen");
/// # Ok::<(), nsproxy::Refusal>(())
/// ```
pub mod types {}
