//! What can be asked of a file without opening it, and changed.

use nsproxy::{Cap, Kgid, Kuid, proc_owner};

use super::cgroup::BASE;
use super::files::{Stop, errno};
use super::paths::{Target, owner_text, status_field};
use super::world::World;

impl World {
    pub(super) fn owner(&self, who: usize, path: &str) -> Result<String, Stop> {
        let cred = self.caller(who)?.cred();
        let owner = match self.look_up(who, path)? {
            Target::Link { .. } => {
                self.follow(who, path)?;
                (Kuid::ROOT, Kgid::ROOT)
            }
            Target::Map { task, .. }
            | Target::Setgroups { task }
            | Target::TimeOffsets { task, .. }
            | Target::Status { task } => proc_owner(&task),
            Target::Name(_) | Target::Limit(_) | Target::LastPid | Target::MemfdNoexec => {
                (Kuid::ROOT, Kgid::ROOT)
            }
            Target::PidMax(of) => {
                let root = |id: Option<_>| id.unwrap_or_default();
                (root(of.owner().map_uid(0)), Kgid(of.owner().map_gid(0).map_or(0, |id| id.0)))
            }
            Target::Cgroup(_) => {
                return Err(Stop::Unknown("the owners of cgroups are not asked for".into()));
            }
            Target::PortStart => self.net_ns(who)?.files_owner(),
            Target::Ipc(_) => self.ipc_ns(who)?.files_owner(),
            Target::File { owner, .. } => (Kuid(owner), Kgid(owner)),
        };
        Ok(owner_text(&cred, owner))
    }

    /// chown(2) of a file that is not the scenario's to keep: only whether it is allowed.
    pub(super) fn chown(
        &mut self,
        who: usize,
        path: &str,
        uid: u32,
        gid: u32,
    ) -> Result<String, Stop> {
        let cred = self.caller(who)?.cred();
        if path.starts_with(BASE) && cred.effective.has(Cap::CHOWN) && cred.user.is_initial() {
            let given = self.cgroups.give(path, (Kuid(uid), Kgid(gid)));
            return if given { Ok("0".into()) } else { Err(errno("ENOENT")) };
        }
        let Target::File { owner, .. } = self.look_up(who, path)? else {
            return Err(Stop::Unknown(format!("the owner of {path} cannot change here")));
        };
        let (old_uid, old_gid) = (Kuid(owner), Kgid(owner));
        let keep = u32::MAX;
        let new_uid = if uid == keep { Some(old_uid) } else { cred.user.map_uid(uid) };
        let new_gid = if gid == keep { Some(old_gid) } else { cred.user.map_gid(gid) };
        let (Some(new_uid), Some(new_gid)) = (new_uid, new_gid) else {
            return Err(errno("EINVAL"));
        };
        let mapped = cred.user.find_uid(old_uid).is_some() && cred.user.find_gid(old_gid).is_some();
        let privileged = mapped && cred.effective.has(Cap::CHOWN);
        let own = cred.fsuid == old_uid;
        let uid_fits = uid == keep || (own && new_uid == old_uid);
        let gid_fits = gid == keep || (own && (new_gid == old_gid || cred.in_group(new_gid)));
        if privileged || (uid_fits && gid_fits) { Ok("0".into()) } else { Err(errno("EPERM")) }
    }

    pub(super) fn status(&self, who: usize, number: i32, field: &str) -> Result<String, Stop> {
        let reader = self.caller(who)?.cred();
        let path = format!("/proc/{number}/status");
        let Target::Status { task } = self.look_up(who, &path)? else {
            return Err(Stop::Unknown(path));
        };
        if let Some(numbers) = self.numbers_field(&task, field) {
            return Ok(numbers);
        }
        status_field(&task, &reader, field)
            .ok_or_else(|| Stop::Unknown(format!("the model's status has no {field}")))
    }
}
