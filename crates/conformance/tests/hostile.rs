//! Every pointer bad, every length absurd, every descriptor wrong: the kernel and anyns say the
//! same, and nothing hangs.
//!
//! The table below holds calls with places: `P` is every kind of pointer in turn, `N` every absurd
//! number, `D` every wrong descriptor; the other arguments stay. Each row is tried by an ordinary
//! user in the initial namespaces and by the root of a user namespace. What must be answered is not
//! written down: it is what the kernel answers.

mod common;

use conformance::lang::{Scenario, parse_scenarios};
use conformance::native::Executor;

const POINTERS: [&str; 14] = [
    "NULL",
    "LOW",
    "UNMAPPED",
    "KERNEL",
    "NONCANONICAL",
    "READONLY",
    "BUFFER",
    "END0",
    "END1",
    "END3",
    "END7",
    "END15",
    "END63",
    "END200",
];

const NUMBERS: [&str; 13] = [
    "0",
    "1",
    "7",
    "-1",
    "255",
    "65536",
    "65537",
    "2147483647",
    "2147483648",
    "-2147483648",
    "4294967296",
    "9223372036854775807",
    "-9223372036854775808",
];

const DESCRIPTORS: [&str; 9] =
    ["-1", "-100", "150", "1000000", "2147483647", "4294967295", "@null", "@path", "@pid"];

/// `!` after a row: not as root of a namespace, where it would succeed and change what follows. Maps are
/// written inside one only: outside it is the host's own map that answers.
const TABLE: &[&str] = &[
    // uts
    "uname P",
    "sethostname P 5",
    "sethostname P 0",
    "sethostname NAME N",
    "sethostname END3 N",
    "setdomainname P 64",
    "setdomainname NULL N",
    // ids
    "getresuid P BUFFER BUFFER",
    "getresuid BUFFER P BUFFER",
    "getresuid BUFFER BUFFER P",
    "getresgid P BUFFER BUFFER",
    "getresgid BUFFER P NULL",
    "getgroups 0 P",
    "getgroups 16 P",
    "getgroups N BUFFER",
    "getgroups N NULL",
    "setgroups 0 P",
    "setgroups 3 P",
    "setgroups N NULL",
    "setgroups N END7",
    "setuid N",
    "setgid N",
    "setreuid N -1",
    "setreuid -1 N",
    "setregid N N",
    "setresuid -1 N -1",
    "setresuid N N N",
    "setresgid -1 -1 N",
    "setfsuid N",
    "setfsgid N",
    // capabilities
    "capget P BUFFER",
    "capget P NULL",
    "capget HEADER P",
    "capset P BUFFER",
    "capset HEADER P",
    "prctl 23 N 0 0 0",
    "prctl 24 N 0 0 0!",
    "prctl 8 N 0 0 0!",
    "prctl 28 N 0 0 0!",
    "prctl 47 N 7 0 0",
    "prctl 47 1 N 0 0",
    "prctl 38 1 N 0 0",
    "prctl 39 N 0 0 0",
    "prctl 39 0 0 0 N",
    // namespaces
    "setns D 0",
    "setns D 67108864",
    "setns D 268435456",
    "setns D 335544320",
    "setns @uts N",
    "setns @user N",
    "setns @pid N",
    "unshare N",
    "ioctl D 46849 NULL",
    "ioctl D 46850 NULL",
    "ioctl D 46851 NULL",
    "ioctl D 46852 BUFFER",
    "ioctl @user 46852 P",
    "ioctl @user 46851 P",
    "ioctl @uts 46852 P",
    "ioctl @uts 46929 P",
    "clone3 P 0",
    "clone3 P 63",
    "clone3 NULL N",
    "clone3 UNMAPPED N",
    // files
    "open P 0",
    "open P 1",
    "open P 2097152",
    "open NULL N",
    "openat D P 0",
    "openat D READONLY 0",
    "openat -100 P N",
    "openat2 -100 P BUFFER 24",
    "openat2 -100 LINK P 24",
    "openat2 -100 MAP P 24",
    "openat2 -100 MAP READONLY N",
    "openat2 -100 P READONLY 24",
    "stat P BUFFER",
    "stat ROOT P",
    "stat LINK P",
    "stat MAP P",
    "lstat P BUFFER",
    "lstat LINK P",
    "newfstatat D P BUFFER 0",
    "newfstatat D READONLY P 4096",
    "newfstatat -100 LINK P 0",
    "newfstatat -100 ROOT BUFFER N",
    "newfstatat @uts READONLY P 4096",
    "fstat D P",
    "fstat @uts P",
    "fstat @map P",
    "statx D P 0 2047 BUFFER",
    "statx -100 ROOT 0 2047 P",
    "statx -100 LINK 0 2047 P",
    "statx -100 ROOT N 2047 BUFFER",
    "statx -100 ROOT 0 N BUFFER",
    "statx @uts READONLY 4096 2047 P",
    "readlink P BUFFER 64",
    "readlink LINK P 64",
    "readlink LINK BUFFER N",
    "readlink LINK END7 64",
    "readlink ROOT P 64",
    "readlinkat D P BUFFER 64",
    "readlinkat -100 LINK P 64",
    "readlinkat -100 LINK BUFFER N",
    "chown P -1 -1",
    "chown ROOT N -1",
    "chown ROOT -1 N",
    "lchown P 0 0",
    "fchown D -1 -1",
    "fchown @null N N",
    "fchownat D P -1 -1 0",
    "fchownat -100 ROOT -1 -1 N",
    "access P 0",
    "access LINK N",
    // control files
    "write @map P 10",
    "write @map END7 10",
    "write @map BUFFER 4096",
    "write @map BUFFER 5000",
    "writev @map P 1",
    "writev @map SEGMENT 1",
    "writev @map SEGMENT N",
    "write @groups P 5",
    "write @uts P 5",
    "read @uidmap P 0",
    "write D P 5",
    "read -1 P 5",
    "read 150 P 5",
    // programs, processes, signals
    "execve P NULL NULL",
    "execve ROOT P NULL",
    "execve ROOT NULL P",
    "execve LINK NULL NULL",
    "execveat D P NULL NULL 0",
    "execveat -100 ROOT NULL NULL N",
    "pidfd_open N 0",
    "pidfd_open 4194305 N",
    "pidfd_send_signal D 0 NULL 0",
    "pidfd_send_signal @pid N NULL 99",
    "pidfd_send_signal @pid 0 P 0",
    "pidfd_send_signal @pid 0 NULL N",
    "kill 4194305 N",
    "kill 2147483647 9",
    "kill -2147483648 0",
    "tkill N 0",
    "tkill 4194305 N",
    "tgkill N 4194305 0",
    "tgkill 4194305 4194305 N",
    "waitid 1 4194305 P 5 NULL",
    "waitid 3 D P 5 NULL",
];

/// The same with a set of three semaphores, a segment and a queue, each of id 0, in an ipc namespace
/// of the caller's own. Nothing here may have to wait, and no segment is attached where the kernel
/// likes: addresses differ from run to run.
const IPC: &[&str] = &[
    "semget N 1 0",
    "semget 9 N 512",
    "semget 10 1 N",
    "semop 0 P 1",
    "semop 0 BUFFER N",
    "semop 0 NULL N",
    "semop N BUFFER 1",
    "semop N NULL 1",
    "semop -1 NULL 0",
    "semop 0 END3 1",
    "semtimedop 0 P 1 NULL",
    "semtimedop 0 READONLY 1 P",
    "semtimedop N BUFFER 1 BUFFER",
    "semtimedop 0 NULL 0 P",
    "semctl 0 0 2 P",
    "semctl 0 0 1 P",
    "semctl 0 0 3 P",
    "semctl 0 0 19 P",
    "semctl 0 0 18 P",
    "semctl 0 0 20 P",
    "semctl 0 0 13 P",
    "semctl 0 0 17 P",
    "semctl 7 N 11 NULL",
    "semctl 0 N 12 NULL",
    "semctl 0 N 14 NULL",
    "semctl 0 N 15 NULL",
    "semctl N 0 2 BUFFER",
    "semctl N 0 2 NULL",
    "semctl N 0 18 BUFFER",
    "semctl N 0 17 NULL",
    "semctl N 0 1 NULL",
    "semctl N 0 3 BUFFER",
    "shmget 9 N 512",
    "shmget 10 1 N",
    "shmget N 1 0",
    "shmat 7 P 0",
    "shmat -1 P 0",
    "shmat 0 KERNEL 0",
    "shmat 0 NONCANONICAL 0",
    "shmat 0 READONLY 0",
    "shmat 0 BUFFER 0",
    "shmat 0 END7 0",
    "shmat N BUFFER 0",
    "shmctl 0 2 P",
    "shmctl 0 1 P",
    "shmctl 0 3 P",
    "shmctl 0 13 P",
    "shmctl 0 14 P",
    "shmctl 0 15 P",
    "shmctl N 2 BUFFER",
    "shmctl N 13 NULL",
    "shmctl N 3 BUFFER",
    "shmctl N 1 NULL",
    "shmctl N 11 NULL",
    "shmctl 0 12 P",
    "msgget N 0",
    "msgget 10 N",
    "msgsnd 0 P 5 2048",
    "msgsnd 0 BUFFER N 2048",
    "msgsnd N BUFFER 1 2048",
    "msgsnd 0 NULL N 2048",
    "msgsnd N READONLY 1 2048",
    "msgrcv 0 P 100 0 2048",
    "msgsnd 0 BUFFER 3 2048",
    "msgrcv 0 BUFFER N 0 18432",
    "msgrcv 0 BUFFER 100 N 18432",
    "msgrcv 0 P 100 0 18432",
    "msgrcv 0 BUFFER N 0 2048",
    "msgrcv 0 BUFFER 100 N 2048",
    "msgrcv N BUFFER 1 0 2048",
    "msgrcv N NULL -1 0 2048",
    "msgctl 0 2 P",
    "msgctl 0 1 P",
    "msgctl 0 3 P",
    "msgctl 0 11 P",
    "msgctl 0 12 P",
    "msgctl 0 13 P",
    "msgctl N 2 BUFFER",
    "msgctl N 11 NULL",
    "msgctl N 3 BUFFER",
    "msgctl N 1 NULL",
    "mq_open P 0 384 NULL",
    "mq_open P 66 384 BUFFER",
    "mq_open NAME 66 384 P",
    "mq_open NULL 66 384 NULL",
    "mq_unlink P",
    "semctl 0 0 N NULL",
    "shmctl 0 N NULL",
    "msgctl 0 N NULL",
];

/// All steps of a row.
fn unfold(row: &str) -> Vec<String> {
    let mut all = vec![String::from("raw")];
    for word in row.trim_end_matches('!').split(' ') {
        let values: &[&str] = match word {
            "P" => &POINTERS,
            "N" => &NUMBERS,
            "D" => &DESCRIPTORS,
            _ => &[word],
        };
        // A row with two places varies one after the other, not each with each.
        let widest = all.len().max(values.len());
        let at = |list: &[String], index: usize| list[index.min(list.len() - 1)].clone();
        all = (0..widest)
            .map(|index| format!("{} {}", at(&all, index), values[index.min(values.len() - 1)]))
            .collect();
    }
    all
}

fn program(start: &str, inside: bool) -> Scenario {
    let mut text = format!("scenario hostile {start}\n as {start}\n");
    let mut add = |line: &str| text.push_str(&format!(" a {line}\n"));
    add("open read /dev/null = @null");
    add("open read /proc/self/ns/uts = @uts");
    add("open read /proc/self/ns/user = @user");
    add("open path /proc/self/ns/uts = @path");
    add("open read /proc/self/uid_map = @uidmap");
    add("pidfd a = @pid");
    if inside {
        add("open write /proc/self/projid_map = @map");
        add("open write /proc/self/setgroups = @groups");
    } else {
        add("open read /proc/self/setgroups = @groups");
    }
    for row in TABLE {
        let fits = if inside { !row.ends_with('!') } else { !row.contains("@map") };
        if fits {
            unfold(row).iter().for_each(|step| add(&format!("{step} = ?")));
        }
    }
    add("ids = ?");
    add("capget = ?");
    add("hostname = ?");
    let mut all = parse_scenarios("hostile", &text).unwrap_or_else(|error| panic!("{error}"));
    all.remove(0)
}

/// The program about ipc.
fn ipc_program() -> Scenario {
    let mut text = String::from("scenario hostile ipc\n needs ipc\n as nsroot\n");
    for step in ["unshare NEWIPC", "semget 0 3 0600", "shmget 0 8192 0600", "msgget 0 0600"] {
        text += &format!(" a {step} = 0\n");
    }
    for step in IPC.iter().flat_map(|row| unfold(row)) {
        text += &format!(" a {step} = ?\n");
    }
    let mut all = parse_scenarios("hostile", &text).unwrap_or_else(|error| panic!("{error}"));
    all.remove(0)
}

/// The lines of a transcript with what each gave.
fn lines(executor: &Executor, program: &Scenario) -> Vec<String> {
    let transcript = executor.run(program);
    // What has to succeed is written down: without it what follows would mean the host's own objects.
    let wrong = transcript
        .entries
        .iter()
        .zip(&program.steps)
        .find(|(entry, step)| step.expected == "0" && entry.result != "0");
    assert!(wrong.is_none(), "{wrong:?}");
    assert_eq!(transcript.broken, None, "after {} steps", transcript.entries.len());
    transcript.entries.iter().map(|entry| format!("{} = {}", entry.step, entry.result)).collect()
}

/// What Docker's filter refuses though the kernel would have to do it: clone3, and unshare of what
/// is no namespace.
fn refused(line: &str) -> bool {
    line.contains(" clone3 ") && line.ends_with(" = ENOSYS")
        || line.contains(" unshare ") && line.ends_with(" = EPERM")
}

fn compare(program: &Scenario) {
    let programs = common::programs();
    let native = lines(&Executor::native(&programs), program);
    for (name, hosted) in common::hosted(&programs) {
        let hosted = lines(&hosted, program);
        let different: Vec<String> = native
            .iter()
            .zip(&hosted)
            .filter(|(native, hosted)| native != hosted && !(name == "docker" && refused(hosted)))
            .map(|(native, hosted)| {
                format!("{native}   {name}: {}", hosted.rsplit_once(" = ").map_or("", |(_, r)| r))
            })
            .collect();
        let (bad, all) = (different.len(), native.len());
        assert!(bad == 0, "{bad} of {all} hostile calls differ:\n{}", different.join("\n"));
    }
}

#[test]
fn an_ordinary_user_gets_the_kernels_answers() {
    compare(&program("1000", false));
}

#[test]
fn the_root_of_a_namespace_gets_the_kernels_answers() {
    compare(&program("nsroot", true));
}

#[test]
fn in_an_ipc_namespace_of_its_own_it_gets_the_kernels_answers() {
    compare(&ipc_program());
}
