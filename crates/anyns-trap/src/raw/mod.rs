//! Thin, typed system calls for test programs and probes.
//!
//! Every bit pattern, length and descriptor number a program could pass can be passed here, because
//! finding out what the kernel says to nonsense is the point. What cannot be passed is an address:
//! pointers are chosen from the kinds of [`Ptr`], all of which lie in memory that belongs to this
//! module or in no memory at all, so no call can touch an object of the program.
//!
//! The calls go to the kernel directly. In particular the calls that change ids and capabilities
//! concern the calling *thread*, as the kernel's own do, and not the process as libc's do.
//!
//! Not here: anything with a back end, a guest or a supervisor.

mod arch;
mod birth;
mod caps;
mod fd;
mod handle;
mod ids;
mod ipc;
mod mount;
mod net;
mod ns;
mod pointer;
mod process;
mod seccomp;
mod signal;

pub use birth::{
    Birth, Clone3, TidSet, clone_idle, clone_process, clone3_idle, clone3_process, fork, vfork_with,
};
pub use caps::{CapSets, CredOption, capget, capset, cred_option};
pub use fd::{
    FILE_CHANGES, FS_IOC_FSSETXATTR, FSXATTR, change_file, close, duplicate, is_nobody_elses,
    open_at, place, pwrite, read, receive_descriptor, send_descriptor, write, write_segments,
};
pub use fd::{receive_credentials, send_credentials};
pub use handle::{HANDLE_MAX, Handle, fanotify_mark, handle_of};
pub use ids::{
    Ids, fs_ids, get_ids, getgroups, setfsgid, setfsuid, setgid, setgroups, setregid, setresgid,
    setresuid, setreuid, setuid,
};
pub use ipc::{
    Ctl, ipc_ctl, mq_attributes, mq_open, mq_unlink, msgget, msgrcv, msgsnd, sem_set_value, semget,
    semop, shm_peek, shmat, shmdt, shmget,
};
pub use mount::{mount, mount_setattr, move_mount, open_tree, pivot_root, umount};
pub use net::{bind, connect, listen, send_message, set_option, socket, socket_namespace};
pub use ns::{
    HostNames, NsNumber, NsRequest, NsWords, host_names, ns_number, ns_request, ns_words,
    pidfd_namespace, reopen_namespace, setdomainname, sethostname, setns, unshare,
};
pub use pointer::{Arg, Kept, Ptr, Sys, call};
pub use process::{
    Ended, default_dumpable, exit_now, exit_thread, getpgid, getsid, kill, pidfd_open,
    set_death_signal, setpgid, setsid, tgkill, thread_id, wait, wait_any, wait_for, wait_now,
};
pub use seccomp::{Instruction, install_filter};
pub use signal::{Handling, fault, handle, handled, reboot, signal_as, signal_process};

/// An error number as the kernel returned it.
pub type Errno = rustix::io::Errno;

/// Turns libc's "-1 and errno" into a result.
fn checked(returned: libc::c_long) -> Result<i64, Errno> {
    if returned == -1 {
        let number = std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
        Err(Errno::from_raw_os_error(number))
    } else {
        Ok(returned)
    }
}

/// Turns the kernel's own "minus the error number" into a result.
fn kernel_result(returned: i64) -> Result<i64, Errno> {
    if (-4095..0).contains(&returned) {
        Err(Errno::from_raw_os_error(-returned as i32))
    } else {
        Ok(returned)
    }
}
