//! How a command fails: what is printed, and the exit code.

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use skylinedb::Error;

/// Prints to standard error. If even that is closed, the exit code has to do.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Why a command was not done. Its message is for people and says what to do next.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: Kind,
    message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Nobody reads standard output any more, as with `| head`. That is no mistake.
    OutputClosed,
    /// The daemon was reached, but the work failed.
    Refused,
    Usage,
    NoDaemon,
}

impl Failure {
    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self { kind: Kind::Refused, message: message.into() }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { kind: Kind::Usage, message: message.into() }
    }

    pub(crate) fn late(timeout: Duration) -> Self {
        Self::refused(format!(
            "no answer within {} (--timeout); the work was given up, unless it was being committed in that instant",
            humantime::format_duration(timeout)
        ))
    }

    /// Whether it is that no daemon is there.
    pub(crate) fn is_no_daemon(&self) -> bool {
        self.kind == Kind::NoDaemon
    }

    /// What it says.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// The same failure, with more to say.
    pub(crate) fn and(mut self, more: &str) -> Self {
        self.message.push('\n');
        self.message.push_str(more);
        self
    }

    /// Prints it to standard error.
    pub(crate) fn report(&self) -> ExitCode {
        let code = match self.kind {
            Kind::OutputClosed => return ExitCode::SUCCESS,
            Kind::Refused => 1,
            Kind::Usage => 2,
            Kind::NoDaemon => 3,
        };
        say(&format!("Error: {}", self.message));
        ExitCode::from(code)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::NotRunning { .. } => Self { kind: Kind::NoDaemon, message: error.to_string() },
            _ => Self::refused(error.to_string()),
        }
    }
}

/// Every other use of files says itself what it is about: this is standard output.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self { kind: Kind::OutputClosed, message: String::new() },
            _ => Self::refused(format!("cannot write to standard output: {error}")),
        }
    }
}
