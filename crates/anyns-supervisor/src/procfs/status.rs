//! `/proc/PID/status`: reading the kernel's, and writing the one a guest sees.
//!
//! The kernel's copy is the only source of the credentials of a task that never left the initial
//! user namespace; the copy shown to guests differs from it in the lines that depend on
//! namespaces: Uid, Gid, Groups and the capability sets.

use std::fmt::Write as _;

use anyns_trap::record::record;
use nsproxy::{CapSet, Cred, Kgid, Kuid, UserNs};
use rustix::io::Errno;
use std::sync::Arc;

use super::read_file;
use crate::numbers::View;

/// What the kernel says of a thread's credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Native {
    /// Number of its thread group.
    pub(crate) tgid: i32,
    /// Number of its parent.
    pub(crate) ppid: i32,
    /// It has exited and nobody has waited for it yet.
    pub(crate) exited: bool,
    uids: [u32; 4],
    gids: [u32; 4],
    groups: Vec<u32>,
    caps: [u64; 5],
}

impl Native {
    /// Reads the credentials of thread `tid`.
    ///
    /// # Errors
    /// ESRCH if there is no such thread.
    pub(crate) fn read(tid: i32) -> Result<Native, Errno> {
        let text = record(&format!("/proc/{tid}/status")).map_err(|_| Errno::SRCH)?;
        Native::parse(&String::from_utf8_lossy(&text)).ok_or(Errno::SRCH)
    }

    fn parse(text: &str) -> Option<Native> {
        let caps = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];
        let mut sets = [0; 5];
        for (set, name) in sets.iter_mut().zip(caps) {
            *set = u64::from_str_radix(field(text, name)?, 16).ok()?;
        }
        Some(Native {
            tgid: field(text, "Tgid")?.parse().ok()?,
            ppid: field(text, "PPid")?.parse().ok()?,
            exited: field(text, "State")?.starts_with(['Z', 'X']),
            uids: numbers(field(text, "Uid")?).try_into().ok()?,
            gids: numbers(field(text, "Gid")?).try_into().ok()?,
            groups: numbers(field(text, "Groups")?),
            caps: sets,
        })
    }

    /// What it is where files are judged: user, group, other groups, effective capabilities.
    pub(crate) fn to_files(&self) -> (u32, u32, Vec<u32>, u64) {
        (self.uids[3], self.gids[3], self.groups.clone(), self.caps[2])
    }

    /// The effective user.
    pub(crate) fn euid(&self) -> u32 {
        self.uids[1]
    }

    /// The same as credentials of the model, in the initial user namespace `user`.
    ///
    /// The kernel's `no_new_privs` is ours, so it tells nothing of the program's.
    pub(crate) fn cred(&self, user: Arc<UserNs>) -> Cred {
        let [uid, euid, suid, fsuid] = self.uids.map(Kuid);
        let [gid, egid, sgid, fsgid] = self.gids.map(Kgid);
        let mut cred = Cred::user(&user, uid, gid);
        (cred.euid, cred.suid, cred.fsuid) = (euid, suid, fsuid);
        (cred.egid, cred.sgid, cred.fsgid) = (egid, sgid, fsgid);
        cred.groups = self.groups.iter().map(|&gid| Kgid(gid)).collect();
        let [inheritable, permitted, effective, bounding, ambient] = self.caps.map(CapSet);
        cred.inheritable = inheritable;
        cred.permitted = permitted;
        cred.effective = effective;
        cred.bounding = bounding;
        cred.ambient = ambient;
        cred
    }
}

/// The mode bits that files thread `tid` makes do not get.
pub(crate) fn umask(tid: i32) -> Option<u32> {
    let text = read_file(&format!("/proc/{tid}/status")).ok()?;
    u32::from_str_radix(field(&String::from_utf8_lossy(&text), "Umask")?, 8).ok()
}

/// A resource limit of thread `tid`, by its name in `/proc/PID/limits`; the largest number stands for
/// none.
pub(crate) fn read_limit(tid: i32, name: &str) -> Option<u64> {
    let text = read_file(&format!("/proc/{tid}/limits")).ok()?;
    let text = String::from_utf8_lossy(&text);
    let soft = text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?;
    if soft == "unlimited" { Some(u64::MAX) } else { soft.parse().ok() }
}

/// Whether thread `tid` has a seccomp filter besides ours; `None` on a kernel that does not count them
/// (before 5.9).
pub(crate) fn has_own_filter(tid: i32) -> Option<bool> {
    let text = read_file(&format!("/proc/{tid}/status")).ok()?;
    Some(filters_shown(&String::from_utf8_lossy(&text))? > 0)
}

/// How many filters a thread has by its `status`, without ours.
fn filters_shown(text: &str) -> Option<u32> {
    Some(field(text, "Seccomp_filters")?.parse::<u32>().ok()?.saturating_sub(1))
}

/// Number of the thread group of thread `tid`; `None` if there is no such thread.
pub(crate) fn thread_group(tid: i32) -> Option<i32> {
    let text = read_file(&format!("/proc/{tid}/status")).ok()?;
    field(&String::from_utf8_lossy(&text), "Tgid")?.parse().ok()
}

/// Rewrites the kernel's `status` text of thread `tid` so that it shows `cred` as a reader in
/// `reader` sees it, `running` if it is the reader, and numbers as they are read in `levels`: the namespace that the reader's `/proc`
/// shows, and those below it down to the thread's own.
pub(crate) fn shown(
    text: &str,
    cred: &Cred,
    reader: &UserNs,
    tid: i32,
    levels: &[View<'_>],
    running: bool,
) -> String {
    let view = levels.first();
    let seen = |number: i32| match view {
        Some(view) => view.number_seen(number).unwrap_or(0),
        None => number,
    };
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        let name = line.split(':').next().unwrap_or_default();
        match name {
            "Uid" => ids(
                &mut out,
                name,
                [cred.uid, cred.euid, cred.suid, cred.fsuid].map(|id| reader.uid_in(id)),
            ),
            "Gid" => ids(
                &mut out,
                name,
                [cred.gid, cred.egid, cred.sgid, cred.fsgid].map(|id| reader.gid_in(id)),
            ),
            "Groups" => {
                out.push_str("Groups:\t");
                for group in cred.groups.iter() {
                    let _ = write!(out, "{} ", reader.gid_in(*group));
                }
                // The kernel leaves a blank in front of the end of the line, groups or none.
                if cred.groups.is_empty() {
                    out.push(' ');
                }
                out.push('\n');
            }
            "State" if running => out.push_str("State:\tR (running)\n"),
            "Tgid" | "Pid" | "TracerPid" | "Ngid" => {
                let number = field(line, name).and_then(|number| number.parse().ok());
                let _ = writeln!(out, "{name}:\t{}", number.map_or(0, seen));
            }
            "PPid" if let Some(view) = view => {
                let native = field(line, name).and_then(|number| number.parse().ok());
                let parent = native.and_then(|native| view.number_seen(native));
                let parent = parent.unwrap_or_else(|| view.parent_seen(tid));
                let _ = writeln!(out, "PPid:\t{parent}");
            }
            "NStgid" | "NSpid" | "NSpgid" | "NSsid" => {
                let number = field(line, name).and_then(|numbers| numbers.split('\t').next());
                let number = number.and_then(|number| number.parse().ok()).unwrap_or(0);
                let _ = write!(out, "{name}:");
                for level in levels {
                    let shown = match name {
                        "NStgid" | "NSpid" => level.number_seen(number).unwrap_or(0),
                        _ => level.led_seen(number),
                    };
                    let _ = write!(out, "\t{shown}");
                }
                out.push('\n');
            }
            "CapInh" => cap(&mut out, name, cred.inheritable),
            "CapPrm" => cap(&mut out, name, cred.permitted),
            "CapEff" => cap(&mut out, name, cred.effective),
            "CapBnd" => cap(&mut out, name, cred.bounding),
            "CapAmb" => cap(&mut out, name, cred.ambient),
            "NoNewPrivs" => {
                let _ = writeln!(out, "NoNewPrivs:\t{}", u8::from(cred.no_new_privs));
            }
            "Seccomp" if filters_shown(text) == Some(0) => out.push_str("Seccomp:\t0\n"),
            "Seccomp_filters" => {
                let _ = writeln!(out, "Seccomp_filters:\t{}", filters_shown(text).unwrap_or(0));
            }
            _ => {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
    out
}

fn ids(out: &mut String, name: &str, ids: [u32; 4]) {
    let [real, effective, saved, fs] = ids;
    let _ = writeln!(out, "{name}:\t{real}\t{effective}\t{saved}\t{fs}");
}

fn cap(out: &mut String, name: &str, set: CapSet) {
    let _ = writeln!(out, "{name}:\t{:016x}", set.0);
}

/// The rest of the line that starts with `name:`.
pub(super) fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

fn numbers(text: &str) -> Vec<u32> {
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nsproxy::{Config, System};

    const TEXT: &str = "Name:\tsh\nState:\tS (sleeping)\nTgid:\t12\nPid:\t12\nPPid:\t3\nUid:\t1000\t1000\t1000\t1000\n\
        Gid:\t1000\t1000\t1000\t1000\nGroups:\t4 1000 \nCapInh:\t0000000000000000\n\
        CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t000001ffffffffff\n\
        CapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n";

    #[test]
    fn the_kernels_text_is_understood() {
        let native = Native::parse(TEXT).expect("a whole status");
        assert_eq!((native.tgid, native.ppid), (12, 3));
        let system = System::new(Config::default());
        let cred = native.cred(system.init_user());
        assert_eq!(cred.euid, Kuid(1000));
        assert_eq!(&cred.groups[..], [Kgid(4), Kgid(1000)]);
        assert_eq!(cred.bounding, CapSet(0x1ff_ffff_ffff));
    }

    #[test]
    fn what_is_shown_unchanged_equals_the_kernels_own() {
        let system = System::new(Config::default());
        let user = system.init_user();
        let cred = Native::parse(TEXT).expect("a whole status").cred(user.clone());
        let cred = Cred { no_new_privs: true, ..cred };
        assert_eq!(shown(TEXT, &cred, &user, 12, &[], false), TEXT);
    }

    #[test]
    fn a_half_text_is_no_task() {
        assert_eq!(Native::parse("Name:\tsh\nTgid:\t12\n"), None);
    }
}
