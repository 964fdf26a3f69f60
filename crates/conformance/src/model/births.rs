//! Births, deaths and execs: the model's tasks and the processes around them.

use std::sync::Arc;

use anyns_trap::raw::{Clone3, Ptr, TidSet};
use nsproxy::{
    CloneArgs, CloneFlags, ExecFile, Facts, FileCaps, Kgid, Kuid, Status, Task, prepare_clone_with,
};

use super::world::{Life, Process, Table, World, done, refused};
use crate::lang::Call;

/// What a thread shares with its process, as pthread_create asks for it.
const THREAD: u64 = 0x100 | 0x200 | 0x400 | 0x800 | 0x1_0000 | 0x4_0000;

impl World {
    pub(super) fn give_birth(&mut self, parent: usize, call: &Call) -> Result<String, String> {
        if let Some(name) = call.born() {
            let life = self.actors[self.place(name)?].life;
            if !matches!(life, Life::Unborn | Life::Gone) {
                return Err(format!("{name} is alive already"));
            }
        }
        let mut facts = Facts { crowded: self.crowded(parent)?, ..Facts::default() };
        let args = match call {
            Call::Fork { .. } => CloneArgs::fork(),
            Call::Vfork { .. } => CloneArgs::vfork(),
            Call::Clone { flags, .. } => CloneArgs::legacy(flags.0),
            Call::Thread { .. } => CloneArgs::legacy(THREAD),
            Call::Clone3 { block, .. } => match read_block(&block.0) {
                Ok(args) => {
                    if let TidSet::List(list) = &block.0.set_tid {
                        facts.set_tid = list;
                    }
                    args
                }
                Err(Stop::Refused(refusal)) => {
                    self.fired.add(refusal.rule.name());
                    return Ok(refused(&refusal));
                }
                Err(Stop::Fault) => return Ok("EFAULT".into()),
            },
            _ => return Err("not a birth".into()),
        };
        self.can_obey(parent, call, args.flags)?;
        let newborn = match prepare_clone_with(&self.task(parent)?, &args, facts) {
            Ok(newborn) => newborn,
            Err(refusal) => return Ok(refused(&refusal)),
        };
        if args.flags.contains(CloneFlags::INTO_CGROUP)
            && let Err(refusal) = self.place_child(parent, &newborn, args.cgroup)
        {
            return Ok(refused(&refusal));
        }
        let task = newborn.commit();
        match call.born() {
            None => nsproxy::exit(&task), // idle: it has exited before anybody looks
            Some(name) => self.settle(parent, name, task, args.flags)?,
        }
        Ok("0".into())
    }

    /// Gives a new task its place among the actors and processes.
    fn settle(
        &mut self,
        parent: usize,
        name: &str,
        task: Arc<Task>,
        flags: CloneFlags,
    ) -> Result<(), String> {
        let child = self.place(name)?;
        if !matches!(self.actors[child].life, Life::Unborn | Life::Gone) {
            return Err(format!("{name} is alive already"));
        }
        let number = self.number_for(&task);
        let process = if flags.contains(CloneFlags::THREAD) {
            self.actors[parent].process
        } else {
            let of = self.actors[parent].process;
            let keeps = flags.contains(CloneFlags::PARENT);
            self.processes.push(Process {
                number,
                parent: if keeps { self.processes[of].parent } else { Some(of) },
                leader: Some(Arc::clone(&task)),
                ended: None,
                crowded: self.processes[of].crowded,
                memlock: self.processes[of].memlock,
                attached: self.processes[of].attached.clone(),
                signals: match flags.contains(CloneFlags::CLEAR_SIGHAND) {
                    true => self.processes[of].signals.of_new_program(),
                    false => self.processes[of].signals.clone(),
                },
            });
            self.processes.len() - 1
        };
        let table = match flags.contains(CloneFlags::FILES) {
            true => self.actors[parent].table.clone(),
            false => self.actors[parent].table.copy(),
        };
        let seen = self.seen(&task);
        let actor = &mut self.actors[child];
        actor.seen = seen;
        (actor.life, actor.process, actor.number) = (Life::Obeying, process, number);
        (actor.task, actor.table) = (Some(task), table);
        actor.vforked = flags.contains(CloneFlags::VFORK | CloneFlags::VM);
        if flags.contains(CloneFlags::VFORK) {
            self.actors[parent].life = Life::Suspended { by: child };
        }
        Ok(())
    }

    /// Refuses births that real agents cannot follow: those that would leave a thread waiting for
    /// its turn while the one who has it sleeps, or killed while it has it.
    fn can_obey(&self, parent: usize, call: &Call, flags: CloneFlags) -> Result<(), String> {
        let vforked = self.actors[parent].vforked;
        let alone = self.task(parent)?.thread_count() == 1;
        let sleeps = flags.contains(CloneFlags::VFORK) && !flags.contains(CloneFlags::VM);
        match call {
            Call::Thread { .. } if vforked => Err("a vfork child makes no threads here".into()),
            _ if sleeps && (vforked || !alone) => Err("its threads could not go on".into()),
            _ => Ok(()),
        }
    }

    /// Whether RLIMIT_NPROC stops a birth: it is set, and the initial user namespace gives the
    /// caller neither user 0 nor a capability to ignore it.
    fn crowded(&self, who: usize) -> Result<bool, String> {
        let cred = self.task(who)?.cred();
        let exempt = cred.uid == Kuid::ROOT
            || [nsproxy::Cap::SYS_ADMIN, nsproxy::Cap::SYS_RESOURCE]
                .into_iter()
                .any(|cap| nsproxy::capable(&cred, cap));
        Ok(self.processes[self.actors[who].process].crowded && !exempt)
    }

    // ---- deaths -----------------------------------------------------------------------------

    pub(super) fn exit(&mut self, who: usize, status: i64) -> Result<String, String> {
        let process = self.actors[who].process;
        if self.actors[who].number == self.processes[process].number {
            self.end(process, Status::Exited(status as u8));
        } else {
            nsproxy::exit(&self.task(who)?);
            self.gone(who);
        }
        Ok("0".into())
    }

    /// Ends a process with all its threads, and those that die with it.
    pub(super) fn end(&mut self, process: usize, how: Status) {
        let Some(leader) = self.processes[process].leader.clone() else { return };
        if self.processes[process].ended.is_some() {
            return;
        }
        self.processes[process].attached.clear();
        let mut threads = leader.threads();
        threads.retain(|thread| !Arc::ptr_eq(thread, &leader));
        threads.push(leader);
        let killed: Vec<_> =
            threads.iter().flat_map(|thread| nsproxy::exit_with(thread, how)).collect();
        self.processes[process].ended = Some(how);
        for who in 0..self.actors.len() {
            let alive = !matches!(self.actors[who].life, Life::Unborn | Life::Gone);
            if alive && self.actors[who].process == process {
                self.gone(who);
            }
        }
        self.leave_family(process);
        for task in killed {
            if let Some(process) = self.process_of(&task) {
                self.end(process, Status::Killed(9));
            }
        }
    }

    /// Somebody has waited for the process: nothing of it is left.
    pub(super) fn reap(&mut self, process: usize) {
        self.processes[process].leader = None;
        for actor in &mut self.actors {
            if actor.process == process && actor.life != Life::Unborn {
                actor.task = None;
            }
        }
    }

    fn gone(&mut self, who: usize) {
        self.actors[who].life = Life::Gone;
        self.actors[who].table = Table::default();
        self.release(who);
    }

    fn release(&mut self, child: usize) {
        for actor in &mut self.actors {
            if actor.life == (Life::Suspended { by: child }) {
                actor.life = Life::Obeying;
            }
        }
    }

    // ---- exec -------------------------------------------------------------------------------

    pub(super) fn exec(&mut self, who: usize, path: Option<&str>) -> Result<String, String> {
        let task = self.task(who)?;
        let file = match path {
            None => ExecFile::default(),
            Some("/DIR/setuid-agent") => ExecFile { setuid: true, ..ExecFile::default() },
            Some("/DIR/setgid-agent") => ExecFile { setgid: true, ..ExecFile::default() },
            Some("/DIR/capable-agent") => ExecFile {
                caps: Some(FileCaps {
                    permitted: [nsproxy::Cap::NET_ADMIN].into_iter().collect(),
                    inheritable: nsproxy::CapSet::EMPTY,
                    effective: true,
                    root: Kuid::ROOT,
                }),
                ..ExecFile::default()
            },
            Some("/DIR/unreadable-agent") => {
                ExecFile { owner: Kuid(0), group: Kgid(0), unreadable: true, ..ExecFile::default() }
            }
            Some(_) => return Ok("ENOENT".into()),
        };
        if let Err(refusal) = nsproxy::exec(&task, &file) {
            return Ok(refused(&refusal));
        }
        let process = self.actors[who].process;
        for other in 0..self.actors.len() {
            let alive = !matches!(self.actors[other].life, Life::Unborn | Life::Gone);
            if other != who && alive && self.actors[other].process == process {
                self.gone(other);
            }
        }
        let seen = self.seen(&task);
        self.processes[process].leader = Some(task);
        self.processes[process].attached.clear();
        self.processes[process].signals = self.processes[process].signals.of_new_program();
        let number = self.processes[process].number;
        let actor = &mut self.actors[who];
        (actor.number, actor.seen) = (number, seen);
        actor.table = actor.table.copy();
        actor.vforked = false;
        self.release(who);
        Ok("0".into())
    }

    // ---- the rest of a process's life -----------------------------------------------------------

    /// unshare(2), which may give the caller a descriptor table of its own.
    pub(super) fn unshare(&mut self, who: usize, flags: u64) -> Result<String, String> {
        let flags = CloneFlags::from_bits_retain(flags);
        let result = nsproxy::unshare(&self.task(who)?, flags);
        if result.is_ok() && flags.contains(CloneFlags::FILES) {
            self.actors[who].table = self.actors[who].table.copy();
        }
        Ok(done(result))
    }

    pub(super) fn send(&mut self, who: usize, fd: i32, to: &str) -> Result<String, String> {
        let Some(file) = self.actors[who].table.get(fd) else { return Ok("EBADF".into()) };
        let to = self.place(to)?;
        if self.actors[to].life != Life::Obeying {
            return Err("nobody is there to receive it".into());
        }
        self.actors[to].table.put(fd, file);
        Ok("0".into())
    }
}

/// Why an argument block was not read.
enum Stop {
    Refused(nsproxy::Refusal),
    Fault,
}

/// Reads a clone3 block as the kernel would find it in memory.
fn read_block(block: &Clone3) -> Result<CloneArgs, Stop> {
    const KNOWN: usize = 88;
    const PIDFD: u64 = 0x1000;
    let size = if block.size == 0 { KNOWN } else { block.size };
    let len = CloneArgs::block_len(size as u64).map_err(Stop::Refused)?;
    let address = |kind: Option<Ptr>| match kind {
        None | Some(Ptr::Null) => 0,
        Some(_) => 0x1000u64,
    };
    let (set_tid, set_tid_size) = match &block.set_tid {
        TidSet::None => (0, 0),
        TidSet::List(list) => (0x2000, list.len() as u64),
        TidSet::Bad(at, size) => (address(Some(*at)), *size),
    };
    let pidfd = if block.flags & PIDFD != 0 { 0x3000 } else { 0 };
    let stack = address(block.stack);
    let words = [
        block.flags,
        pidfd,
        0,
        0,
        block.exit_signal,
        stack,
        block.stack_size,
        0,
        set_tid,
        set_tid_size,
        block.cgroup,
    ];
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    bytes.resize(len.max(KNOWN), block.tail);
    match block.at {
        None => {}
        Some(Ptr::ReadOnly) => bytes.fill(0),
        Some(Ptr::Buffer) => bytes.fill(b'x'),
        Some(Ptr::End(room)) if usize::from(room) >= len => bytes.fill(b'x'),
        Some(_) => return Err(Stop::Fault),
    }
    let args = CloneArgs::from_block(&bytes[..len]).map_err(Stop::Refused)?;
    let unreadable =
        matches!(&block.set_tid, TidSet::Bad(at, _) if !matches!(at, Ptr::Buffer | Ptr::ReadOnly));
    if args.set_tid_size > 0 && unreadable {
        return Err(Stop::Fault);
    }
    Ok(args)
}
