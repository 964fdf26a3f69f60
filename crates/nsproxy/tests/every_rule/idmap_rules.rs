//! An example of each rule about id maps of mounts.

use crate::common::{self, NEWUSER, mounts::Machine};
use nsproxy::*;
use std::sync::Arc;

/// The attributes of mount_setattr(2) that ask for a map.
const SET: [u8; 32] = with(2, 0x10);

const fn with(place: usize, value: u8) -> [u8; 32] {
    let mut block = [0; 32];
    block[place] = value;
    block
}

fn user(of: &Task) -> AnyNamespace {
    AnyNamespace::User(of.user_ns())
}

/// Reads attributes that name a namespace, if it is one.
fn read(by: &Arc<Task>, block: &[u8], file: IdmapFile) -> Result<MountAttr, Refusal> {
    let (mounter, _) = MountAttr::block_len(by, block.len() as u64)?;
    MountAttr::from_block(&mounter, block, |_| file).map(Option::unwrap)
}

/// Gives a mount the maps of somebody's user namespace.
fn give(by: &Arc<Task>, target: &Place, of: &Task) -> Result<(), Refusal> {
    let attr = read(by, &SET, IdmapFile::Namespace(user(of)))?;
    Mounter::of(by, "mount_setattr")?.setattr(target, &attr, false)?.commit();
    Ok(())
}

/// A refusal of the rule; `None` if it is of another room.
pub(crate) fn provoke(rule: Rule) -> Option<Refusal> {
    let machine = &Machine::new();
    let task = &machine.root();
    let mapped = common::inner_root(&machine.system, 1000);
    let named = |block: &[u8], file| read(task, block, file).unwrap_err();
    let copy = |of: &str| open_tree(task, &machine.dirs, &machine.at(task, of), false).unwrap();
    Some(match rule {
        Rule::IdmapStays => named(&with(10, 0x10), IdmapFile::Closed),
        Rule::IdmapDescriptorRange => {
            let mut block = SET;
            block[31] = 1;
            named(&block, IdmapFile::Closed)
        }
        Rule::IdmapDescriptorClosed => named(&SET, IdmapFile::Closed),
        Rule::IdmapNotAUserNamespace => named(&SET, IdmapFile::Other),
        Rule::IdmapOfInitial => named(&SET, IdmapFile::Namespace(user(task))),
        Rule::IdmapUserNeedsAdmin => {
            let file = IdmapFile::Namespace(user(&mapped));
            let elsewhere = common::user(&machine.system, 2000);
            unshare(&elsewhere, NEWUSER | CloneFlags::NEWNS).unwrap();
            read(&elsewhere, &SET, file).unwrap_err()
        }
        Rule::IdmapUnmapped => {
            let half = common::unmapped(&machine.system, 1000);
            common::map_as_root(&machine.system, &half, MapKind::Uid, "0 0 1");
            named(&SET, IdmapFile::Namespace(user(&half)))
        }
        Rule::IdmapOfFileSystem => {
            unshare(&mapped, CloneFlags::NEWNS).unwrap();
            machine.mount(&mapped, "/a", MsFlags::empty()).unwrap();
            give(&mapped, &machine.at(&mapped, "/a"), &mapped).unwrap_err()
        }
        Rule::IdmapGivenAlready => {
            let tree = copy("/");
            give(task, &tree.root(), &mapped).unwrap();
            give(task, &tree.root(), &mapped).unwrap_err()
        }
        Rule::IdmapUnsupported => {
            let proc = Arc::new(Super::new(9, "proc", (0, 9), &machine.system.init_user()));
            let (mounter, place) = (Mounter::of(task, "mount").unwrap(), machine.at(task, "/a"));
            let root = Dentry { super_id: 9, id: 0 };
            mounter.mount(&machine.dirs, &proc, root, b"proc", &place, 0).unwrap().commit();
            give(task, &copy("/a").root(), &mapped).unwrap_err()
        }
        Rule::IdmapNeedsAdmin => {
            unshare(&mapped, CloneFlags::NEWNS).unwrap();
            let place = machine.at(&mapped, "/");
            let tree = open_tree(&mapped, &machine.dirs, &place, false).unwrap();
            let below = prepare_clone(&mapped, &CloneArgs::legacy(NEWUSER.bits() | 17)).unwrap();
            let below = below.commit();
            let cred = mapped.cred();
            for kind in [MapKind::Uid, MapKind::Gid] {
                write_map(kind, &below.user_ns(), &cred, &cred, 0, b"0 0 1").unwrap();
            }
            give(&mapped, &tree.root(), &below).unwrap_err()
        }
        Rule::IdmapOfMounted => give(task, &machine.at(task, "/"), &mapped).unwrap_err(),
        _ => return None,
    })
}

#[test]
fn the_owner_of_a_file_is_looked_up_in_both_maps() {
    let machine = Machine::new();
    let task = machine.root();
    let mapped = common::inner_root(&machine.system, 1000);
    let plain = open_tree(&task, &machine.dirs, &machine.at(&task, "/"), false).unwrap();
    let tree = open_tree(&task, &machine.dirs, &machine.at(&task, "/"), false).unwrap();
    give(&task, &tree.root(), &mapped).unwrap();
    let seen = |of: &DetachedTree, uid, gid| of.root().owner_seen(Kuid(uid), Kgid(gid));
    assert_eq!(seen(&plain, 3, 77), (Some(Kuid(3)), Some(Kgid(77))));
    assert_eq!(seen(&tree, 3, 9), (Some(Kuid(1003)), Some(Kgid(1009))));
    assert_eq!(seen(&tree, 0, 10), (Some(Kuid(1000)), None));
    // A bind of the mount has its map, and so has the copy of a namespace.
    let place = machine.at(&task, "/a");
    let mounter = Mounter::of(&task, "move_mount").unwrap();
    mounter.move_mount(&machine.dirs, &tree.root(), &place, Onto::Top).unwrap().commit();
    machine.bind(&task, "/a", "/b").unwrap();
    unshare(&task, CloneFlags::NEWNS).unwrap();
    for path in ["/a", "/b"] {
        let owner = machine.at(&task, path).owner_seen(Kuid(0), Kgid(0));
        assert_eq!(owner, (Some(Kuid(1000)), Some(Kgid(1000))), "{path}");
    }
}
