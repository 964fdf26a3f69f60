//! The calls that a process can be told to make.
//!
//! One row a call: its arguments in the order they are written, and the word it is written with.
//! Reading, writing and the replacement of names follow from the row.

use std::fmt;

use super::ipc::{Bits, Command, SemOperation, Setting};
use super::mounting::{AtBits, AttrBits, MsBits, UmountBits};
use super::net::{NetRef, SocketAddress};
use super::options::{Block, Oddities, RawArg, RawCall, Sets};
use super::value::{
    Child, Fd, Flags, List, Meaning, Path, Prctl, PrctlNumber, Shown, Signal, Text, Value, Who,
    Word, Words,
};

macro_rules! calls {
    ($($(#[$doc:meta])* $variant:ident { $($field:ident: $kind:ty),* } = $word:literal;)+) => {
        /// One call with its arguments.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "the fields are the arguments the row names")]
        pub enum Call {
            $($(#[$doc])* $variant { $($field: $kind),* },)+
        }

        impl Call {
            /// Reads a call: its word and its arguments.
            pub(crate) fn read(word: &str, words: &mut Words<'_>) -> Result<Call, String> {
                match word {
                    $($word => Ok(Call::$variant { $($field: <$kind>::read(words)?),* }),)+
                    _ => Err(format!("there is no call {word}")),
                }
            }

            /// Replaces names by what they mean now.
            pub fn resolve(&mut self, meaning: &dyn Meaning) {
                match self {
                    $(Call::$variant { $($field),* } => { $($field.resolve(meaning);)* let _ = meaning; })+
                }
            }

            /// The actor that the call brings to life.
            pub fn born(&self) -> Option<&str> {
                let found: Vec<Option<&str>> = match self {
                    $(Call::$variant { $($field),* } => vec![$(Value::born($field)),*],)+
                };
                found.into_iter().flatten().next()
            }

            /// The word the call is written with.
            pub fn word(&self) -> &'static str {
                match self {
                    $(Call::$variant { .. } => $word,)+
                }
            }
        }

        impl fmt::Display for Call {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())?;
                let arguments: Vec<String> = match self {
                    $(Call::$variant { $($field),* } => vec![$($field.write()),*],)+
                };
                for argument in arguments.iter().filter(|text| !text.is_empty()) {
                    write!(f, " {argument}")?;
                }
                Ok(())
            }
        }
    };
}

calls! {
    /// fork(2).
    Fork { child: Child } = "fork";
    /// vfork(2): the caller takes no further step until the child has exited or executed.
    Vfork { child: Child } = "vfork";
    /// clone(2) with raw flags, the low byte being the exit signal.
    Clone { child: Child, flags: Flags } = "clone";
    /// clone3(2).
    Clone3 { child: Child, block: Block } = "clone3";
    /// A new thread of the process.
    Thread { child: Child } = "thread";
    /// Ends the process with a status, or the thread.
    Exit { status: Option<i64> } = "exit";
    /// Waits for a child and says how it ended; for -1, whom as well. With `NOHANG` it does not
    /// sleep: `running`.
    Wait { who: Who, how: Option<Word> } = "wait";
    /// getpid(2): an actor's name for a number of the initial pid namespace.
    Getpid {} = "getpid";
    /// gettid(2).
    Gettid {} = "gettid";
    /// getppid(2).
    Getppid {} = "getppid";
    /// setsid(2).
    Setsid {} = "setsid";
    /// setpgid(2): of whom, to which group; 0 for the caller, and for its number.
    Setpgid { who: Who, group: Who } = "setpgid";
    /// getpgid(2); 0 for the caller.
    Getpgid { who: Who } = "getpgid";
    /// getsid(2); 0 for the caller.
    Getsid { who: Who } = "getsid";
    /// memfd_create(2), whose file is closed at once.
    Memfd { flags: Flags } = "memfd";
    /// prctl(2), PR_SET_CHILD_SUBREAPER.
    Subreaper { on: i64 } = "subreaper";
    /// An ioctl of a pid namespace's descriptor: PID_FROM, TGID_FROM, PID_IN or TGID_IN.
    Translate { fd: Fd, request: Word, who: Who } = "translate";
    /// kill(2).
    Kill { who: Who, signal: Signal } = "kill";
    /// The names in a directory, sorted.
    List { path: Path } = "list";
    /// rt_sigaction(2): a handler that remembers, `default` or `ignore`.
    Handle { signal: Signal, how: Option<Word> } = "handle";
    /// The sender of the last signal whose handler ran, and the signal.
    Handled {} = "handled";
    /// A store to where nothing is.
    Fault {} = "fault";
    /// abort(3).
    Abort {} = "abort";
    /// reboot(2), with a word after the command with the wrong magic numbers; never made in the
    /// initial pid namespace.
    Reboot { command: Word, wrong: Option<Word> } = "reboot";
    /// sendmsg(2) with SCM_CREDENTIALS, to whoever takes it.
    SendCreds {} = "sendcreds";
    /// The number of the process that sent them.
    RecvCreds {} = "recvcreds";
    /// sendmsg(2) with SCM_CREDENTIALS that say this, to nobody who looks.
    Claim { who: Who, uid: i64, gid: i64 } = "claim";
    /// execve(2) of the agent itself (or of another copy of it), which goes on obeying.
    Exec { path: Option<Path> } = "exec";

    /// unshare(2).
    Unshare { flags: Flags } = "unshare";
    /// setns(2).
    Setns { fd: Fd, nstype: Flags } = "setns";
    /// pidfd_open(2).
    Pidfd { who: Who } = "pidfd";
    /// Whether two links name the same namespace.
    Same { one: Path, other: Path } = "same";
    /// readlink(2).
    Readlink { path: Path } = "readlink";
    /// An ioctl of a namespace descriptor: USERNS, PARENT, NSTYPE, OWNER_UID, ID, MNTNS_ID, INFO,
    /// NEXT, PREV or a number.
    Ioctl { fd: Fd, request: Word } = "ioctl";
    /// An ioctl of a pidfd: the namespace that a link in its `/proc/PID/ns` leads to.
    PidfdNs { fd: Fd, link: Word, argument: Option<i64> } = "pidfdns";
    /// name_to_handle_at(2) of a namespace's descriptor, and open_by_handle_at(2) of the handle.
    Reopen { fd: Fd } = "reopen";

    /// open(2): `read`, `write`, `rdwr` or `path`.
    Open { mode: Word, path: Path } = "open";
    /// close(2).
    Close { fd: Fd } = "close";
    /// Reads a descriptor to its end.
    Read { fd: Fd } = "read";
    /// write(2).
    Write { fd: Fd, text: Text } = "write";
    /// pwrite(2).
    Pwrite { fd: Fd, offset: i64, text: Text } = "pwrite";
    /// writev(2), one text a segment.
    Writev { fd: Fd, texts: Vec<Text> } = "writev";
    /// open, read to the end, close.
    Get { path: Path } = "get";
    /// open for writing, one write, close.
    Put { path: Path, text: Text } = "put";
    /// Uid and gid of a file, following links.
    Owner { path: Path } = "owner";
    /// lstat(2): whether it can be seen at all.
    Lstat { path: Path } = "lstat";
    /// chown(2).
    Chown { path: Path, uid: i64, gid: i64 } = "chown";
    /// Sends a copy of a descriptor to another process of the scenario.
    Send { fd: Fd, who: Word } = "send";
    /// Takes the descriptor that was sent; the driver adds it to `send`.
    Receive { slot: i64 } = "receive";
    /// One field of `/proc/WHO/status`.
    Status { who: Shown, field: Word } = "status";
    /// chroot(2).
    Chroot { path: Path } = "chroot";
    /// chdir(2).
    Chdir { path: Path } = "chdir";
    /// mkdir(2).
    Mkdir { path: Path } = "mkdir";
    /// rmdir(2).
    Rmdir { path: Path } = "rmdir";
    /// Makes an empty file.
    Touch { path: Path } = "touch";
    /// mount(2): source and type are `-` for NULL, the source `""` for an empty text.
    Mount { source: Path, target: Path, kind: Word, flags: MsBits } = "mount";
    /// umount2(2).
    Umount { path: Path, flags: UmountBits } = "umount";
    /// pivot_root(2).
    PivotRoot { new: Path, old: Path } = "pivot_root";
    /// mount_setattr(2): flags, what is set and cleared, the propagation, and perhaps the size and
    /// what follows the attributes.
    MountSetattr {
        path: Path,
        at: AtBits,
        set: AttrBits,
        clear: AttrBits,
        propagation: MsBits,
        size: Option<i64>,
        tail: Option<i64>
    } = "mount_setattr";
    /// mount_setattr(2) with the descriptor of a user namespace: flags, what is set and cleared.
    Idmap { path: Path, at: AtBits, set: AttrBits, clear: AttrBits, user: Fd } = "idmap";
    /// open_tree(2).
    OpenTree { path: Path, flags: AtBits } = "open_tree";
    /// move_mount(2).
    MoveMount { from: Path, to: Path, flags: AtBits } = "move_mount";
    /// What `/proc/thread-self/mountinfo` shows at and below a path.
    Mountinfo { path: Path } = "mountinfo";
    /// What `/proc/thread-self/mounts` shows at and below a path.
    Mounts { path: Path } = "mounts";
    /// setrlimit(2), soft and hard.
    Rlimit { resource: Word, limit: i64 } = "rlimit";

    /// All eight ids.
    Ids {} = "ids";
    /// setuid(2).
    Setuid { uid: i64 } = "setuid";
    /// setgid(2).
    Setgid { gid: i64 } = "setgid";
    /// setreuid(2).
    Setreuid { real: i64, effective: i64 } = "setreuid";
    /// setregid(2).
    Setregid { real: i64, effective: i64 } = "setregid";
    /// setresuid(2).
    Setresuid { real: i64, effective: i64, saved: i64 } = "setresuid";
    /// setresgid(2).
    Setresgid { real: i64, effective: i64, saved: i64 } = "setresgid";
    /// setfsuid(2): the old value, whether it changed or not.
    Setfsuid { uid: i64 } = "setfsuid";
    /// setfsgid(2): the old value, whether it changed or not.
    Setfsgid { gid: i64 } = "setfsgid";
    /// getgroups(2).
    Getgroups {} = "getgroups";
    /// setgroups(2).
    Setgroups { groups: List } = "setgroups";

    /// capget(2), of the caller if nobody is named.
    Capget { who: Option<Who> } = "capget";
    /// capset(2).
    Capset { sets: Sets } = "capset";
    /// prctl(2), the options that concern credentials.
    Prctl { option: Prctl, args: Vec<PrctlNumber> } = "prctl";

    /// The node name that uname(2) gives.
    Hostname {} = "hostname";
    /// The domain name that uname(2) gives.
    Domainname {} = "domainname";
    /// sethostname(2).
    Sethostname { name: Text, odd: Oddities } = "sethostname";
    /// setdomainname(2).
    Setdomainname { name: Text, odd: Oddities } = "setdomainname";

    /// Makes, removes or enters a cgroup of version 2: `make`, `remove`, `enter`.
    Cgroup { act: Word, path: Path } = "cgroup";
    /// The path of a process in the hierarchy of version 2, from `/proc/WHO/cgroup`.
    Cgroups { who: Who } = "cgroups";
    /// The root of the mount of version 2, from `/proc/self/mountinfo`.
    Cgroupmount {} = "cgroupmount";
    /// How many seconds a clock is ahead of the host's: MONOTONIC[_RAW|_COARSE], BOOTTIME,
    /// `uptime` of `/proc/uptime`, `sysinfo`.
    Clock { clock: Word } = "clock";

    /// socket(2): tcp, tcp6, udp, udp6 or unix; `-`, or REUSEADDR|REUSEPORT|V6ONLY.
    Socket { kind: Word, options: Word } = "socket";
    /// bind(2).
    Bind { fd: Fd, at: SocketAddress } = "bind";
    /// connect(2).
    Connect { fd: Fd, to: SocketAddress } = "connect";
    /// listen(2).
    Listen { fd: Fd } = "listen";
    /// `SIOCGSKNS`: a descriptor of the socket's network namespace.
    Skns { fd: Fd } = "skns";
    /// The devices, as `INDEX:NAME:up|down[@NSID]`.
    Links {} = "links";
    /// A new device: name, sort, index, where; for a veth the other end's name, and where that is.
    LinkAdd {
        name: Text,
        kind: Word,
        index: i64,
        target: NetRef,
        peer: Option<Text>,
        peer_target: Option<NetRef>
    } = "linkadd";
    /// Moves a device to another network namespace.
    LinkMove { name: Text, to: NetRef } = "linkmove";
    /// Renames a device.
    LinkName { name: Text, to: Text } = "linkname";
    /// Sets a device up.
    LinkUp { name: Text } = "linkup";
    /// Sets a device down.
    LinkDown { name: Text } = "linkdown";
    /// Removes a device.
    LinkDel { name: Text } = "linkdel";
    /// Waits until a device is gone that dies with a namespace.
    LinkGone { name: Text } = "linkgone";
    /// Gives a network namespace an nsid; `-` for a request without one.
    NsidSet { nsid: Word, of: NetRef } = "nsidset";
    /// The nsid of a network namespace, -1 for none.
    NsidGet { of: NetRef } = "nsidget";
    /// Whether an nsid is somebody's: it itself.
    NsidOf { nsid: i64 } = "nsidof";

    /// semget(2): the id.
    Semget { key: i64, count: i64, flags: Bits } = "semget";
    /// semop(2): `NUMBER:ADD:FLAGS` each.
    Semop { id: i64, operations: Vec<SemOperation> } = "semop";
    /// semctl(2).
    Semctl { id: i64, number: i64, command: Command, settings: Vec<Setting> } = "semctl";
    /// shmget(2): the id.
    Shmget { key: i64, size: i64, flags: Bits } = "shmget";
    /// shmat(2), anywhere.
    Shmat { id: i64, flags: Bits } = "shmat";
    /// shmdt(2) of what was attached last under an id.
    Shmdt { id: i64 } = "shmdt";
    /// The first byte of what was attached last under an id.
    Shmpeek { id: i64 } = "shmpeek";
    /// shmctl(2).
    Shmctl { id: i64, command: Command, settings: Vec<Setting> } = "shmctl";
    /// msgget(2): the id.
    Msgget { key: i64, flags: Bits } = "msgget";
    /// msgsnd(2).
    Msgsnd { id: i64, kind: i64, text: Text, flags: Bits } = "msgsnd";
    /// msgrcv(2): type and text.
    Msgrcv { id: i64, size: i64, kind: i64, flags: Bits } = "msgrcv";
    /// msgctl(2).
    Msgctl { id: i64, command: Command, settings: Vec<Setting> } = "msgctl";
    /// mq_open(2), the system call: `mode=`, `maxmsg=`, `msgsize=`.
    MqOpen { name: Text, flags: Bits, settings: Vec<Setting> } = "mq_open";
    /// mq_unlink(2), the system call.
    MqUnlink { name: Text } = "mq_unlink";
    /// The sizes of a POSIX queue: messages, bytes of each.
    MqGetattr { fd: Fd } = "mq_getattr";

    /// Any of the calls that take pointers, with any pointers.
    Raw { call: RawCall, args: Vec<RawArg> } = "raw";
}

impl Call {
    /// Whether the caller is suspended until the child has exited or executed a program.
    pub fn suspends(&self) -> bool {
        const VFORK: u64 = 0x4000;
        match self {
            Call::Vfork { .. } => true,
            Call::Clone { flags, .. } => flags.0 & VFORK != 0,
            Call::Clone3 { block, .. } => block.0.flags & VFORK != 0,
            _ => false,
        }
    }

    /// Whether success gives a descriptor, which `= @name` can name.
    pub fn gives_descriptor(&self) -> bool {
        match self {
            Call::Open { .. }
            | Call::OpenTree { .. }
            | Call::Pidfd { .. }
            | Call::PidfdNs { .. }
            | Call::Reopen { .. }
            | Call::MqOpen { .. }
            | Call::Socket { .. }
            | Call::Skns { .. } => true,
            Call::Ioctl { request, .. } => {
                matches!(request.0.as_str(), "USERNS" | "PARENT" | "NEXT" | "PREV")
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lang::words::split;

    fn read(line: &str) -> Result<Call, String> {
        let words = split(line)?;
        let mut rest = Words::new(&words[1..]);
        let call = Call::read(&words[0], &mut rest)?;
        rest.finish().map(|()| call)
    }

    #[test]
    fn calls_print_as_they_are_read() {
        for line in [
            "fork b",
            "clone - NEWUSER|SIGCHLD",
            "clone3 b flags=NEWUSER exit_signal=0x0 size=96 tail=1",
            "clone3 - set_tid=1,30005",
            "clone3 - set_tid_at=NULL set_tid_size=2",
            "exit 3",
            "kill b KILL",
            "setns @outer NEWUTS",
            "setns -1 0",
            "same /proc/self/ns/uts /proc/b/ns/uts",
            "put /proc/self/uid_map \"0 1000 1\"",
            "put /proc/self/uid_map rows(341)",
            "writev @map \"0 10\" \"00 1\\n\"",
            "setgroups -",
            "setgroups 1,2",
            "capset e=none p=SYS_ADMIN i=none",
            "prctl CAP_AMBIENT RAISE KILL",
            "sethostname \"\" len=5 at=NULL",
            "raw uname END389",
            "ids",
        ] {
            assert_eq!(read(line).unwrap().to_string(), line);
        }
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(read("unshare"), Err("flags is missing".into()));
        assert_eq!(read("unshare NEWUSR"), Err("NEWUSR are no flags".into()));
        assert_eq!(read("ids now"), Err("now is one word too many".into()));
        assert_eq!(read("mont x"), Err("there is no call mont".into()));
    }

    #[test]
    fn births_name_the_child() {
        assert_eq!(read("vfork c").unwrap().born(), Some("c"));
        assert_eq!(read("clone - 0").unwrap().born(), None);
        assert_eq!(read("unshare 0").unwrap().born(), None);
    }
}
