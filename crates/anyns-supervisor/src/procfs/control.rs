//! Control files: those of `/proc` that a guest may write, or whose value is its namespaces'.
//!
//! Reading gives a copy of the text, made at open. Writing gives a descriptor whose writes
//! wait for their judge ([`anyns_trap::placeholder`]), because each write has an errno of its own.
//! Not decided here: which text is right and who may write it; that is `nsproxy`'s.

use std::sync::Arc;

use nsproxy::ipc::{IpcFile, IpcNs};
use nsproxy::{Cred, Kind, Kuid, MapKind, Name, PidNs, Refusal, UserNs};
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::copies::copy_of;
use crate::Supervisor;
use crate::cx::{Cx, Served, Verdict, native};
use crate::ipc::count_all;
use crate::trouble::Trouble;

/// Which control file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    /// `uid_map`, `gid_map` or `projid_map`.
    Map(MapKind),
    /// `setgroups`.
    Setgroups,
    /// `sys/kernel/hostname`.
    Hostname,
    /// `sys/kernel/domainname`.
    Domainname,
    /// `sys/kernel/ns_last_pid`.
    LastPid,
    /// `sys/kernel/pid_max`.
    PidMax,
    /// `sys/user/max_TYPE_namespaces`.
    Max(Kind),
    /// A limit of an ipc namespace.
    Ipc(IpcFile),
}

impl Control {
    /// Tells whether a control file is called this.
    pub(crate) fn is_name(name: &[u8]) -> bool {
        matches!(
            name,
            b"uid_map"
                | b"gid_map"
                | b"projid_map"
                | b"setgroups"
                | b"hostname"
                | b"domainname"
                | b"ns_last_pid"
                | b"pid_max"
        ) || (name.starts_with(b"max_") && name.ends_with(b"_namespaces"))
    }

    /// The file of this name in a thread's directory.
    pub(crate) fn from_thread_file(name: &str) -> Option<Control> {
        match name {
            "uid_map" => Some(Control::Map(MapKind::Uid)),
            "gid_map" => Some(Control::Map(MapKind::Gid)),
            "projid_map" => Some(Control::Map(MapKind::Projid)),
            "setgroups" => Some(Control::Setgroups),
            _ => None,
        }
    }

    /// The file of these names below `sys`.
    pub(crate) fn from_sysctl(names: &[&str]) -> Option<Control> {
        match names {
            ["kernel", "hostname"] => Some(Control::Hostname),
            ["kernel", "domainname"] => Some(Control::Domainname),
            ["kernel", "ns_last_pid"] => Some(Control::LastPid),
            ["kernel", "pid_max"] => Some(Control::PidMax),
            [group @ ("kernel" | "fs"), rest @ ..] => {
                IpcFile::by_path(&format!("{group}/{}", rest.join("/"))).map(Control::Ipc)
            }
            ["user", name] => {
                let kind = name.strip_prefix("max_")?.strip_suffix("_namespaces")?;
                Kind::by_name(kind).map(Control::Max)
            }
            _ => None,
        }
    }

    /// Which of the two names a name file is for.
    fn name(self) -> Name {
        match self {
            Control::Domainname => Name::Domain,
            _ => Name::Host,
        }
    }

    fn path(self, tid: Option<i32>) -> String {
        let tid = tid.unwrap_or_default();
        match self {
            Control::Map(MapKind::Uid) => format!("/proc/{tid}/uid_map"),
            Control::Map(MapKind::Gid) => format!("/proc/{tid}/gid_map"),
            Control::Map(MapKind::Projid) => format!("/proc/{tid}/projid_map"),
            Control::Setgroups => format!("/proc/{tid}/setgroups"),
            Control::Hostname => "/proc/sys/kernel/hostname".into(),
            Control::Domainname => "/proc/sys/kernel/domainname".into(),
            Control::LastPid => "/proc/sys/kernel/ns_last_pid".into(),
            Control::PidMax => "/proc/sys/kernel/pid_max".into(),
            Control::Ipc(file) => format!("/proc/sys/{}", file.path()),
            Control::Max(kind) => format!("/proc/sys/user/max_{}_namespaces", kind.name()),
        }
    }
}

/// A control file that a guest has open for writing.
#[derive(Debug)]
pub(crate) struct ControlFile {
    control: Control,
    /// The namespace it belongs to, fixed at open; unused for names, which belong to the writer's.
    user: Arc<UserNs>,
    /// The pid namespace of whoever opened it, if that is one of ours.
    pids: Option<nsproxy::Arc<PidNs>>,
    opener: Arc<Cred>,
    /// The same of an ipc namespace's limits.
    ipc: Option<Arc<IpcNs>>,
    path: String,
}

/// Opens a control file: one of thread `tid`, or a sysctl.
pub(crate) fn open_control(
    cx: &mut Cx<'_>,
    tid: Option<i32>,
    control: Control,
    flags: OFlags,
) -> Served {
    let subject = match tid {
        Some(tid) => cx.sup.find_subject(tid),
        None => cx.guest().cloned(),
    };
    // What is in the initial namespaces, seen from there, is the kernel's; but for the limits,
    // which are the model's everywhere: the host's own are what refuses.
    let ours = subject.is_some() || cx.inside().is_some() || matches!(control, Control::Max(_));
    if !ours || cannot_open(flags) {
        return Ok(Verdict::Continue);
    }
    let pids = cx.guest().and_then(|guest| guest.task.pid_ns()).filter(|pids| !pids.is_initial());
    if matches!(control, Control::LastPid | Control::PidMax) && pids.is_none() {
        return Ok(Verdict::Continue);
    }
    let cred = cx.cred()?;
    if let Control::Ipc(file) = control {
        return open_ipc(cx, file, cred, flags);
    }
    let user = match (tid, &subject) {
        (Some(tid), None) => {
            native(tid).map_err(|_| Errno::NOENT)?;
            cx.sup.system.init_user()
        }
        (Some(_), Some(subject)) => subject.task.cred().user.clone(),
        (None, _) => cred.user.clone(),
    };
    if flags.intersects(OFlags::WRONLY | OFlags::RDWR) {
        let hidden = subject.filter(|subject| !subject.task.dumpable());
        let root = hidden.map(|subject| nsproxy::proc_owner(&subject.task).0);
        let parties = Parties { user, pids, opener: cred, root };
        return open_for_writing(cx, tid, control, parties, flags);
    }
    let text = match control {
        Control::Map(kind) => nsproxy::read_map(kind, &user, &cred.user),
        Control::Setgroups => nsproxy::read_setgroups(&user).into(),
        Control::Max(kind) => nsproxy::read_max_namespaces(&user, kind),
        Control::Ipc(_) => return Ok(Verdict::Continue),
        Control::PidMax => pids.as_deref().map(nsproxy::read_pid_max).unwrap_or_default(),
        Control::LastPid => {
            let last = cx.guest().and_then(|guest| nsproxy::read_last_pid(&guest.task));
            last.unwrap_or_default()
        }
        Control::Hostname | Control::Domainname => {
            let proxy = cx.guest().and_then(|guest| guest.task.nsproxy());
            let Some(proxy) = proxy else { return Ok(Verdict::Continue) };
            return copy_of(cx, &nsproxy::read_name_sysctl(&proxy.uts, control.name()), flags);
        }
    };
    copy_of(cx, text.as_bytes(), flags)
}

/// Whose file it is, and who opens it.
struct Parties {
    user: Arc<UserNs>,
    pids: Option<nsproxy::Arc<PidNs>>,
    opener: Arc<Cred>,
    /// Who owns it, if the process whose file it is does not let itself be looked into.
    root: Option<Kuid>,
}

fn open_for_writing(
    cx: &mut Cx<'_>,
    tid: Option<i32>,
    control: Control,
    Parties { user, pids, opener, root }: Parties,
    flags: OFlags,
) -> Served {
    match control {
        // The files of a process that asked not to be looked into are a root's.
        Control::Map(_) | Control::Setgroups if root.is_some_and(|root| opener.fsuid != root) => {
            return Err(Errno::ACCESS.into());
        }
        // Otherwise the mode bits are the host's to judge, on the file that the guest would open.
        Control::Map(_) => may_write(&control.path(tid))?,
        Control::Setgroups => {
            may_write(&control.path(tid))?;
            nsproxy::open_setgroups_for_write(&user, &opener)?;
        }
        Control::Max(_) => nsproxy::may_set_max_namespaces(&user, &opener)?,
        Control::PidMax => match &pids {
            Some(pids) => nsproxy::may_write_pid_max(pids, &opener)?,
            None => return Ok(Verdict::Continue),
        },
        // These belong to the global root, whatever the user namespace; one can be written by all.
        Control::Hostname | Control::Domainname | Control::LastPid | Control::Ipc(_) => {
            may_write(&control.path(tid))?
        }
    }
    let file = ControlFile { control, user, pids, opener, ipc: None, path: control.path(tid) };
    let fd = cx.sup.open_writable(file, cx.tid())?;
    Ok(Verdict::Install { fd, cloexec: flags.contains(OFlags::CLOEXEC) })
}

/// Opens a limit of the caller's ipc namespace. In the initial one it is the kernel's.
fn open_ipc(cx: &mut Cx<'_>, file: IpcFile, opener: Arc<Cred>, flags: OFlags) -> Served {
    let Some(inside) = cx.in_ipc()? else { return Ok(Verdict::Continue) };
    let (ns, user) = (inside.ns, opener.user.clone());
    if !flags.intersects(OFlags::WRONLY | OFlags::RDWR) {
        return copy_of(cx, nsproxy::ipc::read_ipc_file(&ns, file).as_bytes(), flags);
    }
    nsproxy::ipc::may_open_ipc_file(&ns, file, &opener)?;
    let control = Control::Ipc(file);
    let path = control.path(None);
    let fd = cx.sup.open_writable(
        ControlFile { control, user, pids: None, opener, ipc: Some(ns), path },
        cx.tid(),
    )?;
    Ok(Verdict::Install { fd, cloexec: flags.contains(OFlags::CLOEXEC) })
}

/// EACCES unless the mode of the host's file lets us, and so the guest, write it.
fn may_write(path: &str) -> Result<(), Errno> {
    rustix::fs::access(path, rustix::fs::Access::WRITE_OK)
}

/// Flags with which a file that exists and is no directory is refused, which the kernel does best.
pub(super) fn cannot_open(flags: OFlags) -> bool {
    flags.contains(OFlags::DIRECTORY) || flags.contains(OFlags::CREATE | OFlags::EXCL)
}

impl ControlFile {
    /// The path it was opened by.
    pub(crate) fn path(&self) -> String {
        self.path.clone()
    }

    /// Judges one write at `offset` by the task `writer`: how many bytes it took.
    pub(crate) fn write(
        &self,
        sup: &Supervisor,
        writer: i32,
        offset: u64,
        text: &[u8],
    ) -> Result<usize, Trouble> {
        let guest = sup.find_guest(writer);
        let cred = sup.cred_of(writer, guest.as_deref())?;
        let (user, opener) = (&self.user, &self.opener);
        let taken: Result<usize, Refusal> = match self.control {
            Control::Map(kind) => nsproxy::write_map(kind, user, opener, &cred, offset, text),
            Control::Setgroups => nsproxy::write_setgroups(user, offset, text),
            Control::Max(kind) => nsproxy::set_max_namespaces(user, kind, &cred, offset, text),
            Control::PidMax => match &self.pids {
                Some(pids) => nsproxy::set_pid_max(pids, &cred, offset, text),
                None => return Err(Errno::INVAL.into()),
            },
            Control::LastPid => {
                // It acts on the writer's, who may be somebody else.
                let Some(guest) = guest else { return Err(Errno::PERM.into()) };
                nsproxy::set_last_pid(&guest.task, offset, text)
            }
            Control::Ipc(file) => {
                let Some(ns) = &self.ipc else { return Err(Errno::INVAL.into()) };
                // Whether a segment is attached decides whether it goes.
                sup.guests.settle();
                count_all(ns);
                nsproxy::ipc::write_ipc_file(ns, file, &cred, offset, text)
            }
            Control::Hostname | Control::Domainname => {
                let mut met = sup.meet(writer, guest)?;
                met.keep()?;
                let Some(proxy) = met.task.nsproxy() else { return Err(Trouble::Gone) };
                let name = self.control.name();
                nsproxy::set_name_sysctl(&proxy.uts, name, &cred, offset, text)
            }
        };
        Ok(taken?)
    }
}
