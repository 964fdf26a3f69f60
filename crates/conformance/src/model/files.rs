//! Calls about files: reading, writing, links to namespaces and their ioctls.

use std::sync::{Arc, Mutex, PoisonError};

use nsproxy::ipc::{read_ipc_file, write_ipc_file};
use nsproxy::net::{read_port_start, write_port_start};
use nsproxy::{
    AnyNamespace, Link, Refusal, Task, ioctl_id, ioctl_mnt_id, ioctl_mnt_info, ioctl_mnt_neighbour,
    ioctl_nstype, ioctl_owner_uid, ioctl_parent, ioctl_pidfd, ioctl_userns, may_read, mountinfo,
    open_handle, read_last_pid, read_map, read_max_namespaces, read_memfd_noexec, read_name_sysctl,
    read_pid_max, read_setgroups, read_time_offsets, set_last_pid, set_max_namespaces,
    set_memfd_noexec, set_name_sysctl, set_pid_max, write_map, write_setgroups, write_time_offsets,
};

use super::open::{OpenFile, What};
use super::paths::{Nothing, Target};
use super::time::NOW;
use super::world::{World, refused};
use crate::lang::{Call, quote};

/// How a file call ends: an errno's name, or a step that the model cannot make.
pub(super) enum Stop {
    Errno(String),
    Unknown(String),
}

impl From<Nothing> for Stop {
    fn from(nothing: Nothing) -> Stop {
        match nothing {
            Nothing::Errno(name) => Stop::Errno(name.into()),
            Nothing::Unknown(reason) => Stop::Unknown(reason),
        }
    }
}

pub(super) fn errno(name: &str) -> Stop {
    Stop::Errno(name.into())
}

impl World {
    /// Makes the call if it is one about files: its result, or `None` if it is another call.
    pub(super) fn file_call(
        &mut self,
        who: usize,
        call: &Call,
        slot: i32,
    ) -> Result<Option<String>, String> {
        let result = match call {
            Call::Open { mode, path } => {
                self.open(who, &mode.0, &path.0).map(|file| self.keep(who, file, slot))
            }
            Call::Pidfd { who: of } => {
                self.pidfd(who, of.number()).map(|file| self.keep(who, file, slot))
            }
            Call::Close { fd } => match self.actors[who].table.remove(fd.number()) {
                true => Ok("0".into()),
                false => Err(errno("EBADF")),
            },
            Call::Read { fd } => {
                self.file(who, fd.number()).and_then(|file| self.read_all(who, &file))
            }
            Call::Write { fd, text } => self
                .file(who, fd.number())
                .and_then(|file| self.write_segments(who, &file, &[&text.bytes])),
            Call::Writev { fd, texts } => self.file(who, fd.number()).and_then(|file| {
                let parts: Vec<&[u8]> = texts.iter().map(|text| text.bytes.as_slice()).collect();
                self.write_segments(who, &file, &parts)
            }),
            Call::Pwrite { fd, offset, text } => self
                .file(who, fd.number())
                .and_then(|file| self.pwrite(who, &file, *offset as u64, &text.bytes)),
            Call::Get { path } => match self.open(who, "read", &path.0) {
                Ok(file) => self.read_all(who, &file),
                Err(stop) => Err(at_open(stop)),
            },
            Call::Put { path, text } => match self.open(who, "write", &path.0) {
                Ok(file) => self.write_segments(who, &file, &[&text.bytes]),
                Err(stop) => Err(at_open(stop)),
            },
            Call::Owner { path } => self.owner(who, &path.0),
            Call::Lstat { path } => match self.look_up(who, &path.0) {
                Ok(_) => Ok("0".into()),
                Err(Nothing::Unknown(_)) if self.mounts_built => {
                    self.walk(who, &path.0).map(|_| "0".into()).map_err(Stop::Errno)
                }
                Err(nothing) => Err(nothing.into()),
            },
            Call::Chown { path, uid, gid } => self.chown(who, &path.0, *uid as u32, *gid as u32),
            Call::Same { one, other } => self.follow(who, &one.0).and_then(|one| {
                let same = one.inode() == self.follow(who, &other.0)?.inode();
                Ok(if same { "yes".into() } else { "no".into() })
            }),
            Call::Readlink { path } => self
                .follow(who, &path.0)
                .map(|namespace| format!("{}:[{}]", namespace.kind().name(), namespace.inode())),
            Call::Status { who: of, field } => self.status(who, of.number(), &field.0),
            Call::Reopen { fd } => {
                self.file(who, fd.number()).and_then(|file| self.reopen(who, &file, slot))
            }
            Call::PidfdNs { fd, link, argument } => {
                let argument = argument.unwrap_or(0) as u64;
                self.pidfd_namespace(who, fd.number(), &link.0, argument, slot)
            }
            Call::Ioctl { fd, request } => self
                .file(who, fd.number())
                .and_then(|file| self.ioctl(who, &file, &request.0, slot)),
            _ => return Ok(None),
        };
        match result {
            Ok(text) | Err(Stop::Errno(text)) => Ok(Some(text)),
            Err(Stop::Unknown(reason)) => Err(reason),
        }
    }

    pub(super) fn caller(&self, who: usize) -> Result<Arc<Task>, Stop> {
        self.task(who).map_err(Stop::Unknown)
    }

    fn file(&self, who: usize, fd: i32) -> Result<Arc<OpenFile>, Stop> {
        self.actors[who].table.get(fd).ok_or_else(|| errno("EBADF"))
    }

    pub(super) fn keep(&self, who: usize, file: OpenFile, slot: i32) -> String {
        if slot >= 0 {
            self.actors[who].table.put(slot, Arc::new(file));
        }
        "descriptor".into()
    }

    /// Notes a refusal that the model returned without reporting it.
    pub(super) fn note(&self, refusal: &Refusal) -> Stop {
        self.fired.add(refusal.rule.name());
        Stop::Errno(refused(refusal))
    }

    /// Follows a link in `/proc/PID/ns`.
    pub(super) fn follow(&self, who: usize, path: &str) -> Result<AnyNamespace, Stop> {
        let Target::Link { task, namespace } = self.look_up(who, path)? else {
            return Err(Stop::Unknown(format!("{path} is no link to a namespace")));
        };
        if let Err(refusal) = may_read(&*self.caller(who)?, &task, true) {
            return Err(self.note(&refusal));
        }
        namespace.ok_or_else(|| errno("ENOENT"))
    }

    /// The same for those who walk there.
    pub(super) fn link(&self, who: usize, path: &str) -> Result<AnyNamespace, String> {
        self.follow(who, path).map_err(|stop| match stop {
            Stop::Errno(text) | Stop::Unknown(text) => text,
        })
    }

    fn read_all(&self, who: usize, file: &OpenFile) -> Result<String, Stop> {
        if !file.read {
            return Err(errno("EBADF"));
        }
        let task = self.caller(who)?;
        let all = match &file.what {
            What::Map { kind, of } => read_map(*kind, of, &file.opener.user).into_bytes(),
            What::Setgroups { of } => read_setgroups(of).as_bytes().to_vec(),
            What::PortStart(of) => read_port_start(of).into_bytes(),
            What::Socket(_) => return Err(errno("ENOTCONN")),
            What::Ipc { file, of } => read_ipc_file(of, *file).into_bytes(),
            What::Mq(_) => return Err(Stop::Unknown("a queue is no text".into())),
            What::Limit { kind, of } => read_max_namespaces(of, *kind).into_bytes(),
            What::Name(name) => {
                let proxy = task.nsproxy().ok_or_else(|| errno("ESRCH"))?;
                read_name_sysctl(&proxy.uts, *name)
            }
            What::TimeOffsets { number } => match self.find(*number) {
                Some((_, of)) => read_time_offsets(&of).into_bytes(),
                None => return Err(errno("ESRCH")),
            },
            What::LastPid => read_last_pid(&task).unwrap_or_default().into_bytes(),
            What::MemfdNoexec => read_memfd_noexec(&task).unwrap_or_default().into_bytes(),
            What::PidMax(of) => read_pid_max(of).into_bytes(),
            What::Text(text) => text.clone(),
            What::Cgroup { .. } => return Err(errno("EISDIR")),
            What::Namespace(_) | What::Pidfd { .. } => return Err(errno("EINVAL")),
            What::PathOnly { .. } => return Err(errno("EBADF")),
            What::Directory(_) | What::Tree(_) => return Err(errno("EBADF")),
        };
        let mut offset = file.offset.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = all.get(*offset as usize..).unwrap_or_default();
        *offset = (*offset).max(all.len() as u64);
        Ok(quote(rest))
    }

    /// One write at an offset: how many bytes were taken.
    fn write_once(
        &self,
        who: usize,
        file: &OpenFile,
        offset: u64,
        text: &[u8],
    ) -> Result<usize, Stop> {
        let task = self.caller(who)?;
        let writer = task.cred();
        let result = match &file.what {
            What::Map { kind, of } => write_map(*kind, of, &file.opener, &writer, offset, text),
            What::Setgroups { of } => write_setgroups(of, offset, text),
            What::PortStart(of) => write_port_start(of, &writer, offset, text),
            What::Socket(_) => return Err(errno("ENOTCONN")),
            What::Ipc { file, of } => write_ipc_file(of, *file, &writer, offset, text),
            What::Mq(_) => return Err(errno("EINVAL")),
            What::Limit { kind, of } => set_max_namespaces(of, *kind, &writer, offset, text),
            What::Name(name) => {
                let proxy = task.nsproxy().ok_or_else(|| errno("ESRCH"))?;
                set_name_sysctl(&proxy.uts, *name, &writer, offset, text)
            }
            What::TimeOffsets { number } => {
                let of = self.find(*number).map(|(_, task)| task);
                write_time_offsets(of.as_deref(), &file.opener, &NOW, offset, text)
            }
            What::LastPid => set_last_pid(&task, offset, text),
            What::MemfdNoexec => set_memfd_noexec(&task, offset, text),
            What::PidMax(of) => set_pid_max(of, &writer, offset, text),
            What::Text(_) => Ok(text.len()),
            What::Namespace(_) | What::Pidfd { .. } => return Err(errno("EINVAL")),
            What::PathOnly { .. } | What::Cgroup { .. } | What::Directory(_) | What::Tree(_) => {
                return Err(errno("EBADF"));
            }
        };
        result.map_err(|refusal| self.note(&refusal))
    }

    fn write_segments(&self, who: usize, file: &OpenFile, parts: &[&[u8]]) -> Result<String, Stop> {
        if !file.write || matches!(file.what, What::PathOnly { .. }) {
            return Err(errno("EBADF"));
        }
        // Files of /proc/PID take one segment at a time, those of /proc/sys all as one.
        let whole = parts.concat();
        let one_by_one = file.what.is_of_a_process();
        let parts = if one_by_one { parts.to_vec() } else { vec![whole.as_slice()] };
        let mut offset = file.offset.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = 0;
        for part in parts {
            match self.write_once(who, file, *offset, part) {
                Ok(count) => {
                    if !matches!(file.what, What::TimeOffsets { .. }) {
                        *offset += count as u64;
                    }
                    taken += count;
                    if count < part.len() {
                        break;
                    }
                }
                Err(stop) if taken == 0 => return Err(stop),
                Err(_) => break,
            }
        }
        Ok(taken.to_string())
    }

    fn pwrite(
        &self,
        who: usize,
        file: &OpenFile,
        offset: u64,
        text: &[u8],
    ) -> Result<String, Stop> {
        if !file.write || matches!(file.what, What::PathOnly { .. }) {
            return Err(errno("EBADF"));
        }
        if file.what.is_of_a_process() {
            return Err(errno("ESPIPE"));
        }
        self.write_once(who, file, offset, text).map(|count| count.to_string())
    }

    fn reopen(&self, who: usize, file: &OpenFile, slot: i32) -> Result<String, Stop> {
        let task = self.caller(who)?;
        let What::Namespace(namespace) = &file.what else {
            return Err(Stop::Unknown("only namespaces are opened by handle here".into()));
        };
        open_handle(&task, namespace).map_err(|refusal| Stop::Errno(refused(&refusal)))?;
        let (what, offset) = (What::Namespace(namespace.clone()), Mutex::new(0));
        let file = OpenFile { what, opener: task.cred(), read: true, write: false, offset };
        Ok(self.keep(who, file, slot))
    }

    fn ioctl(&self, who: usize, file: &OpenFile, request: &str, slot: i32) -> Result<String, Stop> {
        let task = self.caller(who)?;
        let namespace = match &file.what {
            What::Namespace(namespace) => namespace,
            What::Directory(_) | What::Tree(_) => return Err(errno("EBADF")),
            What::PathOnly { .. } => return Err(errno("EBADF")),
            _ => return Err(errno("ENOTTY")),
        };
        let refuse = |refusal: Refusal| Stop::Errno(refused(&refusal));
        let open = |namespace| {
            let offset = Mutex::new(0);
            let what = What::Namespace(namespace);
            let file = OpenFile { what, opener: task.cred(), read: true, write: false, offset };
            self.keep(who, file, slot)
        };
        match request {
            "USERNS" => {
                let owner = ioctl_userns(&task, namespace).map_err(refuse)?;
                Ok(open(AnyNamespace::User(owner)))
            }
            "PARENT" => ioctl_parent(&task, namespace).map(open).map_err(refuse),
            "NSTYPE" => Ok(super::calls::nstype_text(ioctl_nstype(namespace))),
            "OWNER_UID" => {
                ioctl_owner_uid(&task, namespace).map(|uid| uid.to_string()).map_err(refuse)
            }
            "ID" => Ok(format!("id:[{}]", ioctl_id(namespace))),
            "MNTNS_ID" => {
                ioctl_mnt_id(&task, namespace).map(|id| format!("id:[{id}]")).map_err(refuse)
            }
            "INFO" => {
                let info = ioctl_mnt_info(&task, namespace).map_err(refuse)?;
                let text = mountinfo(&task, &self.forest);
                let lines = text.iter().filter(|byte| **byte == b'\n').count();
                Ok(format!("lines{:+} id:[{}]", i64::from(info.mounts) - lines as i64, info.id))
            }
            "NEXT" | "PREV" => {
                let found = ioctl_mnt_neighbour(&task, namespace, request == "NEXT");
                found.map_err(refuse)?.map(open).ok_or_else(|| errno("ENOENT"))
            }
            _ => Err(errno("ENOTTY")),
        }
    }

    fn pidfd_namespace(
        &self,
        who: usize,
        fd: i32,
        link: &str,
        argument: u64,
        slot: i32,
    ) -> Result<String, Stop> {
        let task = self.caller(who)?;
        let file = self.file(who, fd)?;
        let What::Pidfd { process } = &file.what else {
            return Err(errno("ENOTTY"));
        };
        let link = Link::by_name(link).ok_or_else(|| Stop::Unknown(format!("no link {link}")))?;
        let of = self.processes[*process].leader.as_deref();
        let found = ioctl_pidfd(&task, of, link, argument, true);
        let found = found.map_err(|refusal| Stop::Errno(refused(&refusal)))?;
        let what = What::Namespace(found.ok_or_else(|| errno("EOPNOTSUPP"))?);
        let offset = Mutex::new(0);
        let file = OpenFile { what, opener: task.cred(), read: true, write: false, offset };
        Ok(self.keep(who, file, slot))
    }
}

/// Marks an errno as that of the open, for calls that open and do something.
fn at_open(stop: Stop) -> Stop {
    match stop {
        Stop::Errno(name) => Stop::Errno(format!("open {name}")),
        other => other,
    }
}
