//! Where a command runs: the words that are put before it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::{Scratch, UID, is_root};

/// Where a command runs. The user is the ordinary one everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On this kernel as it is.
    Native,
    /// Under `anyns run`, on this kernel as it is.
    Hosted,
    /// In surroundings like [`Place::Refused`], but the kernel grants namespaces.
    Granted,
    /// Under `anyns run`, where the kernel has been proved to refuse user namespaces.
    Refused,
    /// Under `anyns run`, which chooses how, behind a filter like Docker's, proved to refuse them.
    Confined,
}

impl Place {
    /// The words before the command.
    pub fn prefix(self, scratch: &Scratch) -> Vec<String> {
        let place = if std::env::var_os("ANYNS_SELF_CHECK").is_some() { self.twin() } else { self };
        let mut words = match place {
            Place::Native | Place::Hosted => ordinary_user(),
            Place::Granted => host(scratch, "plain"),
            Place::Refused => host(scratch, "max0"),
            Place::Confined => host(scratch, "docker"),
        };
        match place {
            Place::Hosted | Place::Refused => words.extend(anyns(scratch)),
            Place::Confined => words.extend(anyns_as_it_chooses(scratch)),
            Place::Native | Place::Granted => {}
        }
        words
    }

    fn twin(self) -> Place {
        match self {
            Place::Native | Place::Hosted => Place::Native,
            Place::Granted | Place::Refused | Place::Confined => Place::Granted,
        }
    }
}

/// Drops to the ordinary user; an ordinary user only gives up the hope of privileges.
fn ordinary_user() -> Vec<String> {
    let mut words = vec!["setpriv".to_owned(), "--no-new-privs".to_owned()];
    if is_root() {
        words.extend([format!("--reuid={UID}"), format!("--regid={UID}")]);
        words.push("--clear-groups".to_owned());
    }
    words.push("--".to_owned());
    words
}

/// `anyns run --`, from a copy that the ordinary user can execute.
pub fn anyns(scratch: &Scratch) -> Vec<String> {
    let mut words = anyns_as_it_chooses(scratch);
    words.splice(2..2, super::again::words());
    words
}

/// The same, whatever back end the tests are run with.
fn anyns_as_it_chooses(scratch: &Scratch) -> Vec<String> {
    let program = scratch.program(Path::new(env!("CARGO_BIN_EXE_anyns")));
    vec![text(&program), "run".to_owned(), "--".to_owned()]
}

fn host(scratch: &Scratch, mode: &str) -> Vec<String> {
    let program = scratch.program(refusing_host());
    vec![text(&program), mode.to_owned(), UID.to_string()]
}

/// Takes the engine's mounts out of a mount namespace: they and their directories come and go.
const WITHOUT_ENGINE: &str = "grep -oE ' (/var/lib|/var/run|/run)/docker/[^ ]*' /proc/self/mounts |
    tac | while read -r path; do umount --lazy \"$path\"; done; exec \"$@\"";

/// The words before a command that runs behind a filter like Docker's, or without one. Its mounts are
/// its own, as in a container.
pub fn stand_in(scratch: &Scratch, confined: bool, as_root: bool) -> Vec<String> {
    let program = scratch.program(refusing_host());
    let mode = if confined { "docker" } else { "plain" };
    let who = if as_root { "root".to_owned() } else { UID.to_string() };
    let alone = ["unshare", "--mount", "--propagation=private", "sh", "-c", WITHOUT_ENGINE, "sh"];
    alone.map(str::to_owned).into_iter().chain([text(&program), mode.to_owned(), who]).collect()
}

fn text(path: &Path) -> String {
    path.to_str().expect("a readable path").to_owned()
}

/// The program that makes a host refuse, built if it is not there yet.
fn refusing_host() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let anyns = Path::new(env!("CARGO_BIN_EXE_anyns"));
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "-p", "conformance", "--bin", "refusing-host"]);
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        let marked = |directory: &&Path| directory.join("CACHEDIR.TAG").exists();
        let target = anyns.ancestors().find(marked).expect("a target directory");
        cargo.arg("--target-dir").arg(target).current_dir(env!("CARGO_MANIFEST_DIR"));
        assert!(cargo.status().expect("cargo runs").success(), "refusing-host does not build");
        anyns.with_file_name("refusing-host")
    })
}
