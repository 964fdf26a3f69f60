//! The host's mounts, as `/proc/self/mountinfo` tells them (proc_pid_mountinfo(5)).

use nsproxy::MountFlags;

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct HostMount {
    /// Its number.
    pub(super) id: u32,
    /// The number of the mount it is mounted on; its own, or one that has no line, for the root.
    pub(super) parent: u32,
    /// Major and minor number of its file system.
    pub(super) device: (u32, u32),
    /// Which directory of the file system it shows.
    pub(super) root: Vec<u8>,
    /// Where it is mounted.
    pub(super) at: Vec<u8>,
    /// Its flags.
    pub(super) flags: MountFlags,
    /// Type of the file system.
    pub(super) kind: String,
    /// Name of the device.
    pub(super) source: Vec<u8>,
    /// Options of the file system, without `ro` or `rw`.
    pub(super) options: String,
    /// The file system itself is read-only.
    pub(super) readonly: bool,
}

/// Understands a whole `mountinfo`. Lines that make no sense are left out.
pub(super) fn parse(text: &[u8]) -> Vec<HostMount> {
    text.split(|byte| *byte == b'\n').filter_map(line).collect()
}

fn line(line: &[u8]) -> Option<HostMount> {
    let mut words = line.split(|byte| *byte == b' ');
    let id = number(words.next()?)?;
    let parent = number(words.next()?)?;
    let device = std::str::from_utf8(words.next()?).ok()?;
    let (major, minor) = device.split_once(':')?;
    let root = plain(words.next()?);
    let at = plain(words.next()?);
    let flags = flags(words.next()?);
    // Who hears of what is mounted there: what guests mount is nobody else's.
    words.by_ref().take_while(|word| *word != b"-").for_each(drop);
    let kind = String::from_utf8_lossy(&plain(words.next()?)).into_owned();
    let source = plain(words.next()?);
    let all = String::from_utf8_lossy(words.next().unwrap_or_default()).into_owned();
    let mut options = all.split(',');
    let readonly = options.next() == Some("ro");
    Some(HostMount {
        id,
        parent,
        device: (major.parse().ok()?, minor.parse().ok()?),
        root,
        at,
        flags,
        kind,
        source,
        options: options.collect::<Vec<_>>().join(","),
        readonly,
    })
}

fn number(word: &[u8]) -> Option<u32> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

fn flags(word: &[u8]) -> MountFlags {
    let flag = |name: &[u8]| match name {
        b"ro" => MountFlags::READONLY,
        b"nosuid" => MountFlags::NOSUID,
        b"nodev" => MountFlags::NODEV,
        b"noexec" => MountFlags::NOEXEC,
        b"noatime" => MountFlags::NOATIME,
        b"nodiratime" => MountFlags::NODIRATIME,
        b"relatime" => MountFlags::RELATIME,
        b"nosymfollow" => MountFlags::NOSYMFOLLOW,
        _ => MountFlags::empty(),
    };
    word.split(|byte| *byte == b',').map(flag).collect()
}

/// Text whose blanks and backslashes are octal numbers.
pub(crate) fn plain(word: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((&first, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|_| first == b'\\');
        let byte = octal
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match byte {
            Some(byte) => {
                plain.push(byte);
                rest = &after[3..];
            }
            None => {
                plain.push(first);
                rest = after;
            }
        }
    }
    plain
}

/// Text with its blanks and backslashes as octal numbers.
pub(crate) fn escaped(text: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(text.len());
    for byte in text {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' => escaped.extend(format!("\\{byte:03o}").bytes()),
            _ => escaped.push(*byte),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_escaped_is_plain_again() {
        let text = b"/a b\tc\nd\\040\xe9";
        assert_eq!(escaped(text), b"/a\\040b\\011c\\012d\\134040\xe9");
        assert_eq!(plain(&escaped(text)), text);
    }

    #[test]
    fn a_line_is_understood() {
        let text = b"36 35 98:0 /mnt1 /mnt\\0402 rw,noatime,nosuid master:1 shared:2 - ext3 /dev/root ro,errors=continue,data=x\n\
                     nonsense\n";
        let all = parse(text);
        assert_eq!(
            all,
            [HostMount {
                id: 36,
                parent: 35,
                device: (98, 0),
                root: b"/mnt1".to_vec(),
                at: b"/mnt 2".to_vec(),
                flags: MountFlags::NOATIME | MountFlags::NOSUID,
                kind: "ext3".into(),
                source: b"/dev/root".to_vec(),
                options: "errors=continue,data=x".into(),
                readonly: true,
            }]
        );
    }
}
