//! Words for what stands in the way, for `run` and for `doctor`.

use anyns_trap::Denied;
use anyns_trap::filter::Test;
use anyns_trap::probe::{OLDEST_KERNEL, Obstacle, needed_name};
use rustix::io::Errno;

/// An obstacle, to be put into words.
pub(crate) struct Hindrance<'a>(pub(crate) &'a Obstacle);

const UNCONFINED: &str =
    "docker run --security-opt seccomp=unconfined, or the same for your container";

impl Hindrance<'_> {
    /// One sentence.
    pub(crate) fn what(&self) -> String {
        match self.0 {
            Obstacle::NoProc => "cannot run anything without /proc".to_owned(),
            Obstacle::OldKernel(release) => {
                let (major, minor) = OLDEST_KERNEL;
                format!("the kernel is too old: {release}, and {major}.{minor} is needed")
            }
            Obstacle::NoSeccomp => "the kernel was built without seccomp filters".to_owned(),
            Obstacle::NoProcess(errno) => {
                format!("no process can be started: {}", words(*errno))
            }
            Obstacle::ListenerExists => {
                "a seccomp supervisor is in charge of this process already, and the kernel allows \
                 one (EBUSY)"
                    .to_owned()
            }
            // The kernel itself has no EPERM for this.
            Obstacle::NotifyRefused(errno @ Errno::PERM) => {
                format!("a seccomp filter from outside answers seccomp with {}", name(*errno))
            }
            Obstacle::NotifyRefused(errno) => {
                format!("installing a seccomp filter is refused: {}", words(*errno))
            }
            Obstacle::CallsHidden(calls) => {
                format!("a seccomp filter from outside answers {} before anyns", list(calls))
            }
            Obstacle::CallsKill(calls) => {
                format!("a seccomp filter from outside answers {} before anyns", list(calls))
            }
            Obstacle::Yama(scope) => {
                format!("tracing is forbidden on this host (kernel.yama.ptrace_scope is {scope})")
            }
            Obstacle::TraceFiltered(errno) => {
                format!("a seccomp filter from outside answers ptrace with {}", name(*errno))
            }
            Obstacle::TracedAlready => "every process that is started here is traced already, and \
                                        the kernel allows one tracer"
                .to_owned(),
            Obstacle::TraceRefused(errno, None) => {
                format!("tracing a child is refused: {}", words(*errno))
            }
            Obstacle::TraceRefused(errno, Some(label)) => {
                let module = if is_apparmor(label) { "AppArmor" } else { "SELinux" };
                format!("{module} refuses tracing to '{label}': {}", words(*errno))
            }
            Obstacle::MemoryRefused(errno) => {
                format!("reading a child's memory is refused: {}", words(*errno))
            }
        }
    }

    /// One step that works.
    pub(crate) fn help(&self) -> &'static str {
        match self.0 {
            Obstacle::NoProc => "mount -t proc proc /proc",
            Obstacle::OldKernel(_) => "a newer kernel",
            Obstacle::NoSeccomp => "a kernel with CONFIG_SECCOMP_FILTER",
            Obstacle::NoProcess(_) => {
                "a higher limit of processes: ulimit -u, or docker run --pids-limit"
            }
            Obstacle::ListenerExists | Obstacle::CallsHidden(_) => {
                "--backend stop, which serves here"
            }
            Obstacle::TracedAlready => {
                "without the other tracer: strace, gdb, or anyns with its stop back end"
            }
            Obstacle::NotifyRefused(_)
            | Obstacle::CallsKill(_)
            | Obstacle::TraceFiltered(_)
            | Obstacle::MemoryRefused(_) => UNCONFINED,
            Obstacle::Yama(2) => "sysctl kernel.yama.ptrace_scope=1 as root, or CAP_SYS_PTRACE",
            Obstacle::Yama(_) => "a reboot with kernel.yama.ptrace_scope=1: 3 cannot be lowered",
            Obstacle::TraceRefused(_, Some(label)) if is_apparmor(label) => {
                "a profile with 'ptrace peer=@{profile_name},', or docker run --security-opt \
                 apparmor=unconfined"
            }
            Obstacle::TraceRefused(_, Some(_)) => "setsebool deny_ptrace off, as root",
            Obstacle::TraceRefused(_, None) => "dmesg and the audit log, which tell who refuses it",
        }
    }
}

/// What a refusal means when the others are known. A filter that forbids seccomp(2) keeps us from
/// finding out who forbids ptrace(2): where no security module is in force, it is the same filter.
pub(crate) fn understood(mut all: Vec<Obstacle>) -> Vec<Obstacle> {
    if all.contains(&Obstacle::NotifyRefused(Errno::PERM)) {
        for one in &mut all {
            if *one == Obstacle::TraceRefused(Errno::PERM, None) {
                *one = Obstacle::TraceFiltered(Errno::PERM);
            }
        }
    }
    all
}

/// One sentence for all that stands in the way.
pub(crate) fn sentence(all: &[Obstacle]) -> String {
    let both = [Obstacle::NotifyRefused(Errno::PERM), Obstacle::TraceFiltered(Errno::PERM)];
    let mut sentences = Vec::new();
    let mut rest: Vec<&Obstacle> = all.iter().collect();
    if both.iter().all(|one| all.contains(one)) {
        rest.retain(|one| !both.contains(one));
        sentences
            .push("a seccomp filter from outside answers seccomp and ptrace with EPERM".to_owned());
    }
    sentences.extend(rest.into_iter().map(|one| Hindrance(one).what()));
    sentences.join(", and ")
}

/// Says whether a label looks like `docker-default (enforce)` and not like SELinux's four words.
fn is_apparmor(label: &str) -> bool {
    label.ends_with(')') || !label.contains(':')
}

/// The system's words for an errno, as we write them.
pub(crate) fn words(errno: Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    text.to_lowercase()
}

/// What is answered, and with what: calls that matter by name, others by their number.
pub(crate) fn list(calls: &[Denied]) -> String {
    let named = |one: &&Denied| needed_name(one.nr).is_some();
    let (calls, others): (Vec<&Denied>, Vec<&Denied>) = calls.iter().partition(named);
    let all_alike = calls.windows(2).all(|pair| pair[0].errno == pair[1].errno);
    let each = calls.iter().map(|one| match all_alike {
        true => call(one),
        false => format!("{} with {}", call(one), answer(one)),
    });
    let mut each: Vec<String> = each.collect();
    match others.len() {
        0 => {}
        1 if calls.is_empty() => each.push("1 call".to_owned()),
        1 => each.push("1 other".to_owned()),
        n => each.push(format!("{n} {}", if calls.is_empty() { "calls" } else { "others" })),
    }
    let last = each.pop().unwrap_or_default();
    let listed = if each.is_empty() { last } else { format!("{} and {last}", each.join(", ")) };
    match calls.first().or(others.first()) {
        Some(first) if all_alike => format!("{listed} with {}", answer(first)),
        _ => listed,
    }
}

fn call(denied: &Denied) -> String {
    let Some(name) = needed_name(denied.nr) else { return format!("call {}", denied.nr) };
    match denied.test {
        Test::AnyBits { .. } => format!("{name} with CLONE_NEW flags"),
        _ => name.to_owned(),
    }
}

fn answer(denied: &Denied) -> String {
    match denied.errno {
        0 => "a kill".to_owned(),
        errno => name(Errno::from_raw_os_error(errno.into())),
    }
}

/// The name of an errno that filters use.
fn name(errno: Errno) -> String {
    match errno {
        Errno::PERM => "EPERM".to_owned(),
        Errno::NOSYS => "ENOSYS".to_owned(),
        Errno::ACCESS => "EACCES".to_owned(),
        other => words(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied(nr: i64, errno: i32) -> Denied {
        Denied { nr, test: Test::Always, errno: errno as u16 }
    }

    #[test]
    fn calls_are_listed_by_name_and_what_they_give_once() {
        let (eperm, enosys) = (libc::EPERM, libc::ENOSYS);
        let flags = Test::AnyBits { arg: 0, mask: 0x7e02_0000 };
        let clone = Denied { test: flags, ..denied(libc::SYS_clone, eperm) };
        let unshare = denied(libc::SYS_unshare, eperm);
        let many = [unshare.clone(), clone.clone(), denied(libc::SYS_keyctl, eperm)];
        let words = "unshare, clone with CLONE_NEW flags and 1 other with EPERM";
        assert_eq!(list(&many), words);
        let two = [unshare, denied(libc::SYS_mount, enosys)];
        assert_eq!(list(&two), "unshare with EPERM and mount with ENOSYS");
        assert_eq!(list(&[denied(libc::SYS_setns, 0)]), "setns with a kill");
        assert_eq!(list(&[denied(libc::SYS_keyctl, eperm)]), "1 call with EPERM");
    }

    #[test]
    fn modules_are_told_apart_by_their_labels() {
        assert!(is_apparmor("docker-default (enforce)"));
        assert!(is_apparmor("cri-containerd.apparmor.d (enforce)"));
        assert!(!is_apparmor("system_u:system_r:container_t:s0:c1,c2"));
    }
}
