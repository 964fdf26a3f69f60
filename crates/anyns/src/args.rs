//! What was asked for on the command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::error::Error;

/// One thing to do.
#[derive(Debug)]
pub(crate) enum Task {
    /// Run a command.
    Run(Run),
    /// Look at this host.
    Doctor,
    /// Print the rules, or one.
    Rules {
        /// Which one.
        name: Option<String>,
    },
    /// Print this.
    Text(String),
}

/// A command to run.
#[derive(Debug)]
pub(crate) struct Run {
    /// In which form events are told, if at all.
    pub(crate) trace: Option<TraceForm>,
    /// Where to; standard error if nowhere else.
    pub(crate) trace_file: Option<PathBuf>,
    /// How calls shall reach us.
    pub(crate) backend: BackEnd,
    /// The command and its arguments; never empty.
    pub(crate) command: Vec<OsString>,
}

/// The ways in which a call reaches us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum BackEnd {
    /// Whichever serves on this host
    #[default]
    Auto,
    /// By seccomp notification
    Notify,
    /// By stops of traced processes, where a filter from outside hides calls from notification
    Stop,
}

/// The forms of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TraceForm {
    /// One line of words an event
    Text,
    /// One JSON object a line
    Json,
}

const RUN_STATUS: &str = "\
Exit status:
  the command's own, or 128+N if signal N killed it
  125  anyns itself failed
  126  the command was found but could not be executed
  127  the command was not found";

const DOCTOR_STATUS: &str = "\
Exit status:
  0    commands can be run here
  1    something stands in the way; the lines beginning with 'no' say what";

/// Gives programs Linux namespaces where the kernel refuses them
#[derive(Debug, Parser)]
#[command(name = "anyns", version, disable_help_subcommand = true)]
#[command(after_help = RUN_STATUS)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run a command; its calls to unshare, setns, clone and their kin are served by anyns
    #[command(after_help = RUN_STATUS, override_usage = "anyns run [OPTIONS] -- COMMAND [ARGUMENT]...")]
    Run {
        /// Tell of every switch of namespaces and every refusal, in words or as JSON lines
        #[arg(long, value_enum, value_name = "FORM", num_args = 0..=1, require_equals = true)]
        #[arg(default_missing_value = "text")]
        trace: Option<TraceForm>,
        /// Write the trace to this file instead of standard error
        #[arg(long, value_name = "FILE")]
        trace_file: Option<PathBuf>,
        /// Serve calls by this back end; anyns doctor says which one serves here
        #[arg(long, value_enum, value_name = "NAME", default_value = "auto")]
        #[arg(hide_possible_values = true)]
        backend: BackEnd,
        /// The command and its arguments
        #[arg(trailing_var_arg = true, value_name = "COMMAND")]
        command: Vec<OsString>,
    },
    /// Say what this host allows, what stands in the way, and what would help
    #[command(after_help = DOCTOR_STATUS)]
    Doctor,
    /// Print every reason for which a call is refused, with its errno and manual page
    Rules {
        /// Print all there is to say about this one, as a trace names it
        name: Option<String>,
    },
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// Reads the arguments, the program's own name first.
pub(crate) fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Task, Error> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    // The usual line needs no grammar, whose making takes longer than a fork.
    if let [_, run, dashes, command @ ..] = &arguments[..]
        && (run, dashes) == (&OsString::from("run"), &OsString::from("--"))
        && !command.is_empty()
    {
        return Ok(Task::Run(Run {
            trace: None,
            trace_file: None,
            backend: BackEnd::Auto,
            command: command.to_vec(),
        }));
    }
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(asked)
            if matches!(asked.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) =>
        {
            return Ok(Task::Text(format!("{}\n", asked.to_string().trim_end())));
        }
        Err(wrong) => return Err(translate(&wrong)),
    };
    Ok(match cli.verb {
        Verb::Run { trace, trace_file, backend, command } => {
            if command.is_empty() {
                return Err(Error::NoCommand);
            }
            Task::Run(Run { trace, trace_file, backend, command })
        }
        Verb::Doctor => Task::Doctor,
        Verb::Rules { name } => Task::Rules { name },
        Verb::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "anyns", &mut script);
            Task::Text(String::from_utf8_lossy(&script).into_owned())
        }
    })
}

/// The parser's complaint in our words.
fn translate(wrong: &clap::Error) -> Error {
    let said = |kind| match wrong.get(kind) {
        Some(ContextValue::String(one)) => Some(one.clone()),
        Some(ContextValue::Strings(many)) => many.first().cloned(),
        _ => None,
    };
    let given = said(ContextKind::InvalidArg).unwrap_or_default();
    match wrong.kind() {
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            Error::NoVerb
        }
        ErrorKind::InvalidSubcommand => Error::UnknownVerb {
            given: said(ContextKind::InvalidSubcommand).unwrap_or_default(),
            near: said(ContextKind::SuggestedSubcommand),
        },
        ErrorKind::UnknownArgument if given.starts_with('-') => {
            Error::UnknownOption { given, near: said(ContextKind::SuggestedArg) }
        }
        ErrorKind::UnknownArgument => Error::TooMuch { given },
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let possible = match wrong.get(ContextKind::ValidValue) {
                Some(ContextValue::Strings(many)) => many.clone(),
                _ => Vec::new(),
            };
            match said(ContextKind::InvalidValue) {
                Some(value) if !value.is_empty() => {
                    Error::WrongValue { what: bare(&given), given: value, possible }
                }
                _ => Error::Missing { what: format!("the value of {}", bare(&given)), possible },
            }
        }
        ErrorKind::ArgumentConflict => Error::GivenTwice { given: bare(&given) },
        ErrorKind::MissingRequiredArgument => {
            Error::Missing { what: bare(&given), possible: Vec::new() }
        }
        // What is left cannot be provoked by our grammar; the parser's own words must do.
        _ => {
            let text = wrong.to_string();
            let first = text.lines().next().unwrap_or_default();
            Error::Usage { words: first.trim_start_matches("error: ").to_owned() }
        }
    }
}

/// The name of an option or argument without the parser's decoration.
fn bare(given: &str) -> String {
    let name = given.split(['=', '[', ' ']).next().unwrap_or_default();
    match name.strip_prefix('<').and_then(|name| name.strip_suffix('>')) {
        Some(argument) => format!("the {}", argument.to_lowercase()),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(line: &[&str]) -> Vec<OsString> {
        let line = ["anyns", "run"].iter().chain(line).map(OsString::from);
        match read(line) {
            Ok(Task::Run(run)) => run.command,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn grammar_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn everything_after_the_command_is_the_commands() {
        let whole = ["unshare", "--user", "--trace", "-x", "--", "y"];
        assert_eq!(command(&whole), whole.map(OsString::from));
        let with_dashes: Vec<_> = ["--"].iter().chain(&whole).copied().collect();
        assert_eq!(command(&with_dashes), whole.map(OsString::from));
    }

    #[test]
    fn the_form_of_a_trace_needs_an_equals_sign() {
        let line = ["anyns", "run", "--trace", "json"].map(OsString::from);
        match read(line) {
            Ok(Task::Run(run)) => {
                assert_eq!(run.trace, Some(TraceForm::Text));
                assert_eq!(run.command, ["json"]);
            }
            other => panic!("{other:?}"),
        }
    }
}
