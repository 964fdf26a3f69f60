//! `struct mnt_id_req` and `struct statmount`: the same on every architecture.

use nsproxy::MountStatus;
use rustix::io::Errno;

use super::Fields;
use crate::mounts::unique;

/// `LISTMOUNT_REVERSE`.
pub(crate) const LIST_REVERSE: u32 = 1;

/// The part of a `struct statmount` before its texts.
const HEAD: usize = 512;

// What is asked for, and told.
const SB_BASIC: u64 = 1;
const MNT_BASIC: u64 = 2;
const PROPAGATE_FROM: u64 = 4;
const MNT_ROOT: u64 = 8;
const MNT_POINT: u64 = 0x10;
const FS_TYPE: u64 = 0x20;
const MNT_NS_ID: u64 = 0x40;
const MNT_OPTS: u64 = 0x80;
const FS_SUBTYPE: u64 = 0x100;
const SB_SOURCE: u64 = 0x200;
const OPT_ARRAY: u64 = 0x400;
const OPT_SEC_ARRAY: u64 = 0x800;
const SUPPORTED: u64 = 0x1000;
const UIDMAP: u64 = 0x2000;
const GIDMAP: u64 = 0x4000;
/// All of a kernel of 6.18.
const KNOWN: u64 = 0x7fff;
/// Those that are told as text.
const TEXTS: u64 = MNT_ROOT
    | MNT_POINT
    | FS_TYPE
    | MNT_OPTS
    | FS_SUBTYPE
    | SB_SOURCE
    | OPT_ARRAY
    | OPT_SEC_ARRAY
    | UIDMAP
    | GIDMAP;

/// Flags of a super block, as mount(2) has them, and how `mountinfo` shows them.
const RDONLY: u32 = 1;
const SB_FLAGS: [(&str, u32); 3] = [("sync", 16), ("dirsync", 128), ("lazytime", 1 << 25)];

/// `MOUNT_ATTR_IDMAP`.
const IDMAP: u64 = 0x10_0000;

/// Propagation, as mount(2) has it.
const UNBINDABLE: u64 = 1 << 17;
const PRIVATE: u64 = 1 << 18;
const SLAVE: u64 = 1 << 19;
const SHARED: u64 = 1 << 20;

/// What both calls are asked.
#[derive(Debug)]
pub(crate) struct Request {
    /// A descriptor of a mount namespace, or 0.
    pub(crate) descriptor: u32,
    /// The unique number of a mount.
    pub(crate) mount: u64,
    /// What is wanted, or after which mount.
    pub(crate) param: u64,
    /// The id of a mount namespace, or 0.
    pub(crate) namespace: u64,
}

impl Request {
    /// The first version's size, and this one's.
    const SIZES: [usize; 2] = [24, 32];
    const PAGE: usize = 4096;

    /// How much is to be read of a request that says that it is this big.
    ///
    /// # Errors
    /// E2BIG, EINVAL.
    pub(crate) fn len(size: u32) -> Result<usize, Errno> {
        match size as usize {
            size if size > Self::PAGE => Err(Errno::TOOBIG),
            size if size < Self::SIZES[0] => Err(Errno::INVAL),
            size => Ok(size),
        }
    }

    /// Decodes one.
    ///
    /// # Errors
    /// E2BIG if something is asked that is not known.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Request, Errno> {
        let known = Self::SIZES[1];
        if bytes.iter().skip(known).any(|byte| *byte != 0) {
            return Err(Errno::TOOBIG);
        }
        let mut block = [0; Self::SIZES[1]];
        let len = bytes.len().min(known);
        block[..len].copy_from_slice(&bytes[..len]);
        let word = |at: usize| u64::from_ne_bytes(block[at..at + 8].try_into().expect("eight"));
        Ok(Request {
            descriptor: (word(0) >> 32) as u32,
            mount: word(8),
            param: word(16),
            namespace: word(24),
        })
    }
}

/// Whether something is wanted that is told as text.
fn has_texts(wanted: u64) -> bool {
    wanted & TEXTS != 0
}

/// The texts behind the structure.
struct Texts {
    bytes: Vec<u8>,
    told: u64,
}

impl Texts {
    /// Adds one, if it is wanted and there is any, and gives its place.
    fn add(&mut self, wanted: u64, bit: u64, text: &[u8]) -> u32 {
        if wanted & bit == 0 || text.is_empty() {
            return 0;
        }
        self.told |= bit;
        let at = self.bytes.len() as u32;
        self.bytes.extend_from_slice(text);
        self.bytes.push(0);
        at
    }
}

/// What is told of a mount, of that which is `wanted`, to who has so much room.
///
/// # Errors
/// EOVERFLOW if the texts are longer than that.
pub(crate) fn encode(
    status: &MountStatus,
    wanted: u64,
    magic: Option<u64>,
    namespace: Option<u64>,
    room: u64,
) -> Result<Vec<u8>, Errno> {
    let options = status.sb.options();
    let (of_super, own): (Vec<&str>, Vec<&str>) = options
        .split(',')
        .filter(|one| !one.is_empty())
        .partition(|one| SB_FLAGS.iter().any(|(name, _)| name == one));
    let flags = SB_FLAGS.iter().filter(|(name, _)| of_super.contains(name));
    let readonly = if status.sb.is_readonly() { RDONLY } else { 0 };
    let sb_flags = flags.fold(readonly, |all, (_, bit)| all | bit);
    let (kind, subtype) = status.sb.kind().split_once('.').unwrap_or((status.sb.kind(), ""));
    let each: Vec<Vec<u8>> = own.iter().map(|one| plain(one.as_bytes())).collect();

    let mut texts = Texts { bytes: vec![0], told: 0 };
    let fs_type = texts.add(wanted, FS_TYPE, kind.as_bytes());
    let root = texts.add(wanted, MNT_ROOT, &status.root);
    let point = texts.add(wanted, MNT_POINT, status.point.as_deref().unwrap_or_default());
    let options = texts.add(wanted, MNT_OPTS, own.join(",").as_bytes());
    let array = texts.add(wanted, OPT_ARRAY, &each.join(&0));
    let subtype = texts.add(wanted, FS_SUBTYPE, subtype.as_bytes());
    let source = texts.add(wanted, SB_SOURCE, &status.source);

    let mut told = texts.told | wanted & (MNT_BASIC | PROPAGATE_FROM | SUPPORTED);
    told |= wanted & if magic.is_some() { SB_BASIC } else { 0 };
    told |= wanted & if namespace.is_some() { MNT_NS_ID } else { 0 };
    let is_told = |bit| told & bit != 0;
    let if_told = |bit: u64, value: u64| if is_told(bit) { value } else { 0 };
    let basic = |value| if_told(MNT_BASIC, value);
    let of_super = |value| if_told(SB_BASIC, value);

    let size = match has_texts(wanted) {
        true if HEAD + texts.bytes.len() > usize::try_from(room).unwrap_or(usize::MAX) => {
            return Err(Errno::OVERFLOW);
        }
        true => HEAD + texts.bytes.len(),
        false => usize::try_from(room).unwrap_or(usize::MAX).min(HEAD),
    };
    let (major, minor) = status.sb.device();
    let mut out = Vec::with_capacity(HEAD + texts.bytes.len());
    Fields::new(&mut out)
        .u32(size as u32)
        .u32(options)
        .u64(told)
        .u32(of_super(major.into()) as u32)
        .u32(of_super(minor.into()) as u32)
        .u64(of_super(magic.unwrap_or_default()))
        .u32(of_super(sb_flags.into()) as u32)
        .u32(fs_type)
        .u64(basic(unique(status.id)))
        .u64(basic(unique(status.parent.0)))
        .u32(basic(status.shown.into()) as u32)
        .u32(basic(status.parent.1.into()) as u32)
        .u64(basic(attributes(status)))
        .u64(basic(propagation(status)))
        .u64(basic(status.group.unwrap_or_default().into()))
        .u64(basic(status.master.unwrap_or_default().into()))
        .u64(if_told(PROPAGATE_FROM, status.propagates_from.unwrap_or_default().into()))
        .u32(root)
        .u32(point)
        .u64(if_told(MNT_NS_ID, namespace.unwrap_or_default()))
        .u32(subtype)
        .u32(source)
        .u32(if_told(OPT_ARRAY, each.len() as u64) as u32)
        .u32(array)
        // Security options are among the others, as the host shows them.
        .u32(0)
        .u32(0)
        .u64(if_told(SUPPORTED, KNOWN))
        // The maps of a mount that has none.
        .pad_to(HEAD);
    match has_texts(wanted) {
        true => out.extend(texts.bytes),
        false => out.truncate(size),
    }
    Ok(out)
}

fn attributes(status: &MountStatus) -> u64 {
    let all = status.flags.attributes();
    if status.idmapped { all | IDMAP } else { all }
}

fn propagation(status: &MountStatus) -> u64 {
    let mut all = 0;
    all |= if status.group.is_some() { SHARED } else { 0 };
    all |= if status.master.is_some() { SLAVE } else { 0 };
    all |= if status.unbindable { UNBINDABLE } else { 0 };
    if all == 0 { PRIVATE } else { all }
}

/// An option without the octal numbers for blanks and the like.
fn plain(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, behind)) = rest.split_first() {
        let digits = behind.get(..3).filter(|_| first == b'\\');
        let number = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match number.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &rest[4..];
            }
            None => {
                out.push(first);
                rest = behind;
            }
        }
    }
    out
}
