//! On Windows a daemon listens on a named pipe, and its lock is a mutex: both have names, and no files.

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
};

use super::{Places, Scope};
use crate::windows::pipe::PIPES;

/// What stands for [`PIPES`] where people write a pipe's name: a backslash is awkward in many places.
const SHORT: &str = "pipe:";

/// What the names of a daemon's pipe and mutex begin with.
pub(crate) const NAME: &str = "SkylineDBd-v1";

/// Why a user has no name for a pipe.
pub const NO_PLACES: &str = "USERNAME is not set";

/// The system's paths of pipes have at most 256 characters.
const LONGEST_NAME: usize = 256 - PIPES.len();

/// One daemon a machine, whoever starts it, unless it is told otherwise.
pub(super) const fn scope_of_this_user() -> Scope {
    Scope::Machine
}

/// The places of the machine or of the user, or those of a database there. All pipes of a machine have their names in one
/// place, so that of a user has the user's in it.
pub(super) fn places(scope: Scope, database: Option<&str>) -> Option<Places> {
    let (space, mut name) = match scope {
        Scope::User => ("Local", format!("{NAME}-user-{}", user()?)),
        Scope::Machine | Scope::Database => ("Global", NAME.to_owned()),
    };
    let mutex = match database {
        Some(hash) => {
            name = format!("{name}-{hash}");
            format!(r"{space}\{NAME}-{hash}")
        }
        None => format!(r"{space}\{NAME}-SingleInstance"),
    };
    Some(Places { lock_file: mutex.into(), endpoint: format!("{PIPES}{name}").into() })
}

/// A pipe's path, which may be written as `pipe:NAME`.
pub(crate) fn endpoint(path: PathBuf) -> PathBuf {
    let text = path.to_str().unwrap_or_default();
    match text.get(..SHORT.len()) {
        Some(begin) if begin.eq_ignore_ascii_case(SHORT) => format!("{PIPES}{}", &text[SHORT.len()..]).into(),
        _ => path,
    }
}

/// Whether this can be the path of a pipe of this machine.
pub(crate) fn check_endpoint(path: &Path) -> Result<(), String> {
    let name = path.to_str().and_then(pipe_name);
    let reason = match name {
        Some("") => "the pipe's name is missing",
        // Windows takes a slash for a backslash, and `..` for the folder above: pipe:../C:/x would be a file.
        Some(name) if name.contains(['\\', '/']) => "a pipe's name has no backslash and no slash in it",
        // Windows leaves these away, so that the pipe would have another name than its mutex.
        Some(name) if name.ends_with(['.', ' ']) => "a pipe's name does not end with a dot or a blank",
        Some(name) if name.chars().count() > LONGEST_NAME => "a pipe's name has at most 247 characters",
        Some(_) => return Ok(()),
        None => "it is no named pipe of this machine",
    };
    Err(format!(r"{reason}; an endpoint is written pipe:NAME or {PIPES}NAME"))
}

/// The name in a pipe's path.
fn pipe_name(path: &str) -> Option<&str> {
    let begin = path.get(..PIPES.len())?;
    begin.eq_ignore_ascii_case(PIPES).then(|| &path[PIPES.len()..])
}

/// The mutex that belongs to a pipe.
pub(super) fn lock_of(endpoint: &Path) -> PathBuf {
    let name = endpoint.to_string_lossy();
    let name = name.rsplit(['\\', '/']).next().unwrap_or_default();
    format!(r"Global\{name}-SingleInstance").into()
}

/// What of a path tells one file from another: not its case.
pub(crate) fn identity(path: &OsStr) -> Vec<u8> {
    path.to_string_lossy().to_lowercase().into_bytes()
}

/// The user's name, as far as a pipe's name may have it.
fn user() -> Option<String> {
    let user = env::var("USERNAME").ok().filter(|user| !user.is_empty())?;
    Some(user.to_lowercase().replace(['\\', '/'], "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_is_written_in_two_ways() {
        for written in ["pipe:app", r"\\.\pipe\app", "PIPE:app"] {
            let path = endpoint(written.into());
            assert_eq!((path.as_path(), check_endpoint(&path)), (Path::new(r"\\.\pipe\app"), Ok(())), "{written}");
        }
        let path = endpoint(r"\\.\PIPE\App".into());
        assert_eq!(check_endpoint(&path), Ok(()));
    }

    #[test]
    fn what_is_no_pipe_of_this_machine_is_refused_with_the_reason() {
        let long = format!("pipe:{}", "a".repeat(248));
        for (written, why) in [
            ("", "no named pipe"),
            ("app.sock", "no named pipe"),
            (r"C:\data\app.sock", "no named pipe"),
            ("unix:/run/app.sock", "no named pipe"),
            (r"\\localhost\pipe\app", "of this machine"),
            (r"\\server\pipe\app", "of this machine"),
            ("127.0.0.1:7700", "no named pipe"),
            ("pipe:", "name is missing"),
            (r"\\.\pipe\", "name is missing"),
            (r"pipe:a\b", "backslash"),
            (r"pipe:\\.\pipe\app", "backslash"),
            ("pipe:../C:/data/app.db", "no slash"),
            ("pipe:a/b", "no slash"),
            ("pipe:..", "a dot"),
            ("pipe:app.", "a dot"),
            ("pipe:app ", "a blank"),
            (&long, "247"),
        ] {
            let error = check_endpoint(&endpoint(written.into())).expect_err(written);
            assert!(error.contains(why) && error.contains("pipe:NAME"), "{written}: {error}");
        }
    }
}
