//! The empty tracer: what a stopped call costs when nothing is behind it.
//!
//! The calls that are measured singly raise SIGSYS; the tracer answers 0 at that stop. It stays on one
//! processor, and a guest that stands at such a stop may only run there until it goes on (it is
//! *steered*), since the kernel would wake each of the two where the other is not.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyns_trap::raw::{self, Birth, Instruction};
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

/// The calls that are stopped.
const STOPPED: [i64; 2] = [libc::SYS_setns, libc::SYS_sethostname];

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (seized, seize) = rustix::pipe::pipe()?;
    let Birth::Parent { child, .. } = raw::fork()? else {
        rustix::io::read(&seized, &mut [0])?;
        rustix::thread::set_no_new_privs(true)?;
        raw::install_filter(&filter())?;
        return Err(Command::new(&words[0]).args(&words[1..]).exec().into());
    };
    let options = Options::PTRACE_O_EXITKILL
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEEXEC;
    ptrace::seize(Pid::from_raw(child), options)?;
    rustix::io::write(&seize, &[1])?;
    trace(Pid::from_raw(child))
}

fn filter() -> Vec<Instruction> {
    let op = |code, jt, jf, k| Instruction { code, jt, jf, k };
    let mut program = vec![op(0x20, 0, 0, 0)]; // load the number
    for nr in STOPPED {
        program.push(op(0x15, 0, 1, nr as u32)); // if it is this one
        program.push(op(0x06, 0, 0, 0x0003_0000)); // SECCOMP_RET_TRAP
    }
    program.push(op(0x06, 0, 0, 0x7fff_0000)); // else SECCOMP_RET_ALLOW
    program
}

/// Lets everything go on until the first guest ends.
fn trace(first: Pid) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut cpu = None;
    loop {
        match waitpid(None, Some(WaitPidFlag::__WALL))? {
            WaitStatus::Stopped(pid, Signal::SIGSYS) => {
                let cpu = *cpu.get_or_insert_with(stay);
                // A guest may be killed at any moment.
                let _ = answer(pid, cpu);
            }
            WaitStatus::Stopped(pid, signal) => drop(ptrace::cont(pid, signal)),
            WaitStatus::PtraceEvent(pid, ..) => drop(ptrace::cont(pid, None)),
            WaitStatus::Exited(pid, status) if pid == first => {
                return Ok(ExitCode::from(status as u8));
            }
            WaitStatus::Signaled(pid, ..) if pid == first => return Ok(ExitCode::FAILURE),
            _ => {}
        }
    }
}

fn stay() -> usize {
    let here = sched_getcpu();
    let mut only = CpuSet::new();
    only.set(here);
    let _ = sched_setaffinity(None, &only);
    here
}

fn answer(pid: Pid, cpu: usize) -> Result<(), rustix::io::Errno> {
    let guest = rustix::process::Pid::from_raw(pid.as_raw());
    let before = sched_getaffinity(guest)?;
    let mut narrow = CpuSet::new();
    narrow.set(cpu);
    if before.is_set(cpu) {
        sched_setaffinity(guest, &narrow)?;
    }
    if let Ok(mut regs) = ptrace::getregs(pid) {
        regs.rax = 0;
        let _ = ptrace::setregs(pid, regs);
    }
    let _ = ptrace::cont(pid, None);
    sched_setaffinity(guest, &before)
}
