//! Births and deaths in a session, and what each means for the other actors.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Signal, pidfd_send_signal};

use super::numbers::stat;
use super::session::{Life, Session, ready};
use crate::lang::Call;

/// Signals that end an agent: it handles none.
const FATAL: [i32; 5] = [1, 6, 9, 10, 15];

impl Session {
    /// A birth: the child's first words and the parent's answer, unless the parent is suspended.
    pub(super) fn after_birth(
        &mut self,
        parent: usize,
        child: &str,
        suspends: bool,
    ) -> Result<String, String> {
        let child = self.place(child)?;
        if !matches!(self.actors[child].life, Life::Unborn | Life::Gone) {
            return Err(format!("{} is alive already", self.actors[child].name));
        }
        self.actors[child].pidfd = None;
        if !suspends {
            let answer = self.hear(parent)?;
            if answer == "0" {
                self.greet(child)?;
            }
            return Ok(answer);
        }
        match self.listen(&[parent, child])? {
            (who, Some(text)) if who == child => {
                self.met(child, &text)?;
                self.actors[parent].life = Life::Suspended { by: child };
                Ok("0".into())
            }
            (_, Some(text)) => Ok(text),
            (who, None) => Err(format!("{} ended meanwhile", self.actors[who].name)),
        }
    }

    /// An exec: the new program's first words, or the old one's answer.
    pub(super) fn after_exec(&mut self, who: usize) -> Result<String, String> {
        let answer = self.hear(who)?;
        if !answer.starts_with("hello ") {
            return Ok(answer);
        }
        let process = self.actors[who].process;
        self.met(who, &answer)?;
        for other in 0..self.actors.len() {
            let actor = &mut self.actors[other];
            let lives = !matches!(actor.life, Life::Unborn | Life::Gone);
            if other != who && actor.process == process && lives {
                actor.life = Life::Gone; // another thread of the old program
                self.release(other)?;
            }
        }
        self.release(who)?;
        Ok("0".into())
    }

    /// An exit: waits until the process is a zombie, or the thread has gone.
    pub(super) fn after_exit(&mut self, who: usize) -> Result<String, String> {
        let answer = self.hear(who)?;
        let (process, number) = (self.actors[who].process, self.actors[who].number);
        if answer != "0" {
            return Ok(answer);
        }
        if process == number {
            self.see_the_end(process)?;
        } else {
            let task = format!("/proc/{process}/task/{number}");
            self.patiently("its thread is still there", || !Path::new(&task).exists())?;
            self.actors[who].life = Life::Gone;
        }
        Ok(answer)
    }

    /// A signal: if it is one that ends processes, waits until the target has ended.
    pub(super) fn after_kill(&mut self, who: usize, call: &Call) -> Result<String, String> {
        let answer = self.hear(who)?;
        let Call::Kill { who: target, signal } = call else { return Ok(answer) };
        if answer == "0" && FATAL.contains(&signal.0) {
            for process in self.doomed_by(who, target.number(), signal.0) {
                self.see_the_end(process)?;
            }
        }
        Ok(answer)
    }

    /// A reboot: if the caller has ended, so does the init of its pid namespace.
    pub(super) fn after_reboot(&mut self, who: usize) -> Result<String, String> {
        let answer = self.hear(who)?;
        if answer == "gone" {
            for init in self.inits_of(who) {
                self.see_the_end(init)?;
            }
        }
        Ok(answer)
    }

    /// A descriptor on its way: tells the receiver to take it.
    pub(super) fn after_send(
        &mut self,
        who: usize,
        to: &str,
        call: &Call,
    ) -> Result<String, String> {
        let answer = self.hear(who)?;
        let (Call::Send { fd, .. }, "0") = (call, answer.as_str()) else { return Ok(answer) };
        let to = self.place(to)?;
        self.tell(to, &format!("-1 receive {}", fd.number()))?;
        match self.hear(to)?.as_str() {
            "descriptor" => Ok(answer),
            other => Err(format!("the receiver says: {other}")),
        }
    }

    /// After what may have let an init go that had waited for somebody outside: it has ended before
    /// anything else happens.
    pub(super) fn settle(&mut self, who: usize) -> Result<String, String> {
        let answer = self.hear(who)?;
        self.settle_inits()?;
        Ok(answer)
    }

    fn settle_inits(&self) -> Result<(), String> {
        let inits: Vec<i32> = self
            .actors
            .iter()
            .filter(|actor| actor.init && actor.life == Life::Gone)
            .map(|actor| actor.process)
            .filter(|init| !self.actors.iter().any(|a| a.process == *init && a.lives()))
            .collect();
        for init in inits {
            self.patiently("an init is still there", || has_ended(init) || self.lingers(init))?;
        }
        Ok(())
    }

    fn see_the_end(&mut self, process: i32) -> Result<(), String> {
        self.patiently("the process is still there", || {
            has_ended(process) || self.lingers(process)
        })?;
        self.bury(process)?;
        self.settle_inits()
    }

    fn patiently(&self, complaint: &str, mut done: impl FnMut() -> bool) -> Result<(), String> {
        let deadline = Instant::now() + self.stage.timeout;
        while !done() {
            if Instant::now() > deadline {
                return Err(format!("{complaint} after {} seconds", self.stage.timeout.as_secs()));
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        Ok(())
    }

    /// Marks all actors of a process as gone and hears those that waited for it; so with those
    /// that it takes along.
    pub(super) fn bury(&mut self, process: i32) -> Result<(), String> {
        let taken_along = self.doomed_with(process);
        for who in 0..self.actors.len() {
            let actor = &mut self.actors[who];
            if actor.process == process && !matches!(actor.life, Life::Unborn | Life::Gone) {
                actor.life = Life::Gone;
                self.release(who)?;
            }
        }
        for process in taken_along {
            self.see_the_end(process)?;
        }
        Ok(())
    }

    /// Hears the answer of whoever was suspended until this actor's exit or exec.
    fn release(&mut self, child: usize) -> Result<(), String> {
        for who in 0..self.actors.len() {
            if self.actors[who].life == (Life::Suspended { by: child }) {
                self.actors[who].life = Life::Obeying;
                let answer = self.hear(who)?;
                if answer != "0" && answer != "gone" {
                    return Err(format!("{}, released, says {answer}", self.actors[who].name));
                }
            }
        }
        Ok(())
    }

    /// Buries processes that have ended without being told to.
    pub(super) fn notice_deaths(&mut self) -> Result<(), String> {
        for who in 0..self.actors.len() {
            let actor = &self.actors[who];
            let ended = actor.pidfd.as_ref().is_some_and(|fd| ready(fd, Duration::ZERO));
            if ended && has_ended(actor.process) && !matches!(actor.life, Life::Unborn | Life::Gone)
            {
                let process = actor.process;
                self.bury(process)?;
            }
        }
        Ok(())
    }

    /// Lets everybody go and waits for them; whoever hangs is killed.
    pub(super) fn finish(mut self, broken: bool) -> Result<(), String> {
        // The sockets close when the actors are dropped; the agents see it and leave.
        let left: Vec<(String, OwnedFd)> =
            self.actors.drain(..).filter_map(|actor| Some((actor.name, actor.pidfd?))).collect();
        if broken {
            left.iter().for_each(|(_, pidfd)| kill(pidfd));
        }
        let deadline = Instant::now() + self.stage.timeout;
        let mut hung = Vec::new();
        for (name, pidfd) in &left {
            if !ready(pidfd, deadline.saturating_duration_since(Instant::now())) {
                hung.push(name.as_str());
                kill(pidfd);
            }
        }
        let mut ended;
        loop {
            ended = self.stage.child.try_wait().is_ok_and(|status| status.is_some());
            if ended || Instant::now() > deadline {
                break;
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        let left_over = if ended { String::new() } else { family(self.stage.child.id()) };
        if !ended {
            let _ = self.stage.child.kill();
            let _ = self.stage.child.wait();
        }
        let said = self.said();
        match (said.is_empty(), hung.is_empty(), ended) {
            _ if broken => Ok(()),
            (false, ..) => Err(format!("on standard error: {said}")),
            (_, false, _) => Err(format!("at the end {} did not leave", hung.join(", "))),
            (.., false) => Err(format!("what was started did not end: {left_over}")),
            _ => Ok(()),
        }
    }

    /// What came on standard error so far.
    fn said(&mut self) -> String {
        let mut text = Vec::new();
        if let Some(mut pipe) = self.stage.child.stderr.take() {
            while ready(&pipe, Duration::ZERO) {
                let mut part = [0; 4096];
                match pipe.read(&mut part) {
                    Ok(count) if count > 0 => text.extend_from_slice(&part[..count]),
                    _ => break,
                }
            }
        }
        String::from_utf8_lossy(&text).trim().to_owned()
    }

    /// Why the first actor never came: what the host maker or anyns said, or how they ended.
    pub(super) fn why_not_started(mut self, reason: String) -> String {
        let _ = self.stage.child.kill();
        let status = self.stage.child.wait().map_or_else(|e| e.to_string(), |s| s.to_string());
        match self.said() {
            said if said.is_empty() => {
                format!("the first process did not start: {reason} ({status})")
            }
            said => said,
        }
    }
}

fn kill(pidfd: &OwnedFd) {
    let _ = pidfd_send_signal(pidfd, Signal::KILL);
}

/// Whether a process is gone or a zombie with all its threads.
///
/// Its pidfd alone does not tell: some kernels make it readable while another thread executes a
/// program and takes the place of the first one. Somebody who traces it for good (anyns, where calls
/// are stopped) hears of its end before its parent can.
pub(super) fn has_ended(process: i32) -> bool {
    let zombie = stat(Path::new(&format!("/proc/{process}")))
        .is_none_or(|stat| stat.starts_with(['Z', 'X']));
    let traced = || {
        let status = std::fs::read_to_string(format!("/proc/{process}/status"));
        let status = status.unwrap_or_default();
        let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
        tracer.is_some_and(|tracer| tracer.trim() != "0")
    };
    zombie
        && !traced()
        && std::fs::read_dir(format!("/proc/{process}/task")).map_or(0, Iterator::count) <= 1
}

/// A process and all below it, with what each is doing, for messages.
fn family(of: u32) -> String {
    let mut all = vec![of.to_string()];
    let mut text = String::new();
    while let Some(pid) = all.pop() {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}"));
        let state = read("stat").unwrap_or_default();
        let state = state.rsplit_once(") ").map_or("?", |(_, rest)| &rest[..1]);
        let [name, call] = ["comm", "syscall"].map(|file| read(file).unwrap_or_default());
        text.push_str(&format!("{} {pid} {state} [{}]; ", name.trim(), call.trim()));
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
        for task in tasks.flatten() {
            let children = std::fs::read_to_string(task.path().join("children"));
            all.extend(children.unwrap_or_default().split_whitespace().map(str::to_owned));
        }
    }
    text
}
