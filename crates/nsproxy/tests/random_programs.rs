//! Random programs of calls: after every call the books balance, a refused call has changed
//! nothing, and at the end everything is freed.
#![cfg(not(loom))]

mod common;

use common::*;
use nsproxy::{CloneFlags as F, creds::*, *};
use proptest::{collection::vec, prelude::*, sample::select};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// One call. Tasks and pins are picked by number, modulo how many there are.
#[derive(Clone, Debug)]
enum Op {
    Unshare(usize, F),
    PrepareAndDrop(usize, F),
    Clone(usize, F),
    CloneFails(usize, F),
    JoinPin(usize, usize, u64),
    JoinTask(usize, usize, F),
    Exit(usize),
    Forget(usize),
    Pin(usize, Kind),
    Unpin(usize),
    Map(usize, usize, MapKind, &'static str),
    Setgroups(usize, &'static str),
    Limit(usize, Kind, u32),
    Chroot(usize, bool),
    Setresuid(usize, [u32; 3]),
    Setresgid(usize, [u32; 3]),
    SetUidOnly(usize, u32),
    Capset(usize, [u64; 3]),
    Prctl(usize, u64, u64),
    Ambient(usize, u64, u64),
    Exec(usize, bool, bool),
    SetName(usize, u8),
}

fn flags() -> impl Strategy<Value = F> {
    let some = [
        F::NEWUSER,
        F::NEWUTS,
        F::FS,
        F::FILES,
        F::THREAD,
        F::SIGHAND,
        F::VM,
        F::THREAD | F::SIGHAND | F::VM,
        F::NEWUSER | F::NEWUTS,
        F::NEWIPC,
        F::NEWPID,
        F::PARENT,
        F::VFORK | F::VM,
        F::SYSVSEM,
    ];
    let one = || prop_oneof![2 => Just(F::empty()), 3 => select(some.to_vec())];
    (one(), one()).prop_map(|(a, b)| a | b)
}

/// What setns(2) is mostly asked for.
fn types() -> impl Strategy<Value = F> {
    prop_oneof![
        8 => select(vec![F::NEWUTS, F::NEWUSER, F::NEWUSER | F::NEWUTS]),
        1 => flags(),
    ]
}

fn id() -> impl Strategy<Value = u32> {
    select(vec![0, 1, 5, 1000, 1001, u32::MAX])
}

fn op() -> impl Strategy<Value = Op> {
    let n = || 0..8usize;
    let kind = || select(vec![Kind::Uts, Kind::User]);
    let ids = || [id(), id(), id()];
    let map = || select(vec![MapKind::Uid, MapKind::Gid, MapKind::Projid]);
    let text = || select(vec!["0 1000 1", "0 0 1", "0 0 2000", "0 1 1\n5 1000 2", "1 2", "0 0 0"]);
    let nstype = select(vec![0, 0, 0, F::NEWUTS.bits(), F::NEWUSER.bits(), 1]);
    let bits = || select(vec![0, CapSet::FULL.0, 1 << 7, (1 << 21) | (1 << 7), 0x30, 1]);
    prop_oneof![
        6 => (n(), flags()).prop_map(|(t, f)| Op::Unshare(t, f)),
        2 => (n(), flags()).prop_map(|(t, f)| Op::PrepareAndDrop(t, f)),
        6 => (n(), flags()).prop_map(|(t, f)| Op::Clone(t, f)),
        2 => (n(), flags()).prop_map(|(t, f)| Op::CloneFails(t, f)),
        4 => (n(), n(), nstype).prop_map(|(t, p, f)| Op::JoinPin(t, p, f)),
        4 => (n(), n(), types()).prop_map(|(t, p, f)| Op::JoinTask(t, p, f)),
        3 => n().prop_map(Op::Exit),
        2 => n().prop_map(Op::Forget),
        2 => (n(), kind()).prop_map(|(t, k)| Op::Pin(t, k)),
        1 => n().prop_map(Op::Unpin),
        6 => (n(), n(), map(), text()).prop_map(|(t, b, k, s)| Op::Map(t, b, k, s)),
        1 => (n(), select(vec!["allow", "deny", "no"])).prop_map(|(t, s)| Op::Setgroups(t, s)),
        1 => (n(), kind(), 0..4u32).prop_map(|(t, k, l)| Op::Limit(t, k, l)),
        1 => (n(), any::<bool>()).prop_map(|(t, c)| Op::Chroot(t, c)),
        2 => (n(), ids()).prop_map(|(t, i)| Op::Setresuid(t, i)),
        2 => (n(), ids()).prop_map(|(t, i)| Op::Setresgid(t, i)),
        1 => (n(), id()).prop_map(|(t, i)| Op::SetUidOnly(t, i)),
        1 => (n(), [bits(), bits(), bits()]).prop_map(|(t, b)| Op::Capset(t, b)),
        1 => (n(), select(vec![8, 24, 28, 38]), bits()).prop_map(|(t, o, a)| Op::Prctl(t, o, a)),
        1 => (n(), 1..5u64, select(vec![0, 7, 21, 41])).prop_map(|(t, w, c)| Op::Ambient(t, w, c)),
        1 => (n(), any::<bool>(), any::<bool>()).prop_map(|(t, u, g)| Op::Exec(t, u, g)),
        1 => (n(), any::<u8>()).prop_map(|(t, b)| Op::SetName(t, b)),
    ]
}

/// What was made and freed, by number.
#[derive(Default)]
struct Ledger(Mutex<BTreeMap<u32, Kind>>);

impl Events for Ledger {
    fn event(&self, event: &Event<'_>) {
        let mut alive = self.0.lock().unwrap();
        match *event {
            Event::Created { kind, inode, .. } => {
                assert_eq!(alive.insert(inode, kind), None, "{inode} is in use");
            }
            // The initial namespaces were not made by anybody; their numbers are lower.
            Event::Freed { kind, inode } if inode >= 0xF000_0000 => {
                assert_eq!(alive.remove(&inode), Some(kind), "{inode} is freed once");
            }
            _ => {}
        }
    }
}

struct World {
    system: System,
    ledger: Arc<Ledger>,
    tasks: Vec<Arc<Task>>,
    pins: Vec<AnyNamespace>,
}

impl World {
    fn new() -> World {
        let ledger = Arc::new(Ledger::default());
        // The two types whose books are kept below.
        let built = KindSet::of(&[Kind::Uts, Kind::User]);
        let config = Config { built, ..Config::default() };
        let system = System::with_events(config, ledger.clone());
        let mut tasks = vec![root(&system), user(&system, 1000), root(&system)];
        tasks.push(unmapped(&system, 1000));
        let inner = inner_root(&system, 1000);
        unshare(&inner, NEWUTS).unwrap();
        let pins = vec![AnyNamespace::Uts(inner.nsproxy().unwrap().uts.clone())];
        tasks.push(inner);
        World { system, ledger, tasks, pins }
    }

    /// The `n`th task; mostly one that is alive.
    fn task(&self, n: usize) -> Arc<Task> {
        let alive: Vec<_> = self.tasks.iter().filter(|task| !task.has_exited()).collect();
        match alive.len() {
            0 => self.tasks[n % self.tasks.len()].clone(),
            _ if n == 7 => self.tasks[self.tasks.len() - 1].clone(),
            len => alive[n % len].clone(),
        }
    }

    /// Makes one call. `Some(Err)` if it was refused, `None` if it cannot be.
    fn run(&mut self, op: &Op) -> Option<Result<(), Refusal>> {
        Some(match *op {
            Op::Unshare(t, flags) => unshare(&self.task(t), flags),
            Op::PrepareAndDrop(t, flags) => {
                let before = self.snapshot();
                drop(prepare_unshare(&self.task(t), flags));
                assert_eq!(before, self.snapshot());
                return None;
            }
            Op::Clone(t, flags) => {
                let args = CloneArgs::legacy(flags.bits() | 17);
                match prepare_clone(&self.task(t), &args) {
                    Ok(newborn) => {
                        self.tasks.push(newborn.commit());
                        Ok(())
                    }
                    Err(refusal) => Err(refusal),
                }
            }
            Op::CloneFails(t, flags) => {
                let before = self.snapshot();
                drop(prepare_clone(&self.task(t), &CloneArgs::clone3(flags, 0)));
                assert_eq!(before, self.snapshot());
                return None;
            }
            Op::JoinPin(t, p, nstype) => {
                let pin = self.pins.get(p % self.pins.len().max(1));
                let target = pin.map_or(JoinTarget::Other, JoinTarget::Namespace);
                setns(&self.task(t), target, nstype)
            }
            Op::JoinTask(t, of, flags) => {
                let of = self.task(of);
                setns(&self.task(t), JoinTarget::Pidfd(&of, Dumpable(true)), flags.bits())
            }
            Op::Exit(t) => {
                exit(&self.task(t));
                return None;
            }
            Op::Forget(t) => {
                if self.tasks.len() > 2 {
                    self.tasks.remove(2 + t % (self.tasks.len() - 2));
                }
                return None;
            }
            Op::Pin(t, kind) => {
                let task = self.task(t);
                let user = AnyNamespace::User(task.user_ns());
                self.pins.extend(match kind {
                    Kind::User => Some(user),
                    kind => task.nsproxy().and_then(|proxy| proxy.get(kind)),
                });
                return None;
            }
            Op::Unpin(p) => {
                if !self.pins.is_empty() {
                    self.pins.remove(p % self.pins.len());
                }
                return None;
            }
            Op::Map(t, by, kind, text) => {
                let (ns, by) = (self.task(t).user_ns(), self.task(by).cred());
                write_map(kind, &ns, &by, &by, 0, text.as_bytes()).map(drop)
            }
            Op::Setgroups(t, text) => {
                write_setgroups(&self.task(t).user_ns(), 0, text.as_bytes()).map(drop)
            }
            Op::Limit(t, kind, limit) => {
                let (ns, by) = (self.task(t).user_ns(), self.task(t).cred());
                let text = (limit * limit).to_string();
                set_max_namespaces(&ns, kind, &by, 0, text.as_bytes()).map(drop)
            }
            Op::Chroot(t, chrooted) => {
                self.task(t).set_chrooted(chrooted);
                return None;
            }
            Op::Setresuid(t, [r, e, s]) => setresuid(&self.task(t), r, e, s),
            Op::Setresgid(t, [r, e, s]) => setresgid(&self.task(t), r, e, s),
            Op::SetUidOnly(t, uid) => setuid(&self.task(t), uid),
            Op::Capset(t, sets) => {
                let [e, p, i] = sets.map(CapSet);
                capset(&self.task(t), e, p, i)
            }
            Op::Prctl(t, option, arg) => {
                prctl(&self.task(t), option, [arg, 0, 0, 0]).unwrap().map(drop)
            }
            Op::Ambient(t, what, cap) => {
                prctl(&self.task(t), 47, [what, cap, 0, 0]).unwrap().map(drop)
            }
            Op::Exec(t, setuid, nosuid) => {
                exec(&self.task(t), &ExecFile { setuid, nosuid, ..ExecFile::default() })
            }
            Op::SetName(t, byte) => {
                prepare_set_name(&self.task(t), Name::Host, 1).map(|name| name.commit(&[byte]))
            }
        })
    }

    /// Everything that can be seen of the system.
    fn snapshot(&self) -> String {
        let mut text = format!("{} alive\n", self.system.namespaces_alive());
        for task in &self.tasks {
            let proxy = task.nsproxy();
            text += &format!(
                "{task:?} {:?} {:?} {:?} {} {} {} {}\n",
                proxy.as_ref().map(Arc::as_ptr),
                proxy.as_ref().map(|proxy| proxy.uts.names()),
                task.cred(),
                task.thread_count(),
                task.dumpable(),
                task.chrooted(),
                task.is_leader(),
            );
        }
        for ns in self.users() {
            let limits = Kind::ALL.iter().map(|kind| max_namespaces(&ns, *kind));
            let maps = [MapKind::Uid, MapKind::Gid, MapKind::Projid];
            let maps = maps.map(|kind| read_map(kind, &ns, &self.system.init_user()));
            text += &format!("{ns:?} {:?} {maps:?} ", limits.collect::<Vec<_>>());
            text += &format!("{:?} {}", self.charges(&ns), read_setgroups(&ns));
        }
        text
    }

    /// The user namespaces that tasks and pins lead to, each once.
    fn users(&self) -> Vec<Arc<UserNs>> {
        let mut found: BTreeMap<u64, Arc<UserNs>> = BTreeMap::new();
        let mut add = |mut at: Option<Arc<UserNs>>| {
            while let Some(ns) = at {
                at = ns.parent();
                found.insert(AnyNamespace::User(ns.clone()).id(), ns);
            }
        };
        self.tasks.iter().for_each(|task| add(Some(task.user_ns())));
        self.pins.iter().for_each(|pin| match pin {
            AnyNamespace::User(ns) => add(Some(ns.clone())),
            other => add(other.owner()),
        });
        self.proxies().iter().for_each(|(proxy, _)| add(Some(proxy.uts.owner())));
        found.into_values().collect()
    }

    /// The namespace objects in use, and how many tasks use each.
    fn proxies(&self) -> Vec<(Arc<NsProxy>, usize)> {
        let mut found: BTreeMap<*const NsProxy, (Arc<NsProxy>, usize)> = BTreeMap::new();
        let init = self.system.init_nsproxy();
        found.insert(Arc::as_ptr(&init), (init, 1));
        for proxy in self.tasks.iter().filter_map(|task| task.nsproxy()) {
            found.entry(Arc::as_ptr(&proxy)).or_insert((proxy, 0)).1 += 1;
        }
        found.into_values().collect()
    }

    /// What is charged in `ns`, all users together.
    fn charges(&self, ns: &UserNs) -> [u32; 2] {
        let users = (0..10).chain(995..1010).map(Kuid);
        let of = |kind| users.clone().map(|uid| namespaces_charged(ns, uid, kind)).sum();
        [of(Kind::Uts), of(Kind::User)]
    }

    fn check(&self) {
        // Counts equal references.
        let proxies = self.proxies();
        let mut uts: BTreeMap<u64, (Arc<UtsNs>, usize)> = BTreeMap::new();
        for (proxy, tasks) in &proxies {
            assert_eq!(Arc::strong_count(proxy), tasks + 1, "tasks, and the one held here");
            let id = AnyNamespace::Uts(proxy.uts.clone()).id();
            uts.entry(id).or_insert((proxy.uts.clone(), 0)).1 += 1;
        }
        for pin in &self.pins {
            if let AnyNamespace::Uts(ns) = pin {
                uts.entry(pin.id()).or_insert((ns.clone(), 0)).1 += 1;
            }
        }
        for (ns, holders) in uts.values() {
            assert_eq!(Arc::strong_count(ns), holders + 1, "{ns:?}");
        }
        // What is alive is what something leads to, and the onlooker knows it.
        let users = self.users();
        let alive = users.len() + uts.len() - 2;
        assert_eq!(self.system.namespaces_alive(), alive);
        assert_eq!(self.ledger.0.lock().unwrap().len(), alive);
        let inodes: BTreeSet<u32> = users
            .iter()
            .map(|ns| ns.inode())
            .chain(uts.values().map(|(ns, _)| ns.inode()))
            .collect();
        assert_eq!(inodes.len(), users.len() + uts.len(), "numbers are unique");
        // Every user namespace is charged with what it and those below it own.
        for ns in &users {
            let not_initial = |ns: &UserNs| !ns.is_initial();
            let below = |owner: Option<Arc<UserNs>>| owner.is_some_and(|owner| owner.is_within(ns));
            let owned_uts = uts.values().filter(|(uts, _)| {
                uts.inode() != self.system.init_uts().inode() && below(Some(uts.owner()))
            });
            let owned_users = users.iter().filter(|user| not_initial(user) && below(user.parent()));
            let expected = [owned_uts.count() as u32, owned_users.count() as u32];
            assert_eq!(self.charges(ns), expected, "{ns:?}");
            assert!(ns.level() <= 33);
        }
        for task in &self.tasks {
            let cred = task.cred();
            assert!(cred.effective.is_subset(cred.permitted));
            assert!(cred.ambient.is_subset(cred.permitted.intersection(cred.inheritable)));
            for thread in task.threads().iter().filter(|_| !task.has_exited()) {
                assert_eq!(*thread.user_ns(), *task.user_ns(), "a process has one user namespace");
            }
        }
    }

    fn end(mut self) {
        self.tasks.clear();
        self.pins.clear();
        assert_eq!(self.system.namespaces_alive(), 0);
        assert!(self.ledger.0.lock().unwrap().is_empty());
        assert_eq!(self.charges(&self.system.init_user()), [0, 0]);
        assert_eq!(Arc::strong_count(&self.system.init_nsproxy()), 2);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_books_balance_after_every_call(program in vec(op(), 1..60)) {
        let mut world = World::new();
        for op in &program {
            let before = world.snapshot();
            if let Some(Err(refusal)) = world.run(op) {
                prop_assert_eq!(before, world.snapshot(), "{:?} changed something: {}", op, refusal);
            }
            world.check();
        }
        world.end();
    }
}
