//! Lookups among mounts that the host has not.

use std::ffi::{CStr, CString};
use std::path::PathBuf;
use std::sync::Arc;

use nsproxy::{CloneFlags, Config, Cred, MountMode, System, Task};
use rustix::fs::ResolveFlags;
use rustix::io::Errno;

use super::Everything;
use crate::mounts::Mounts;
use crate::procfs::Proc;
use crate::vfs::{Place, Scene, Seeker, Tree, find_confined, find_parent, shown};

const BIND: u64 = 4096;
const REC: u64 = 1 << 14;

/// A task in a mount namespace of its own, and a directory for its files.
struct Stage {
    mounts: Mounts,
    task: Arc<Task>,
    at: PathBuf,
    sight: Everything,
    _system: System,
}

impl Stage {
    fn new(name: &str) -> Stage {
        let at = std::env::temp_dir().join(format!("anyns-vfs-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&at);
        std::fs::create_dir_all(&at).unwrap();
        let system = System::new(Config::default());
        let mounts = Mounts::default();
        mounts.tell(&system);
        let task = system.adopt(None, Cred::root(&system.init_user()));
        nsproxy::unshare(&task, CloneFlags::NEWNS).unwrap();
        Stage {
            mounts,
            task,
            at,
            sight: Everything(Proc::new().unwrap(), std::process::id() as i32),
            _system: system,
        }
    }

    fn tree(&self) -> Tree {
        let root = self.task.root().unwrap();
        let view = self.mounts.view(&self.task.nsproxy().unwrap().mnt);
        Tree { view, root: (root.mount(), root.dentry()) }
    }

    fn path(&self, name: &str) -> CString {
        CString::new(name.replace('@', self.at.to_str().unwrap())).unwrap()
    }

    fn look(&self, path: &str, follow: bool, resolve: ResolveFlags) -> Result<Place, Errno> {
        let tree = self.tree();
        let scene = Scene { mounts: &self.mounts, tree: &tree, task: &self.task };
        let tid = std::process::id() as i32;
        let who = Seeker { tid, sight: &self.sight, scene: Some(scene) };
        let path = self.path(path);
        find_confined(who, libc::AT_FDCWD, &path, follow, resolve).map_err(|lost| lost.errno)
    }

    fn bind(&self, from: &str, to: &str, flags: u64) {
        let ns = self.task.nsproxy().unwrap().mnt.clone();
        let (mounter, mode) = nsproxy::begin_mount(&self.task, BIND | flags).unwrap();
        let MountMode::Bind { recursive } = mode else { panic!("a bind") };
        let place = |path| {
            let found = self.look(path, true, ResolveFlags::empty()).unwrap();
            self.mounts.in_model(&ns, &found).unwrap()
        };
        let files = &self.mounts.files();
        mounter.bind(files, &place(from), &place(to), recursive).unwrap().commit();
    }

    /// The path of what a path leads to, on the host.
    fn leads(&self, path: &str) -> Result<String, Errno> {
        let place = self.look(path, true, ResolveFlags::empty())?;
        let text = crate::procfs::descriptor_path(&place.fd)?;
        Ok(String::from_utf8(text).unwrap().replace(self.at.to_str().unwrap(), "@"))
    }

    fn shown(&self, path: &str) -> (String, bool) {
        let place = self.look(path, true, ResolveFlags::empty()).unwrap();
        let tree = self.tree();
        let (text, reached) =
            shown(&self.mounts, &tree, &place.fd, place.mount, place.dentry).unwrap();
        (String::from_utf8(text).unwrap().replace(self.at.to_str().unwrap(), "@"), reached)
    }

    fn make(&self, directories: &[&str], files: &[&str], links: &[(&str, &str)]) {
        let real = |name: &str| PathBuf::from(self.path(name).to_str().unwrap());
        directories.iter().for_each(|name| std::fs::create_dir_all(real(name)).unwrap());
        files.iter().for_each(|name| std::fs::write(real(name), name).unwrap());
        links.iter().for_each(|(name, text)| {
            std::os::unix::fs::symlink(real(text), real(name)).unwrap();
        });
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.at);
    }
}

fn binds() -> Stage {
    let stage =
        Stage::new(std::thread::current().name().unwrap_or("x").rsplit(':').next().unwrap());
    stage.make(
        &["@/a/d/e", "@/b/c", "@/out"],
        &["@/a/f", "@/a/d/under", "@/b/g", "@/b/c/h", "@/out/secret"],
        &[("@/b/up", "../f"), ("@/b/abs", "@/a/d/g"), ("@/b/loop", "loop"), ("@/l", "a/d")],
    );
    stage.bind("@/b", "@/a/d", 0);
    stage
}

#[test]
fn what_is_mounted_is_entered_and_left() {
    let stage = binds();
    for (path, leads) in [
        ("@/a/d/g", "@/b/g"),
        ("@/a/d", "@/b"),
        ("@/a/d/../f", "@/a/f"),
        ("@/a/d/c/../../f", "@/a/f"),
        ("@/a/d/up", "@/a/f"),
        ("@/a/d/abs", "@/b/g"),
        ("@/l/c/h", "@/b/c/h"),
        ("@/l/../f", "@/a/f"),
        ("@/b/../a/d/c/.", "@/b/c"),
        ("/../@/a/d/g", "@/b/g"),
    ] {
        assert_eq!(stage.leads(path).as_deref(), Ok(leads), "{path}");
    }
    for (path, errno) in [
        ("@/a/d/under", Errno::NOENT),
        ("@/a/d/e", Errno::NOENT),
        ("@/a/d/loop", Errno::LOOP),
        ("@/a/d/g/", Errno::NOTDIR),
        ("@/a/d/g/..", Errno::NOTDIR),
        ("@/b/up", Errno::NOENT),
    ] {
        assert_eq!(stage.leads(path), Err(errno), "{path}");
    }
    assert_eq!(stage.shown("@/a/d/c/h"), ("@/a/d/c/h".into(), true));
    assert_eq!(stage.shown("@/l"), ("@/a/d".into(), true));
    assert_eq!(stage.shown("/"), (String::new(), true));
}

#[test]
fn a_bind_of_everything_shows_what_is_mounted_only_if_it_is_recursive() {
    let stage = Stage::new("everything");
    stage.make(&["@/one", "@/all"], &[], &[]);
    stage.bind("/", "@/one", 0);
    stage.bind("/", "@/all", REC);
    assert_eq!(stage.leads("@/all/proc/self/comm"), stage.leads("/proc/self/comm"));
    assert_eq!(stage.leads("@/one/proc/self"), Err(Errno::NOENT));
    assert_eq!(stage.leads("@/one/etc/passwd").as_deref(), Ok("/etc/passwd"));
    assert_eq!(stage.leads("@/one/proc/../etc/passwd").as_deref(), Ok("/etc/passwd"));
    assert_eq!(stage.shown("@/one/etc"), ("@/one/etc".into(), true));
    assert_eq!(stage.shown("@/all/proc/sys"), ("@/all/proc/sys".into(), true));
    // The bind does not hold itself.
    let inside = format!("@/one{}/one", stage.at.display());
    assert_eq!(stage.leads(&inside).as_deref(), Ok("@/one"));
    assert_eq!(stage.leads(&format!("{inside}/etc")), Err(Errno::NOENT));
}

#[test]
fn confined_lookups_stay_within() {
    let stage = binds();
    let look = |path: &str, resolve| stage.look(path, true, resolve).map(drop);
    assert_eq!(look("@/a/d/g", ResolveFlags::NO_XDEV), Err(Errno::XDEV));
    assert_eq!(look("@/a/f", ResolveFlags::NO_SYMLINKS).err(), None);
    assert_eq!(look("@/l/g", ResolveFlags::NO_SYMLINKS), Err(Errno::LOOP));
    assert_eq!(look("@/a/f", ResolveFlags::BENEATH), Err(Errno::XDEV));
}

#[test]
fn who_is_moved_out_of_a_mount_has_no_way_up() {
    let stage = binds();
    let place = stage.look("@/a/d/c", true, ResolveFlags::empty()).unwrap();
    std::fs::rename(stage.at.join("b/c"), stage.at.join("out/c")).unwrap();
    let tree = stage.tree();
    let scene = Scene { mounts: &stage.mounts, tree: &tree, task: &stage.task };
    let tid = std::process::id() as i32;
    let who = Seeker { tid, sight: &stage.sight, scene: Some(scene) };
    let up = |name: &CStr| crate::vfs::find_in(who, &place, name, true).map_err(|lost| lost.errno);
    assert_eq!(up(c"../secret").map(drop), Err(Errno::NOENT));
    assert_eq!(up(c"..").map(drop), Err(Errno::NOENT));
    assert_eq!(up(c"h").map(drop), Ok(()));
}

#[test]
fn the_parent_of_a_name_is_found() {
    let stage = binds();
    let tree = stage.tree();
    let scene = Scene { mounts: &stage.mounts, tree: &tree, task: &stage.task };
    let tid = std::process::id() as i32;
    let who = Seeker { tid, sight: &stage.sight, scene: Some(scene) };
    for (path, above, name) in [
        ("@/a/d/new", "@/b", c"new"),
        ("@/a/d/new/", "@/b", c"new/"),
        ("@/a/d", "@/a", c"d"),
        ("@/a/d/.", "@/b", c"."),
        ("/", "/", c"/"),
    ] {
        let parent = find_parent(who, -1, &stage.path(path), ResolveFlags::empty()).unwrap();
        let text = crate::procfs::descriptor_path(&parent.place.fd).unwrap();
        let text = String::from_utf8(text).unwrap().replace(stage.at.to_str().unwrap(), "@");
        assert_eq!((text.as_str(), parent.name.as_c_str()), (above, name), "{path}");
    }
}
