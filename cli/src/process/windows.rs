//! Processes on Windows.

use winsafe::{HPROCESS, co};

/// A process that has ended has a number for as long as somebody has it open.
pub(crate) fn is_running(pid: u32) -> bool {
    match HPROCESS::OpenProcess(co::PROCESS::SYNCHRONIZE, false, pid) {
        Ok(process) => process.WaitForSingleObject(Some(0)) == Ok(co::WAIT::TIMEOUT),
        Err(error) => error == co::ERROR::ACCESS_DENIED,
    }
}

/// Windows has no such limit.
pub(crate) const fn raise_open_files_limit() {}
