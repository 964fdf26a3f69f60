//! One example of each rule about pid namespaces.

use crate::common::*;
use nsproxy::{CloneFlags as F, *};
use std::sync::Arc;

/// A refusal of the rule; `None` if it is of another room.
pub(crate) fn provoke(rule: Rule) -> Option<Refusal> {
    let system = &boot();
    let task = &root(system);
    let chosen = |by: &Arc<Task>, flags: F, set_tid: &[i32]| {
        let args = CloneArgs::clone3(flags, 17);
        prepare_clone_with(by, &args, Facts { set_tid, ..Facts::default() }).unwrap_err()
    };
    let pid = |task: &Task| task.namespace(Link::Pid).unwrap();
    Some(match rule {
        Rule::PidChildrenElsewhere => {
            unshare(task, F::NEWPID).unwrap();
            unshare(task, F::NEWPID).unwrap_err()
        }
        Rule::PidOwnerAbove => {
            let inner = born(task, F::NEWUSER | F::NEWPID);
            setns(task, JoinTarget::Namespace(&pid(&inner)), 0).unwrap();
            let guest = born(task, F::empty());
            unshare(&guest, F::NEWPID).unwrap_err()
        }
        Rule::PidNestedTooDeep => {
            let mut chain = vec![born(task, F::NEWPID)];
            while chain.len() < 32 {
                chain.push(born(&chain[chain.len() - 1], F::NEWPID));
            }
            unshare(&chain[31], F::NEWPID).unwrap_err()
        }
        Rule::JoinPidNotBelow => {
            let inner = born(task, F::NEWPID);
            setns(&inner, JoinTarget::Namespace(&pid(task)), 0).unwrap_err()
        }
        Rule::CloneSiblingOfInit => {
            let init = born(task, F::NEWPID);
            prepare_clone(&init, &CloneArgs::legacy(F::PARENT.bits() | 17)).unwrap_err()
        }
        Rule::CloneThreadPidElsewhere => {
            unshare(task, F::NEWPID).unwrap();
            let thread = F::THREAD | F::SIGHAND | F::VM;
            prepare_clone(task, &CloneArgs::legacy(thread.bits())).unwrap_err()
        }
        Rule::CloneTimeElsewhere => {
            let version = KernelVersion::new(6, 1);
            let system = System::new(Config { version, ..Config::default() });
            let task = &crate::root(&system);
            unshare(task, F::NEWTIME).unwrap();
            prepare_clone(task, &CloneArgs::vfork()).unwrap_err()
        }
        Rule::CloneProcessLimit => {
            let facts = Facts { crowded: true, ..Facts::default() };
            prepare_clone_with(task, &CloneArgs::fork(), facts).unwrap_err()
        }
        Rule::CloneSetTidTooDeep => chosen(task, F::empty(), &[5, 5]),
        Rule::CloneSetTidOutOfRange => chosen(task, F::empty(), &[-1]),
        Rule::CloneSetTidBeforeInit => chosen(task, F::NEWPID, &[2]),
        Rule::CloneSetTidNeedsCheckpoint => chosen(&user(system, 1000), F::empty(), &[500]),
        Rule::CloneSetTidTaken => chosen(task, F::empty(), &[1]),
        Rule::CloneNumbersUsedUp => {
            let init = born(task, F::NEWPID);
            let ns = init.pid_ns().unwrap();
            set_pid_max(&ns, &init.cred(), 0, b"301").unwrap();
            set_last_pid(&init, 0, b"298").unwrap();
            let _held = [born(&init, F::empty()), born(&init, F::empty())];
            prepare_clone(&init, &CloneArgs::fork()).unwrap_err()
        }
        Rule::CloneNamespaceDead => {
            unshare(task, F::NEWPID).unwrap();
            drop(prepare_clone(task, &CloneArgs::fork()).unwrap());
            prepare_clone(task, &CloneArgs::fork()).unwrap_err()
        }
        Rule::WaitNoChild => wait(task, WaitFor::Any, WaitKind::All).unwrap_err(),
        Rule::KillNobody => kill_targets(task, 77, 9).unwrap_err(),
        Rule::KillSignalUnknown => {
            let own = task.number_in(&system.init_pid()).unwrap();
            kill_targets(task, own as i32, 65).unwrap_err()
        }
        Rule::RebootNeedsBoot => reboot(&user(system, 1000), (0, 0), 0).unwrap_err(),
        Rule::RebootMagic => reboot(task, (0xfee1_dead, 1), 0).unwrap_err(),
        Rule::RebootCommand => {
            let args = CloneArgs::legacy(F::NEWPID.bits() | 17);
            let init = prepare_clone(task, &args).unwrap().commit();
            reboot(&init, (0xfee1_dead, 85_072_278), 0).unwrap_err()
        }
        Rule::LastPidNeedsCheckpoint => set_last_pid(&user(system, 1000), 0, b"5").unwrap_err(),
        Rule::LastPidOutOfRange => set_last_pid(task, 0, b"4194305").unwrap_err(),
        Rule::PidMaxNeedsOwner => {
            may_write_pid_max(&system.init_pid(), &user(system, 1000).cred()).unwrap_err()
        }
        Rule::PidMaxWriterNeedsOwner => {
            let cred = user(system, 1000).cred();
            set_pid_max(&system.init_pid(), &cred, 0, b"5000").unwrap_err()
        }
        Rule::PidMaxOutOfRange => {
            set_pid_max(&system.init_pid(), &task.cred(), 0, b"300").unwrap_err()
        }
        Rule::MemfdNoexecNeedsRoot => {
            may_write_memfd_noexec(&user(system, 1000).cred()).unwrap_err()
        }
        Rule::MemfdNoexecWriterNeedsAdmin => {
            set_memfd_noexec(&user(system, 1000), 0, b"1").unwrap_err()
        }
        Rule::MemfdNoexecOutOfRange => set_memfd_noexec(task, 0, b"3").unwrap_err(),
        Rule::MemfdFlagsContradict => may_create_memfd(task, 0x18).unwrap_err(),
        Rule::MemfdExecForbidden => {
            set_memfd_noexec(task, 0, b"2").unwrap();
            may_create_memfd(task, 0x10).unwrap_err()
        }
        Rule::IoctlNoNumbers => {
            let uts = task.namespace(Link::Uts).unwrap();
            ioctl_number_here(task, &uts, 1, false).unwrap_err()
        }
        Rule::IoctlNobody => ioctl_number_there(task, &pid(task), 77, true).unwrap_err(),
        Rule::SessionLedAlready => {
            setsid(task).unwrap();
            setsid(task).unwrap_err()
        }
        Rule::SessionGroupTaken => {
            setpgid(task, 0, 0).unwrap();
            setsid(task).unwrap_err()
        }
        Rule::GroupNegative => setpgid(task, 0, -1).unwrap_err(),
        Rule::GroupNoProcess => setpgid(task, 77, 0).unwrap_err(),
        Rule::GroupOfThread => {
            let thread = born(task, F::THREAD | F::SIGHAND | F::VM);
            setpgid(task, own(&thread), 0).unwrap_err()
        }
        Rule::GroupChildElsewhere => {
            let child = born(task, F::empty());
            setsid(&child).unwrap();
            setpgid(task, own(&child), 0).unwrap_err()
        }
        Rule::GroupChildExecuted => {
            let child = born(task, F::empty());
            exec(&child, &ExecFile::default()).unwrap();
            setpgid(task, own(&child), 0).unwrap_err()
        }
        Rule::GroupNotChild => setpgid(&born(task, F::empty()), own(task), 0).unwrap_err(),
        Rule::GroupSessionLeader => {
            setsid(task).unwrap();
            setpgid(task, 0, 0).unwrap_err()
        }
        Rule::GroupUnknown => setpgid(&born(task, F::empty()), 0, own(task)).unwrap_err(),
        Rule::GroupOfNobody => getpgid(task, 77).unwrap_err(),
        _ => return None,
    })
}

fn own(task: &Task) -> i32 {
    task.number_in(&task.pid_ns().unwrap()).unwrap() as i32
}

fn born(parent: &Arc<Task>, flags: F) -> Arc<Task> {
    prepare_clone(parent, &CloneArgs::legacy(flags.bits() | 17)).unwrap().commit()
}
