//! Processes on Unix.

use std::{fs, io};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, setrlimit, test_kill_process};

/// A zombie does not run: it holds nothing, and how long it stays is its parent's business.
pub(super) fn is_running(pid: u32) -> bool {
    if let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) {
        // The state comes after the program's name, which is in parentheses and may have some itself.
        let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
        return !matches!(state, Some('Z' | 'X'));
    }
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| !matches!(test_kill_process(pid), Err(rustix::io::Errno::SRCH)))
}

pub(super) fn raise_open_files_limit() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?)
}

#[cfg(test)]
mod tests {
    use std::process::{self, Command};

    use super::*;

    #[test]
    fn a_process_runs_until_it_ends_even_if_nobody_asks_for_its_exit_code() {
        assert!(is_running(process::id()));
        let mut child = Command::new("true").spawn().expect("start true");
        let id = child.id();
        for _ in 0..1000 {
            if !is_running(id) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        assert!(!is_running(id), "as a zombie");
        child.wait().expect("wait");
        assert!(!is_running(id), "when it is gone");
        assert!(!is_running(0) && !is_running(u32::MAX));
    }
}
