//! Processes as a scenario sees them: numbers, parents, descriptors, who is alive.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nsproxy::ipc::MqMount;
use nsproxy::{
    CapSet, Config, Cred, Dentry, Kgid, Kuid, MountFlags, Place, Refusal, Status, Super, System,
    Task,
};

use super::Fired;
use super::cgroup::{BASE, Cgroups};
use super::forest::{Forest, HOST, NSFS};
use super::open::OpenFile;
use super::pid::View;
use super::signal::Signals;
use crate::agent::FIRST_DESCRIPTOR;
use crate::host::{ROOT_CAPS, USER, USER_BOUNDING};
use crate::lang::{Call, Meaning, Start, Step};

/// What a step of somebody who is not there gives.
const NOBODY_THERE: &str = "-";
/// What every process may lock in memory, unless it says otherwise.
const MEMLOCK: u64 = 8 << 20;
/// The number of the first process.
const FIRST_NUMBER: i32 = 1000;

/// How far an actor has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Unborn,
    Obeying,
    Suspended { by: usize },
    Gone,
}

/// A process or thread of the scenario.
pub(super) struct Actor {
    pub(super) name: String,
    pub(super) life: Life,
    pub(super) task: Option<Arc<Task>>,
    /// Its place among the processes.
    pub(super) process: usize,
    pub(super) number: i32,
    /// Its numbers in each pid namespace, which is known by its id.
    pub(super) seen: Vec<(u64, i32)>,
    pub(super) table: Table,
    /// It is a vfork child that still runs in its parent's memory.
    pub(super) vforked: bool,
}

/// A process: what outlives its threads until it is waited for.
pub(super) struct Process {
    pub(super) number: i32,
    pub(super) parent: Option<usize>,
    /// Its leader; none once it has been waited for, when the last of it is gone.
    pub(super) leader: Option<Arc<Task>>,
    /// How it ended.
    pub(super) ended: Option<Status>,
    /// RLIMIT_NPROC is set, to a number that is exceeded.
    pub(super) crowded: bool,
    /// RLIMIT_MEMLOCK
    pub(super) memlock: u64,
    /// Shared memory that its memory image has attached.
    pub(super) attached: Vec<nsproxy::ipc::Attachment>,
    /// What it does at signals.
    pub(super) signals: Signals,
}

/// A descriptor table, which tasks may share.
#[derive(Clone, Default)]
pub(super) struct Table(Arc<Mutex<HashMap<i32, Arc<OpenFile>>>>);

impl Table {
    fn lock(&self) -> MutexGuard<'_, HashMap<i32, Arc<OpenFile>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, fd: i32) -> Option<Arc<OpenFile>> {
        self.lock().get(&fd).cloned()
    }

    pub(super) fn put(&self, fd: i32, file: Arc<OpenFile>) {
        self.lock().insert(fd, file);
    }

    pub(super) fn remove(&self, fd: i32) -> bool {
        self.lock().remove(&fd).is_some()
    }

    pub(super) fn files(&self) -> Vec<Arc<OpenFile>> {
        self.lock().values().cloned().collect()
    }

    pub(super) fn copy(&self) -> Table {
        let copy = self.lock().clone();
        Table(Arc::new(Mutex::new(copy)))
    }
}

/// Everything.
pub(super) struct World {
    pub(super) actors: Vec<Actor>,
    pub(super) processes: Vec<Process>,
    pub(super) fired: Arc<Fired>,
    pub(super) forest: Forest,
    /// Where the files of namespaces are.
    pub(super) nsfs: Place,
    /// File systems of which there is one for each namespace, by type and namespace.
    pub(super) shared_supers: HashMap<(String, u64), (Arc<Super>, Dentry)>,
    /// What is behind those of type mqueue, by number.
    pub(super) mq_mounts: HashMap<u64, MqMount>,
    pub(super) mounts_built: bool,
    descriptors: Vec<String>,
    next_number: i32,
    pub(super) system: System,
    pub(super) cgroups: Cgroups,
    /// Who sent credentials that nobody has taken.
    pub(super) credentials: VecDeque<Arc<Task>>,
}

impl Meaning for World {
    fn number_of(&self, name: &str) -> Option<i32> {
        let actor = self.actors.iter().find(|actor| actor.name == name)?;
        (actor.life != Life::Unborn).then_some(actor.number)
    }

    fn number_seen(&self, name: &str) -> Option<i32> {
        self.number_of(name)
    }

    fn descriptor(&self, name: &str) -> Option<i32> {
        let place = self.descriptors.iter().position(|known| known == name)?;
        Some(FIRST_DESCRIPTOR + place as i32)
    }

    fn directory(&self) -> &str {
        "/DIR"
    }

    fn cgroup(&self) -> &str {
        super::cgroup::BASE
    }
}

impl World {
    pub(super) fn new(
        start: Start,
        config: Config,
        actors: &[&str],
        descriptors: &[&str],
        fired: Arc<Fired>,
    ) -> World {
        let built = config.built;
        let config = Config { hostname: "host".into(), domainname: "domain".into(), ..config };
        let system = System::with_events(config, Arc::clone(&fired) as Arc<dyn nsproxy::Events>);
        let user = system.init_user();
        let cred = match start {
            Start::Root => {
                let caps = CapSet(ROOT_CAPS);
                Cred { permitted: caps, effective: caps, bounding: caps, ..Cred::root(&user) }
            }
            Start::User => Cred {
                bounding: CapSet(USER_BOUNDING),
                no_new_privs: true,
                ..Cred::user(&user, Kuid(USER), Kgid(USER))
            },
        };
        let mut forest = Forest::new();
        ["/DIR", "/proc", "/tmp"].into_iter().for_each(|path| forest.add_path(path));
        let (root, nsfs) = mount_first(&system);
        // The first number is to be one that no rule is about.
        let before = system.adopt(None, Cred::root(&user));
        let _ = nsproxy::set_last_pid(&before, 0, (FIRST_NUMBER - 1).to_string().as_bytes());
        drop(before);
        let owner = (cred.uid, cred.gid);
        let first = system.adopt(None, cred);
        drop(root);
        let root = system.cgroup_root(0).expect("every system has the hierarchy of version 2");
        let cgroups = Cgroups::new(&root, owner);
        if let Some(base) = cgroups.find(BASE) {
            first.set_cgroup(base);
        }
        let actors = actors.iter().map(|name| Actor {
            name: (*name).to_owned(),
            life: Life::Unborn,
            task: None,
            process: 0,
            number: 0,
            seen: Vec::new(),
            table: Table::default(),
            vforked: false,
        });
        let mut world = World {
            actors: actors.collect(),
            processes: Vec::new(),
            fired,
            forest,
            nsfs,
            shared_supers: HashMap::new(),
            mq_mounts: HashMap::new(),
            mounts_built: built.contains(nsproxy::Kind::Mnt),
            descriptors: descriptors.iter().map(|name| (*name).to_owned()).collect(),
            next_number: FIRST_NUMBER,
            system,
            cgroups,
            credentials: VecDeque::new(),
        };
        let number = world.number_for(&first);
        world.processes.push(Process {
            number,
            parent: None,
            leader: Some(Arc::clone(&first)),
            ended: None,
            crowded: false,
            memlock: MEMLOCK,
            attached: Vec::new(),
            signals: Signals::default(),
        });
        let seen = world.seen(&first);
        let a = &mut world.actors[0];
        a.seen = seen;
        (a.life, a.task, a.number) = (Life::Obeying, Some(first), number);
        world
    }

    /// The number of a new task, made up if the model gives none.
    pub(super) fn number_for(&mut self, task: &Task) -> i32 {
        self.next_number += 1;
        task.number_in(&self.system.init_pid()).map_or(self.next_number - 1, |n| n as i32)
    }

    pub(super) fn place(&self, name: &str) -> Result<usize, String> {
        let place = self.actors.iter().position(|actor| actor.name == name);
        place.ok_or_else(|| format!("nobody is called {name}"))
    }

    /// The task of an actor that is alive.
    pub(super) fn task(&self, who: usize) -> Result<Arc<Task>, String> {
        self.actors[who]
            .task
            .clone()
            .ok_or_else(|| format!("{} has no task", self.actors[who].name))
    }

    /// Makes one step; an error is a step that cannot be made here.
    pub(super) fn step(&mut self, step: &Step) -> Result<String, String> {
        let who = self.place(&step.actor)?;
        if self.actors[who].life != Life::Obeying {
            return Ok(NOBODY_THERE.into());
        }
        let mut call = step.call.clone();
        call.resolve(&View(self, who));
        let slot = step.binds.as_deref().and_then(|name| self.descriptor(name)).unwrap_or(-1);
        let result = match &call {
            Call::Fork { .. }
            | Call::Vfork { .. }
            | Call::Clone { .. }
            | Call::Clone3 { .. }
            | Call::Thread { .. } => self.give_birth(who, &call)?,
            Call::Exit { status } => self.exit(who, status.unwrap_or(0))?,
            Call::Wait { who: child, how } => self.wait(who, child.number(), how.is_some())?,
            Call::Kill { who: target, signal } => self.kill(who, target.number(), signal.0)?,
            Call::Exec { path } => self.exec(who, path.as_ref().map(|path| path.0.as_str()))?,
            Call::Send { fd, who: to } => self.send(who, fd.number(), &to.0)?,
            _ => match self.file_call(who, &call, slot)? {
                Some(result) => result,
                None => match self.ipc_call(who, &call, slot)? {
                    Some(result) => result,
                    None => match self.net_call(who, &call, slot)? {
                        Some(result) => result,
                        None => self.mount_or_plain_call(who, &call, slot)?,
                    },
                },
            },
        };
        match (result.as_str(), &step.binds) {
            ("descriptor", Some(name)) => Ok(format!("@{name}")),
            _ => Ok(self.name_numbers(who, &result)),
        }
    }

    fn mount_or_plain_call(
        &mut self,
        who: usize,
        call: &Call,
        slot: i32,
    ) -> Result<String, String> {
        if let Some(result) = self.mount_call(who, call, slot)? {
            return Ok(result);
        }
        match self.signal_call(who, call)? {
            Some(result) => Ok(result),
            None => self.plain_call(who, call),
        }
    }

    /// The process or thread of a number: its task, and whether it can be waited for still.
    pub(super) fn find(&self, number: i32) -> Option<(usize, Arc<Task>)> {
        let mut processes = self.processes.iter().enumerate();
        let process = processes.find(|(_, p)| p.number == number && p.leader.is_some());
        if let Some((place, process)) = process {
            return Some((place, process.leader.clone()?));
        }
        let thread = self.actors.iter().find(|actor| {
            actor.number == number
                && !matches!(actor.life, Life::Unborn | Life::Gone)
                && self.processes[actor.process].leader.is_some()
        })?;
        Some((thread.process, thread.task.clone()?))
    }
}

/// Mounts what the machine has mounted: its root, and where nobody sees it the files of namespaces.
fn mount_first(system: &System) -> (Option<Place>, Place) {
    let user = system.init_user();
    let host = Arc::new(Super::new(HOST, "ext4", (254, 0), &user).idmappable());
    let root = Dentry { super_id: HOST, id: 0 };
    let root = system.mount_at_boot(None, &host, root, b"/dev/vda", MountFlags::RELATIME);
    let files = Arc::new(Super::new(NSFS, "nsfs", (0, 4), &user));
    let nsfs = system.mount_nowhere(&files, Dentry { super_id: NSFS, id: 0 });
    (root, nsfs)
}

/// The text of a refusal: its errno.
pub(super) fn refused(refusal: &Refusal) -> String {
    refusal.errno.to_string()
}

/// The text of a result that is only success or a refusal.
pub(super) fn done<T>(result: Result<T, Refusal>) -> String {
    result.map_or_else(|refusal| refused(&refusal), |_| "0".into())
}
