//! Scenarios: what is between one `scenario` line and the next.

use std::collections::HashSet;
use std::fmt;
use std::path::Path;

use nsproxy::{Kind, KindSet};

use super::call::Call;
use super::value::Words;
use super::words::split;

/// Who the first process is when a scenario begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Uid 0 with every capability but SYS_RESOURCE, which not every root has.
    Root,
    /// Uid and gid 1000, no groups, no capabilities, `no_new_privs`.
    User,
}

/// One line: a process makes a call, which gives what is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The line in its file.
    pub line: usize,
    /// Who.
    pub actor: String,
    /// What.
    pub call: Call,
    /// The descriptor name that a success is remembered under.
    pub binds: Option<String>,
    /// What the call must give, as text.
    pub expected: String,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {}", self.actor, self.call)
    }
}

/// A few processes, a list of calls, what each must give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// What the scenario shows, in words.
    pub name: String,
    /// `file:line`.
    pub place: String,
    /// The rules that refuse something in it, by name.
    pub proves: Vec<String>,
    /// The types of namespaces that must be there beside user and uts.
    pub needs: KindSet,
    /// Who `a` is at the beginning.
    pub start: Start,
    /// The steps.
    pub steps: Vec<Step>,
}

/// What makes `a` the root of a fresh user namespace (`as nsroot`).
const NSROOT: &str = r#"
    a  unshare  NEWUSER                            = 0
    a  put      /proc/self/setgroups  "deny"       = 4
    a  put      /proc/self/uid_map    "0 1000 1"   = 8
    a  put      /proc/self/gid_map    "0 1000 1"   = 8
"#;

/// The name of the process that is there from the beginning.
pub(crate) const FIRST: &str = "a";

impl Scenario {
    /// The actors in the order of their first appearance; the first is `a`.
    pub fn actors(&self) -> Vec<&str> {
        let mut all = vec![FIRST];
        for name in self.steps.iter().filter_map(|step| step.call.born()) {
            if !all.contains(&name) {
                all.push(name);
            }
        }
        all
    }

    /// The descriptor names in the order of their first appearance.
    pub fn descriptors(&self) -> Vec<&str> {
        let mut all: Vec<&str> = Vec::new();
        for name in self.steps.iter().filter_map(|step| step.binds.as_deref()) {
            if !all.contains(&name) {
                all.push(name);
            }
        }
        all
    }

    /// The same for the root of a user namespace of its own. What the steps give need not be what the
    /// text says then; the model knows.
    pub fn of_nsroot(&self) -> Scenario {
        let line = self.steps.first().map_or(0, |step| step.line);
        let mut steps = become_nsroot(line).unwrap_or_default();
        steps.extend(self.steps.iter().cloned());
        let name = format!("{} (nsroot)", self.name);
        Scenario { name, start: Start::User, steps, ..self.clone() }
    }

    /// Whether the scenario needs files of its own.
    pub fn needs_directory(&self) -> bool {
        self.mentions("DIR")
    }

    /// Whether the scenario needs a cgroup of its own.
    pub fn needs_cgroup(&self) -> bool {
        let of_cgroups = |call: &Call| {
            matches!(call, Call::Cgroup { .. } | Call::Cgroups { .. } | Call::Cgroupmount {})
        };
        self.steps.iter().any(|step| of_cgroups(&step.call)) || self.mentions("CGROUP/")
    }

    /// Whether all its processes must share one processor: where they ask which of two mount
    /// namespaces is the older. Since Linux 6.18 the numbers that decide it are given to each
    /// processor in batches, so that between two processors an older namespace can have the higher.
    pub fn needs_one_processor(&self) -> bool {
        let mounts = |call: &Call| matches!(call, Call::Mount { .. });
        self.mentions("/ns/mnt") && self.steps.iter().any(|step| mounts(&step.call))
    }

    /// Whether a call has this text among its arguments.
    pub fn mentions(&self, text: &str) -> bool {
        self.steps.iter().any(|step| step.call.to_string().contains(text))
    }
}

/// Writes a scenario as it is read, with what is expected.
impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "scenario {}", self.name)?;
        if !self.proves.is_empty() {
            writeln!(f, "  proves {}", self.proves.join(" "))?;
        }
        if !self.needs.is_empty() {
            writeln!(f, "  needs {}", self.needs)?;
        }
        writeln!(f, "  as {}", if self.start == Start::Root { "root" } else { "1000" })?;
        self.steps.iter().try_for_each(|step| writeln!(f, "  {step} = {}", step.expected))
    }
}

/// Reads a file of scenarios.
pub fn parse_file(path: &Path) -> Result<Vec<Scenario>, String> {
    let text =
        std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let name =
        path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    parse_scenarios(&name, &text)
}

/// Reads scenarios from text; `file` is for messages.
pub fn parse_scenarios(file: &str, text: &str) -> Result<Vec<Scenario>, String> {
    let mut all: Vec<Scenario> = Vec::new();
    let mut twice = HashSet::new();
    let lines: Vec<&str> = text.lines().collect();
    for (index, line) in repeated(file, &lines)? {
        let place = format!("{file}:{}", index + 1);
        read_line(&mut all, &mut twice, &place, index + 1, line)
            .map_err(|error| format!("{place}: {error}"))?;
    }
    let all: Vec<Scenario> = all
        .into_iter()
        .enumerate()
        .flat_map(|(index, scenario)| {
            let twin = twice.contains(&index).then(|| scenario.of_nsroot());
            [Some(scenario), twin].into_iter().flatten()
        })
        .collect();
    let mut names = HashSet::new();
    for scenario in &all {
        let refuse = |error: String| Err(format!("{}: {error}", scenario.place));
        if !names.insert(&scenario.name) {
            return refuse(format!("there are two scenarios \"{}\"", scenario.name));
        }
        if let Err(error) = check(scenario) {
            return refuse(error);
        }
    }
    Ok(all)
}

/// Unfolds `repeat N` .. `end`: the lines with their numbers, in the order in which they count.
fn repeated<'a>(file: &str, lines: &[&'a str]) -> Result<Vec<(usize, &'a str)>, String> {
    let mut all = Vec::new();
    let mut open: Option<(usize, usize)> = None;
    for (index, line) in lines.iter().enumerate() {
        let wrong = |error: &str| Err(format!("{file}:{}: {error}", index + 1));
        let words: Vec<&str> = line.split_whitespace().collect();
        match (words.as_slice(), open) {
            (["repeat", count], None) => match count.parse() {
                Ok(count) => open = Some((count, all.len())),
                Err(_) => return wrong("`repeat` wants a number"),
            },
            (["end"], Some((count, start))) => {
                let body = all[start..].to_vec();
                all.truncate(start);
                (0..count).for_each(|_| all.extend_from_slice(&body));
                open = None;
            }
            (["repeat", ..], _) => return wrong("a `repeat` within a `repeat`"),
            (["end"], None) => return wrong("an `end` without its `repeat`"),
            _ => all.push((index, *line)),
        }
    }
    match open {
        None => Ok(all),
        Some(_) => Err(format!("{file}: a `repeat` without its `end`")),
    }
}

fn read_line(
    all: &mut Vec<Scenario>,
    twice: &mut HashSet<usize>,
    place: &str,
    number: usize,
    line: &str,
) -> Result<(), String> {
    let words = split(line)?;
    let Some((first, rest)) = words.split_first() else { return Ok(()) };
    if first == "scenario" {
        all.push(Scenario {
            name: rest.join(" "),
            place: place.into(),
            proves: Vec::new(),
            needs: KindSet::EMPTY,
            start: Start::User,
            steps: Vec::new(),
        });
        return Ok(());
    }
    let index = all.len().saturating_sub(1);
    let scenario = all.last_mut().ok_or("a line before the first `scenario`")?;
    match first.as_str() {
        "proves" => scenario.proves.extend(rest.iter().cloned()),
        "needs" => {
            for name in rest {
                let kind =
                    Kind::by_name(name).ok_or_else(|| format!("{name} is no type of namespace"))?;
                scenario.needs = scenario.needs.union(KindSet::of(&[kind]));
            }
        }
        "as" => match rest {
            [who] if who == "root" => scenario.start = Start::Root,
            [who] if who == "1000" => scenario.start = Start::User,
            [who] if who == "nsroot" => scenario.steps.extend(become_nsroot(number)?),
            [who, and, other] if who == "root" && and == "and" && other == "nsroot" => {
                scenario.start = Start::Root;
                twice.insert(index);
            }
            _ => return Err("`as` wants root, 1000, nsroot or root and nsroot".into()),
        },
        _ => scenario.steps.push(read_step(number, &words)?),
    }
    Ok(())
}

fn become_nsroot(number: usize) -> Result<Vec<Step>, String> {
    let lines = NSROOT.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| read_step(number, &split(line)?)).collect()
}

fn read_step(line: usize, words: &[String]) -> Result<Step, String> {
    let equals = words.iter().rposition(|word| word == "=").ok_or("a step needs `= result`")?;
    let [actor, word, arguments @ ..] = &words[..equals] else {
        return Err("a step needs a process and a call".into());
    };
    let mut rest = Words::new(arguments);
    let call = Call::read(word, &mut rest)?;
    rest.finish()?;
    let expected = words[equals + 1..].join(" ");
    if expected.is_empty() {
        return Err("nothing is expected".into());
    }
    let binds = expected.strip_prefix('@').map(str::to_owned);
    if binds.is_some() && !call.gives_descriptor() {
        return Err(format!("{} gives no descriptor", call.word()));
    }
    Ok(Step { line, actor: actor.clone(), call, binds, expected })
}

/// Catches what can only be a slip of the pen.
fn check(scenario: &Scenario) -> Result<(), String> {
    if scenario.steps.is_empty() {
        return Err("a scenario without steps".into());
    }
    let mut actors = HashSet::from([FIRST]);
    let mut descriptors: HashSet<&str> = HashSet::new();
    for step in &scenario.steps {
        let at = |error: String| Err(format!("line {}: {error}", step.line));
        if !actors.contains(step.actor.as_str()) {
            return at(format!("nobody is called {}", step.actor));
        }
        for word in step.call.to_string().split_whitespace() {
            let name = word.strip_prefix('@');
            if name.is_some_and(|name| !descriptors.contains(name)) {
                return at(format!("{word} was never opened"));
            }
        }
        if let Some(child) = step.call.born() {
            let known =
                child.chars().all(|char| char.is_ascii_lowercase() || char.is_ascii_digit());
            if !known || matches!(child, "self" | "sys" | "ns" | "thread") {
                return at(format!("{child} cannot be the name of a process"));
            }
            actors.insert(child);
        }
        descriptors.extend(step.binds.as_deref());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        # two of them
        scenario a stranger cannot be joined
          proves join-needs-admin
          needs time ipc
          as 1000
          a  open read /proc/self/ns/uts   = @mine
          a  fork b                        = 0
          b  setns @mine NEWUTS            = EPERM
        scenario root of a namespace
          as nsroot
          a  ids  = "0"
    "#;

    #[test]
    fn a_file_holds_several_scenarios() {
        let all = parse_scenarios("t", TEXT).unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].name, "a stranger cannot be joined");
        assert_eq!(all[0].actors(), ["a", "b"]);
        assert_eq!(all[0].descriptors(), ["mine"]);
        assert_eq!(all[0].proves, ["join-needs-admin"]);
        assert_eq!(all[0].needs, KindSet::of(&[Kind::Ipc, Kind::Time]));
        assert_eq!(all[1].steps.len(), 5);
        let again = parse_scenarios("t", &all[0].to_string()).unwrap();
        assert_eq!(again[0].to_string(), all[0].to_string());
    }

    #[test]
    fn a_scenario_can_be_of_both_roots() {
        let all = parse_scenarios("t", "scenario x\nas root and nsroot\n a ids = 0").unwrap();
        assert_eq!((all[0].start, all[0].steps.len()), (Start::Root, 1));
        assert_eq!((all[1].start, all[1].steps.len()), (Start::User, 5));
        assert_eq!(all[1].name, "x (nsroot)");
    }

    #[test]
    fn lines_can_be_repeated() {
        let all = parse_scenarios("t", "scenario x\nrepeat 3\n a ids = 0\nend\n a hostname = 1");
        assert_eq!(all.unwrap()[0].steps.len(), 4);
        assert!(parse_scenarios("t", "scenario x\nrepeat 3\n a ids = 0").is_err());
    }

    #[test]
    fn slips_of_the_pen_are_refused() {
        let error = |text: &str| parse_scenarios("t", text).unwrap_err();
        assert_eq!(error("a ids = 0"), "t:1: a line before the first `scenario`");
        assert_eq!(error("scenario x\nb ids = 0"), "t:1: line 2: nobody is called b");
        assert_eq!(error("scenario x\na close @y = 0"), "t:1: line 2: @y was never opened");
        assert_eq!(error("scenario x\na ids"), "t:2: a step needs `= result`");
        assert_eq!(error("scenario x\na ids = @y"), "t:2: ids gives no descriptor");
        assert_eq!(error("scenario x\nneeds utc"), "t:2: utc is no type of namespace");
        assert_eq!(error("scenario x"), "t:1: a scenario without steps");
    }
}
