//! The net room: what outlives a call. Results were observed on Linux 6.18, but for hardware,
//! whose way home is that of network_namespaces(7).
#![cfg(not(loom))]

mod common;

use common::*;
use nsproxy::{net::*, *};
use std::sync::Arc;

const NEWNET: CloneFlags = CloneFlags::NEWNET;

fn names(task: &Arc<Task>) -> Vec<String> {
    links(task).unwrap().into_iter().map(|link| link.name).collect()
}

fn veth<'a>(name: &'a str, peer: &'a str, target: Option<Named<'a>>) -> NewLink<'a> {
    let peer = Peer { name: Some(peer), target };
    NewLink { kind: Some(LinkKind::Veth), name, index: 0, target: None, peer }
}

#[test]
fn hardware_goes_home_when_its_namespace_ends() {
    let system = &boot();
    let home = root(system);
    let task = root(system);
    add_hardware(&system.init_nsproxy().net, "eth0");
    unshare(&task, NEWNET).unwrap();
    link_move(&home, "eth0", Named::Task(&task)).unwrap();
    assert_eq!((names(&home), names(&task)), (vec!["lo".into()], vec!["lo".into(), "eth0".into()]));
    // Meanwhile somebody else took its name.
    let other = NewLink { kind: Some(LinkKind::Virtual), ..veth("eth0", "-", None) };
    link_add(&home, &other).unwrap();
    exit(&task);
    assert_eq!(names(&home), ["lo", "dev0", "eth0"]);
    assert_eq!(refused(link_delete(&home, "dev0")), Rule::LinkStays);
}

#[test]
fn a_pair_dies_with_either_namespace_and_the_nsid_with_it() {
    let system = &boot();
    let (a, b) = (root(system), root(system));
    unshare(&a, NEWNET).unwrap();
    unshare(&b, NEWNET).unwrap();
    link_add(&a, &veth("v0", "v1", Some(Named::Task(&b)))).unwrap();
    assert_eq!(nsid_get(&a, Some(Named::Task(&b))), Ok(0));
    exit(&b);
    assert_eq!(names(&a), ["lo"]);
    assert_eq!(refused(nsid_known(&a, 0)), Rule::NsidUnknown);
    exit(&a);
    assert_eq!(system.namespaces_alive(), 0);
}

#[test]
fn a_socket_keeps_its_namespace_and_gives_up_its_port() {
    let system = &boot();
    let task = root(system);
    unshare(&task, NEWNET).unwrap();
    let http = Address::Ip("127.0.0.1:80".parse().unwrap());
    let make = || socket(&task, Protocol::Tcp, Reuse::default()).unwrap();
    let (one, two) = (make(), make());
    bind(&task, &one, &http).unwrap();
    assert_eq!(refused(bind(&task, &two, &http)), Rule::PortTaken);
    drop(one);
    bind(&task, &two, &http).unwrap();
    exit(&task);
    assert_eq!(system.namespaces_alive(), 1);
    drop(two);
    assert_eq!(system.namespaces_alive(), 0);
}

#[test]
fn namespaces_that_end_while_others_send_them_devices_leave_nothing() {
    let system = &boot();
    let home = root(system);
    let http = Address::Ip("127.0.0.1:80".parse().unwrap());
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (home, http) = (&home, &http);
            scope.spawn(move || {
                for round in 0..200 {
                    let task = root(system);
                    unshare(&task, NEWNET).unwrap();
                    let one = format!("w{worker}x{round}");
                    let far = Some(Named::Task(&task));
                    link_add(home, &veth(&one, "far", far)).unwrap();
                    let reuse = Reuse::default();
                    let socket = socket(&task, Protocol::Tcp, reuse).unwrap();
                    bind(&task, &socket, http).unwrap();
                    listen(&task, &socket).unwrap();
                    exit(&task);
                    assert!(names(home).contains(&one), "the socket keeps the pair alive");
                    drop(socket);
                    assert!(!names(home).contains(&one));
                }
            });
        }
    });
    assert_eq!((names(&home), system.namespaces_alive()), (vec!["lo".into()], 0));
    assert_eq!(refused(nsid_known(&home, 0)), Rule::NsidUnknown);
}
