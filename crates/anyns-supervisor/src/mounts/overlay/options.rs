//! The options of an overlay (the kernel's documentation, `filesystems/overlayfs`).
//!
//! Without a privilege on the machine the kernel keeps no marks but those of `userxattr`, so that
//! `index`, `xino` and `nfs_export` have no effect, and `redirect_dir`, `metacopy` and `verity` are
//! refused (EPERM; EINVAL beside `userxattr`). So they are here.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use nsproxy::Super;
use rustix::io::Errno;

use crate::mounts::options::Given;

/// More layers cannot be.
const LAYERS: usize = 500;

/// What is asked for, by paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The lower layers, the uppermost first.
    pub(crate) lower: Vec<Vec<u8>>,
    /// The layer that takes changes.
    pub(crate) upper: Option<Vec<u8>>,
    /// Where they are prepared.
    pub(crate) work: Option<Vec<u8>>,
    /// Marks are kept in attributes of users'.
    pub(crate) marks: bool,
    /// The lower layers as they were given.
    given: Vec<(String, String)>,
    default_permissions: bool,
    uuid_off: bool,
    fsync: Option<String>,
}

/// The same, opened.
#[derive(Debug)]
pub(crate) struct Options {
    /// The layers, the uppermost first.
    pub(crate) layers: Vec<OwnedFd>,
    /// Their file systems, which live as long as they are layers.
    pub(crate) supers: Vec<Arc<Super>>,
    /// Where changes are prepared; none if the uppermost layer takes none.
    pub(crate) work: Option<OwnedFd>,
    /// Marks are kept in attributes of users'.
    pub(crate) marks: bool,
}

impl Asked {
    /// Reads what is given.
    ///
    /// # Errors
    /// EINVAL; EPERM for what needs privileges on the machine.
    pub(crate) fn read(given: &Given) -> Result<Asked, Errno> {
        let mut asked = Asked::default();
        let mut privileged = None;
        for (key, value) in given.words() {
            let text = || value.filter(|text| !text.is_empty()).ok_or(Errno::INVAL);
            match (key, value) {
                ("lowerdir", _) => {
                    asked.lower = layers(text()?)?;
                    asked.given = vec![(key.to_owned(), text()?.to_owned())];
                }
                ("lowerdir+", _) => {
                    asked.lower.push(text()?.as_bytes().to_vec());
                    asked.given.push((key.to_owned(), text()?.to_owned()));
                }
                ("upperdir", _) => asked.upper = Some(text()?.as_bytes().to_vec()),
                ("workdir", _) => asked.work = Some(text()?.as_bytes().to_vec()),
                ("userxattr", None) => asked.marks = true,
                ("default_permissions", None) => asked.default_permissions = true,
                ("volatile", None) => asked.fsync = Some("volatile".to_owned()),
                ("fsync", Some("auto")) => asked.fsync = None,
                ("fsync", Some("strict" | "volatile")) => asked.fsync = value.map(str::to_owned),
                ("uuid", Some("off")) => asked.uuid_off = true,
                ("uuid", Some("null" | "on" | "auto")) => asked.uuid_off = false,
                ("redirect_dir", Some("nofollow")) | ("metacopy" | "verity", Some("off")) => {}
                ("redirect_dir", Some("on" | "off" | "follow"))
                | ("metacopy", Some("on"))
                | ("verity", Some("on" | "require")) => privileged = Some(Errno::PERM),
                ("index" | "nfs_export", Some("on" | "off"))
                | ("xino", Some("on" | "off" | "auto")) => {}
                _ => return Err(Errno::INVAL),
            }
            if asked.lower.len() > LAYERS {
                return Err(Errno::INVAL);
            }
        }
        match privileged {
            Some(_) if asked.marks => Err(Errno::INVAL),
            Some(errno) => Err(errno),
            None => Ok(asked),
        }
    }

    /// Checks that it is an overlay.
    ///
    /// # Errors
    /// EINVAL.
    pub(crate) fn check(&self) -> Result<(), Errno> {
        let least = if self.upper.is_some() { 1 } else { 2 };
        let complete = self.lower.len() >= least && self.upper.is_some() <= self.work.is_some();
        if complete { Ok(()) } else { Err(Errno::INVAL) }
    }

    /// As `mountinfo` shows it, behind `rw`.
    pub(crate) fn shown(&self) -> String {
        let text = |text: &Vec<u8>| String::from_utf8_lossy(text).into_owned();
        let mut all: Vec<String> =
            self.given.iter().map(|(key, value)| format!("{key}={value}")).collect();
        if let (Some(upper), Some(work)) = (&self.upper, &self.work) {
            all.extend([format!("upperdir={}", text(upper)), format!("workdir={}", text(work))]);
        }
        if self.default_permissions {
            all.push("default_permissions".to_owned());
        }
        // What has no upper layer needs no marks of the machine's, whose default this is.
        let follows = self.upper.is_none() && !self.marks;
        all.push(format!("redirect_dir={}", if follows { "on" } else { "nofollow" }));
        if self.upper.is_some() {
            let uuid = match (self.uuid_off, self.marks) {
                (true, _) => "off",
                (false, true) => "on",
                (false, false) => "null",
            };
            all.push(format!("uuid={uuid}"));
        }
        all.extend(self.fsync.iter().map(|how| format!("fsync={how}")));
        if self.marks {
            all.push("userxattr".to_owned());
        }
        all.join(",")
    }
}

/// The paths of a list with colons between them. What two colons begin holds data alone, which only the
/// machine's administrator may ask for.
fn layers(text: &str) -> Result<Vec<Vec<u8>>, Errno> {
    let mut all = vec![Vec::new()];
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let last = all.last_mut().ok_or(Errno::INVAL)?;
        match byte {
            b'\\' => last.push(bytes.next().ok_or(Errno::INVAL)?),
            b':' => all.push(Vec::new()),
            byte => last.push(byte),
        }
    }
    let empty = all.iter().position(Vec::is_empty);
    match empty {
        None => Ok(all),
        Some(at) if at > 0 && at + 1 < all.len() => Err(Errno::PERM),
        Some(_) => Err(Errno::INVAL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<String, Errno> {
        let asked = Asked::read(&Given::read(text.as_bytes(), 0)?)?;
        asked.check()?;
        Ok(asked.shown())
    }

    #[test]
    fn an_overlay_shows_what_was_asked_for() {
        for (asked, also) in [
            ("lowerdir=a:b,upperdir=u,workdir=w", ",redirect_dir=nofollow,uuid=null"),
            ("lowerdir=a:b", ",redirect_dir=on"),
            ("lowerdir+=a,lowerdir+=b,upperdir=u,workdir=w", ",redirect_dir=nofollow,uuid=null"),
        ] {
            assert_eq!(shown(asked), Ok(format!("{asked}{also}")));
        }
        assert_eq!(
            shown("userxattr,lowerdir=x,lowerdir=a\\:b,upperdir=u,workdir=w,index=on").as_deref(),
            Ok("lowerdir=a\\:b,upperdir=u,workdir=w,redirect_dir=nofollow,uuid=on,userxattr")
        );
    }

    #[test]
    fn what_is_no_overlay_is_refused() {
        for wrong in [
            "",
            "lowerdir=a",
            "lowerdir=a,workdir=w",
            "lowerdir=a,upperdir=u",
            "upperdir=u,workdir=w",
            "lowerdir=,upperdir=u,workdir=w",
            "lowerdir=a:,upperdir=u,workdir=w",
            "lowerdir,upperdir=u,workdir=w",
            "lowerdir=a:b,nonsense",
            "lowerdir=a:b,userxattr,metacopy=on",
        ] {
            assert_eq!(shown(wrong), Err(Errno::INVAL), "{wrong}");
        }
        for privileged in
            ["lowerdir=a::b", "lowerdir=a:b,redirect_dir=on", "lowerdir=a:b,verity=on"]
        {
            assert_eq!(shown(privileged), Err(Errno::PERM), "{privileged}");
        }
    }
}
