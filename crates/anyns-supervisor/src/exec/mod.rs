//! Starting a program in a view that differs from the host's.
//!
//! The kernel looks a program up, its interpreter, and those of scripts, all on the host. So each is
//! looked up in the guest's view first, and judged; then the guest is made to execute the host's object,
//! or a private copy that names another interpreter ([`copies`]), and what it can see of that is put
//! right before it runs ([`started`]). Its memory is shared with whoever it likes, so what the kernel
//! reads there is not believed: the program that has started is compared with the one that was judged.
//!
//! Not here: the credentials of the new program (`nsproxy::exec`), how a path is found (`vfs`), and what
//! `/proc` shows of it.

mod argv;
mod copies;
mod elf;
mod home;
mod judge;
mod script;
mod started;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use anyns_trap::store::Room;
use nsproxy::{ExecFile, Kgid, Kuid};
use parking_lot::Mutex;
use rustix::fs::{AtFlags, CWD, OFlags, Stat};
use rustix::io::Errno;

pub(crate) use argv::Argv;
pub(crate) use started::Strange;

use crate::mounts::Identity;
use crate::procfs;
use crate::trouble::Trouble;
use crate::vfs::{Program, Reached};
use home::{Home, Link, name_of};
use script::{DEEPEST, HEAD, Script};

/// The longest path, with its final zero.
const PATH_MAX: usize = 4096;

/// A file that was looked up in the guest's view.
#[derive(Debug)]
pub(crate) struct Found {
    /// The file, opened with O_PATH.
    pub(crate) fd: OwnedFd,
    /// Its attributes on the host.
    pub(crate) stat: Stat,
    /// Its mount lets nothing be executed.
    pub(crate) noexec: bool,
    /// Its mount gives no privileges.
    pub(crate) nosuid: bool,
    /// The mount.
    pub(crate) through: Option<Reached>,
}

impl Found {
    /// Says why it cannot be executed, whatever is in it.
    ///
    /// # Errors
    /// EACCES, ELOOP for a link that is not followed, ETXTBSY.
    pub(crate) fn judge(&self) -> Result<(), Errno> {
        judge::judge(self)
    }
}

/// How a guest's paths are looked up.
pub(crate) trait Lookup {
    /// Finds what a path names, links followed.
    ///
    /// # Errors
    /// Those of path_resolution(7).
    fn find(&self, path: &[u8]) -> Result<Found, Errno>;

    /// A number up to 999 that the guest has no descriptor under; it may have had this one there.
    ///
    /// # Errors
    /// EMFILE.
    fn free_descriptor(&self, unless: (u64, u64)) -> Result<i32, Errno>;

    /// A directory of ours, asked for once.
    ///
    /// # Errors
    /// Those of mkdir(2).
    fn room(&self) -> Result<Room, Errno>;
}

/// What a guest wants to execute.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// The file.
    pub(crate) found: Found,
    /// How the program and its script call it (AT_EXECFN).
    pub(crate) named: Vec<u8>,
    /// It was named by a descriptor alone.
    pub(crate) by_descriptor: bool,
    /// It cannot be reached by its name once it runs, so it must not be a script.
    pub(crate) vanishes: bool,
}

/// How a program is started.
#[derive(Debug)]
pub(crate) struct Start {
    /// The path to execute; `None` to leave the call as it is.
    pub(crate) path: Option<Vec<u8>>,
    /// What comes in the place of the first argument; empty to leave the arguments as they are.
    pub(crate) leading: Vec<Vec<u8>>,
    /// What the program is told of its path, if that is to be put right.
    named: Vec<u8>,
    /// Descriptors to give to the guest, closed at exec, under these numbers.
    pub(crate) gifts: Vec<(i32, OwnedFd)>,
    /// What the running program has to be.
    identity: (u64, u64),
    /// What counts of the file for the program's credentials.
    pub(crate) file: ExecFile,
    /// What the process runs then.
    pub(crate) program: Option<Arc<Program>>,
    /// The interpreter's name in the program, to be put back.
    restore: Option<elf::Interpreter>,
    /// Kept until the program has started.
    _link: Option<Arc<Link>>,
}

/// The programs that have needed something of ours to start.
#[derive(Debug, Default)]
pub(crate) struct Programs {
    home: Mutex<Option<Arc<Home>>>,
    copies: copies::Copies,
}

impl Programs {
    /// Finds out how to start what a guest wants to execute.
    ///
    /// # Errors
    /// Those of execve(2); trouble of ours where a copy or a link cannot be made.
    pub(crate) fn prepare(&self, by: &dyn Lookup, wanted: Wanted) -> Result<Start, Trouble> {
        let Wanted { mut found, named, by_descriptor, vanishes } = wanted;
        // Without a path the process is called after the file that runs.
        let comm = (!by_descriptor).then(|| name_of(&named).to_vec());
        let mut leading: Vec<Vec<u8>> = Vec::new();
        let mut path = named.clone();
        for _ in 0..=DEEPEST {
            found.judge()?;
            let head = Head::read(&found)?;
            match Script::read(&head.bytes)? {
                None => {
                    let as_given = by_descriptor && leading.is_empty();
                    let names = Names { named, comm, as_given };
                    return self.start(by, found, &head, names, leading);
                }
                Some(_) if vanishes && leading.is_empty() => return Err(Errno::NOENT.into()),
                Some(script) => {
                    let mut before = vec![script.interpreter.clone()];
                    before.extend(script.argument);
                    before.push(path);
                    // The script of a script's interpreter comes before it.
                    leading = [before.as_slice(), leading.get(1..).unwrap_or_default()].concat();
                    path = script.interpreter;
                    found = match path.is_empty() {
                        true => return Err(Errno::ACCESS.into()),
                        false => by.find(&path)?,
                    };
                }
            }
        }
        Err(Errno::LOOP.into())
    }

    fn start(
        &self,
        by: &dyn Lookup,
        found: Found,
        head: &Head,
        names: Names,
        leading: Vec<Vec<u8>>,
    ) -> Result<Start, Trouble> {
        let program = elf::read(&head.file, &head.bytes[..head.len])?;
        let comm = match names.comm {
            Some(comm) => comm,
            None => own_name(&found)?,
        };
        let mut start = Start {
            path: None,
            leading,
            named: names.named,
            gifts: Vec::new(),
            identity: (found.stat.st_dev, found.stat.st_ino),
            file: exec_file(&found),
            program: program_of(&found)?,
            restore: None,
            _link: None,
        };
        let Some(asks) = program.interpreter else {
            return self.place(by, start, Object::Itself(&found), &comm, names.as_given);
        };
        let interpreter = by.find(&asks.path)?;
        interpreter.judge()?;
        let identity = (interpreter.stat.st_dev, interpreter.stat.st_ino);
        let hosts = asks.path.starts_with(b"/").then(|| rustix::fs::stat(asks.path.as_slice()));
        if matches!(hosts, Some(Ok(hosts)) if (hosts.st_dev, hosts.st_ino) == identity) {
            return self.place(by, start, Object::Itself(&found), &comm, names.as_given);
        }
        let number = by.free_descriptor(identity)?;
        let name = format!("/proc/thread-self/fd/{number}");
        let (home, program) = (self.home(by)?, (&found.fd, &head.file, &found.stat));
        let copy = self.copies.of(&home, program, &asks, name.as_bytes());
        let copy = copy.map_err(Trouble::host("copying a program for another interpreter"))?;
        start.gifts.push((number, reopen(&interpreter.fd, OFlags::RDONLY)?));
        start.identity = copy.identity;
        start.restore = Some(asks);
        self.place(by, start, Object::Copy(&copy.path), &comm, false)
    }

    /// Chooses the path to execute: one that leads to the object, ends in the right name and is at least
    /// as long as what the program is to be told.
    fn place(
        &self,
        by: &dyn Lookup,
        mut start: Start,
        object: Object<'_>,
        comm: &[u8],
        as_given: bool,
    ) -> Result<Start, Trouble> {
        if as_given {
            return Ok(start);
        }
        let target = match object {
            Object::Copy(path) => path.to_vec(),
            Object::Itself(found) => match host_path(found) {
                Some(path) => path,
                None => {
                    let number = by.free_descriptor(start.identity)?;
                    start.gifts.push((number, reopen(&found.fd, OFlags::RDONLY)?));
                    format!("/proc/thread-self/fd/{number}").into_bytes()
                }
            },
        };
        let path = match name_of(&target) == comm {
            true => target,
            false => {
                let link = self.home(by)?.link(&target, comm);
                let link = link.map_err(Trouble::host("naming a program"))?;
                let path = link.path.clone();
                start._link = Some(link);
                path
            }
        };
        start.path = Some(padded(&path, start.named.len()));
        Ok(start)
    }

    fn home(&self, by: &dyn Lookup) -> Result<Arc<Home>, Trouble> {
        let mut home = self.home.lock();
        if let Some(home) = &*home {
            return Ok(home.clone());
        }
        let made = by.room().and_then(Home::new);
        let made = Arc::new(made.map_err(Trouble::host("making a directory for programs"))?);
        *home = Some(made.clone());
        Ok(made)
    }

    /// The program that a file is a copy of, if it is one of ours.
    pub(crate) fn original(&self, identity: (u64, u64)) -> Option<Arc<OwnedFd>> {
        self.copies.original(identity)
    }
}

struct Names {
    named: Vec<u8>,
    comm: Option<Vec<u8>>,
    as_given: bool,
}

enum Object<'a> {
    Itself(&'a Found),
    Copy(&'a [u8]),
}

/// The first bytes of a file, and the file.
struct Head {
    file: OwnedFd,
    bytes: [u8; HEAD],
    len: usize,
}

impl Head {
    fn read(found: &Found) -> Result<Head, Errno> {
        let file = reopen(&found.fd, OFlags::RDONLY)?;
        let mut head = Head { file, bytes: [0; HEAD], len: 0 };
        while head.len < HEAD {
            match rustix::io::pread(&head.file, &mut head.bytes[head.len..], head.len as u64) {
                Ok(0) => break,
                Ok(got) => head.len += got,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(head)
    }
}

/// Opens what an O_PATH descriptor stands for.
fn reopen(fd: impl AsFd, access: OFlags) -> Result<OwnedFd, Errno> {
    procfs::reopen(fd, access | OFlags::CLOEXEC | OFlags::NOCTTY)
}

fn exec_file(found: &Found) -> ExecFile {
    let mode = found.stat.st_mode;
    let by_group = libc::S_ISGID | libc::S_IXGRP;
    ExecFile {
        owner: Kuid(found.stat.st_uid),
        group: Kgid(found.stat.st_gid),
        setuid: mode & libc::S_ISUID != 0,
        setgid: mode & by_group == by_group,
        nosuid: found.nosuid,
        ..ExecFile::default()
    }
}

fn program_of(found: &Found) -> Result<Option<Arc<Program>>, Errno> {
    let Some(through) = found.through.clone() else { return Ok(None) };
    Ok(Some(Arc::new(Program { identity: Identity::of(&found.fd)?, through })))
}

/// The last name of a file itself.
fn own_name(found: &Found) -> Result<Vec<u8>, Errno> {
    let path = procfs::descriptor_path(&found.fd)?;
    let name = name_of(&path);
    Ok(name
        .strip_suffix(b" (deleted)")
        .filter(|_| found.stat.st_nlink == 0)
        .unwrap_or(name)
        .to_vec())
}

/// The path of a file on the host, if it has one that leads to it.
fn host_path(found: &Found) -> Option<Vec<u8>> {
    let path = procfs::descriptor_path(&found.fd).ok()?;
    let now = rustix::fs::statat(CWD, path.as_slice(), AtFlags::SYMLINK_NOFOLLOW).ok()?;
    let same = (now.st_dev, now.st_ino) == (found.stat.st_dev, found.stat.st_ino);
    (same && path.starts_with(b"/")).then_some(path)
}

/// The same path, made at least so long, with the same last name.
fn padded(path: &[u8], len: usize) -> Vec<u8> {
    let missing = len.saturating_sub(path.len()).div_ceil(2);
    let missing = missing.min((PATH_MAX - 1).saturating_sub(path.len()) / 2);
    let (above, name) = path.split_at(path.len() - name_of(path).len());
    [above, b"./".repeat(missing).as_slice(), name].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyns_trap::store::Store;
    use std::os::unix::fs::PermissionsExt;
    use std::path::{Path, PathBuf};

    /// Somebody whose loader is another file than the host's.
    struct Elsewhere {
        store: Store,
        loader: PathBuf,
    }

    const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

    impl Lookup for Elsewhere {
        fn find(&self, path: &[u8]) -> Result<Found, Errno> {
            let path = match path == LOADER.as_bytes() {
                true => self.loader.as_path(),
                false => Path::new(std::str::from_utf8(path).unwrap()),
            };
            found(path)
        }

        fn free_descriptor(&self, _unless: (u64, u64)) -> Result<i32, Errno> {
            Ok(999)
        }

        fn room(&self) -> Result<Room, Errno> {
            self.store.room()
        }
    }

    fn found(path: &Path) -> Result<Found, Errno> {
        let fd = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, rustix::fs::Mode::empty())?;
        let stat = rustix::fs::fstat(&fd)?;
        Ok(Found { fd, stat, noexec: false, nosuid: false, through: None })
    }

    fn wanted(path: &str) -> Wanted {
        let found = found(Path::new(path)).expect("a program");
        Wanted { found, named: path.into(), by_descriptor: false, vanishes: false }
    }

    /// A directory that is removed at the end.
    struct Here(PathBuf);

    impl Here {
        fn new(name: &str) -> Here {
            let here =
                std::env::temp_dir().join(format!("anyns-exec-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&here).unwrap();
            Here(here)
        }

        fn script(&self, name: &str, text: &str) -> String {
            let path = self.0.join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
            path.to_str().unwrap().to_owned()
        }
    }

    impl Drop for Here {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_program_of_the_hosts_is_executed_as_it_is() {
        let by = Elsewhere { store: Store::open().unwrap(), loader: LOADER.into() };
        let programs = Programs::default();
        let start = programs.prepare(&by, wanted("/usr/bin/env")).unwrap();
        assert_eq!(start.path.as_deref(), Some(&b"/usr/bin/env"[..]));
        assert!(start.gifts.is_empty() && start.leading.is_empty());
        // A link has another name than the program.
        let start = programs.prepare(&by, wanted("/bin/sh")).unwrap();
        let path = String::from_utf8(start.path.unwrap()).unwrap();
        assert!(path.ends_with("/sh") && std::fs::canonicalize(&path).unwrap().ends_with("dash"));
    }

    #[test]
    fn a_script_is_its_interpreters_argument() {
        let here = Here::new("script");
        let one = here.script("one", "#!/usr/bin/env  -S x\n");
        let two = here.script("two", &format!("#!{one}\n"));
        let by = Elsewhere { store: Store::open().unwrap(), loader: LOADER.into() };
        let programs = Programs::default();
        let start = programs.prepare(&by, wanted(&two)).unwrap();
        let leading: Vec<_> =
            start.leading.iter().map(|text| std::str::from_utf8(text).unwrap()).collect();
        assert_eq!(leading, ["/usr/bin/env", "-S x", one.as_str(), two.as_str()]);
        let path = String::from_utf8(start.path.unwrap()).unwrap();
        assert!(path.ends_with("/two") && std::fs::canonicalize(&path).unwrap().ends_with("env"));
        let mut last = here.script("0", "#!/bin/true\n");
        for depth in 1..8 {
            last = here.script(&depth.to_string(), &format!("#!{last}\n"));
            let done = Programs::default().prepare(&by, wanted(&last)).map(drop);
            let refused = done.is_err_and(|trouble| trouble.errno() == libc::ELOOP);
            assert_eq!(refused, depth >= 5, "{depth}");
        }
        let gone = here.script("gone", "#!/nothing\n");
        let done = Programs::default().prepare(&by, wanted(&gone)).map(drop);
        assert!(done.is_err_and(|trouble| trouble.errno() == libc::ENOENT));
    }

    #[test]
    fn another_loader_takes_a_copy() {
        let here = Here::new("copy");
        let loader = here.0.join("loader");
        std::fs::copy(LOADER, &loader).unwrap();
        let by = Elsewhere { store: Store::open().unwrap(), loader };
        let programs = Programs::default();
        let start = programs.prepare(&by, wanted("/usr/bin/env")).unwrap();
        assert_eq!(start.gifts.len(), 1);
        let path = String::from_utf8(start.path.clone().unwrap()).unwrap();
        let copy = found(&std::fs::canonicalize(&path).unwrap()).unwrap();
        assert_eq!((copy.stat.st_dev, copy.stat.st_ino), start.identity);
        let head = Head::read(&copy).unwrap();
        let asks = elf::read(&head.file, &head.bytes[..head.len]).unwrap().interpreter.unwrap();
        assert_eq!(asks.path, b"/proc/thread-self/fd/999");
        let original = programs.original(start.identity).expect("known");
        let original = rustix::fs::fstat(&*original).unwrap();
        let env = std::fs::metadata("/usr/bin/env").unwrap();
        assert_eq!(original.st_ino, std::os::unix::fs::MetadataExt::ino(&env));
        // It is made once.
        let again = programs.prepare(&by, wanted("/usr/bin/env")).unwrap();
        assert_eq!(again.identity, start.identity);
    }

    #[test]
    fn a_path_is_made_longer_by_nothing() {
        assert_eq!(padded(b"/bin/sh", 3), b"/bin/sh");
        assert_eq!(padded(b"/bin/sh", 10), b"/bin/././sh");
        assert_eq!(padded(&[b'/'; 4094], 9000).len(), 4094);
    }
}
