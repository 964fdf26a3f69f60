//! Where the loops run: a column of the tables.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// What cargo adds to the environment has every program look for its libraries in many places.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// What a column is; the tables ask for it by this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Column {
    /// Nothing between the loop and the kernel.
    Native,
    /// The empty supervisor that is told of calls.
    Floor,
    /// anyns with the notify back end, a program that asked for no namespace.
    Notify,
    /// The same program in namespaces of its own.
    NotifyInside,
    /// The same in a pid namespace with a `/proc` of its own.
    NotifyNumbered,
    /// The empty tracer.
    Steered,
    /// anyns with the stop back end.
    Stop,
    /// The same in namespaces of its own.
    StopInside,
    /// The same in a pid namespace with a `/proc` of its own.
    StopNumbered,
    /// The rival.
    PRoot,
}

/// Where the loops run.
pub struct Place {
    /// Which column this is.
    pub column: Column,
    /// Its heading.
    pub name: &'static str,
    words: Vec<String>,
}

/// Copies of the programs, where any user may execute them.
pub struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// Copies those that lie beside this one.
    ///
    /// # Errors
    /// If one is missing, with the command that builds it.
    pub fn copy() -> Result<Programs, Box<dyn Error>> {
        let built = std::env::current_exe()?;
        let built = built.parent().ok_or("no folder")?;
        let folder = std::env::temp_dir().join(format!("anyns-bench-{}", std::process::id()));
        std::fs::create_dir(&folder)?;
        for name in ["workload", "floor", "steered", "anyns", "refusing-host"] {
            std::fs::copy(built.join(name), folder.join(name)).map_err(|error| {
                format!("{name}: {error}; first: cargo build --release --workspace --bins")
            })?;
        }
        Ok(Programs { folder })
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).to_string_lossy().into_owned()
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// All columns. Root gets the outer filter; anybody else measures without one.
pub fn places(programs: &Programs) -> Vec<Place> {
    let host = programs.path("refusing-host");
    let root = rustix::process::getuid().is_root();
    let behind = |mode: &str, words: &[&str]| -> Vec<String> {
        let outer = [&*host, mode, "1000"];
        let outer = if root { &outer[..] } else { &["env"] };
        outer.iter().chain(words).map(|&word| word.to_owned()).collect()
    };
    let (anyns, floor, steered) =
        (programs.path("anyns"), programs.path("floor"), programs.path("steered"));
    let notify = [&*anyns, "run", "--backend=notify", "--"];
    let stop = [&*anyns, "run", "--backend=stop", "--"];
    let inside = ["unshare", "-Ur", "--uts", "--ipc"];
    // Not as their init, which no program that is measured usually is.
    let numbered =
        ["unshare", "-Urpf", "--uts", "--mount-proc", "sh", "-c", "\"$@\"; exit $?", "sh"];
    let place = |column, name, words| Place { column, name, words };
    let mut places = vec![
        place(Column::Native, "native us", behind("docker", &[])),
        place(Column::Floor, "floor", behind("open", &[&floor])),
        place(Column::Notify, "notify", behind("open", &notify)),
        place(
            Column::NotifyInside,
            "notify, inside",
            behind("open", &[&notify[..], &inside].concat()),
        ),
        place(
            Column::NotifyNumbered,
            "notify, pid",
            behind("open", &[&notify[..], &numbered].concat()),
        ),
        place(Column::Steered, "steered", behind("docker", &[&steered])),
        place(Column::Stop, "stop", behind("docker", &stop)),
        place(Column::StopInside, "stop, inside", behind("docker", &[&stop[..], &inside].concat())),
        place(
            Column::StopNumbered,
            "stop, pid",
            behind("docker", &[&stop[..], &numbered].concat()),
        ),
    ];
    if Path::new("/usr/bin/proot").exists() {
        places.push(place(Column::PRoot, "PRoot", behind("docker", &["proot", "-r", "/"])));
    }
    places
}

impl Place {
    /// The figures of all loops there, with their names.
    ///
    /// # Errors
    /// If the loops fail there.
    pub fn loops(
        &self,
        programs: &Programs,
        only: &str,
    ) -> Result<Vec<(String, f64)>, Box<dyn Error>> {
        // PRoot has been seen to wait for ever.
        let limit = ["timeout", "--kill-after=5", "120"].map(str::to_owned);
        let work = [programs.path("workload"), "--only".into(), only.into()];
        let text = self.run(&[&limit, &self.words[..], &work])?;
        text.lines()
            .map(|line| {
                let (task, microseconds) =
                    line.rsplit_once(' ').ok_or("a line without a figure")?;
                Ok((task.to_owned(), microseconds.parse()?))
            })
            .collect()
    }

    /// Median time from start to exit of `true`, taken by a process of the ordinary user's.
    ///
    /// # Errors
    /// If it does not start there.
    pub fn start_to_exit(&self, programs: &Programs) -> Result<f64, Box<dyn Error>> {
        // The host stays outside of what is measured.
        let host = self.words.iter().position(|word| word == "1000" || word == "env").unwrap_or(0);
        let (host, words) = self.words.split_at(host + 1);
        let start = [programs.path("workload"), "--start".into()];
        let text = self.run(&[host, &start, words, &["true".into()]])?;
        Ok(text.trim().parse()?)
    }

    fn run(&self, words: &[&[String]]) -> Result<String, Box<dyn Error>> {
        let words = words.concat();
        let Output { status, stdout, .. } = Command::new(&words[0])
            .args(&words[1..])
            .env_clear()
            .env("PATH", PATH)
            .stderr(Stdio::inherit())
            .output()?;
        if !status.success() {
            return Err(format!("{}: {}: {status}", self.name, words.join(" ")).into());
        }
        Ok(String::from_utf8(stdout)?)
    }
}
