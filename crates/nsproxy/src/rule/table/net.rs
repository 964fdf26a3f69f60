//! The table of rules: network namespaces.

macro_rules! net {
    ($left:tt $($rows:tt)*) => { $crate::rule::table::collect! { $left $($rows)*

    // ---- net: requests ----------------------------------------------------------------------

    NetNeedsAdmin => EPERM,
        "changing a network namespace needs CAP_NET_ADMIN in the user namespace that owns it",
        "Every process in it uses its devices.",
        calls: ["RTM_NEWLINK", "RTM_SETLINK", "RTM_DELLINK", "RTM_NEWNSID"],
        manual: ["rtnetlink(7)", "network_namespaces(7)"],
        kernel: "checked before anything of the request";

    NetDescriptorClosed => EBADF,
        "a descriptor that names a network namespace must be open",
        "The number is looked up in the table of whoever makes the request.",
        calls: ["RTM_NEWLINK", "RTM_SETLINK", "RTM_NEWNSID", "RTM_GETNSID"],
        manual: ["network_namespaces(7)"];

    NetNotANamespace => EINVAL,
        "a descriptor that names a network namespace must be one of a network namespace",
        "Nothing else has devices.",
        calls: ["RTM_NEWLINK", "RTM_SETLINK", "RTM_NEWNSID", "RTM_GETNSID"],
        manual: ["network_namespaces(7)"];

    NetProcessUnknown => ESRCH,
        "a number that names a network namespace must be that of a process which is in one",
        "A process that has ended is in none.",
        calls: ["RTM_NEWLINK", "RTM_SETLINK", "RTM_NEWNSID", "RTM_GETNSID"],
        manual: ["network_namespaces(7)"];

    NetTargetNeedsAdmin => EPERM,
        "putting a device into another network namespace needs CAP_NET_ADMIN in the user namespace that owns that one",
        "Its name and its packets would be there unasked.",
        calls: ["RTM_NEWLINK", "RTM_SETLINK"], manual: ["network_namespaces(7)"];

    // ---- net: devices -----------------------------------------------------------------------

    LinkNameTooLong => ERANGE,
        "a device's name has at most 15 bytes",
        "That is IFNAMSIZ less the NUL.",
        calls: ["RTM_NEWLINK", "RTM_SETLINK", "RTM_DELLINK"], manual: ["netdevice(7)"];

    LinkNameInvalid => EINVAL,
        "a device's name is not empty, not a dot or two, and has no slash, colon or blank; a percent sign only once, before a d",
        "It is a file name in sysfs and a word for tools; with %d it stands for the first free number.",
        calls: ["RTM_NEWLINK", "RTM_SETLINK"], manual: ["netdevice(7)"];

    LinkNameTaken => EEXIST,
        "no other device of the namespace may have the name",
        "Devices are found by their names.",
        calls: ["RTM_NEWLINK", "RTM_SETLINK"], manual: ["rtnetlink(7)"];

    LinkIndexInvalid => EINVAL,
        "a device's index is not negative",
        "0 asks for any.",
        calls: ["RTM_NEWLINK"], manual: ["rtnetlink(7)"];

    LinkIndexTaken => EEXIST,
        "no other device of the namespace may have the index",
        "Devices are found by their indices.",
        calls: ["RTM_NEWLINK"], manual: ["rtnetlink(7)"];

    LinkKindUnknown => EOPNOTSUPP,
        "the kernel must have a driver for that sort of device",
        "There would be nothing behind it.",
        calls: ["RTM_NEWLINK"], manual: ["rtnetlink(7)"];

    LinkUnknown => ENODEV,
        "the caller's namespace must have a device of that name",
        "Devices of other namespaces cannot be seen.",
        calls: ["RTM_SETLINK", "RTM_DELLINK"], manual: ["rtnetlink(7)"];

    LinkPinned => EINVAL,
        "the device must be one that can change its namespace",
        "Each namespace has one lo, and some sorts, bridges for one, are bound to what they were made in.",
        calls: ["RTM_SETLINK"], manual: ["network_namespaces(7)"];

    LinkNameTakenThere => EEXIST,
        "the device's name must be free in the namespace that it goes to",
        "Devices are found by their names.",
        calls: ["RTM_SETLINK"], manual: ["network_namespaces(7)"];

    LinkStays => EOPNOTSUPP,
        "only a device that a request has made can be removed by one",
        "lo belongs to the namespace, hardware to the machine.",
        calls: ["RTM_DELLINK"], manual: ["rtnetlink(7)"];

    // ---- net: nsids -------------------------------------------------------------------------

    NsidIncomplete => EINVAL,
        "giving an nsid takes the number and a network namespace",
        "One without the other says nothing.",
        calls: ["RTM_NEWNSID"], manual: ["rtnetlink(7)"];

    NsidAlreadyGiven => EEXIST,
        "a network namespace has one nsid in another",
        "Messages name it by that.",
        calls: ["RTM_NEWNSID"], manual: ["rtnetlink(7)"];

    NsidTaken => EEXIST,
        "an nsid stands for one network namespace",
        "Messages name it by that.",
        calls: ["RTM_NEWNSID"], manual: ["rtnetlink(7)"];

    NsidQueryEmpty => EINVAL,
        "asking for an nsid takes a network namespace or a number",
        "There is nothing to look for.",
        calls: ["RTM_GETNSID"], manual: ["rtnetlink(7)"];

    NsidUnknown => ENOENT,
        "the number asked for must be some network namespace's nsid",
        "Numbers are free again when their namespace ends.",
        calls: ["RTM_GETNSID"], manual: ["rtnetlink(7)"];

    // ---- net: sockets -----------------------------------------------------------------------

    AddressNotLocal => EADDRNOTAVAIL,
        "a socket is bound to an address that its network namespace has",
        "Nothing could arrive for it.",
        calls: ["bind"], manual: ["bind(2)", "ip(7)"],
        kernel: "an IPv4 address is not looked at in a namespace that never had one";

    PortNeedsBindService => EACCES,
        "a port below ip_unprivileged_port_start needs CAP_NET_BIND_SERVICE in the user namespace that owns the network",
        "Others trust what answers there.",
        calls: ["bind"], manual: ["ip(7)", "capabilities(7)"];

    AddressBoundAlready => EINVAL,
        "a socket is bound once",
        "Its peers know it by that.",
        calls: ["bind"], manual: ["bind(2)"];

    PortTaken => EADDRINUSE,
        "no other socket of the network namespace may hold the port for an address in common",
        "Unless both have SO_REUSEADDR and the other does not listen, or both have SO_REUSEPORT and one user. An IPv6 socket for all addresses holds the IPv4 ones too, unless it is V6ONLY.",
        calls: ["bind"], manual: ["bind(2)", "socket(7)", "ipv6(7)"];

    PortListenedOn => EADDRINUSE,
        "no other socket that shares the port may listen already",
        "A connection has one end.",
        calls: ["listen"], manual: ["listen(2)", "socket(7)"];

    AbstractNameTaken => EADDRINUSE,
        "no other socket of the network namespace may have the abstract name",
        "Names that are paths are the file system's, and not bound to a network namespace.",
        calls: ["bind"], manual: ["unix(7)"];

    AddressMissing => EINVAL,
        "a Unix socket must have a name before it listens",
        "Nobody could find it.",
        calls: ["listen"], manual: ["unix(7)"];

    NobodyListens => ECONNREFUSED,
        "somebody in the same network namespace must listen there",
        "Abstract names and the loopback address mean nothing beyond it.",
        calls: ["connect"], manual: ["connect(2)", "unix(7)"];

    NetUnreachable => ENETUNREACH,
        "there must be a way to the address",
        "In a new network namespace even lo is down.",
        calls: ["connect"], manual: ["connect(2)", "network_namespaces(7)"];

    SocketNeedsAdmin => EPERM,
        "getting hold of a socket's network namespace needs CAP_NET_ADMIN in the user namespace that owns it",
        "Sockets are handed to others who should not get in by them.",
        calls: ["ioctl SIOCGSKNS"], manual: ["network_namespaces(7)"];

    // ---- net: /proc/sys/net -----------------------------------------------------------------

    NetFileNeedsAdmin => EACCES,
        "only the root of the user namespace that owns the network, or a holder of CAP_NET_ADMIN there, opens its files for writing",
        "They hold for every process in it.",
        calls: ["open /proc/sys/net/ipv4/ip_unprivileged_port_start"], manual: ["network_namespaces(7)", "proc(5)"];

    NetFileWriterNeedsAdmin => EPERM,
        "whoever writes a network namespace's file must be one who could open it for writing",
        "The file asks again at each write.",
        calls: ["write /proc/sys/net/ipv4/ip_unprivileged_port_start"], manual: ["proc(5)"];

    PortStartText => EINVAL,
        "the first unprivileged port is 0 to 32768",
        "Ports that the kernel gives out must be free for everybody; they begin there.",
        calls: ["write /proc/sys/net/ipv4/ip_unprivileged_port_start"], manual: ["ip(7)"];

    } };
}
pub(super) use net;
