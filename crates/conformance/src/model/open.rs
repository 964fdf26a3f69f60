//! Opening a file, and what an open file is of.

use std::sync::{Arc, Mutex};

use nsproxy::ipc::{IpcFile, IpcNs, OpenMq, may_open_ipc_file};
use nsproxy::net::{NetNs, Socket, may_open_port_start};
use nsproxy::{
    AnyNamespace, Cgroup, Cred, DetachedTree, Files, Kgid, Kind, Kuid, MapKind, Name, PidNs, Place,
    UserNs, may_set_max_namespaces, may_write_memfd_noexec, may_write_name_file, may_write_pid_max,
    open_setgroups_for_write, proc_owner,
};

use super::files::{Stop, errno};
use super::paths::{Nothing, Target, may_open};
use super::world::World;

/// What an open file is of.
pub(super) enum What {
    Namespace(AnyNamespace),
    Pidfd {
        process: usize,
    },
    Map {
        kind: MapKind,
        of: Arc<UserNs>,
    },
    Setgroups {
        of: Arc<UserNs>,
    },
    Limit {
        kind: Kind,
        of: Arc<UserNs>,
    },
    /// Of whoever has this number.
    TimeOffsets {
        number: i32,
    },
    /// The directory of a cgroup.
    Cgroup {
        cgroup: Arc<Cgroup>,
    },
    Name(Name),
    LastPid,
    PidMax(Arc<PidNs>),
    MemfdNoexec,
    Ipc {
        file: IpcFile,
        of: Arc<IpcNs>,
    },
    /// `/proc/sys/net/ipv4/ip_unprivileged_port_start`.
    PortStart(Arc<NetNs>),
    Socket(Arc<Socket>),
    /// A POSIX message queue.
    Mq(OpenMq),
    Text(Vec<u8>),
    /// Mounts that are in no namespace.
    Tree(DetachedTree),
    /// A directory or file of the model's own trees, opened with O_PATH or for reading.
    Directory(Place),
    /// An O_PATH descriptor; one of a namespace keeps the namespace all the same.
    PathOnly {
        _keeps: Option<AnyNamespace>,
    },
}

impl What {
    /// A control file of `/proc/PID`, which is written in one place only.
    pub(super) fn is_of_a_process(&self) -> bool {
        matches!(self, What::Map { .. } | What::Setgroups { .. } | What::TimeOffsets { .. })
    }
}

/// An open file: shared by every descriptor that came from one open.
pub(super) struct OpenFile {
    pub(super) what: What,
    pub(super) opener: Arc<Cred>,
    pub(super) read: bool,
    pub(super) write: bool,
    pub(super) offset: Mutex<u64>,
}

impl World {
    pub(super) fn open(&mut self, who: usize, mode: &str, path: &str) -> Result<OpenFile, Stop> {
        let cred = self.caller(who)?.cred();
        let (read, write, path_only) = match mode {
            "read" => (true, false, false),
            "write" => (false, true, false),
            "rdwr" => (true, true, false),
            "path" => (false, false, true),
            _ => return Err(errno("EINVAL")),
        };
        let target = match self.look_up(who, path) {
            Err(Nothing::Unknown(_)) if self.mounts_built => {
                let place = self.walk(who, path).map_err(Stop::Errno)?;
                let what = match self.forest.namespace(place.dentry()) {
                    Some(namespace) if !path_only => What::Namespace(namespace),
                    _ => What::Directory(place),
                };
                return Ok(OpenFile { what, opener: cred, read, write, offset: Mutex::new(0) });
            }
            target => target?,
        };
        let permit = |owner, mode| match may_open(&cred, owner, mode, read, write) {
            true => Ok(()),
            false => Err(errno("EACCES")),
        };
        let what = match target {
            Target::Link { .. } => {
                let namespace = self.follow(who, path)?;
                if write {
                    return Err(errno("EPERM")); // the file is immutable
                }
                match path_only {
                    true => What::PathOnly { _keeps: Some(namespace) },
                    false => What::Namespace(namespace),
                }
            }
            Target::Cgroup(_) if write => return Err(errno("EISDIR")),
            Target::Cgroup(cgroup) => What::Cgroup { cgroup },
            _ if path_only => What::PathOnly { _keeps: None },
            Target::Map { task, kind } => {
                permit(proc_owner(&task), 0o644)?;
                What::Map { kind, of: task.user_ns() }
            }
            Target::Setgroups { task } => {
                permit(proc_owner(&task), 0o644)?;
                let of = task.user_ns();
                if write && let Err(refusal) = open_setgroups_for_write(&of, &cred) {
                    return Err(self.note(&refusal));
                }
                What::Setgroups { of }
            }
            Target::TimeOffsets { number, task } => {
                permit(proc_owner(&task), 0o644)?;
                What::TimeOffsets { number }
            }
            Target::Status { .. } => {
                return Err(Stop::Unknown("status is read field by field".into()));
            }
            Target::Name(name) => {
                if write && let Err(refusal) = may_write_name_file(&cred) {
                    return Err(self.note(&refusal));
                }
                What::Name(name)
            }
            Target::LastPid => What::LastPid,
            Target::MemfdNoexec => {
                if write && let Err(refusal) = may_write_memfd_noexec(&cred) {
                    return Err(self.note(&refusal));
                }
                What::MemfdNoexec
            }
            Target::PidMax(of) => {
                if write && let Err(refusal) = may_write_pid_max(&of, &cred) {
                    return Err(self.note(&refusal));
                }
                What::PidMax(of)
            }
            Target::PortStart => {
                let of = self.net_ns(who)?;
                if write && let Err(refusal) = may_open_port_start(&of, &cred) {
                    return Err(self.note(&refusal));
                }
                What::PortStart(of)
            }
            Target::Ipc(file) => {
                let of = self.ipc_ns(who)?;
                if write && let Err(refusal) = may_open_ipc_file(&of, file, &cred) {
                    return Err(self.note(&refusal));
                }
                What::Ipc { file, of }
            }
            Target::Limit(kind) => {
                let of = Arc::clone(&cred.user);
                if write && let Err(refusal) = may_set_max_namespaces(&of, &cred) {
                    return Err(self.note(&refusal));
                }
                What::Limit { kind, of }
            }
            Target::File { owner, mode } => {
                permit((Kuid(owner), Kgid(owner)), mode)?;
                What::Text(b"text\n".to_vec())
            }
        };
        Ok(OpenFile { what, opener: cred, read, write, offset: Mutex::new(0) })
    }

    /// Keeps an open POSIX queue.
    pub(super) fn keep_queue(
        &self,
        who: usize,
        open: OpenMq,
        opener: Arc<Cred>,
        slot: i32,
    ) -> String {
        let (read, write, offset) = (open.reads, open.writes, Mutex::new(0));
        self.keep(who, OpenFile { what: What::Mq(open), opener, read, write, offset }, slot)
    }

    /// The network namespace of whoever looks.
    pub(super) fn net_ns(&self, who: usize) -> Result<Arc<NetNs>, Stop> {
        let proxy = self.caller(who)?.nsproxy().ok_or_else(|| errno("ESRCH"))?;
        Ok(Arc::clone(&proxy.net))
    }

    /// The ipc namespace of whoever looks.
    pub(super) fn ipc_ns(&self, who: usize) -> Result<Arc<IpcNs>, Stop> {
        let proxy = self.caller(who)?.nsproxy().ok_or_else(|| errno("ESRCH"))?;
        Ok(Arc::clone(&proxy.ipc))
    }

    pub(super) fn pidfd(&self, who: usize, number: i32) -> Result<OpenFile, Stop> {
        if number <= 0 {
            return Err(errno("EINVAL"));
        }
        let (process, task) = self.find_seen(who, number).ok_or_else(|| errno("ESRCH"))?;
        if !task.is_leader() {
            return Err(errno("ENOENT")); // a thread that leads no process
        }
        let opener = self.caller(who)?.cred();
        let what = What::Pidfd { process };
        Ok(OpenFile { what, opener, read: true, write: true, offset: Mutex::new(0) })
    }
}
