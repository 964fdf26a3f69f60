//! Arguments of the calls about network namespaces.

use super::value::{Fd, Meaning, Value, Who, Words};

/// How a request names a network namespace: `@x` by a descriptor, a process or a number by its
/// number, `-` not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the three ways to write it")]
pub enum NetRef {
    None,
    Fd(Fd),
    Who(Who),
}

impl Value for NetRef {
    fn read(words: &mut Words<'_>) -> Result<Self, String> {
        let word = words.next("a network namespace")?.to_owned();
        let one = [word];
        let mut again = Words::new(&one);
        Ok(match one[0].as_str() {
            "-" => NetRef::None,
            "-1" => NetRef::Fd(Fd::Number(-1)),
            text if text.starts_with('@') => NetRef::Fd(Fd::read(&mut again)?),
            text if text.starts_with("fd:") => {
                let number = text[3..].parse().map_err(|_| format!("{text} is no descriptor"))?;
                NetRef::Fd(Fd::Number(number))
            }
            _ => NetRef::Who(Who::read(&mut again)?),
        })
    }

    fn write(&self) -> String {
        match self {
            NetRef::None => "-".into(),
            NetRef::Fd(Fd::Number(number)) => format!("fd:{number}"),
            NetRef::Fd(fd) => fd.write(),
            NetRef::Who(who) => who.write(),
        }
    }

    fn resolve(&mut self, meaning: &dyn Meaning) {
        match self {
            NetRef::None => {}
            NetRef::Fd(fd) => fd.resolve(meaning),
            NetRef::Who(who) => who.resolve(meaning),
        }
    }
}

/// An address: `127.0.0.1:80`, `[::1]:80`, or `abstract:name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketAddress {
    source: String,
    /// What it amounts to.
    pub value: nsproxy::net::Address,
}

impl Value for SocketAddress {
    fn read(words: &mut Words<'_>) -> Result<Self, String> {
        let source = words.next("an address")?.to_owned();
        let value = match source.strip_prefix("abstract:") {
            Some(name) => nsproxy::net::Address::Abstract(name.as_bytes().to_vec()),
            None => {
                let ip = source.parse().map_err(|_| format!("{source} is no address"))?;
                nsproxy::net::Address::Ip(ip)
            }
        };
        Ok(SocketAddress { source, value })
    }

    fn write(&self) -> String {
        self.source.clone()
    }
}
