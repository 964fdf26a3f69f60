//! How the calls of a hosted run reach anyns, and on which host it runs.

use crate::host::Mode;
use crate::lang::Scenario;

/// A back end of anyns, on a host that refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Every call is told, where limits of 0 refuse.
    Told,
    /// Every call is stopped, where limits of 0 refuse.
    Stopped,
    /// What Docker's filter answers is stopped, and the rest told.
    Mixed,
}

impl Way {
    /// All of them.
    pub const ALL: [Way; 3] = [Way::Told, Way::Stopped, Way::Mixed];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Way::Told => "told",
            Way::Stopped => "stopped",
            Way::Mixed => "docker",
        }
    }

    /// The way of a name.
    pub fn named(name: &str) -> Option<Way> {
        Way::ALL.into_iter().find(|way| way.name() == name)
    }

    /// The host.
    pub(super) fn mode(self) -> Mode {
        match self {
            Way::Told | Way::Stopped => Mode::Max0,
            Way::Mixed => Mode::Docker,
        }
    }

    /// The words between `run` and the command. Behind the filter anyns chooses by itself.
    pub(super) fn words(self) -> &'static [&'static str] {
        match self {
            Way::Told => &["--backend=notify", "--"],
            Way::Stopped => &["--backend=stop", "--"],
            Way::Mixed => &["--"],
        }
    }

    /// Whether a scenario can be the same there. What the kernel has to do itself is refused by
    /// Docker's filter though anyns would allow it: `clone3` (ENOSYS: programs use `clone` then), and
    /// `unshare` of what is no namespace (EPERM), which a mount namespace of one thread among
    /// several needs; and what somebody mounts who is in the host's namespaces (EPERM at once).
    pub(super) fn suits(self, scenario: &Scenario) -> bool {
        let kernels_own = |call: String| match call.strip_prefix("unshare ") {
            Some(flags) => flags.split('|').any(|flag| !flag.starts_with("NEW")),
            None => call.starts_with("clone3 "),
        };
        let calls = || scenario.steps.iter().map(|step| step.call.to_string());
        let shares = |call: &str| call.starts_with("thread ") || call.contains("FS");
        let parts = |call: &str| call.starts_with("unshare ") && call.contains("NEWNS");
        let apart = calls().any(|call| shares(&call)) && calls().any(|call| parts(&call));
        let about_mounts = ["mount ", "umount ", "pivot_root ", "chroot "];
        let mounts = |call: &String| about_mounts.iter().any(|name| call.starts_with(name));
        let enters = |call: &String| call.starts_with("unshare ") || call.starts_with("clone ");
        let at_home = calls().take_while(|call| !enters(call)).any(|call| mounts(&call));
        self != Way::Mixed || !(apart || at_home || calls().any(kernels_own))
    }
}
