//! Processes on Windows.

use winsafe::{HPROCESS, co};

/// A process that has ended has a number for as long as somebody has it open.
pub(super) fn is_running(pid: u32) -> bool {
    match HPROCESS::OpenProcess(co::PROCESS::SYNCHRONIZE, false, pid) {
        Ok(process) => process.WaitForSingleObject(Some(0)) == Ok(co::WAIT::TIMEOUT),
        Err(error) => error == co::ERROR::ACCESS_DENIED,
    }
}

#[expect(clippy::unnecessary_wraps, reason = "there is no such limit")]
pub(super) const fn raise_open_files_limit() -> std::io::Result<()> {
    Ok(())
}
