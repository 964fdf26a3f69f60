//! What a path names, as far as scenarios go: some of `/proc`, and the scenario's own directory.

use std::sync::Arc;

use nsproxy::ipc::IpcFile;
use nsproxy::{
    AnyNamespace, Cap, Cgroup, Cred, Kgid, Kind, Kuid, Link, MapKind, Name, PidNs, Task, creds,
};

use super::cgroup::BASE;
use super::world::World;
use crate::agent::list;
use crate::lang::names::caps_text;

/// What a path names.
pub(super) enum Target {
    /// A link in `/proc/PID/ns`; `None` if the task has given that namespace up.
    Link { task: Arc<Task>, namespace: Option<AnyNamespace> },
    /// `/proc/PID/uid_map` and its like.
    Map { task: Arc<Task>, kind: MapKind },
    /// `/proc/PID/setgroups`.
    Setgroups { task: Arc<Task> },
    /// `/proc/PID/timens_offsets`.
    TimeOffsets { number: i32, task: Arc<Task> },
    /// `/proc/PID/status`.
    Status { task: Arc<Task> },
    /// `/proc/sys/kernel/hostname` or `domainname`.
    Name(Name),
    /// `/proc/sys/kernel/ns_last_pid`.
    LastPid,
    /// `/proc/sys/vm/memfd_noexec`.
    MemfdNoexec,
    /// `/proc/sys/kernel/pid_max`, of the pid namespace of whoever looks.
    PidMax(Arc<PidNs>),
    /// `/proc/sys/net/ipv4/ip_unprivileged_port_start`.
    PortStart,
    /// A limit of the caller's ipc namespace.
    Ipc(IpcFile),
    /// `/proc/sys/user/max_*_namespaces`.
    Limit(Kind),
    /// The directory of a cgroup.
    Cgroup(Arc<Cgroup>),
    /// A file of the scenario's directory.
    File { owner: u32, mode: u32 },
}

/// Why a path names nothing here.
pub(super) enum Nothing {
    /// The kernel's answer.
    Errno(&'static str),
    /// The model has no such file.
    Unknown(String),
}

impl World {
    /// Whether a type is built in; if not, there are no files about it.
    fn has(&self, kind: Kind) -> bool {
        self.system.config().built.contains(kind)
    }

    pub(super) fn look_up(&self, who: usize, path: &str) -> Result<Target, Nothing> {
        let unknown = || Nothing::Unknown(format!("the model has no {path}"));
        if let Some(name) = path.strip_prefix("/DIR/") {
            return match name {
                "file" => Ok(Target::File { owner: 1000, mode: 0o644 }),
                "root-file" => Ok(Target::File { owner: 0, mode: 0o600 }),
                "shared-file" => Ok(Target::File { owner: 1000, mode: 0o666 }),
                _ if self.mounts_built => Err(unknown()),
                _ => Err(Nothing::Errno("ENOENT")),
            };
        }
        if path == "/proc/sys/net/ipv4/ip_unprivileged_port_start" {
            return Ok(Target::PortStart);
        }
        if path == "/proc/sys/vm/memfd_noexec" && self.has(Kind::Pid) {
            return Ok(Target::MemfdNoexec);
        }
        if let Some(file) = path.strip_prefix("/proc/sys/").and_then(IpcFile::by_path) {
            return Ok(Target::Ipc(file));
        }
        if path.starts_with(BASE) {
            let cgroup = self.cgroups.find(path).cloned();
            return cgroup.map(Target::Cgroup).ok_or(Nothing::Errno("ENOENT"));
        }
        if let Some(name) = path.strip_prefix("/proc/sys/kernel/") {
            return match name {
                "hostname" => Ok(Target::Name(Name::Host)),
                "domainname" => Ok(Target::Name(Name::Domain)),
                "ns_last_pid" => Ok(Target::LastPid),
                "pid_max" => match self.task(who).ok().and_then(|task| task.pid_ns()) {
                    Some(ns) => Ok(Target::PidMax(ns)),
                    None => Err(unknown()),
                },
                _ => Err(unknown()),
            };
        }
        if let Some(name) = path.strip_prefix("/proc/sys/user/max_") {
            let name = name.strip_suffix("_namespaces").ok_or_else(unknown)?;
            return Kind::by_name(name).map(Target::Limit).ok_or_else(unknown);
        }
        let rest = path.strip_prefix("/proc/").ok_or_else(unknown)?;
        let (of, rest) = rest.split_once('/').ok_or_else(unknown)?;
        let process = &self.processes[self.actors[who].process];
        let number = match of {
            "self" => process.number,
            "thread-self" => self.actors[who].number,
            number => number.parse().map_err(|_| unknown())?,
        };
        let (place, mut task) = self.find(number).ok_or(Nothing::Errno("ENOENT"))?;
        let mut rest = rest;
        if let Some(of_thread) = rest.strip_prefix("task/") {
            let (thread, below) = of_thread.split_once('/').ok_or_else(unknown)?;
            let thread = thread.parse().map_err(|_| unknown())?;
            let (same, found) = self.find(thread).ok_or(Nothing::Errno("ENOENT"))?;
            if same != place {
                return Err(Nothing::Errno("ENOENT"));
            }
            (task, rest) = (found, below);
        }
        match rest {
            "uid_map" => Ok(Target::Map { task, kind: MapKind::Uid }),
            "gid_map" => Ok(Target::Map { task, kind: MapKind::Gid }),
            "projid_map" => Ok(Target::Map { task, kind: MapKind::Projid }),
            "setgroups" => Ok(Target::Setgroups { task }),
            "timens_offsets" if self.has(Kind::Time) => Ok(Target::TimeOffsets { number, task }),
            "status" => Ok(Target::Status { task }),
            "timens_offsets" => Err(Nothing::Errno("ENOENT")),
            rest => {
                let name = rest.strip_prefix("ns/").ok_or_else(unknown)?;
                let link = Link::by_name(name).filter(|link| self.has(link.kind()));
                let link = link.ok_or(Nothing::Errno("ENOENT"))?;
                let namespace = task.namespace(link);
                Ok(Target::Link { task, namespace })
            }
        }
    }
}

/// Whether a file's mode lets `cred` open it. A capability helps only where both of the file's
/// ids are mapped.
pub(super) fn may_open(
    cred: &Cred,
    (uid, gid): (Kuid, Kgid),
    mode: u32,
    read: bool,
    write: bool,
) -> bool {
    let wanted = u32::from(read) << 2 | u32::from(write) << 1;
    let bits = if cred.fsuid == uid {
        mode >> 6
    } else if cred.in_group(gid) {
        mode >> 3
    } else {
        mode
    };
    if bits & wanted == wanted {
        return true;
    }
    let mapped = cred.user.find_uid(uid).is_some() && cred.user.find_gid(gid).is_some();
    let holds = |cap: Cap| mapped && cred.effective.has(cap);
    holds(Cap::DAC_OVERRIDE) || (!write && holds(Cap::DAC_READ_SEARCH))
}

/// One field of a task's status, as a reader in `reader`'s user namespace sees it.
pub(super) fn status_field(task: &Task, reader: &Cred, field: &str) -> Option<String> {
    let cred = task.cred();
    let spaced = |text: String| text.replace(',', " ");
    let ids = |ids: [u32; 4]| ids.map(|id| id.to_string()).join(" ");
    Some(match field {
        "Uid" => ids([cred.uid, cred.euid, cred.suid, cred.fsuid].map(|id| reader.user.uid_in(id))),
        "Gid" => ids([cred.gid, cred.egid, cred.sgid, cred.fsgid].map(|id| reader.user.gid_in(id))),
        "Groups" => {
            let groups: Vec<u32> = cred.groups.iter().map(|id| reader.user.gid_in(*id)).collect();
            spaced(list(&groups))
        }
        "CapInh" => caps_text(cred.inheritable.0),
        "CapPrm" => caps_text(cred.permitted.0),
        "CapEff" => caps_text(cred.effective.0),
        "CapBnd" => caps_text(cred.bounding.0),
        "CapAmb" => caps_text(cred.ambient.0),
        "NoNewPrivs" => u8::from(creds::no_new_privs(task)).to_string(),
        "Threads" => task.thread_count().to_string(),
        _ => return None,
    })
}

/// A file's owner as a reader sees it.
pub(super) fn owner_text(reader: &Cred, (uid, gid): (Kuid, Kgid)) -> String {
    format!("{} {}", reader.user.uid_in(uid), reader.user.gid_in(gid))
}
