//! Control files: those of `/proc` that a guest may write, or whose value is its namespaces'.
//!
//! Reading gives a sealed copy of the text, made at open. Writing gives a descriptor whose writes
//! wait for their judge ([`anyns_trap::placeholder`]), because each write has an errno of its own.
//! Not decided here: which text is right and who may write it; that is `nsproxy`'s.

use std::sync::Arc;

use nsproxy::{AnyNamespace, Cred, Kind, Kuid, MapKind, Name, Refusal, UserNs};
use rustix::fs::{MemfdFlags, OFlags, SealFlags};
use rustix::io::Errno;

use crate::Supervisor;
use crate::cx::{Cx, Served, Verdict, native};
use crate::procfs::{read_file, status};
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
    /// `sys/user/max_TYPE_namespaces`.
    Max(Kind),
}

impl Control {
    /// Tells whether a control file is called this.
    pub(crate) fn is_name(name: &[u8]) -> bool {
        matches!(
            name,
            b"uid_map" | b"gid_map" | b"projid_map" | b"setgroups" | b"hostname" | b"domainname"
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
    opener: Arc<Cred>,
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
    let cred = cx.cred()?;
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
        return open_for_writing(cx, tid, control, Parties { user, opener: cred, root }, flags);
    }
    let text = match control {
        Control::Map(kind) => nsproxy::read_map(kind, &user, &cred.user),
        Control::Setgroups => nsproxy::read_setgroups(&user).into(),
        Control::Max(kind) => nsproxy::read_max_namespaces(&user, kind),
        Control::Hostname | Control::Domainname => {
            let proxy = cx.guest().and_then(|guest| guest.task.nsproxy());
            let Some(proxy) = proxy else { return Ok(Verdict::Continue) };
            return copy_of(&nsproxy::read_name_sysctl(&proxy.uts, control.name()), flags);
        }
    };
    copy_of(text.as_bytes(), flags)
}

/// Whose file it is, and who opens it.
struct Parties {
    user: Arc<UserNs>,
    opener: Arc<Cred>,
    /// Who owns it, if the process whose file it is does not let itself be looked into.
    root: Option<Kuid>,
}

fn open_for_writing(
    cx: &mut Cx<'_>,
    tid: Option<i32>,
    control: Control,
    Parties { user, opener, root }: Parties,
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
        // These belong to the global root, whatever the user namespace.
        Control::Hostname | Control::Domainname => may_write(&control.path(tid))?,
    }
    let file = ControlFile { control, user, opener, path: control.path(tid) };
    let fd = cx.sup.open_writable(file, cx.tid())?;
    Ok(Verdict::Install { fd, cloexec: flags.contains(OFlags::CLOEXEC) })
}

/// EACCES unless the mode of the host's file lets us, and so the guest, write it.
fn may_write(path: &str) -> Result<(), Errno> {
    rustix::fs::access(path, rustix::fs::Access::WRITE_OK)
}

/// Flags with which a file that exists and is no directory is refused, which the kernel does best.
fn cannot_open(flags: OFlags) -> bool {
    flags.contains(OFlags::DIRECTORY) || flags.contains(OFlags::CREATE | OFlags::EXCL)
}

/// Opens `PID/status` for a reader.
pub(crate) fn open_status(cx: &mut Cx<'_>, tid: i32, flags: OFlags) -> Served {
    let subject = cx.sup.find_subject(tid);
    let concerned = subject.is_some() || cx.inside().is_some();
    if !concerned || cannot_open(flags) || flags.intersects(OFlags::WRONLY | OFlags::RDWR) {
        return Ok(Verdict::Continue);
    }
    let text = read_file(&format!("/proc/{tid}/status"))?;
    let text = String::from_utf8_lossy(&text);
    let reader = cx.cred()?;
    let cred = match cx.sup.cred_of(tid, subject.as_deref()) {
        Ok(cred) => cred,
        Err(Trouble::Gone) => return Err(Errno::SRCH.into()),
        Err(other) => return Err(other),
    };
    copy_of(status::shown(&text, &cred, &reader.user).as_bytes(), flags)
}

/// The namespace a link of `/proc/TID/ns` stands for; `None` if the kernel's own answer is right.
///
/// # Errors
/// EACCES if the caller may not look at the thread (ptrace(2), read check); ENOENT if it is gone.
pub(crate) fn namespace(
    cx: &Cx<'_>,
    tid: i32,
    kind: Kind,
    for_children: bool,
) -> Result<Option<AnyNamespace>, Trouble> {
    let subject = cx.sup.find_subject(tid);
    if subject.is_none() && cx.guest().is_none() {
        return Ok(None);
    }
    let open = subject.as_ref().is_none_or(|subject| subject.dumpable());
    let target = match cx.sup.meet(tid, subject) {
        Ok(target) => target,
        Err(Trouble::Gone) => return Err(Errno::NOENT.into()),
        Err(other) => return Err(other),
    };
    let me = cx.meet()?;
    let open = open && target.task.dumpable();
    if nsproxy::may_read(&me.task, &target.task, open).is_err() {
        return Err(Errno::ACCESS.into());
    }
    if for_children {
        return Ok(None);
    }
    match kind {
        Kind::User => Ok(Some(AnyNamespace::User(target.task.cred().user.clone()))),
        Kind::Uts => match target.task.nsproxy() {
            Some(proxy) => Ok(Some(AnyNamespace::Uts(proxy.uts.clone()))),
            None => Err(Errno::NOENT.into()),
        },
        _ => Ok(None),
    }
}

/// A sealed copy of `text` for the guest to read.
fn copy_of(text: &[u8], flags: OFlags) -> Served {
    let doing = Trouble::host("making a copy of a file of /proc");
    let fd = memfd(text).map_err(doing)?;
    Ok(Verdict::Install { fd, cloexec: flags.contains(OFlags::CLOEXEC) })
}

fn memfd(text: &[u8]) -> Result<std::os::fd::OwnedFd, Errno> {
    let create = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = rustix::fs::memfd_create(c"proc", create)?;
    let mut rest = text;
    while !rest.is_empty() {
        let done = rustix::io::write(&fd, rest)?;
        rest = &rest[done..];
    }
    rustix::fs::fcntl_add_seals(
        &fd,
        SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL,
    )?;
    // A description of its own: reading only, from the start.
    let link = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&fd));
    rustix::fs::open(link, OFlags::RDONLY | OFlags::CLOEXEC, rustix::fs::Mode::empty())
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
