//! UTS: the host name and the NIS domain name.
//!
//! State: two byte strings, at most 64 bytes each; a copy starts equal.
//! Calls: uname, sethostname, setdomainname; `/proc/sys/kernel/{hostname,domainname}`.
//! Rules: `UtsNeedsAdmin`, `UtsNameLength`, `UtsFileNeedsRoot`.
//! Not here: release, version and machine strings; they are the host's.
//!
//! Both names are under one lock, which is held for a copy of them, so that a reader never sees one
//! name from before a change and the other from after it.

use super::{Draft, Identity, Maker, Namespace, Number};
use crate::{
    Kind,
    capability::Cap,
    cred::Cred,
    id::Kuid,
    namespace::user::UserNs,
    rule::{Refusal, Refuse, Rule, Value},
    sync::{Arc, Mutex},
    task::Task,
};
use alloc::{string::String, sync::Arc as StdArc, vec::Vec};
use core::fmt;

/// The longest name, in bytes.
const NAME_MAX: usize = 64;

/// A host name or domain name: up to 64 bytes, kept verbatim, and the zeros after them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct UtsName([u8; NAME_MAX + 1]);

impl UtsName {
    /// The first 64 bytes of `text`.
    pub fn new(text: &[u8]) -> UtsName {
        let mut name = [0; NAME_MAX + 1];
        let len = text.len().min(NAME_MAX);
        name[..len].copy_from_slice(&text[..len]);
        UtsName(name)
    }

    /// The name with `line` from `offset` on and a NUL after it. What was beyond stays, unseen.
    fn overwritten(mut self, offset: usize, line: &[u8]) -> UtsName {
        let end = (offset + line.len()).min(NAME_MAX);
        self.0[offset..end].copy_from_slice(&line[..end - offset]);
        self.0[end] = 0;
        self
    }

    /// The name as it is read: up to the first NUL.
    pub fn as_bytes(&self) -> &[u8] {
        let len = self.0.iter().position(|byte| *byte == 0).unwrap_or(NAME_MAX);
        &self.0[..len]
    }

    /// The field of uname(2)'s structure: what was stored, bytes after a NUL included, and zeros.
    pub fn field(&self) -> &[u8; NAME_MAX + 1] {
        &self.0
    }

    /// The name as text, with what is not UTF-8 replaced.
    pub fn to_text(&self) -> String {
        String::from_utf8_lossy(self.as_bytes()).into_owned()
    }
}

impl fmt::Debug for UtsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.as_bytes().escape_ascii())
    }
}

/// Both names, as they were at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Names {
    /// What `hostname` prints.
    pub host: UtsName,
    /// What `domainname` prints.
    pub domain: UtsName,
}

/// Which of the two names.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Name {
    /// The host name.
    Host,
    /// The NIS domain name.
    Domain,
}

impl Name {
    /// The call that sets it.
    pub const fn call(self) -> &'static str {
        match self {
            Name::Host => "sethostname",
            Name::Domain => "setdomainname",
        }
    }

    fn of(self, names: &Names) -> UtsName {
        match self {
            Name::Host => names.host,
            Name::Domain => names.domain,
        }
    }

    fn set(self, names: &mut Names, to: UtsName) {
        match self {
            Name::Host => names.host = to,
            Name::Domain => names.domain = to,
        }
    }
}

/// A UTS namespace (`struct uts_namespace`).
pub struct UtsNs {
    names: Mutex<Names>,
    identity: Identity,
}

impl UtsNs {
    pub(crate) fn initial(user: &Arc<UserNs>) -> Arc<UtsNs> {
        let config = &user.kernel().config;
        let host = UtsName::new(config.hostname.as_bytes());
        let domain = UtsName::new(config.domainname.as_bytes());
        let identity = Identity::initial(user, Kind::Uts);
        UtsNs::build(Names { host, domain }, identity)
    }

    fn build(names: Names, identity: Identity) -> Arc<UtsNs> {
        Arc::new(UtsNs { names: Mutex::new(names), identity })
    }

    /// Its inode number.
    pub fn inode(&self) -> u32 {
        self.identity.inode()
    }

    /// The user namespace that owns it.
    pub fn owner(&self) -> Arc<UserNs> {
        Arc::clone(self.identity.owner())
    }

    /// Its names now, both of one moment.
    pub fn names(&self) -> Names {
        *self.names.lock()
    }

    fn set(&self, which: Name, change: impl FnOnce(UtsName) -> UtsName) {
        let mut names = self.names.lock();
        let name = change(which.of(&names));
        which.set(&mut names, name);
    }
}

impl Namespace for UtsNs {
    const KIND: Kind = Kind::Uts;

    fn number(&self) -> &Number {
        self.identity.number()
    }

    fn belongs_to(&self) -> Option<&Arc<UserNs>> {
        Some(self.identity.owner())
    }

    fn copy(old: &Arc<UtsNs>, maker: &Maker<'_>) -> Result<Arc<UtsNs>, Refusal> {
        let identity = Identity::new(maker, &**old)?;
        Ok(UtsNs::build(old.names(), identity))
    }

    fn install(this: &Arc<UtsNs>, draft: &mut Draft<'_>) -> Result<(), Refusal> {
        draft.joiner_is_admin(this.identity.owner())?;
        draft.proxy.uts = Arc::clone(this);
        Ok(())
    }
}

impl fmt::Debug for UtsNs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UtsNs")
            .field("inode", &self.inode())
            .field("owner", &self.identity.owner().inode())
            .field("names", &self.names())
            .finish()
    }
}

/// A permitted sethostname(2) or setdomainname(2), waiting for the bytes from the caller's
/// memory. Dropping it changes nothing.
#[must_use]
pub struct SetName {
    uts: Arc<UtsNs>,
    which: Name,
    len: usize,
}

impl SetName {
    /// How many bytes to read from the caller's memory: 0 to 64. For 0 the address is not looked at.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Sets the name; bytes beyond [`len`](SetName::len) are not looked at.
    pub fn commit(self, bytes: &[u8]) {
        let name = UtsName::new(&bytes[..bytes.len().min(self.len)]);
        self.uts.set(self.which, |_| name);
    }
}

/// Checks sethostname(2) or setdomainname(2) by `task`. `len` is the argument as given; the
/// kernel takes it as an `int`. The name itself is read only after this succeeded.
pub fn prepare_set_name(task: &StdArc<Task>, which: Name, len: i64) -> Result<SetName, Refusal> {
    task.reported(which.call(), set_name(task, which, len))
}

fn set_name(task: &Task, which: Name, len: i64) -> Result<SetName, Refusal> {
    let uts = Arc::clone(&task.alive()?.uts);
    if !task.with_cred(|cred| cred.has(uts.identity.owner(), Cap::SYS_ADMIN)) {
        let owner = Value::Namespace(Kind::User, uts.identity.owner().inode());
        return Err(Rule::UtsNeedsAdmin.refuse().with("owner", owner));
    }
    match usize::try_from(len as i32) {
        Ok(len) if len <= NAME_MAX => Ok(SetName { uts, which, len }),
        _ => Err(Rule::UtsNameLength.refuse().with("length", len as i32)),
    }
}

/// Says whether `cred` may open `/proc/sys/kernel/hostname` or `domainname` for writing.
///
/// Unlike the system calls this goes by the file's mode, 0644 and root's: neither capabilities
/// nor the owner of the UTS namespace count.
pub fn may_write_name_file(cred: &Cred) -> Result<(), Refusal> {
    if cred.euid == Kuid::ROOT {
        return Ok(());
    }
    Err(Rule::UtsFileNeedsRoot.refuse().with("euid", cred.euid))
}

/// Writes `/proc/sys/kernel/hostname` or `domainname` at `offset`; returns the bytes taken: all.
///
/// What is kept ends at a newline or NUL, and at 64 bytes; the name's beginning stays when a write
/// continues at an offset within it, and a write beyond it does nothing.
pub fn set_name_sysctl(
    uts: &UtsNs,
    which: Name,
    writer: &Cred,
    offset: u64,
    text: &[u8],
) -> Result<usize, Refusal> {
    if writer.euid != Kuid::ROOT {
        return Err(Rule::UtsFileWriterNeedsRoot.refuse().with("euid", writer.euid));
    }
    let line = text.split(|byte| matches!(byte, 0 | b'\n')).next().unwrap_or_default();
    if !text.is_empty() {
        uts.set(which, |old| match usize::try_from(offset) {
            Ok(offset) if offset <= old.as_bytes().len() => old.overwritten(offset, line),
            _ => old,
        });
    }
    Ok(text.len())
}

/// The text that reading `/proc/sys/kernel/hostname` or `domainname` gives.
pub fn read_name_sysctl(uts: &UtsNs, which: Name) -> Vec<u8> {
    let mut text = Vec::from(which.of(&uts.names()).as_bytes());
    text.push(b'\n');
    text
}
