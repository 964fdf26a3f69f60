//! A command in a container of a real Docker engine, or behind a stand-in for its filter.
//!
//! The image is made of this machine's own files, so no registry is asked. Where no engine answers
//! the same commands run on this machine's files behind a filter that answers as Docker's default
//! profile does, and the output says so.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::{Outcome, Scratch, is_root, place, run_command};

/// How long a command in a container may take.
const LIMIT: Duration = Duration::from_secs(180);

/// How a container is started.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// What it is called in messages.
    pub name: &'static str,
    /// Uid and gid of the command.
    pub uid: u32,
    /// More arguments of `docker run`.
    pub options: &'static [&'static str],
    /// Whether the default profile is in force.
    pub confined: bool,
    /// Whether there are no capabilities, not even for root.
    pub bare: bool,
}

/// The programs of the image, beside anyns.
const PROGRAMS: [&str; 35] = [
    "bash", "bwrap", "cat", "chmod", "chown", "cut", "env", "grep", "head", "hostname", "id", "ls",
    "lsns", "mkdir", "nsenter", "ps", "readlink", "seq", "setpriv", "sh", "sleep", "sort", "stat",
    "tr", "true", "uname", "unshare", "wc", "yes", "mount", "setsid", "mv", "rm", "touch",
    "umount",
];

/// Where commands run.
pub enum Engine {
    /// In containers of this image.
    Docker {
        image: String,
        scratch: Scratch,
    },
    StandIn {
        scratch: Scratch,
    },
}

/// Says whether an engine answers.
fn answers() -> bool {
    let info = Command::new("docker")
        .args(["info", "--format", "{{.ServerVersion}} {{.SecurityOptions}}"])
        .stderr(Stdio::null())
        .output();
    match info {
        Ok(info) if info.status.success() => {
            let words = String::from_utf8_lossy(&info.stdout).trim().to_owned();
            println!("docker engine {words}");
            !words.is_empty()
        }
        _ => false,
    }
}

fn unique(name: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("anyns-test-{name}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

impl Engine {
    /// The real engine where one answers, else the stand-in; nothing if there is neither, which
    /// only happens to an ordinary user.
    pub fn find(name: &str) -> Option<Engine> {
        let scratch = Scratch::new(name);
        if answers() {
            let image = unique(name);
            import(&scratch, &image);
            return Some(Engine::Docker { image, scratch });
        }
        Engine::stand_in(scratch)
    }

    /// The stand-in, also where an engine answers.
    pub fn stand_in(scratch: Scratch) -> Option<Engine> {
        if !is_root() {
            println!("not tried: no docker engine answers, and only root can make the stand-in");
            return None;
        }
        println!("STAND-IN: a filter that answers as Docker's default profile, and no container");
        Some(Engine::StandIn { scratch })
    }

    /// Runs a shell script in a new container.
    pub fn sh(&self, kind: &Kind, script: &str) -> Outcome {
        match self {
            Engine::Docker { image, scratch } => {
                let name = unique("run");
                let mut command = Command::new("docker");
                command.args(["run", "--rm", "--network=none", "--hostname=container"]);
                command.args(["--name", &name, "--user", &format!("{0}:{0}", kind.uid)]);
                command.args(kind.options);
                if !kind.confined {
                    command.arg("--security-opt=seccomp=unconfined");
                }
                if kind.bare {
                    command.args(["--cap-drop=ALL", "--security-opt=no-new-privileges"]);
                }
                command.args([image, "sh", "-c", script]);
                let outcome = run_command(scratch, &mut command, "", LIMIT);
                outcome.unwrap_or_else(|so_far| {
                    let _ = Command::new("docker").args(["rm", "--force", &name]).output();
                    panic!(
                        "{}: {script}\nhas not ended after {LIMIT:?}; so far:\n{so_far}",
                        kind.name
                    )
                })
            }
            Engine::StandIn { scratch } => {
                let mut words = place::stand_in(scratch, kind.confined, kind.uid == 0);
                if kind.uid == 0 {
                    let capabilities = if kind.bare { "-all" } else { DEFAULT_CAPABILITIES };
                    words.extend(["setpriv".to_owned(), format!("--bounding-set={capabilities}")]);
                }
                words.extend(["sh".to_owned(), "-c".to_owned(), script.to_owned()]);
                let anyns = place::anyns(scratch);
                let folder = Path::new(&anyns[0]).parent().expect("a folder").display();
                let mut command = Command::new(&words[0]);
                command.args(&words[1..]).current_dir("/").env_clear();
                let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
                command.env("PATH", format!("{folder}:{path}"));
                run_command(scratch, &mut command, "", LIMIT).unwrap_or_else(|so_far| {
                    panic!(
                        "{}: {script}\nhas not ended after {LIMIT:?}; so far:\n{so_far}",
                        kind.name
                    )
                })
            }
        }
    }

    /// The image's name, where there is one.
    pub fn image(&self) -> Option<&str> {
        match self {
            Engine::Docker { image, .. } => Some(image),
            Engine::StandIn { .. } => None,
        }
    }

    /// Whether a container stands around the commands, with limits and file systems of its own.
    pub fn is_real(&self) -> bool {
        matches!(self, Engine::Docker { .. })
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Engine::Docker { image, .. } = self {
            let _ = Command::new("docker").args(["image", "rm", "--force", image]).output();
        }
    }
}

/// What root has in a default container.
const DEFAULT_CAPABILITIES: &str = "-all,+chown,+dac_override,+fsetid,+fowner,+mknod,+net_raw,\
    +setgid,+setuid,+setfcap,+setpcap,+net_bind_service,+sys_chroot,+kill,+audit_write";

/// Makes an image of anyns, the programs and their libraries.
fn import(scratch: &Scratch, image: &str) {
    let root = scratch.path().join("image");
    for folder in ["usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "proc", "sys", "dev", "etc"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    for folder in ["bin", "sbin", "lib", "lib64"] {
        symlink(format!("usr/{folder}"), root.join(folder)).unwrap();
    }
    let passwd = "root:x:0:0::/:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n";
    fs::write(root.join("etc/passwd"), passwd).unwrap();
    fs::create_dir(root.join("tmp")).unwrap();
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();

    let mut files = BTreeSet::new();
    let anyns = Path::new(env!("CARGO_BIN_EXE_anyns"));
    libraries(anyns, &mut files);
    for name in PROGRAMS {
        let program = in_path(name);
        libraries(&program, &mut files);
        files.insert(program);
    }
    for file in files {
        // A directory that is a link (`/lib`) must stay one, a file must become one.
        let folder = fs::canonicalize(file.parent().unwrap()).unwrap();
        let to = root.join(folder.strip_prefix("/").unwrap());
        fs::create_dir_all(&to).unwrap();
        copy(&file, &to.join(file.file_name().unwrap()));
    }
    copy(anyns, &root.join("usr/bin/anyns"));

    let mut tar = Command::new("tar")
        .args(["--create", "--numeric-owner", "--owner=0", "--group=0", "--directory"])
        .args([&root, Path::new(".")])
        .stdout(Stdio::piped())
        .spawn()
        .expect("tar");
    let imported = Command::new("docker")
        .args(["import", "-", image])
        .stdin(tar.stdout.take().unwrap())
        .output()
        .unwrap();
    assert!(tar.wait().unwrap().success(), "tar fails");
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    fs::remove_dir_all(root).unwrap();
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("--dereference").args([from, to]).status().unwrap();
    assert!(copied.success(), "{} cannot be copied", from.display());
    fs::set_permissions(to, fs::Permissions::from_mode(0o755)).unwrap();
}

fn in_path(name: &str) -> PathBuf {
    let folders = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"];
    let mut places = folders.iter().map(|folder| Path::new(folder).join(name));
    places.find(|place| place.exists()).unwrap_or_else(|| panic!("{name} is not installed"))
}

/// The libraries of a program, its ELF interpreter among them.
fn libraries(program: &Path, into: &mut BTreeSet<PathBuf>) {
    let listed = Command::new("ldd").arg(program).output().expect("ldd");
    let text = String::from_utf8(listed.stdout).unwrap();
    into.extend(text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from));
}
