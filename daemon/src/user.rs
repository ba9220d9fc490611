//! Users of Windows, by their security identifiers.

use std::io;

use winsafe::{ConvertSidToStringSid, HPROCESS, TokenInfo, co};

/// The user whose process this is.
pub(crate) fn own_sid() -> io::Result<String> {
    sid(&HPROCESS::GetCurrentProcess()).map_err(error)
}

/// The user of a process.
pub(crate) fn sid_of(pid: u32) -> io::Result<String> {
    let process = HPROCESS::OpenProcess(co::PROCESS::QUERY_LIMITED_INFORMATION, false, pid).map_err(error)?;
    sid(&process).map_err(error)
}

fn sid(process: &HPROCESS) -> Result<String, co::ERROR> {
    let token = process.OpenProcessToken(co::TOKEN::QUERY)?;
    match token.GetTokenInformation(co::TOKEN_INFORMATION_CLASS::User)? {
        TokenInfo::User(user) => user.User.Sid().map_or(Err(co::ERROR::NONE_MAPPED), |sid| ConvertSidToStringSid(sid)),
        _ => Err(co::ERROR::NONE_MAPPED),
    }
}

fn error(error: co::ERROR) -> io::Error {
    io::Error::from_raw_os_error(error.raw().cast_signed())
}
