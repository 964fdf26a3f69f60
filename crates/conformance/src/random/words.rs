//! The words that random programs are made of. Flags come with the types a program is about.

use nsproxy::{Kind, KindSet};

use crate::lang::names::flags_text;

/// The words about some types of namespaces. User and uts are always among them.
pub(super) struct Words {
    /// What unshare(2) is asked for when it is asked for namespaces.
    pub(super) new: Vec<String>,
    /// For unshare(2), one or two at a time.
    pub(super) unshare: Vec<String>,
    /// For clone(2) with a child that obeys.
    pub(super) clone: Vec<String>,
    /// The same for clone3(2), which alone can ask for a time namespace.
    pub(super) clone3: Vec<String>,
    /// For clone(2) and clone3(2) with a child that exits at once.
    pub(super) idle: Vec<String>,
    pub(super) idle3: Vec<String>,
    /// For setns(2).
    pub(super) join: Vec<String>,
    /// Links in `/proc/PID/ns`.
    pub(super) links: Vec<&'static str>,
    /// Types whose limit may be changed, and to what. Those that are freed some time after their
    /// last use get no limit but 0, and would be in the way of others with it.
    pub(super) limits: Vec<(&'static str, &'static [&'static str])>,
    /// Nobody dies but by exit. An agent that is killed with its init while its parent is suspended
    /// in vfork takes along the turn that lies in their memory.
    pub(super) vfork: bool,
    /// Files and clocks of time namespaces are there.
    pub(super) time: bool,
    /// Who is in an ipc namespace of their own uses it.
    pub(super) ipc: bool,
}

const FEW: &[&str] = &["0", "1", "2", "-1"];
const NONE: &[&str] = &["0", "-1"];

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

impl Words {
    pub(super) fn about(kinds: KindSet) -> Words {
        let mut words = Words {
            new: owned(&["NEWUSER", "NEWUTS", "NEWUSER|NEWUTS"]),
            unshare: owned(&[
                "NEWUSER", "NEWUTS", "FS", "FILES", "SYSVSEM", "THREAD", "SIGHAND", "VM", "NEWUTS",
                "NEWUSER", "0x4000",
            ]),
            clone: owned(&[
                "NEWUSER",
                "NEWUTS",
                "FS",
                "FILES",
                "SYSVSEM",
                "IO",
                "UNTRACED",
                "NEWUSER|NEWUTS",
                "VFORK",
            ]),
            clone3: Vec::new(),
            idle: owned(&[
                "VM",
                "THREAD",
                "SIGHAND",
                "NEWUSER",
                "NEWUTS",
                "FS",
                "FILES",
                "VM|SIGHAND|THREAD",
                "PIDFD|PARENT_SETTID",
                "SYSVSEM",
            ]),
            idle3: Vec::new(),
            join: owned(&["0", "NEWUSER", "NEWUTS", "NEWUSER|NEWUTS", "NEWUSER|NEWUTS", "FS"]),
            links: vec!["uts", "user", "user"],
            limits: vec![("user", NONE), ("uts", FEW)],
            vfork: !kinds.contains(Kind::Pid),
            time: kinds.contains(Kind::Time),
            ipc: kinds.contains(Kind::Ipc),
        };
        if !words.vfork {
            words.clone.retain(|word| word != "VFORK");
        }
        (words.clone3, words.idle3) = (words.clone.clone(), words.idle.clone());
        for kind in kinds.difference(KindSet::of(&[Kind::User, Kind::Uts])).iter() {
            let flag = flags_text(kind.flag().bits());
            let with_user = format!("NEWUSER|{flag}");
            for list in [&mut words.new, &mut words.clone3, &mut words.join] {
                list.extend([flag.clone(), with_user.clone(), format!("NEWUTS|{flag}")]);
            }
            for list in [&mut words.unshare, &mut words.idle3] {
                list.push(flag.clone());
            }
            if kind != Kind::Time {
                words.clone.extend([flag.clone(), with_user]);
                words.idle.push(flag);
            }
            words.links.push(kind.name());
            match kind {
                Kind::Time => {
                    words.links.push("time_for_children");
                    words.limits.push((kind.name(), FEW));
                }
                Kind::Cgroup => words.limits.push((kind.name(), FEW)),
                _ => {}
            }
        }
        words
    }
}
