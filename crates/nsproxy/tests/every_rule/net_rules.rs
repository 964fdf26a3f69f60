//! One example of each rule about network namespaces.

use crate::common::*;
use nsproxy::{net::*, *};
use std::sync::Arc;

fn new(name: &str) -> NewLink<'_> {
    let (kind, peer) = (Some(LinkKind::Virtual), Peer::default());
    NewLink { kind, name, index: 0, target: None, peer }
}

fn at(text: &str) -> Address {
    Address::Ip(text.parse().unwrap())
}

/// A refusal of the rule; `None` if it is of another room.
pub(crate) fn provoke(rule: Rule) -> Option<Refusal> {
    let system = &boot();
    let (task, other) = (&root(system), &user(system, 1000));
    let net = Arc::clone(&system.init_nsproxy().net);
    let away = &root(system);
    unshare(away, CloneFlags::NEWNET).unwrap();
    let there = away.namespace(Link::Net).unwrap();
    let uts = task.namespace(Link::Uts).unwrap();
    let tcp = |task: &Arc<Task>| socket(task, Protocol::Tcp, Reuse::default()).unwrap();
    let unix = || socket(task, Protocol::Unix, Reuse::default()).unwrap();
    let name = Address::Abstract(b"name".to_vec());
    Some(match rule {
        Rule::NetNeedsAdmin => link_delete(other, "lo").unwrap_err(),
        Rule::NetDescriptorClosed => link_move(task, "lo", Named::Closed).unwrap_err(),
        Rule::NetNotANamespace => link_move(task, "lo", Named::Namespace(&uts)).unwrap_err(),
        Rule::NetProcessUnknown => link_move(task, "lo", Named::Nobody).unwrap_err(),
        Rule::NetTargetNeedsAdmin => {
            unshare(other, CloneFlags::NEWUSER | CloneFlags::NEWNET).unwrap();
            link_move(other, "lo", Named::Namespace(&there)).unwrap_err()
        }
        Rule::LinkNameTooLong => link_add(task, &new("1234567890123456")).unwrap_err(),
        Rule::LinkNameInvalid => link_add(task, &new("a/b")).unwrap_err(),
        Rule::LinkNameTaken => link_add(task, &new("lo")).unwrap_err(),
        Rule::LinkIndexInvalid => link_add(task, &NewLink { index: -1, ..new("a") }).unwrap_err(),
        Rule::LinkIndexTaken => link_add(task, &NewLink { index: 1, ..new("a") }).unwrap_err(),
        Rule::LinkKindUnknown => link_add(task, &NewLink { kind: None, ..new("a") }).unwrap_err(),
        Rule::LinkUnknown => link_delete(task, "nothing").unwrap_err(),
        Rule::LinkPinned => link_move(task, "lo", Named::Task(away)).unwrap_err(),
        Rule::LinkNameTakenThere => {
            link_add(task, &new("a")).unwrap();
            link_add(away, &new("a")).unwrap();
            link_move(task, "a", Named::Task(away)).unwrap_err()
        }
        Rule::LinkStays => link_delete(task, "lo").unwrap_err(),
        Rule::NsidIncomplete => nsid_assign(task, Some(1), None).unwrap_err(),
        Rule::NsidAlreadyGiven => {
            nsid_assign(task, Some(1), Some(Named::Task(away))).unwrap();
            nsid_assign(task, Some(2), Some(Named::Task(away))).unwrap_err()
        }
        Rule::NsidTaken => {
            nsid_assign(task, Some(1), Some(Named::Task(away))).unwrap();
            nsid_assign(task, Some(1), Some(Named::Task(task))).unwrap_err()
        }
        Rule::NsidQueryEmpty => nsid_get(task, None).unwrap_err(),
        Rule::NsidUnknown => nsid_known(task, 0).unwrap_err(),
        Rule::AddressNotLocal => bind(task, &tcp(task), &at("[fd00::1]:80")).unwrap_err(),
        Rule::PortNeedsBindService => bind(other, &tcp(other), &at("127.0.0.1:80")).unwrap_err(),
        Rule::AddressBoundAlready => {
            let socket = tcp(task);
            bind(task, &socket, &at("127.0.0.1:80")).unwrap();
            bind(task, &socket, &at("127.0.0.1:81")).unwrap_err()
        }
        Rule::PortTaken => {
            let holder = tcp(task);
            bind(task, &holder, &at("127.0.0.1:80")).unwrap();
            bind(task, &tcp(task), &at("[::]:80")).unwrap_err()
        }
        Rule::PortListenedOn => {
            let reuse = Reuse { address: true, ..Reuse::default() };
            let both = [(); 2].map(|()| socket(task, Protocol::Tcp, reuse).unwrap());
            both.iter().for_each(|one| bind(task, one, &at("127.0.0.1:80")).unwrap());
            listen(task, &both[0]).unwrap();
            listen(task, &both[1]).unwrap_err()
        }
        Rule::AbstractNameTaken => {
            let holder = unix();
            bind(task, &holder, &name).unwrap();
            bind(task, &unix(), &name).unwrap_err()
        }
        Rule::AddressMissing => listen(task, &unix()).unwrap_err(),
        Rule::NobodyListens => connect(task, &unix(), &name).unwrap_err(),
        Rule::NetUnreachable => connect(task, &tcp(task), &at("127.0.0.1:80")).unwrap_err(),
        Rule::SocketNeedsAdmin => socket_namespace(other, &tcp(other)).unwrap_err(),
        Rule::NetFileNeedsAdmin => may_open_port_start(&net, &other.cred()).unwrap_err(),
        Rule::NetFileWriterNeedsAdmin => {
            write_port_start(&net, &other.cred(), 0, b"1").unwrap_err()
        }
        Rule::PortStartText => write_port_start(&net, &task.cred(), 0, b"32769").unwrap_err(),
        _ => return None,
    })
}
