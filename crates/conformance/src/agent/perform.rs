//! One call: from its text to what it gave.

use anyns_trap::raw::{self, NsRequest, NsWords};

use super::{Actor, Outcome, Turn, counted, done, refused};
use crate::lang::{Call, Oddities, Text, parse_call};

impl Actor {
    /// Makes the call in a message: `SLOT CALL`, where the slot is the number that a descriptor
    /// must be given, or -1.
    pub(super) fn perform(&self, message: &str, turn: &mut Turn) -> Outcome {
        let parsed = message
            .split_once(' ')
            .and_then(|(slot, call)| Some((slot.parse::<i32>().ok()?, parse_call(call).ok()?)));
        let Some((slot, call)) = parsed else {
            return Outcome::Answer(format!("!cannot read {message}"));
        };
        match &call {
            Call::Exit { status } => Outcome::End(status.unwrap_or(0) as i32),
            Call::Fork { .. }
            | Call::Vfork { .. }
            | Call::Clone { .. }
            | Call::Clone3 { .. }
            | Call::Thread { .. } => Outcome::Answer(self.give_birth(&call, turn)),
            Call::Exec { path } => {
                Outcome::Answer(self.execute(path.as_ref().map(|path| path.0.as_str()), turn))
            }
            _ => Outcome::Answer(answer(&call, slot)),
        }
    }
}

/// Keeps a descriptor under the scenario's number, or closes it if nobody asked for it.
pub(super) fn keep(result: Result<i32, raw::Errno>, slot: i32) -> String {
    let fd = match result {
        Ok(fd) => fd,
        Err(errno) => return refused(errno),
    };
    let placed = if slot >= 0 { raw::duplicate(fd, slot) } else { Ok(()) };
    let _ = raw::close(fd);
    placed.map_or_else(|errno| format!("!cannot keep: {errno}"), |()| "descriptor".into())
}

fn answer(call: &Call, slot: i32) -> String {
    match call {
        Call::Wait { who, how } => super::pid::wait(who.number(), how.is_some()),
        Call::Kill { who, signal } => super::pid::kill(who.number(), signal.0),
        Call::Getpid {} | Call::Gettid {} | Call::Getppid {} => super::pid::number(call),
        Call::Setsid {} | Call::Setpgid { .. } | Call::Getpgid { .. } | Call::Getsid { .. } => {
            super::pid::group(call)
        }
        Call::Memfd { flags } => super::pid::memfd(flags.0 as u32),
        Call::Subreaper { on } => super::pid::subreaper(*on != 0),
        Call::Translate { fd, request, who } => {
            super::pid::translate(fd.number(), &request.0, who.number())
        }
        Call::Unshare { flags } => done(raw::unshare(flags.0)),
        Call::Setns { fd, nstype } => done(raw::setns(fd.number(), nstype.0)),
        Call::Pidfd { who } => keep(raw::pidfd_open(who.number(), 0), slot),
        Call::Reopen { fd } => keep(raw::reopen_namespace(fd.number()), slot),
        Call::PidfdNs { fd, link, argument } => {
            pidfd_namespace(fd.number(), &link.0, argument.unwrap_or(0) as u64, slot)
        }
        Call::Ioctl { fd, request } => ioctl(fd.number(), &request.0, slot),
        Call::Sethostname { name, odd } => set_name(raw::sethostname, name, odd),
        Call::Setdomainname { name, odd } => set_name(raw::setdomainname, name, odd),
        Call::Hostname {} => named(|names| names.host),
        Call::Domainname {} => named(|names| names.domain),
        Call::Ids {} => super::status::ids(),
        Call::Setuid { uid } => done(raw::setuid(*uid as u32)),
        Call::Setgid { gid } => done(raw::setgid(*gid as u32)),
        Call::Setreuid { real, effective } => done(raw::setreuid(*real as u32, *effective as u32)),
        Call::Setregid { real, effective } => done(raw::setregid(*real as u32, *effective as u32)),
        Call::Setresuid { real, effective, saved } => {
            done(raw::setresuid(*real as u32, *effective as u32, *saved as u32))
        }
        Call::Setresgid { real, effective, saved } => {
            done(raw::setresgid(*real as u32, *effective as u32, *saved as u32))
        }
        Call::Setfsuid { uid } => raw::setfsuid(*uid as u32).to_string(),
        Call::Setfsgid { gid } => raw::setfsgid(*gid as u32).to_string(),
        Call::Getgroups {} => {
            raw::getgroups().map_or_else(refused, |list| super::status::list(&list))
        }
        Call::Setgroups { groups } => done(raw::setgroups(&groups.0)),
        Call::Capget { who } => {
            let sets = raw::capget(who.as_ref().map_or(0, crate::lang::Who::number));
            sets.map_or_else(refused, super::status::sets)
        }
        Call::Capset { sets } => done(raw::capset(raw::CapSets {
            effective: sets.effective,
            permitted: sets.permitted,
            inheritable: sets.inheritable,
        })),
        Call::Prctl { option, args } => {
            let mut numbers = [0; 4];
            for (place, arg) in numbers.iter_mut().zip(args) {
                *place = arg.value;
            }
            match raw::cred_option(option.0, numbers) {
                // 2 is 0 on hosts that keep the dumps of such programs (fs.suid_dumpable).
                Ok(2) if option.0 == raw::CredOption::GetDumpable => "0".into(),
                Ok(value) => value.to_string(),
                Err(errno) => refused(errno),
            }
        }
        Call::Raw { call, args } => {
            let args: Vec<raw::Arg> = args.iter().map(crate::lang::RawArg::arg).collect();
            raw::call(call.0, &args).map_or_else(refused, |value| value.to_string())
        }
        Call::Cgroup { act, path } => super::cgroup::act(&act.0, &path.0),
        Call::Cgroups { who } => super::cgroup::of(who.number()),
        Call::Cgroupmount {} => super::cgroup::mounted(),
        Call::Clock { clock } => super::time::ahead(&clock.0),
        Call::Status { who, field } => super::status::field(who.number(), &field.0),
        Call::Socket { .. }
        | Call::Bind { .. }
        | Call::Connect { .. }
        | Call::Listen { .. }
        | Call::Skns { .. }
        | Call::Links { .. }
        | Call::LinkAdd { .. }
        | Call::LinkMove { .. }
        | Call::LinkName { .. }
        | Call::LinkUp { .. }
        | Call::LinkDown { .. }
        | Call::LinkDel { .. }
        | Call::LinkGone { .. }
        | Call::NsidSet { .. }
        | Call::NsidGet { .. }
        | Call::NsidOf { .. } => super::net::answer(call, slot),
        Call::Semget { .. }
        | Call::Semop { .. }
        | Call::Semctl { .. }
        | Call::Shmget { .. }
        | Call::Shmat { .. }
        | Call::Shmdt { .. }
        | Call::Shmpeek { .. }
        | Call::Shmctl { .. }
        | Call::Msgget { .. }
        | Call::Msgsnd { .. }
        | Call::Msgrcv { .. }
        | Call::Msgctl { .. }
        | Call::MqOpen { .. }
        | Call::MqUnlink { .. }
        | Call::MqGetattr { .. } => super::ipc::answer(call, slot),
        _ => super::mnt::answer(call, slot)
            .or_else(|| super::signal::answer(call))
            .unwrap_or_else(|| super::files::answer(call, slot)),
    }
}

/// The links of `/proc/PID/ns` as the ioctls of pidfds number them, from 1 on.
const LINKS: [&str; 10] = [
    "cgroup",
    "ipc",
    "mnt",
    "net",
    "pid",
    "pid_for_children",
    "time",
    "time_for_children",
    "user",
    "uts",
];

fn pidfd_namespace(fd: i32, link: &str, argument: u64, slot: i32) -> String {
    match LINKS.iter().position(|known| *known == link) {
        Some(place) => keep(raw::pidfd_namespace(fd, place as u8 + 1, argument), slot),
        None => format!("!there is no link {link}"),
    }
}

/// The requests whose answers are words in memory.
fn ioctl_words(fd: i32, request: NsWords, slot: i32) -> String {
    match (request, raw::ns_words(fd, request)) {
        (_, Err(errno)) => refused(errno),
        (NsWords::Id | NsWords::MntnsId, Ok((_, words))) => format!("id:[{}]", words[0]),
        (NsWords::MntInfo, Ok((_, [head, id]))) => {
            let lines = super::mnt::read_proc("mountinfo").map_or(0, |text| text.lines().count());
            format!("lines{:+} id:[{id}]", (head >> 32) as i64 - lines as i64)
        }
        (NsWords::MntNext | NsWords::MntPrev, Ok((fd, _))) => keep(Ok(fd as i32), slot),
    }
}

fn ioctl(fd: i32, request: &str, slot: i32) -> String {
    let words = match request {
        "ID" => Some(NsWords::Id),
        "MNTNS_ID" => Some(NsWords::MntnsId),
        "INFO" => Some(NsWords::MntInfo),
        "NEXT" => Some(NsWords::MntNext),
        "PREV" => Some(NsWords::MntPrev),
        _ => None,
    };
    if let Some(request) = words {
        return ioctl_words(fd, request, slot);
    }
    let (request, descriptor) = match request {
        "USERNS" => (NsRequest::Userns, true),
        "PARENT" => (NsRequest::Parent, true),
        "NSTYPE" => (NsRequest::Nstype, false),
        "OWNER_UID" => (NsRequest::OwnerUid, false),
        other => match other.parse() {
            Ok(number) => (NsRequest::Other(number), false),
            Err(_) => return format!("!there is no request {other}"),
        },
    };
    match raw::ns_request(fd, request) {
        Ok(fd) if descriptor => keep(Ok(fd as i32), slot),
        Ok(flag) if request == NsRequest::Nstype => crate::lang::names::flags_text(flag as u64),
        Ok(value) => value.to_string(),
        Err(errno) => refused(errno),
    }
}

type SetName = fn(&[u8], i64, Option<raw::Ptr>) -> Result<(), raw::Errno>;

fn set_name(call: SetName, name: &Text, odd: &Oddities) -> String {
    done(call(&name.bytes, odd.len.unwrap_or(name.bytes.len() as i64), odd.at))
}

fn named(pick: fn(raw::HostNames) -> Vec<u8>) -> String {
    raw::host_names().map_or_else(refused, |names| crate::lang::quote(&pick(names)))
}

/// The text of a count of written bytes.
pub(super) fn written(result: Result<usize, raw::Errno>) -> String {
    counted(result)
}
