//! The table of rules: IPC namespaces.

macro_rules! ipc {
    ($left:tt $($rows:tt)*) => { $crate::rule::table::collect! { $left $($rows)*

    // ---- ipc: System V objects of every sort -----------------------------------------------

    IpcKeyMissing => ENOENT,
        "without IPC_CREAT there must be an object of that key in the caller's ipc namespace",
        "Keys are names within one ipc namespace; another's objects cannot be found by them.",
        calls: ["semget", "shmget", "msgget"], manual: ["semget(2)", "shmget(2)", "msgget(2)"];

    IpcKeyExists => EEXIST,
        "with IPC_CREAT and IPC_EXCL there must be no object of that key",
        "The caller wants to be its maker.",
        calls: ["semget", "shmget", "msgget"], manual: ["semget(2)", "shmget(2)", "msgget(2)"];

    IpcTooMany => ENOSPC,
        "there must be room for one more object below the namespace's limit",
        "The limits are SEMMNI, shmmni and msgmni; no table holds more than 32768.",
        calls: ["semget", "shmget", "msgget"], manual: ["proc(5)", "ipc_namespaces(7)"];

    IpcIdUnknown => EINVAL,
        "there must be an object of that id in the caller's ipc namespace",
        "An id is a sequence number and an index, so that one whose object was removed is stale although the index is in use again.",
        calls: ["semop", "semctl", "shmat", "shmctl", "msgsnd", "msgrcv", "msgctl"],
        manual: ["semop(2)", "shmctl(2)", "msgctl(2)"];

    IpcCommandUnknown => EINVAL,
        "the command must be one that this sort of object has",
        "Nothing else has a meaning.",
        calls: ["semctl", "shmctl", "msgctl"], manual: ["semctl(2)", "shmctl(2)", "msgctl(2)"];

    IpcModeForbids => EACCES,
        "the object's mode must allow what is asked, or the caller holds CAP_IPC_OWNER in the owner of the ipc namespace",
        "Owner and maker go by the first three bits, their groups by the next, all others by the last.",
        calls: ["semget", "semop", "semctl", "shmget", "shmat", "shmctl", "msgget", "msgsnd", "msgrcv", "msgctl"],
        manual: ["sysvipc(7)", "capabilities(7)"];

    IpcNotTheirs => EPERM,
        "only the object's owner or maker, or a holder of CAP_SYS_ADMIN in the owner of the ipc namespace, may remove or change it",
        "The mode says who may use it, not whose it is.",
        calls: ["semctl", "shmctl", "msgctl"], manual: ["semctl(2)", "shmctl(2)", "msgctl(2)"];

    IpcOwnerUnmapped => EINVAL,
        "the owner that IPC_SET names must be mapped in the caller's user namespace",
        "An id without a mapping stands for nobody.",
        calls: ["semctl", "shmctl", "msgctl"], manual: ["user_namespaces(7)"];

    // ---- ipc: semaphores --------------------------------------------------------------------

    SemCountInvalid => EINVAL,
        "a set has 0 to SEMMSL semaphores, where 0 asks for any number",
        "That is the first number of /proc/sys/kernel/sem.",
        calls: ["semget"], manual: ["semget(2)"];

    SemSetSmaller => EINVAL,
        "an existing set must have at least as many semaphores as are asked for",
        "The caller would use semaphores that are not there.",
        calls: ["semget"], manual: ["semget(2)"];

    SemSetEmpty => EINVAL,
        "a new set has at least one semaphore",
        "0 says nothing about a set that does not exist.",
        calls: ["semget"], manual: ["semget(2)"];

    SemTooManyInAll => ENOSPC,
        "all sets of the namespace together have at most SEMMNS semaphores",
        "That is the second number of /proc/sys/kernel/sem.",
        calls: ["semget"], manual: ["semget(2)"];

    SemNumberUnknown => EINVAL,
        "the set must have a semaphore of that number",
        "They are numbered from 0.",
        calls: ["semctl"], manual: ["semctl(2)"];

    SemValueRange => ERANGE,
        "a semaphore's value is 0 to 32767",
        "That is SEMVMX.",
        calls: ["semctl"], manual: ["semctl(2)"],
        kernel: "SETVAL is judged before the id, SETALL after it";

    SemopEmpty => EINVAL,
        "semop takes at least one operation",
        "There would be nothing to do.",
        calls: ["semop", "semtimedop"], manual: ["semop(2)"];

    SemopTooMany => E2BIG,
        "semop takes at most SEMOPM operations",
        "That is the third number of /proc/sys/kernel/sem.",
        calls: ["semop", "semtimedop"], manual: ["semop(2)"];

    SemopNumberUnknown => EFBIG,
        "every operation must name a semaphore that the set has",
        "They are numbered from 0.",
        calls: ["semop", "semtimedop"], manual: ["semop(2)"];

    SemopWouldWait => EAGAIN,
        "with IPC_NOWAIT an operation must be possible at once",
        "None of the others is done either.",
        calls: ["semop", "semtimedop"], manual: ["semop(2)"];

    SemopRange => ERANGE,
        "no operation may take a semaphore above 32767",
        "That is SEMVMX.",
        calls: ["semop", "semtimedop"], manual: ["semop(2)"];

    SemopUndoRange => ERANGE,
        "what SEM_UNDO has to take back must stay within -32768 to 32767",
        "That is SEMAEM.",
        calls: ["semop", "semtimedop"], manual: ["semop(2)"];

    // ---- ipc: shared memory -----------------------------------------------------------------

    ShmSizeInvalid => EINVAL,
        "a new segment has at least one byte and at most shmmax",
        "The size is fixed when it is made.",
        calls: ["shmget"], manual: ["shmget(2)"];

    ShmSegmentSmaller => EINVAL,
        "an existing segment must be as large as is asked for",
        "The caller would use memory that is not there.",
        calls: ["shmget"], manual: ["shmget(2)"];

    ShmTooMuchInAll => ENOSPC,
        "all segments of the namespace together have at most shmall pages",
        "Shared memory is not given back when a process ends.",
        calls: ["shmget"], manual: ["shmget(2)"];

    ShmLockNotTheirs => EPERM,
        "only the segment's owner or maker, or a holder of CAP_IPC_LOCK in the owner of the ipc namespace, may lock or unlock it",
        "Locked memory cannot be swapped out.",
        calls: ["shmctl"], manual: ["shmctl(2)", "capabilities(7)"];

    ShmLockForbidden => EPERM,
        "locking a segment needs CAP_IPC_LOCK in the owner of the ipc namespace, or a limit RLIMIT_MEMLOCK above 0",
        "Locked memory cannot be swapped out.",
        calls: ["shmctl"], manual: ["shmctl(2)", "getrlimit(2)"];

    // ---- ipc: message queues ----------------------------------------------------------------

    MsgTooLong => EINVAL,
        "a message has at most msgmax bytes",
        "It is kept in kernel memory.",
        calls: ["msgsnd"], manual: ["msgop(2)"];

    MsgTypeInvalid => EINVAL,
        "a message's type is at least 1",
        "0 and below have a meaning for the receiver.",
        calls: ["msgsnd"], manual: ["msgop(2)"];

    MsgQueueFull => EAGAIN,
        "with IPC_NOWAIT there must be room in the queue at once",
        "A queue holds msg_qbytes bytes, and no more messages than that.",
        calls: ["msgsnd"], manual: ["msgop(2)"];

    MsgSizeInvalid => EINVAL,
        "the room for a message has at least 0 bytes",
        "It is a length.",
        calls: ["msgrcv"], manual: ["msgop(2)"];

    MsgNoneWanted => ENOMSG,
        "with IPC_NOWAIT a message of the type wanted must be there",
        "The caller does not want to wait for one.",
        calls: ["msgrcv"], manual: ["msgop(2)"];

    MsgNoRoom => E2BIG,
        "without MSG_NOERROR the message must fit",
        "It stays in the queue.",
        calls: ["msgrcv"], manual: ["msgop(2)"];

    MsgRoomNeedsResource => EPERM,
        "making a queue hold more than msgmnb bytes needs CAP_SYS_RESOURCE in the initial user namespace",
        "The owner of the namespace can raise the limit, but is bound by it.",
        calls: ["msgctl"], manual: ["msgctl(2)"];

    // ---- ipc: POSIX message queues ----------------------------------------------------------

    MqNameEmpty => ENOENT,
        "a queue's name is not empty",
        "It is the name of a file.",
        calls: ["mq_open", "mq_unlink"], manual: ["mq_overview(7)"];

    MqNameInvalid => EACCES,
        "a queue's name is one component of a path: no slash, and not a dot or two",
        "The directory has no other directories. Libraries take off one slash at the start.",
        calls: ["mq_open", "mq_unlink"], manual: ["mq_overview(7)", "mq_open(3)"];

    MqNameTooLong => ENAMETOOLONG,
        "a queue's name has at most 255 bytes",
        "It is the name of a file.",
        calls: ["mq_open", "mq_unlink"], manual: ["mq_overview(7)", "mq_open(3)"];

    MqNameUnknown => ENOENT,
        "there must be a queue of that name in the caller's ipc namespace, or O_CREAT",
        "Names are those of one ipc namespace.",
        calls: ["mq_open", "mq_unlink"], manual: ["mq_open(3)", "mq_unlink(3)"];

    MqNameTaken => EEXIST,
        "with O_CREAT and O_EXCL there must be no queue of that name",
        "The caller wants to be its maker.",
        calls: ["mq_open"], manual: ["mq_open(3)"];

    MqNamespaceGone => EACCES,
        "a queue can be made through a mount only while its ipc namespace lives",
        "The mount does not keep it. What was there can still be opened and removed.",
        calls: ["open"], manual: ["mq_overview(7)", "ipc_namespaces(7)"];

    MqAccessInvalid => EINVAL,
        "an existing queue is opened for reading, writing or both",
        "Nothing else has a meaning.",
        calls: ["mq_open"], manual: ["mq_open(3)"], kernel: "a new queue is not judged by it";

    MqModeForbids => EACCES,
        "the queue's mode must allow what is asked, or the caller holds CAP_DAC_OVERRIDE where the queue's owner is mapped",
        "It is a file.",
        calls: ["mq_open"], manual: ["mq_open(3)", "mq_overview(7)"];

    MqIdsUnmapped => EOVERFLOW,
        "the file-system ids of a queue's maker must be mapped in the user namespace that owns the ipc namespace",
        "A file's owner must have a number in its file system.",
        calls: ["mq_open"], manual: ["user_namespaces(7)"];

    MqTooMany => ENOSPC,
        "a namespace has less than queues_max queues when one more is made, or the maker holds CAP_SYS_RESOURCE in the initial user namespace",
        "The owner of the namespace can raise the limit, but is bound by it.",
        calls: ["mq_open"], manual: ["mq_overview(7)"];

    MqAttributeRange => EINVAL,
        "a new queue's sizes are at least 1 and at most msg_max and msgsize_max, or 65536 and 16777216 for holders of CAP_SYS_RESOURCE in the initial user namespace",
        "Messages are kept in kernel memory.",
        calls: ["mq_open"], manual: ["mq_overview(7)", "mq_open(3)"];

    MqBytesReached => EMFILE,
        "the queues that a user has made hold at most RLIMIT_MSGQUEUE bytes",
        "Each costs its messages and the kernel's records of them, whichever ipc namespace it is in.",
        calls: ["mq_open"], manual: ["getrlimit(2)", "mq_overview(7)"];

    MqNotTheirs => EPERM,
        "only its owner and the maker of the ipc namespace may remove a queue's name, or a holder of CAP_FOWNER where the owner is mapped",
        "The directory is sticky and belongs to the maker.",
        calls: ["mq_unlink"], manual: ["mq_overview(7)"];

    // ---- ipc: /proc/sys/kernel and /proc/sys/fs/mqueue --------------------------------------

    IpcFileNeedsRoot => EACCES,
        "only user 0 of the user namespace that owns the ipc namespace opens its limits for writing",
        "The files have that owner, mode 0644; capabilities do not count.",
        calls: ["open /proc/sys/kernel/msg*", "open /proc/sys/kernel/sem", "open /proc/sys/kernel/shm*", "open /proc/sys/fs/mqueue/*"],
        manual: ["ipc_namespaces(7)", "proc(5)"];

    IpcNextIdNeedsRestore => EACCES,
        "choosing the next id needs CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN in the owner of the ipc namespace",
        "Only who restores processes needs particular ids.",
        calls: ["open /proc/sys/kernel/msg_next_id", "open /proc/sys/kernel/sem_next_id", "open /proc/sys/kernel/shm_next_id"],
        manual: ["proc(5)"];

    IpcFileWriterNeedsRoot => EPERM,
        "whoever writes an ipc namespace's file must be one who could open it for writing",
        "The file asks again at each write.",
        calls: ["write /proc/sys/kernel/msg*", "write /proc/sys/kernel/sem", "write /proc/sys/kernel/shm*", "write /proc/sys/fs/mqueue/*"],
        manual: ["proc(5)"];

    IpcFileText => EINVAL,
        "a limit is a number within the bounds of its file",
        "The kernel keeps it in a field of some width, and compares it with one.",
        calls: ["write /proc/sys/kernel/msg*", "write /proc/sys/kernel/sem", "write /proc/sys/kernel/shm*", "write /proc/sys/fs/mqueue/*"],
        manual: ["proc(5)"];

    IpcSetsRange => ERANGE,
        "the number of semaphore sets is 0 to 32768",
        "An index has 15 bits. Numbers before it on the line are taken.",
        calls: ["write /proc/sys/kernel/sem"], manual: ["proc(5)"];

    } };
}
pub(super) use ipc;
