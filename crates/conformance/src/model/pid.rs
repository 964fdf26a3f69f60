//! Numbers, and who is whose child: the model's where it has pid namespaces, otherwise made up
//! here for the initial one alone.

use std::sync::Arc;

use nsproxy::{
    AnyNamespace, Disposition, Kind, PidNs, Refusal, Status, Task, WaitFor, WaitKind, getpgid,
    getsid, ioctl_number_here, ioctl_number_there, is_discarded, kill_targets, may_create_memfd,
    may_signal, setpgid, setsid,
};

use super::open::What;
use super::world::{Life, World, done, refused};
use crate::lang::{Call, Meaning, translate};

/// Signals that end an agent that has arranged nothing.
const FATAL: [i32; 5] = [1, 6, 9, 10, 15];

/// What names mean to one actor.
pub(super) struct View<'a>(pub(super) &'a World, pub(super) usize);

impl Meaning for View<'_> {
    fn number_of(&self, name: &str) -> Option<i32> {
        self.0.number_of(name)
    }

    fn number_seen(&self, name: &str) -> Option<i32> {
        let number = self.0.number_of(name)?;
        let place = self.0.place(name).ok()?;
        match self.0.own_space(self.1) {
            None => Some(number),
            Some(ns) => self.0.number_at(place, AnyNamespace::Pid(ns).id()),
        }
    }

    fn descriptor(&self, name: &str) -> Option<i32> {
        self.0.descriptor(name)
    }

    fn directory(&self) -> &str {
        self.0.directory()
    }

    fn cgroup(&self) -> &str {
        self.0.cgroup()
    }
}

impl World {
    /// Whether the model has the numbers and the family.
    fn has_pids(&self) -> bool {
        self.system.config().built.contains(Kind::Pid)
    }

    fn own_space(&self, who: usize) -> Option<Arc<PidNs>> {
        self.actors[who].task.as_ref()?.pid_ns()
    }

    fn number_at(&self, who: usize, space: u64) -> Option<i32> {
        self.actors[who].seen.iter().find(|(known, _)| *known == space).map(|(_, n)| *n)
    }

    /// A task's numbers in its pid namespace and in those above.
    pub(super) fn seen(&self, task: &Task) -> Vec<(u64, i32)> {
        let mut seen = Vec::new();
        let mut at = task.pid_ns();
        while let Some(ns) = at {
            let id = AnyNamespace::Pid(Arc::clone(&ns)).id();
            seen.extend(task.number_in(&ns).map(|number| (id, number as i32)));
            at = ns.parent();
        }
        seen
    }

    /// Names the numbers in an answer to `who`.
    pub(super) fn name_numbers(&self, who: usize, answer: &str) -> String {
        let nested = self.actors[who].seen.len() > 1;
        translate(answer, nested, &|number| {
            let mut known = self
                .actors
                .iter()
                .filter(|actor| actor.number == number && actor.life != Life::Unborn);
            let alive = known.clone().find(|actor| actor.life != Life::Gone);
            alive.or_else(|| known.next_back()).map(|actor| actor.name.clone())
        })
    }

    /// The place of a task's process.
    pub(super) fn process_of(&self, task: &Task) -> Option<usize> {
        self.processes.iter().position(|process| {
            process.leader.as_ref().is_some_and(|leader| leader.same_process(task))
        })
    }

    /// The process or thread of a number that an actor gives.
    pub(super) fn find_seen(&self, who: usize, number: i32) -> Option<(usize, Arc<Task>)> {
        let Some(space) = self.own_space(who) else { return self.find(number) };
        let task = space.find(u32::try_from(number).ok()?)?;
        Some((self.process_of(&task)?, task))
    }

    /// What a process's end means for its children and for itself.
    pub(super) fn leave_family(&mut self, process: usize) {
        if self.has_pids() {
            return self.follow_the_model();
        }
        for child in 0..self.processes.len() {
            if self.processes[child].parent == Some(process) {
                self.processes[child].parent = None; // somebody outside the scenario inherits it
                if self.processes[child].ended.is_some() {
                    self.reap(child);
                }
            }
        }
        // Nobody of the scenario waits for the first one.
        if self.processes[process].parent.is_none() && process != 0 {
            self.reap(process);
        }
    }

    /// Takes over who has been reaped, and who has got another parent.
    fn follow_the_model(&mut self) {
        let initial = self.system.init_pid();
        for process in 0..self.processes.len() {
            let Some(leader) = self.processes[process].leader.clone() else { continue };
            let parent = leader.parent().and_then(|parent| self.process_of(&parent));
            self.processes[process].parent = parent;
            if leader.process_number_in(&initial).is_none() {
                self.reap(process);
            }
        }
    }

    pub(super) fn wait(&mut self, who: usize, number: i32, now: bool) -> Result<String, String> {
        let found = match self.has_pids() {
            true => self.wait_in_the_model(who, number)?,
            false => self.wait_here(who, number),
        };
        let (child, status) = match found {
            Err(errno) => return Ok(errno),
            Ok(None) if now => return Ok("running".into()),
            Ok(None) => return Err("waiting for it would take for ever".into()),
            Ok(Some(found)) => found,
        };
        let how = match status {
            Status::Exited(status) => format!("exited {status}"),
            Status::Killed(signal) => format!("killed {signal}"),
        };
        Ok(if number == -1 { format!("%{child} {how}") } else { how })
    }

    fn wait_in_the_model(
        &mut self,
        who: usize,
        number: i32,
    ) -> Result<Result<Option<(i32, Status)>, String>, String> {
        let whom = match u32::try_from(number) {
            Ok(number) if number > 0 => WaitFor::Number(number),
            _ if number == -1 => WaitFor::Any,
            _ => return Err("groups are not waited for here".into()),
        };
        let waited = nsproxy::wait(&self.task(who)?, whom, WaitKind::All);
        self.follow_the_model();
        Ok(match waited {
            Ok(waited) => Ok(waited.map(|waited| (waited.number as i32, waited.status))),
            Err(refusal) => Err(refused(&refusal)),
        })
    }

    fn wait_here(&mut self, who: usize, number: i32) -> Result<Option<(i32, Status)>, String> {
        let me = self.actors[who].process;
        let child = |p: &super::world::Process| {
            (p.number == number || number == -1) && p.parent == Some(me) && p.leader.is_some()
        };
        let children: Vec<usize> =
            (0..self.processes.len()).filter(|place| child(&self.processes[*place])).collect();
        if children.is_empty() {
            return Err("ECHILD".into());
        }
        let ended = |place: usize| Some((place, self.processes[place].ended?));
        let Some((place, status)) = children.into_iter().find_map(ended) else { return Ok(None) };
        self.reap(place);
        Ok(Some((self.processes[place].number, status)))
    }

    pub(super) fn kill(&mut self, who: usize, number: i32, signal: i32) -> Result<String, String> {
        let caller = self.task(who)?;
        let nested = caller.pid_ns().is_some_and(|ns| !ns.is_initial());
        let own_group = || getpgid(&caller, 0).is_ok_and(|group| group > 0);
        if number < 0 && !nested || number == 0 && !(nested && own_group()) {
            return Err("only single processes can be signalled there".into());
        }
        let targets = match self.has_pids() {
            true => kill_targets(&caller, number, signal),
            false => {
                let Some((process, target)) = self.find(number) else { return Ok("ESRCH".into()) };
                if !(0..=64).contains(&signal) {
                    return Ok("EINVAL".into());
                }
                match self.actors[who].process == process {
                    true => Ok(vec![target]),
                    false => may_signal(&caller.cred(), &target.cred(), signal == 18)
                        .inspect_err(|refusal| self.fired.add(refusal.rule.name()))
                        .map(|()| vec![target]),
                }
            }
        };
        let targets = match targets {
            Ok(targets) => targets,
            Err(refusal) => return Ok(refused(&refusal)),
        };
        for target in targets {
            let Some(process) = self.process_of(&target) else { continue };
            let disposition = self.processes[process].signals.disposition(signal);
            let discarded = is_discarded(Some(&caller), &target, signal, disposition);
            match disposition {
                Disposition::Handled => self.run_handler(process, &caller, signal),
                Disposition::Default if FATAL.contains(&signal) && !discarded => {
                    self.end(process, Status::Killed(signal as u8));
                }
                _ => {}
            }
        }
        Ok(self.or_gone(who, "0"))
    }

    /// The calls that only ask about numbers, or choose who inherits.
    pub(super) fn pid_call(&mut self, who: usize, call: &Call) -> Result<String, String> {
        let task = self.task(who)?;
        let ns = task.pid_ns();
        let number = |result: Result<u32, Refusal>| {
            result.map_or_else(|refusal| refused(&refusal), |number| format!("%{number}"))
        };
        let shown = |number: Option<u32>| Ok(format!("%{}", number.unwrap_or(0)));
        match (call, &ns) {
            (Call::Subreaper { on }, _) => {
                task.set_child_subreaper(*on != 0);
                Ok("0".into())
            }
            (Call::Translate { fd, request, who: of }, _) => {
                self.translate(who, &task, fd.number(), &request.0, of.number())
            }
            (Call::Memfd { flags }, _) => Ok(done(may_create_memfd(&task, flags.0 as u32))),
            (Call::Setsid {}, _) => Ok(number(setsid(&task))),
            (Call::Getpgid { who }, _) => Ok(number(getpgid(&task, who.number()))),
            (Call::Getsid { who }, _) => Ok(number(getsid(&task, who.number()))),
            (Call::Setpgid { who, group }, _) => {
                Ok(done(setpgid(&task, who.number(), group.number())))
            }
            (Call::Getpid {}, Some(ns)) => shown(task.process_number_in(ns)),
            (Call::Gettid {}, Some(ns)) => shown(task.number_in(ns)),
            (Call::Getppid {}, Some(ns)) => shown(task.parent_number_in(ns)),
            (Call::Getpid {}, None) => {
                shown(Some(self.processes[self.actors[who].process].number as u32))
            }
            (Call::Gettid {}, None) => shown(Some(self.actors[who].number as u32)),
            (Call::Getppid {}, None) => {
                let parent = self.processes[self.actors[who].process].parent;
                shown(Some(parent.map_or(1, |parent| self.processes[parent].number as u32)))
            }
            (other, _) => Err(format!("the model cannot {other}")),
        }
    }

    fn translate(
        &self,
        who: usize,
        task: &Arc<Task>,
        fd: i32,
        request: &str,
        number: i32,
    ) -> Result<String, String> {
        let Some(file) = self.actors[who].table.get(fd) else { return Ok("EBADF".into()) };
        let What::Namespace(of) = &file.what else { return Ok("ENOTTY".into()) };
        let (here, process) = match request {
            "PID_FROM" => (true, false),
            "TGID_FROM" => (true, true),
            "PID_IN" => (false, false),
            "TGID_IN" => (false, true),
            other => return Err(format!("there is no request {other}")),
        };
        Ok(match here {
            true => ioctl_number_here(task, of, number, process)
                .map_or_else(|refusal| refused(&refusal), |number| format!("%{number}")),
            false => ioctl_number_there(task, of, number, process)
                .map_or_else(|refusal| refused(&refusal), |number| number.to_string()),
        })
    }

    /// A line of numbers in a task's status, as the initial procfs shows it.
    pub(super) fn numbers_field(&self, task: &Task, field: &str) -> Option<String> {
        let which: fn(&Task, &PidNs) -> Option<u32> = match field {
            "NSpid" => Task::number_in,
            "NStgid" => Task::process_number_in,
            "NSpgid" => Task::group_number_in,
            "NSsid" => Task::session_number_in,
            _ => return None,
        };
        let numbers = task.numbers_from(&self.system.init_pid(), which);
        let words: Vec<String> = numbers.iter().map(ToString::to_string).collect();
        Some(format!("^{}", words.join(" ")))
    }
}
