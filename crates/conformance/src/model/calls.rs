//! The calls that concern the caller alone: ids, capabilities, namespaces, names.

use std::sync::Arc;

use anyns_trap::raw::{Arg, CredOption, Ptr, Sys};
use nsproxy::{CapSet, Dumpable, JoinTarget, Name, Task, UtsName, creds, prepare_set_name};

use super::open::What;
use super::world::{World, done, refused};
use crate::agent::{four, list};
use crate::lang::names::{caps_text, flags_text};
use crate::lang::{Call, Oddities, RawArg, Text, quote};

impl World {
    pub(super) fn plain_call(&mut self, who: usize, call: &Call) -> Result<String, String> {
        let task = self.task(who)?;
        Ok(match call {
            Call::Unshare { flags } => self.unshare(who, flags.0)?,
            Call::Setns { fd, nstype } => self.setns(who, &task, fd.number(), nstype.0),
            Call::Ids {} => ids(&task),
            Call::Setuid { uid } => done(creds::setuid(&task, *uid as u32)),
            Call::Setgid { gid } => done(creds::setgid(&task, *gid as u32)),
            Call::Setreuid { real, effective } => {
                done(creds::setreuid(&task, *real as u32, *effective as u32))
            }
            Call::Setregid { real, effective } => {
                done(creds::setregid(&task, *real as u32, *effective as u32))
            }
            Call::Setresuid { real, effective, saved } => {
                done(creds::setresuid(&task, *real as u32, *effective as u32, *saved as u32))
            }
            Call::Setresgid { real, effective, saved } => {
                done(creds::setresgid(&task, *real as u32, *effective as u32, *saved as u32))
            }
            Call::Setfsuid { uid } => creds::setfsuid(&task, *uid as u32).to_string(),
            Call::Setfsgid { gid } => creds::setfsgid(&task, *gid as u32).to_string(),
            Call::Getgroups {} => list(&creds::getgroups(&task)),
            Call::Setgroups { groups } => done(creds::setgroups(&task, &groups.0)),
            Call::Capget { who: of } => match of {
                None => sets(&task),
                Some(of) => match self.find_seen(who, of.number()) {
                    Some((_, of)) => sets(&of),
                    None => "ESRCH".into(),
                },
            },
            Call::Capset { sets } => {
                let [e, p, i] = [sets.effective, sets.permitted, sets.inheritable].map(CapSet);
                done(creds::capset(&task, e, p, i))
            }
            Call::Prctl { option, args } => {
                let mut numbers = [0; 4];
                for (place, arg) in numbers.iter_mut().zip(args) {
                    *place = arg.value;
                }
                prctl(&task, option.0, numbers)?
            }
            Call::Getpid {}
            | Call::Gettid {}
            | Call::Getppid {}
            | Call::Setsid {}
            | Call::Setpgid { .. }
            | Call::Getpgid { .. }
            | Call::Getsid { .. }
            | Call::Memfd { .. }
            | Call::Subreaper { .. }
            | Call::Translate { .. } => self.pid_call(who, call)?,
            Call::Hostname {} => named(&task, |names| names.host)?,
            Call::Domainname {} => named(&task, |names| names.domain)?,
            Call::Sethostname { name, odd } => set_name(&task, Name::Host, name, odd),
            Call::Setdomainname { name, odd } => set_name(&task, Name::Domain, name, odd),
            Call::Cgroup { act, path } => self.act_on_cgroup(who, &act.0, &path.0)?,
            Call::Cgroups { who: of } => self.cgroup_of(&task, of.number())?,
            Call::Cgroupmount {} => self.cgroup_mount(&task)?,
            Call::Clock { clock } => super::time::ahead(&task, &clock.0)?,
            Call::Chroot { path } => chroot(&task, &path.0),
            Call::Rlimit { resource, limit } if resource.0 == "MEMLOCK" => {
                let process = self.actors[who].process;
                self.processes[process].memlock = *limit as u64;
                "0".into()
            }
            Call::Rlimit { resource, limit } if resource.0 == "NPROC" && *limit <= 1 => {
                let process = self.actors[who].process;
                self.processes[process].crowded = true;
                "0".into()
            }
            Call::Raw { call, args } if call.0 == Sys::Setgroups => raw_setgroups(&task, args)?,
            other => return Err(format!("the model cannot {other}")),
        })
    }

    fn setns(&self, who: usize, task: &Arc<Task>, fd: i32, nstype: u64) -> String {
        let Some(file) = self.actors[who].table.get(fd) else { return "EBADF".into() };
        let result = match &file.what {
            What::PathOnly { .. } => return "EBADF".into(),
            What::Namespace(namespace) => {
                nsproxy::setns(task, JoinTarget::Namespace(namespace), nstype)
            }
            What::Pidfd { process } => {
                let of = &self.processes[*process];
                let target = match &of.leader {
                    None => JoinTarget::Reaped,
                    Some(leader) => JoinTarget::Pidfd(leader, Dumpable(true)),
                };
                nsproxy::setns(task, target, nstype)
            }
            _ => nsproxy::setns(task, JoinTarget::Other, nstype),
        };
        done(result)
    }
}

fn ids(task: &Task) -> String {
    let cred = task.cred();
    let uids = [cred.uid, cred.euid, cred.suid, cred.fsuid].map(|id| cred.user.uid_in(id));
    let gids = [cred.gid, cred.egid, cred.sgid, cred.fsgid].map(|id| cred.user.gid_in(id));
    format!("uid {} gid {}", four(uids), four(gids))
}

fn sets(task: &Task) -> String {
    let caps = creds::capget(task);
    let [e, p, i] = [caps.effective, caps.permitted, caps.inheritable].map(|set| caps_text(set.0));
    format!("e={e} p={p} i={i}")
}

fn prctl(task: &Arc<Task>, option: CredOption, args: [u64; 4]) -> Result<String, String> {
    let number = match option {
        CredOption::GetDumpable => return Ok(u8::from(task.dumpable()).to_string()),
        CredOption::SetDumpable => {
            return Ok(match args[0] {
                0 | 1 => {
                    task.set_dumpable(args[0] == 1);
                    "0".into()
                }
                _ => "EINVAL".into(),
            });
        }
        CredOption::GetKeepcaps => 7,
        CredOption::SetKeepcaps => 8,
        CredOption::CapbsetRead => 23,
        CredOption::CapbsetDrop => 24,
        CredOption::GetSecurebits => 27,
        CredOption::SetSecurebits => 28,
        CredOption::SetNoNewPrivs => 38,
        CredOption::GetNoNewPrivs => 39,
        CredOption::CapAmbient => 47,
    };
    let result = creds::prctl(task, number, args).ok_or("the model has no such option")?;
    Ok(result.map_or_else(|refusal| refused(&refusal), |value| value.to_string()))
}

fn named(task: &Task, pick: fn(nsproxy::Names) -> UtsName) -> Result<String, String> {
    let proxy = task.nsproxy().ok_or("it has exited")?;
    Ok(quote(pick(proxy.uts.names()).as_bytes()))
}

fn set_name(task: &Arc<Task>, which: Name, name: &Text, odd: &Oddities) -> String {
    let len = odd.len.unwrap_or(name.bytes.len() as i64);
    let prepared = match prepare_set_name(task, which, len) {
        Ok(prepared) => prepared,
        Err(refusal) => return refused(&refusal),
    };
    let mut bytes = name.bytes.clone();
    bytes.resize(bytes.len().max(prepared.len()), b'x');
    match odd.at {
        None => {}
        Some(_) if prepared.len() == 0 => {}
        Some(Ptr::Buffer) => bytes.fill(b'x'),
        Some(Ptr::ReadOnly) => bytes.fill(0),
        Some(Ptr::End(room)) if usize::from(room) >= prepared.len() => bytes.fill(b'x'),
        Some(_) => return "EFAULT".into(),
    }
    prepared.commit(&bytes);
    "0".into()
}

/// setgroups(2) with a size and a pointer that need not fit each other.
fn raw_setgroups(task: &Arc<Task>, args: &[RawArg]) -> Result<String, String> {
    let [RawArg::Arg(Arg::Number(size)), RawArg::Arg(Arg::Pointer(at))] = args else {
        return Err("setgroups takes a number and a pointer".into());
    };
    let prepared = match creds::prepare_setgroups(task, *size as i64) {
        Ok(prepared) => prepared,
        Err(refusal) => return Ok(refused(&refusal)),
    };
    let len = prepared.len();
    match at {
        _ if len == 0 => Ok(done(prepared.commit(&[]))),
        Ptr::ReadOnly => Ok(done(prepared.commit(&vec![0; len]))),
        Ptr::Buffer => Ok(done(prepared.commit(&vec![0x7878_7878; len]))),
        _ => Ok("EFAULT".into()),
    }
}

/// chroot(2): the check is the host's, the consequences are the model's.
fn chroot(task: &Arc<Task>, path: &str) -> String {
    let cred = task.cred();
    if !cred.has(&cred.user, nsproxy::Cap::SYS_CHROOT) {
        return "EPERM".into();
    }
    task.set_chrooted(path != "/");
    "0".into()
}

/// The text of flags that an ioctl returns.
pub(super) fn nstype_text(flags: u64) -> String {
    flags_text(flags)
}
