//! Random calls about System V objects and POSIX queues, of one who is in an ipc namespace of its own.

use super::choice::Choice;

const KEYS: [&str; 4] = ["0", "7", "8", "9"];
const OBJECT_IDS: [&str; 7] = ["0", "0", "1", "2", "3", "32768", "-1"];
const MODES: [&str; 6] = ["CREAT|0600", "CREAT|0666", "CREAT|EXCL|0600", "0", "0400", "CREAT|0"];
const OPERATIONS: [&str; 12] = [
    "0:1",
    "0:1",
    "0:3:UNDO",
    "1:2:UNDO",
    "0:-1:NOWAIT",
    "0:-2:NOWAIT|UNDO",
    "0:0:NOWAIT",
    "1:-1:NOWAIT",
    "2:1",
    "0:32767:NOWAIT",
    "1:1:UNDO",
    "0:-1:UNDO|NOWAIT",
];
const NAMES: [&str; 5] = ["q", "r", "", "a/b", ".."];
const FILES: [(&str, &[&str]); 9] = [
    ("kernel/msgmax", &["8192", "5", "-1", "x"]),
    ("kernel/msgmni", &["32000", "2", "32769"]),
    ("kernel/sem", &["32000 1024000000 500 32000", "3 9 2 2", "1 2 3 99999", ""]),
    ("kernel/shmmni", &["4096", "1"]),
    ("kernel/shmall", &["18446744073692774399", "4"]),
    ("kernel/shmmax", &["18446744073692774399", "8192"]),
    ("kernel/shm_rmid_forced", &["0", "1", "2"]),
    ("kernel/msg_next_id", &["5", "-1"]),
    ("fs/mqueue/queues_max", &["256", "1"]),
];

/// A call, or nothing if the choice made no sense.
pub(super) fn step(choice: &mut Choice) -> Option<String> {
    let (key, id, mode) = (choice.of(&KEYS), choice.of(&OBJECT_IDS), choice.of(&MODES));
    let number = choice.of(&["0", "0", "1", "2", "5", "-1"]);
    Some(match choice.below(24) {
        0..=1 => format!("semget {key} {} {mode}", choice.of(&["1", "2", "3", "0", "-1", "5"])),
        2..=3 => format!("shmget {key} {} {mode}", choice.of(&["1", "5000", "0", "8193"])),
        4..=5 => format!("msgget {key} {mode}"),
        6..=8 => {
            let count = 1 + choice.below(3);
            let all: Vec<&str> = (0..count).map(|_| choice.of(&OPERATIONS)).collect();
            format!("semop {id} {}", all.join(" "))
        }
        9 => format!("semctl {id} {number} {}", choice.of(&["GETVAL", "GETALL", "STAT", "RMID"])),
        10 => format!(
            "semctl {id} {number} {}",
            choice.of(&[
                "SETVAL 3",
                "SETVAL 0",
                "SETVAL 32768",
                "SETALL 1,2,3,4,5",
                "INFO",
                "USAGE"
            ])
        ),
        11 => format!(
            "semctl {} 0 {}",
            choice.of(&["0", "1", "2", "70"]),
            choice.of(&["INDEX_STAT", "INDEX_STAT_ANY"])
        ),
        12 => format!("shmat {id} {}", choice.of(&["0", "SHM_RDONLY", "SHM_EXEC"])),
        13 => format!("shmdt {id}"),
        14 => format!("shmpeek {id}"),
        15 => {
            format!("shmctl {id} {}", choice.of(&["STAT", "RMID", "STAT", "INDEX_STAT", "USAGE"]))
        }
        16 => format!(
            "{} {id} {}SET uid={} gid=0 mode=0640",
            choice.of(&["shmctl", "msgctl", "semctl"]),
            "",
            choice.of(&["0", "5", "1000"])
        )
        .replacen(&format!("semctl {id} "), &format!("semctl {id} 0 "), 1),
        17..=18 => format!(
            "msgsnd {id} {} \"{}\" NOWAIT",
            choice.of(&["1", "2", "0"]),
            choice.of(&["", "one", "long"])
        ),
        19..=20 => format!(
            "msgrcv {id} {} {} {}",
            choice.of(&["9", "2", "0", "-1"]),
            choice.of(&["0", "1", "2", "-2", "-1"]),
            choice.of(&["NOWAIT", "NOWAIT|NOERROR", "NOWAIT|EXCEPT"])
        ),
        21 => format!("msgctl {id} {}", choice.of(&["STAT", "RMID", "USAGE", "INDEX_STAT_ANY"])),
        22 => {
            let (file, values) = choice.of(&FILES);
            match choice.once_in(3) {
                true => format!("get /proc/sys/{file}"),
                false => format!("put /proc/sys/{file} \"{}\"", choice.of(values)),
            }
        }
        _ => {
            let name = choice.of(&NAMES);
            match choice.below(3) {
                0 => format!("mq_unlink \"{name}\""),
                _ => format!(
                    "mq_open \"{name}\" {} mode=0600",
                    choice
                        .of(&["O_RDONLY", "O_CREAT|O_RDWR", "O_CREAT|O_EXCL|O_RDWR", "O_WRONLY",])
                ),
            }
        }
    })
}
