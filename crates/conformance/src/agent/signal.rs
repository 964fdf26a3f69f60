//! Signals that arrive, ends of one's own doing, credentials over a socket.

use std::os::fd::AsRawFd;

use anyns_trap::raw::{self, Handling};

use super::{MAIL, done, refused};
use crate::lang::Call;
use crate::lang::names::{REBOOTS, SIGNALS};

/// Makes the call if it is one of these.
pub(super) fn answer(call: &Call) -> Option<String> {
    Some(match call {
        Call::Handle { signal, how } => match how.as_ref().map(|word| word.0.as_str()) {
            None => done(raw::handle(signal.0, Handling::Remember)),
            Some("default") => done(raw::handle(signal.0, Handling::Default)),
            Some("ignore") => done(raw::handle(signal.0, Handling::Ignore)),
            Some(other) => format!("!signals are not handled {other}"),
        },
        Call::Handled {} => raw::handled().map_or_else(|| "none".into(), handled_text),
        Call::Fault {} => raw::fault(),
        Call::Abort {} => std::process::abort(),
        Call::Reboot { command, wrong } => reboot(&command.0, wrong.is_none()),
        Call::SendCreds {} => send(),
        Call::RecvCreds {} => receive(),
        Call::Claim { who, uid, gid } => claim([who.number(), *uid as i32, *gid as i32]),
        _ => return None,
    })
}

pub(crate) fn handled_text((signal, sender): (i32, i32)) -> String {
    let name = SIGNALS.iter().find(|(_, known)| *known == i64::from(signal));
    format!("%{sender} {}", name.map_or("?", |(name, _)| name))
}

fn reboot(command: &str, magic: bool) -> String {
    let Some((_, number)) = REBOOTS.iter().find(|(name, _)| *name == command) else {
        return format!("!there is no command {command}");
    };
    // This would be the machine's end, or the test's container's.
    let initial = std::fs::read_link("/proc/self/ns/pid")
        .map_or(true, |link| link.as_os_str() == "pid:[4026531836]");
    if initial || !super::pid::nested() {
        return "!only in a pid namespace below".into();
    }
    done(raw::reboot(*number, magic))
}

fn send() -> String {
    let ids = [rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()];
    let [uid, gid] = ids.map(|id| id as i32);
    done(raw::send_credentials(MAIL[0], [std::process::id() as i32, uid, gid]))
}

fn claim(credentials: [i32; 3]) -> String {
    match std::os::unix::net::UnixDatagram::pair() {
        Ok((one, _other)) => done(raw::send_credentials(one.as_raw_fd(), credentials)),
        Err(error) => format!("!no sockets: {error}"),
    }
}

fn receive() -> String {
    const SOL_SOCKET: i32 = 1;
    const SO_PASSCRED: i32 = 16;
    let found = raw::set_option(MAIL[1], SOL_SOCKET, SO_PASSCRED, 1)
        .and_then(|()| raw::receive_credentials(MAIL[1]));
    let _ = raw::set_option(MAIL[1], SOL_SOCKET, SO_PASSCRED, 0);
    found.map_or_else(refused, |number| format!("%{number}"))
}
