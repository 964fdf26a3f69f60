//! One scheduling group for all that is measured, as a container has.
//!
//! Outside of one, kernels with autogroups give every session a share of its own. The supervisor has its own
//! session, so on a busy machine it and its guests would each wait for their sessions' turns. The group
//! also weighs as much as one may, so that other work on the machine gets little while this runs.

use std::fs;
use std::path::{Path, PathBuf};

/// The group of this process and its children; it leaves it when dropped.
pub struct Group {
    above: PathBuf,
    own: PathBuf,
}

impl Group {
    /// Makes one, if the host lets us.
    pub fn join() -> Option<Group> {
        let above = ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup"];
        above.iter().map(Path::new).filter(|above| has_shares(above)).find_map(Group::under)
    }

    fn under(above: &Path) -> Option<Group> {
        let own = above.join(format!("anyns-bench-{}", std::process::id()));
        fs::create_dir(&own).ok()?;
        let group = Group { above: above.to_owned(), own };
        // Either kind of hierarchy has one of them.
        let _ = fs::write(group.own.join("cpu.shares"), "262144");
        let _ = fs::write(group.own.join("cpu.weight"), "10000");
        enter(&group.own).ok()?;
        Some(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = enter(&self.above);
        let _ = fs::remove_dir(&self.own);
    }
}

fn enter(group: &Path) -> std::io::Result<()> {
    fs::write(group.join("cgroup.procs"), "0")
}

/// Whether groups below this one have shares of the processors.
fn has_shares(above: &Path) -> bool {
    let passed_on = fs::read_to_string(above.join("cgroup.subtree_control")).unwrap_or_default();
    above.join("cpu.shares").exists() || passed_on.split_whitespace().any(|one| one == "cpu")
}
