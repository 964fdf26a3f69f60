//! How a walk goes from one mount of the guest's namespace into another: down onto what is mounted on
//! a name, up from the root of a mount, to the guest's root, and through the links of `/proc`.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use nsproxy::{Dentry, MountId};
use rustix::fs::ResolveFlags;
use rustix::io::Errno;

use super::scene::{CWD_NUMBER, Standing};
use super::walk::{Among, Walk, open_in, open_path};
use super::{Lost, Scene};
use crate::mounts::{Identity, Key, Overlay, What};
use crate::procfs::{self, Node};

/// What came of an attempt to go up.
enum Climbed {
    /// It is in the directory above.
    Up,
    /// There is none for whoever walks.
    ToTop,
    /// There is none.
    Nowhere,
}

impl Walk<'_> {
    fn scene(&self) -> Result<Scene<'_>, Errno> {
        self.who.scene.ok_or(Errno::INVAL)
    }

    /// Enters what is mounted on `next`, which is called `name` where the walk stands; says whether
    /// something is. What only the host has mounted is not there, and neither is what it covers.
    pub(super) fn enter_mount(&mut self, next: &OwnedFd, name: &[u8]) -> Result<bool, Lost> {
        let Some(among) = &self.among else { return Ok(false) };
        let Some(mount) = among.mount.and_then(|mount| among.view.get(mount)) else {
            // Nothing of the guest's is mounted on what is in no mount.
            let seen = Identity::of(next)?;
            return match seen.mnt == among.host || self.overlay().is_some() {
                true => Ok(false),
                false => self.stand_at_nothing(&seen, None).map(|()| true),
            };
        };
        let seen = Identity::of(next)?;
        // What an overlay shows lies where its layers do.
        let overlay = self.overlay();
        let foreign = overlay.is_none() && seen.mnt != among.host;
        if !foreign && !among.view.may_be_point(name) {
            return Ok(false);
        }
        let scene = self.scene()?;
        if mount.shows.is_none() && scene.mounts.is_guarded(&seen) {
            // Where the files of mounts are kept, there is nothing for anybody.
            return Err(Errno::NOENT.into());
        }
        let super_id = mount.sb.id();
        let key = scene.mounts.key(next, &seen, overlay.is_none().then_some(among.host));
        let known = scene.mounts.known(super_id, &key);
        if let Some(point) = known {
            let to = among.view.covered(mount.id, point);
            if to.0 != mount.id {
                return self.go_to(to).map(|()| true);
            }
        }
        if !foreign {
            return Ok(false);
        }
        // A proc of a guest's is the host's, with all that this has mounted on it.
        if mount.is_proc() && mount.shows.is_some() {
            return Ok(false);
        }
        let point = match (known, &key) {
            (Some(point), _) => Some(point),
            (None, Key::Under(_)) => {
                let fd = rustix::io::fcntl_dupfd_cloexec(next, 0)?;
                Some(scene.mounts.enter(super_id, fd, Some(among.host))?)
            }
            (None, Key::Inode(..)) => None,
        };
        self.stand_at_nothing(&seen, point).map(|()| true)
    }

    /// Stands at what shows in the place of what nobody can see.
    fn stand_at_nothing(&mut self, seen: &Identity, point: Option<Dentry>) -> Result<(), Lost> {
        let fd = self.scene()?.mounts.nothing(seen.is_directory())?;
        let host = Identity::of(&fd)?.mnt;
        self.here = Arc::new(fd);
        self.trail = None;
        if let Some(among) = &mut self.among {
            (among.dentry, among.host) = (point, host);
        }
        Ok(())
    }

    /// The overlay in which the walk stands.
    pub(super) fn overlay(&self) -> Option<std::sync::Arc<Overlay>> {
        let mount = self.among.as_ref()?.shows().filter(|mount| mount.is_choosy)?;
        self.who.scene?.mounts.overlay(mount.sb.id())
    }

    /// Whether the walk stands in a file system of which not all is shown that the host has there.
    pub(super) fn chooses(&self) -> bool {
        let among = self.among.as_ref();
        among.and_then(Among::shows).is_some_and(|mount| mount.is_choosy)
    }

    /// The file system in which the walk stands, if it is one of a guest's of which not all is shown
    /// that the host has there.
    pub(super) fn choosy(&self) -> Option<Arc<What>> {
        let mount = self.among.as_ref()?.shows().filter(|mount| mount.is_choosy)?;
        self.who.scene?.mounts.made(mount.sb.id())
    }

    /// What a name means in such a file system; none in all others.
    pub(super) fn chosen(&self, name: &[u8]) -> Result<Option<OwnedFd>, Errno> {
        let made = self.choosy();
        let pts = match made.as_deref() {
            Some(What::Devpts(pts)) => pts,
            Some(What::Mqueue(queues)) => {
                queues.refresh()?;
                return Ok(None);
            }
            _ => return Ok(None),
        };
        if name == b"ptmx" {
            return open_path(rustix::fs::CWD, c"/dev/ptmx", false).map(Some);
        }
        let number = std::str::from_utf8(name).ok().and_then(procfs::number);
        let shown = number.and_then(|number| pts.shows(u32::try_from(number).ok()?));
        shown.map(Some).ok_or(Errno::NOENT)
    }

    /// Stands at the root of a mount, where a path has crossed into it.
    fn go_to(&mut self, (mount, dentry): (MountId, Dentry)) -> Result<(), Lost> {
        if self.resolve.contains(ResolveFlags::NO_XDEV) {
            return Err(Errno::XDEV.into());
        }
        self.stand(mount, dentry)
    }

    fn stand(&mut self, mount: MountId, dentry: Dentry) -> Result<(), Lost> {
        let mounts = self.scene()?.mounts;
        let Standing { fd, identity, mount, dentry, .. } = Standing::at(mounts, mount, dentry)?;
        self.here = fd;
        if let Some(among) = &mut self.among {
            (among.mount, among.dentry, among.host) = (mount, dentry, identity.mnt);
            among.gone = None;
        }
        self.find_trail_of(&identity)
    }

    /// Where absolute links lead: to the guest's root directory, or that of a confined lookup.
    pub(super) fn go_to_root(&mut self) -> Result<(), Lost> {
        if self.resolve.contains(ResolveFlags::BENEATH) {
            return Err(Errno::XDEV.into());
        }
        let scene = self.scene()?;
        let Some(among) = &self.among else { return Ok(()) };
        let (mount, dentry) = scene.tree.root;
        let crosses =
            among.mount != Some(mount) || among.view.namespace() != scene.tree.view.namespace();
        if self.resolve.contains(ResolveFlags::IN_ROOT) {
            return self.go_to_scope();
        }
        if (crosses || !self.knows_root) && self.resolve.contains(ResolveFlags::NO_XDEV) {
            return Err(Errno::XDEV.into());
        }
        let view = scene.tree.view.clone();
        if let Some(among) = &mut self.among {
            among.view = view;
        }
        self.stand(mount, dentry)
    }

    /// Goes back to where a confined lookup began.
    fn go_to_scope(&mut self) -> Result<(), Lost> {
        let Some(scope) = &self.scope else { return Err(Errno::XDEV.into()) };
        let crosses = self.among.as_ref().is_some_and(|among| among.mount != scope.mount);
        if crosses && self.resolve.contains(ResolveFlags::NO_XDEV) {
            return Err(Errno::XDEV.into());
        }
        self.here = scope.fd.clone();
        let identity = scope.identity;
        let (mount, dentry, host) = (scope.mount, scope.dentry, identity.mnt);
        let view = scope.view.clone().unwrap_or(self.scene()?.tree.view.clone());
        let gone = scope.gone.clone();
        self.among = Some(Among { view, mount, dentry, host, gone });
        self.find_trail_of(&identity)
    }

    /// `..` among the mounts of a namespace.
    pub(super) fn up_among(&mut self) -> Result<(), Lost> {
        self.knows_root = true;
        // Only who may search a directory leaves it by its name.
        self.open_in(b".", true)?;
        let climbed = self.climb()?;
        if matches!(climbed, Climbed::ToTop) && self.resolve.contains(ResolveFlags::BENEATH) {
            return Err(Errno::XDEV.into());
        }
        // Something may be mounted on what lies above.
        self.enter_cover()?;
        // Somebody may have moved it out of where the lookup is confined.
        match self.scope.is_some() && !matches!(climbed, Climbed::ToTop) && !self.is_in_scope()? {
            true => Err(Errno::AGAIN.into()),
            false => Ok(()),
        }
    }

    /// From where there is no way up: where the lookup is confined, or the guest's root directory.
    fn top(&self) -> Option<(Option<MountId>, Identity)> {
        if let Some(scope) = &self.scope {
            return Some((scope.mount, scope.identity));
        }
        let scene = self.who.scene?;
        let home = self.among.as_ref()?.view.namespace() == scene.tree.view.namespace();
        let (mount, dentry) = scene.tree.root;
        let spot = scene.mounts.spot(dentry).filter(|_| home)?;
        Some((Some(mount), spot.identity))
    }

    /// One directory up, or nowhere from the root.
    fn climb(&mut self) -> Result<Climbed, Lost> {
        let scene = self.scene()?;
        let Some(among) = &self.among else { return Ok(Climbed::Nowhere) };
        let Some(mut mount) = among.mount.and_then(|mount| among.view.get(mount)) else {
            return self.climb_mountless();
        };
        let at = Identity::of(&self.here)?;
        let root = self.top();
        let is_root = |mount: MountId, identity: &Identity| {
            root.as_ref().is_some_and(|(of, root)| *of == Some(mount) && root.is_same(identity))
        };
        if is_root(mount.id, &at) {
            return Ok(Climbed::ToTop);
        }
        let mut from = self.here.clone();
        let mut host = among.host;
        if among.dentry == Some(mount.root) || mount.spot.identity.is_same(&at) {
            let crossed = mount.id;
            let point = loop {
                let Some((parent, point)) = mount.parent else { return Ok(Climbed::Nowhere) };
                let spot = scene.mounts.spot(point).ok_or(Errno::NOENT)?;
                if is_root(parent, &spot.identity) {
                    return Ok(Climbed::ToTop);
                }
                let Some(above) = among.view.get(parent) else { return Ok(Climbed::Nowhere) };
                mount = above;
                if above.root != point {
                    break point;
                }
            };
            if crossed != mount.id && self.resolve.contains(ResolveFlags::NO_XDEV) {
                return Err(Errno::XDEV.into());
            }
            let spot = scene.mounts.spot(point).ok_or(Errno::NOENT)?;
            // Also where the host covers it, what is above that is what is above it.
            from = spot.fd.clone();
            host = mount.spot.identity.mnt;
        } else if among
            .dentry
            .and_then(|dentry| scene.mounts.spot(dentry))
            .is_some_and(|spot| spot.covered)
        {
            // In the stand-in of what the host covers: above is what is above that.
            let spot =
                among.dentry.and_then(|dentry| scene.mounts.spot(dentry)).ok_or(Errno::NOENT)?;
            from = spot.fd.clone();
            host = mount.spot.identity.mnt;
        }
        let up = open_in(self.who, &from, b"..", true)?;
        let above = Identity::of(&up)?;
        let passed = mount.is_proc() && mount.shows.is_some();
        if above.mnt != host && !passed {
            return Err(Errno::NOENT.into());
        }
        // Who was moved out of the directory that a mount shows has no way up.
        let within = mount.root.id == 0 && scene.mounts.device_of(mount.sb.id(), (0, 0)).is_none();
        if !within && !scene.mounts.is_below(&up, &mount.spot)? {
            return Err(Errno::NOENT.into());
        }
        let id = mount.id;
        self.here = Arc::new(up);
        if let Some(among) = &mut self.among {
            (among.mount, among.dentry, among.host) = (Some(id), None, above.mnt);
        }
        self.find_trail_of(&above)?;
        Ok(Climbed::Up)
    }

    /// The same in what is in no mount of the namespace: a descriptor kept from before.
    fn climb_mountless(&mut self) -> Result<Climbed, Lost> {
        let at = Identity::of(&self.here)?;
        let among = self.among.as_ref();
        if self.scope.as_ref().is_some_and(|scope| scope.identity.is_same(&at)) {
            return Ok(Climbed::ToTop);
        }
        let gone = among.and_then(|among| among.gone.clone());
        if gone.as_ref().is_some_and(|gone| gone.spot.identity.is_same(&at)) {
            return Ok(Climbed::Nowhere);
        }
        if gone.is_none() {
            // Nobody knows of which mount it is, and so what is above it.
            return Err(Errno::NOENT.into());
        }
        let up = self.open_in(b"..", true)?;
        let above = Identity::of(&up)?;
        let host = self.among.as_ref().map(|among| among.host);
        if host.is_some_and(|host| host != above.mnt) || above.is_same(&at) {
            return Ok(Climbed::Nowhere);
        }
        if let Some(gone) = gone
            && !self.scene()?.mounts.is_below(&up, &gone.spot)?
        {
            return Err(Errno::NOENT.into());
        }
        self.here = Arc::new(up);
        self.find_trail_of(&above)?;
        Ok(Climbed::Up)
    }

    /// Enters what is mounted on the directory where the walk stands.
    fn enter_cover(&mut self) -> Result<(), Lost> {
        let Some(among) = &self.among else { return Ok(()) };
        let Some(mount) = among.mount.and_then(|mount| among.view.get(mount)) else {
            return Ok(());
        };
        let scene = self.scene()?;
        let dentry = match among.dentry {
            Some(dentry) => Some(dentry),
            None => {
                let seen = Identity::of(&self.here)?;
                let key = scene.mounts.key(&self.here, &seen, None);
                scene.mounts.known(mount.sb.id(), &key)
            }
        };
        let Some(dentry) = dentry else { return Ok(()) };
        let to = among.view.covered(mount.id, dentry);
        match to.0 == mount.id {
            true => Ok(()),
            false => self.go_to(to),
        }
    }

    /// Whether the walk is still below where it is confined.
    fn is_in_scope(&self) -> Result<bool, Lost> {
        let Some(scope) = &self.scope else { return Ok(true) };
        let among = self.among.clone().ok_or(Errno::INVAL)?;
        let mut probe = Walk::probe(self.who, self.here.clone(), among);
        let fd = scope.fd.clone();
        let (identity, mount, dentry) = (scope.identity, scope.mount, scope.dentry);
        let (view, gone) = (scope.view.clone(), scope.gone.clone());
        probe.scope = Some(Standing { fd, identity, mount, dentry, view, gone });
        for _ in 0..libc::PATH_MAX {
            match probe.climb()? {
                Climbed::Up => {}
                Climbed::ToTop => return Ok(true),
                Climbed::Nowhere => return Ok(false),
            }
        }
        Ok(false)
    }

    /// Stands at what a magic link of `/proc` leads to.
    pub(super) fn jump(&mut self, target: OwnedFd, node: &Node, name: &[u8]) -> Result<(), Lost> {
        let scene = self.scene()?;
        let subject = node.thread().and_then(|tid| self.who.sight.subject(tid));
        // Who is not known sees what the host shows.
        let (tree, task) = match subject {
            Some((tree, task)) => (tree, Some(task)),
            None => (self.who.sight.hosts().ok_or(Errno::ACCESS)?, None),
        };
        let target = match name {
            b"exe" => self.who.sight.original(target)?,
            _ => target,
        };
        let own = task.as_deref().unwrap_or(scene.task);
        let own = Scene { mounts: scene.mounts, tree: &tree, task: own };
        let is_own = matches!(node, Node::OfThread { .. });
        let standing = match (name, &task) {
            (b"root", Some(_)) if is_own => {
                let (mount, dentry) = tree.root;
                Standing::at(scene.mounts, mount, dentry)?
            }
            (b"cwd", Some(_)) if is_own => {
                let is_virtual = own.is_virtual(CWD_NUMBER);
                let target = if is_virtual { own.virtual_cwd()? } else { target };
                let process = node.thread().map(|tid| self.who.sight.process_of(tid));
                own.cwd(target, process)?
            }
            (b"exe", Some(_)) if is_own => {
                let program = node.thread().and_then(|tid| self.who.sight.program(tid));
                own.runs(target, program.as_deref())?
            }
            _ => {
                let number = match *node {
                    Node::Descriptor { tid, fd } => Some((self.who.sight.process_of(tid), fd)),
                    _ => None,
                };
                match number.and_then(|_| self.who.sight.tree(&target)) {
                    Some(tree) => own.top_of(&tree)?,
                    None => own.opened(target, number)?,
                }
            }
        };
        let crosses = self.among.as_ref().is_some_and(|among| among.mount != standing.mount);
        if crosses && self.resolve.contains(ResolveFlags::NO_XDEV) || self.scope.is_some() {
            return Err(Errno::XDEV.into());
        }
        let Standing { fd, identity, mount, dentry, view, gone } = standing;
        let view = view.unwrap_or_else(|| tree.view.clone());
        self.here = fd;
        self.among = Some(Among { view, mount, dentry, host: identity.mnt, gone });
        self.find_trail_of(&identity)
    }
}
