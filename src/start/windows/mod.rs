//! A program in the background, on Windows.

mod command_line;

use std::{
    env,
    ffi::OsString,
    fmt,
    fs::File,
    io,
    os::windows::process::ExitStatusExt as _,
    path::{self, Path, PathBuf},
    process::ExitStatus,
};

use skylinedb_local::{state_folder, windows::io_error};
use winsafe::{STARTUPINFO, SysResult, co, guard::CloseHandlePiGuard};

use command_line::command_line;

/// What is to be set when neither the scope's place nor the log's is known.
pub(super) const HOME_VARIABLES: &str = "LOCALAPPDATA is not set";

/// A daemon that was started here.
pub(super) struct Child {
    process: CloseHandlePiGuard,
}

impl Child {
    /// Starts it. It inherits nothing, neither its log nor anything else that this program has open: std's `Command` hands
    /// over whatever can be inherited, and whoever reads this program's output through a pipe would wait for the daemon's
    /// end. Whether `SKYLINEDB_ENDPOINT` is set there does not matter, as the arguments come first.
    pub(super) fn spawn(program: &Path, arguments: Vec<OsString>, _: File, log_file: &Path) -> io::Result<Self> {
        let program = path::absolute(on_the_path(program).ok_or(io::ErrorKind::NotFound)?)?;
        let log_file = path::absolute(log_file)?;
        let first = [program.clone().into_os_string(), "--log-file".into(), log_file.into_os_string()];
        let line = command_line(first.into_iter().chain(arguments))?;
        let program = program.to_str().ok_or(io::ErrorKind::InvalidFilename)?;
        // NO_WINDOW: a console of its own that nobody sees, so that closing this one does not end it. NEW_PROCESS_GROUP:
        // this program's Ctrl-C is not meant for it. A job that this program is in may end with this program, and the daemon
        // with it, so that it is left where that is allowed.
        let flags = co::CREATE::NO_WINDOW | co::CREATE::NEW_PROCESS_GROUP;
        let process = match create(program, &line, flags | co::CREATE::BREAKAWAY_FROM_JOB) {
            Err(co::ERROR::ACCESS_DENIED) => create(program, &line, flags),
            outcome => outcome,
        };
        Ok(Self { process: process.map_err(io_error)? })
    }

    /// How it has ended, if it has.
    pub(super) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.process.hProcess.WaitForSingleObject(Some(0)).map_err(io_error)? == co::WAIT::TIMEOUT {
            return Ok(None);
        }
        self.process.hProcess.GetExitCodeProcess().map(|code| Some(ExitStatus::from_raw(code))).map_err(io_error)
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Child").field("pid", &self.process.dwProcessId).finish()
    }
}

fn create(program: &str, line: &str, flags: co::CREATE) -> SysResult<CloseHandlePiGuard> {
    // That nothing is inherited does not hold for standard input, output and error everywhere: it has none.
    let mut startup = STARTUPINFO::default();
    startup.dwFlags = co::STARTF::USESTDHANDLES;
    winsafe::CreateProcess(Some(program), Some(line), None, None, false, flags, &[], None, &mut startup)
}

/// A program's file: a bare name is looked for on the PATH, and nowhere else. Windows itself would look into the working
/// directory, too, where anybody may have put one.
fn on_the_path(program: &Path) -> Option<PathBuf> {
    if program.components().count() > 1 {
        return Some(program.to_owned());
    }
    let path = env::var_os("PATH")?;
    let mut folders = env::split_paths(&path).filter(|folder| folder.is_absolute());
    folders.find_map(|folder| Some(folder.join(program)).filter(|program| program.is_file()))
}

/// Where the log is: in the user's folder, with the name of a pipe that was given.
pub(super) fn log_file(endpoint: Option<&Path>) -> Option<PathBuf> {
    let name = endpoint.and_then(Path::file_name).map_or("daemon".into(), |name| name.to_string_lossy());
    state_folder().map(|folder| folder.join(format!("{}.log", as_file_name(&name))))
}

/// A pipe's name may have what a file's may not.
fn as_file_name(pipe: &str) -> String {
    pipe.replace(['<', '>', ':', '"', '|', '?', '*'], "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_has_the_name_of_its_pipe_as_far_as_a_file_can_have_it() {
        assert_eq!(as_file_name("my app-1.x"), "my app-1.x");
        let folder = state_folder().expect("LOCALAPPDATA");
        let log = log_file(Some(Path::new(r"\\.\pipe\a:b*c?")));
        assert_eq!(log, Some(folder.join("a_b_c_.log")));
    }
}
