//! The options of file systems that guests mount: what mount(2) has in its last argument.
//!
//! Not here: who may mount; what is done with a limit.

use nsproxy::UserNs;
use rustix::fs::Mode;
use rustix::io::Errno;

use super::usage::Usage;

/// A page; sizes are rounded up to it.
const PAGE: u64 = 4096;

/// The flags of mount(2) that are of the file system and not of the mount, in the order in which they
/// are shown.
const OF_SUPER: [(u64, &str); 4] = [
    (libc::MS_SYNCHRONOUS, "sync"),
    (libc::MS_DIRSYNC, "dirsync"),
    (MANDLOCK, "mand"),
    (LAZYTIME, "lazytime"),
];
const MANDLOCK: u64 = libc::MS_MANDLOCK;
const LAZYTIME: u64 = 1 << 25;

/// Options with a file system's flags, read from text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Given {
    /// `MS_*`: those in the argument, and those that the text names.
    pub(crate) flags: u64,
    /// Those that the text names, set or not.
    pub(crate) named: u64,
    words: Vec<(String, Option<String>)>,
}

impl Given {
    /// Reads a comma-separated list.
    ///
    /// # Errors
    /// EINVAL if it is not text.
    pub(crate) fn read(text: &[u8], flags: u64) -> Result<Given, Errno> {
        let text = std::str::from_utf8(text).map_err(|_| Errno::INVAL)?;
        let mut given = Given { flags, ..Given::default() };
        for word in text.split(',').filter(|word| !word.is_empty()) {
            let (key, value) = match word.split_once('=') {
                Some((key, value)) => (key, Some(value)),
                None => (word, None),
            };
            given.add(key, value)?;
        }
        Ok(given)
    }

    /// Adds one.
    ///
    /// # Errors
    /// EINVAL for a value of what has none.
    pub(crate) fn add(&mut self, key: &str, value: Option<&str>) -> Result<(), Errno> {
        let (flag, set) = match key {
            "ro" => (libc::MS_RDONLY, true),
            "rw" => (libc::MS_RDONLY, false),
            "sync" => (libc::MS_SYNCHRONOUS, true),
            "async" => (libc::MS_SYNCHRONOUS, false),
            "dirsync" => (libc::MS_DIRSYNC, true),
            "mand" => (MANDLOCK, true),
            "nomand" => (MANDLOCK, false),
            "lazytime" => (LAZYTIME, true),
            "nolazytime" => (LAZYTIME, false),
            _ => {
                self.words.push((key.to_owned(), value.map(str::to_owned)));
                return Ok(());
            }
        };
        self.named |= flag;
        match set {
            true => self.flags |= flag,
            false => self.flags &= !flag,
        }
        Ok(())
    }

    /// Whether the file system itself is to be read-only.
    pub(crate) fn is_readonly(&self) -> bool {
        self.flags & libc::MS_RDONLY != 0
    }

    /// The options that are not of every type.
    pub(crate) fn words(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.words.iter().map(|(key, value)| (key.as_str(), value.as_deref()))
    }

    /// Refuses every option of a type that has none.
    ///
    /// # Errors
    /// EINVAL.
    pub(crate) fn none(&self) -> Result<(), Errno> {
        if self.words.is_empty() { Ok(()) } else { Err(Errno::INVAL) }
    }

    /// The flags as `mountinfo` shows them.
    pub(crate) fn shown_flags(&self) -> Vec<String> {
        let set = OF_SUPER.iter().filter(|(flag, _)| self.flags & flag != 0);
        set.map(|(_, name)| (*name).to_owned()).collect()
    }
}

/// What a tmpfs is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tmpfs {
    /// How many blocks it may hold; `None`: as many as it likes.
    pub(crate) blocks: Option<u64>,
    /// How many files it may hold; `None`: as many as it likes.
    pub(crate) inodes: Option<u64>,
    /// Mode of its root directory.
    pub(crate) mode: u32,
    /// Owner of its root directory, by the host's number.
    pub(crate) uid: u32,
    /// Its group.
    pub(crate) gid: u32,
    huge: Option<String>,
    wide: bool,
}

/// Half of this machine's memory, in pages: the default limit of a tmpfs.
pub(crate) fn half_of_memory() -> u64 {
    let info = rustix::system::sysinfo();
    (info.totalram as u64).saturating_mul(info.mem_unit.into()) / PAGE / 2
}

impl Tmpfs {
    /// Mode of a root directory if none is given.
    const MODE: u32 = 0o1777;

    /// One of which nothing is asked, made by somebody.
    pub(crate) fn of(uid: u32, gid: u32) -> Tmpfs {
        let half = Some(half_of_memory());
        Tmpfs { blocks: half, inodes: half, mode: Tmpfs::MODE, uid, gid, huge: None, wide: false }
    }

    /// Changes what is asked for. `used` is what it holds; nothing yet if it is being made, and only then
    /// it can have another mode or owner, though a remount may name them.
    ///
    /// # Errors
    /// EINVAL, also for less than it holds.
    pub(crate) fn change(
        &mut self,
        given: &Given,
        user: &UserNs,
        used: Option<Usage>,
    ) -> Result<(), Errno> {
        let mut new = self.clone();
        for (key, value) in &given.words {
            let text = || value.as_deref().filter(|text| !text.is_empty()).ok_or(Errno::INVAL);
            match key.as_str() {
                "size" => new.blocks = limit(size(text()?)?.div_ceil(PAGE)),
                "nr_blocks" => new.blocks = limit(amount(text()?)?),
                "nr_inodes" => new.inodes = limit(amount(text()?)?),
                "mode" => new.mode = octal(text()?)? & 0o7777,
                "uid" => new.uid = user_id(text()?, user)?,
                "gid" => new.gid = group_id(text()?, user)?,
                "huge" => match text()? {
                    "never" => new.huge = None,
                    other @ ("always" | "within_size" | "advise") => {
                        new.huge = Some(other.to_owned())
                    }
                    _ => return Err(Errno::INVAL),
                },
                "mpol" if matches!(text()?, "default" | "local") => {}
                "inode32" => new.wide = false,
                "inode64" => new.wide = true,
                _ => return Err(Errno::INVAL),
            }
        }
        if let Some(used) = used {
            (new.mode, new.uid, new.gid) = (self.mode, self.uid, self.gid);
            // What has no limit cannot get one, since nobody has counted; nor can there be less than there is.
            let cannot = |old: Option<u64>, new: Option<u64>, used: u64| {
                old.is_none() && new.is_some() || old != new && new.is_some_and(|new| new < used)
            };
            if cannot(self.blocks, new.blocks, used.blocks)
                || cannot(self.inodes, new.inodes, used.inodes)
            {
                return Err(Errno::INVAL);
            }
        }
        *self = new;
        Ok(())
    }

    /// As `mountinfo` shows it, behind `rw`.
    pub(crate) fn shown(&self, given: &Given) -> String {
        let half = half_of_memory();
        let mut all = given.shown_flags();
        match self.blocks {
            Some(blocks) if blocks == half => {}
            blocks => all.push(format!("size={}k", blocks.unwrap_or(0) * (PAGE / 1024))),
        }
        match self.inodes {
            Some(inodes) if inodes == half => {}
            inodes => all.push(format!("nr_inodes={}", inodes.unwrap_or(0))),
        }
        if self.mode != Tmpfs::MODE {
            all.push(format!("mode={:03o}", self.mode));
        }
        if self.uid != 0 {
            all.push(format!("uid={}", self.uid));
        }
        if self.gid != 0 {
            all.push(format!("gid={}", self.gid));
        }
        if self.wide {
            all.push("inode64".to_owned());
        }
        all.extend(self.huge.iter().map(|huge| format!("huge={huge}")));
        all.join(",")
    }
}

/// What a devpts is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Devpts {
    uid: Option<u32>,
    gid: Option<u32>,
    /// Mode of new terminals.
    pub(crate) mode: u32,
    pub(super) ptmxmode: u32,
    /// How many terminals there can be.
    pub(crate) max: u32,
}

impl Default for Devpts {
    fn default() -> Devpts {
        Devpts { uid: None, gid: None, mode: 0o600, ptmxmode: 0, max: Devpts::MAX }
    }
}

impl Devpts {
    /// As many as there can be anyhow.
    const MAX: u32 = 1 << 20;

    /// Mode of `ptmx`.
    pub(super) fn ptmx(&self) -> Mode {
        Mode::from_raw_mode(self.ptmxmode)
    }

    /// Changes what is asked for.
    ///
    /// # Errors
    /// EINVAL.
    pub(crate) fn change(&mut self, given: &Given, user: &UserNs) -> Result<(), Errno> {
        let mut new = self.clone();
        for (key, value) in &given.words {
            let text = || value.as_deref().filter(|text| !text.is_empty()).ok_or(Errno::INVAL);
            match key.as_str() {
                "uid" => new.uid = Some(user_id(text()?, user)?),
                "gid" => new.gid = Some(group_id(text()?, user)?),
                "mode" => new.mode = octal(text()?)? & 0o777,
                "ptmxmode" => new.ptmxmode = octal(text()?)? & 0o777,
                "max" => {
                    let max = text()?.parse().map_err(|_| Errno::INVAL)?;
                    new.max = if max <= Devpts::MAX { max } else { return Err(Errno::INVAL) };
                }
                "newinstance" if value.is_none() => {}
                _ => return Err(Errno::INVAL),
            }
        }
        *self = new;
        Ok(())
    }

    /// As `mountinfo` shows it, behind `rw`.
    pub(crate) fn shown(&self, given: &Given) -> String {
        let mut all = given.shown_flags();
        all.extend(self.uid.map(|uid| format!("uid={uid}")));
        all.extend(self.gid.map(|gid| format!("gid={gid}")));
        all.push(format!("mode={:03o}", self.mode));
        all.push(format!("ptmxmode={:03o}", self.ptmxmode));
        if self.max < Devpts::MAX {
            all.push(format!("max={}", self.max));
        }
        all.join(",")
    }
}

/// Mode of the root directory of a ramfs if none is given.
pub(crate) const RAMFS_MODE: u32 = 0o755;

/// Mode of the root directory of a ramfs, which minds no option that it does not know.
///
/// # Errors
/// EINVAL for a mode that is none.
pub(crate) fn ramfs_mode(given: &Given) -> Result<u32, Errno> {
    let mut mode = RAMFS_MODE;
    for (key, value) in &given.words {
        if key == "mode" {
            let text = value.as_deref().filter(|text| !text.is_empty()).ok_or(Errno::INVAL)?;
            mode = octal(text)? & 0o7777;
        }
    }
    Ok(mode)
}

/// Checks that a proc file system is asked for nothing that is not so anyway.
///
/// # Errors
/// EINVAL.
pub(crate) fn check_proc(given: &Given) -> Result<(), Errno> {
    let plain = |(key, value): &(String, Option<String>)| {
        key == "hidepid" && matches!(value.as_deref(), Some("0" | "off"))
    };
    if given.words.iter().all(plain) { Ok(()) } else { Err(Errno::INVAL) }
}

/// 0 stands for no limit.
fn limit(number: u64) -> Option<u64> {
    (number != 0).then_some(number)
}

/// A size in bytes, or as a share of memory.
fn size(text: &str) -> Result<u64, Errno> {
    match text.strip_suffix('%') {
        Some(share) => {
            let all = u128::from(half_of_memory()) * 2 * u128::from(PAGE);
            u64::try_from(all * u128::from(amount(share)?) / 100).map_err(|_| Errno::INVAL)
        }
        None => amount(text),
    }
}

/// A number, decimal, octal or hexadecimal, that may end in a letter: `64k`.
fn amount(text: &str) -> Result<u64, Errno> {
    let letter = text.bytes().last().map(|last| last.to_ascii_lowercase());
    let place = letter.and_then(|letter| b"kmgtpe".iter().position(|known| *known == letter));
    let (digits, shift) = match place {
        // Of a hexadecimal number `e` is a digit.
        Some(place) if !(text.starts_with("0x") && letter == Some(b'e')) => {
            (&text[..text.len() - 1], 10 * (place as u32 + 1))
        }
        _ => (text, 0),
    };
    let number = number(digits)?;
    number.checked_mul(1 << shift).ok_or(Errno::INVAL)
}

fn number(text: &str) -> Result<u64, Errno> {
    let (digits, radix) = match text {
        _ if text.starts_with("0x") || text.starts_with("0X") => (&text[2..], 16),
        _ if text.starts_with('0') && text.len() > 1 => (&text[1..], 8),
        _ => (text, 10),
    };
    if digits.starts_with('+') {
        return Err(Errno::INVAL);
    }
    u64::from_str_radix(digits, radix).map_err(|_| Errno::INVAL)
}

fn octal(text: &str) -> Result<u32, Errno> {
    u32::from_str_radix(text, 8).map_err(|_| Errno::INVAL)
}

fn user_id(text: &str, user: &UserNs) -> Result<u32, Errno> {
    let id = u32::try_from(number(text)?).map_err(|_| Errno::INVAL)?;
    user.map_uid(id).map(|kuid| kuid.0).ok_or(Errno::INVAL)
}

fn group_id(text: &str, user: &UserNs) -> Result<u32, Errno> {
    let id = u32::try_from(number(text)?).map_err(|_| Errno::INVAL)?;
    user.map_gid(id).map(|kgid| kgid.0).ok_or(Errno::INVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tmpfs(text: &str) -> Result<String, Errno> {
        let system = nsproxy::System::new(nsproxy::Config::default());
        let given = Given::read(text.as_bytes(), 0)?;
        let mut asked = Tmpfs::of(0, 0);
        asked.change(&given, &system.init_user(), None)?;
        Ok(asked.shown(&given))
    }

    #[test]
    fn a_tmpfs_shows_what_was_asked_for() {
        for (asked, shown) in [
            ("", ""),
            ("size=64k,mode=755,nr_inodes=100", "size=64k,nr_inodes=100,mode=755"),
            ("size=65k,nr_inodes=1k,mode=0", "size=68k,nr_inodes=1024,mode=000"),
            ("nr_inodes=1m", "nr_inodes=1048576"),
            ("mode=77777", "mode=7777"),
            ("size=0", "size=0k"),
            ("size=50%", ""),
            ("size=10k,,mode=700,", "size=12k,mode=700"),
            ("nr_blocks=10,inode64", "size=40k,inode64"),
            ("sync,huge=always,inode32", "sync,huge=always"),
            ("uid=5,gid=0x7", "uid=5,gid=7"),
            ("mpol=default,ro", ""),
        ] {
            assert_eq!(tmpfs(asked).as_deref(), Ok(shown), "{asked}");
        }
        for wrong in [
            "size=1x",
            "size=",
            "size",
            "nr_inodes=-1",
            "mode=9",
            "uid=4294967295",
            "foo",
            "noswap",
            "quota",
        ] {
            assert_eq!(tmpfs(wrong), Err(Errno::INVAL), "{wrong}");
        }
    }

    #[test]
    fn a_devpts_shows_its_modes() {
        let system = nsproxy::System::new(nsproxy::Config::default());
        let given = Given::read(b"newinstance,ptmxmode=0666,mode=620,gid=5,max=7", 0).unwrap();
        let mut asked = Devpts::default();
        assert_eq!(asked.shown(&Given::default()), "mode=600,ptmxmode=000");
        asked.change(&given, &system.init_user()).unwrap();
        assert_eq!(asked.shown(&given), "gid=5,mode=620,ptmxmode=666,max=7");
        let wrong = Given::read(b"newinstance=1", 0).unwrap();
        assert_eq!(asked.change(&wrong, &system.init_user()), Err(Errno::INVAL));
    }
}
