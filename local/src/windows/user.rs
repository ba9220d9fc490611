//! Users and groups of Windows, by their security identifiers (SIDs).

use std::{io, path::Path};

use windows_permissions::{
    constants::{SeObjectType, SecurityInformation},
    wrappers::GetNamedSecurityInfo,
};
use winsafe::{
    ConvertSidToStringSid, ConvertStringSidToSid, HPROCESS, LookupAccountName, LookupAccountSid, TokenInfo, co,
};

use super::io_error;

/// The system itself.
pub const SYSTEM: &str = "S-1-5-18";
/// The administrators of the machine.
pub const ADMINISTRATORS: &str = "S-1-5-32-544";
/// The users of the machine.
pub const USERS: &str = "S-1-5-32-545";

/// Whether what belongs to a user can be trusted by another: it is that one's own, the system's or the administrators', who can
/// take everything anyway.
#[must_use]
pub fn is_own_or_administrators(owner: &str, own: &str) -> bool {
    owner == own || [SYSTEM, ADMINISTRATORS].contains(&owner)
}

/// An access list, as SDDL has it, with these rights for its owner, the system and the administrators; none for anybody else, and
/// none inherited.
#[must_use]
pub fn access_of_owner(owner: &str, rights: &str) -> String {
    format!("D:P(A;;{rights};;;{owner})(A;;{rights};;;SY)(A;;{rights};;;BA)")
}

/// The user whose process this is.
pub fn own_sid() -> io::Result<String> {
    sid(&HPROCESS::GetCurrentProcess()).map_err(io_error)
}

/// The user of a process; an error for a process that this user may not look at.
pub fn sid_of_process(pid: u32) -> io::Result<String> {
    let process = HPROCESS::OpenProcess(co::PROCESS::QUERY_LIMITED_INFORMATION, false, pid).map_err(io_error)?;
    sid(&process).map_err(io_error)
}

/// The user or group that owns a file.
pub fn sid_of_owner(file: &Path) -> io::Result<String> {
    let descriptor = GetNamedSecurityInfo(file, SeObjectType::SE_FILE_OBJECT, SecurityInformation::Owner)?;
    descriptor.owner().map(ToString::to_string).ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// The user or group that a command line means: a SID as it is written (`S-1-5-32-545`), or a name (`alice`, `PC\alice`,
/// `BUILTIN\Users`). A SID need not belong to anybody.
pub fn sid_of_name(name: &str) -> io::Result<String> {
    if name.get(..4).is_some_and(|begin| begin.eq_ignore_ascii_case("S-1-")) {
        return ConvertStringSidToSid(name).and_then(|sid| ConvertSidToStringSid(&sid)).map_err(io_error);
    }
    let (_, sid, kind) = LookupAccountName(None, name).map_err(io_error)?;
    if [co::SID_NAME_USE::User, co::SID_NAME_USE::Group, co::SID_NAME_USE::Alias, co::SID_NAME_USE::WellKnownGroup]
        .contains(&kind)
    {
        ConvertSidToStringSid(&sid).map_err(io_error)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "it is the name of something else, a computer or a domain say"))
    }
}

/// A user for people: `PC\alice (S-1-5-21-…)`, or the SID alone of one whose name is not known.
#[must_use]
pub fn described(sid: &str) -> String {
    let name = ConvertStringSidToSid(sid).and_then(|sid| LookupAccountSid(None, &sid));
    name.map_or_else(|_| sid.to_owned(), |(name, domain, _)| format!(r"{domain}\{name} ({sid})"))
}

fn sid(process: &HPROCESS) -> Result<String, co::ERROR> {
    let token = process.OpenProcessToken(co::TOKEN::QUERY)?;
    match token.GetTokenInformation(co::TOKEN_INFORMATION_CLASS::User)? {
        TokenInfo::User(user) => user.User.Sid().map_or(Err(co::ERROR::NONE_MAPPED), |sid| ConvertSidToStringSid(sid)),
        _ => Err(co::ERROR::NONE_MAPPED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_groups_are_known_by_sid_and_by_name() {
        let own = own_sid().expect("this user");
        assert_eq!(sid_of_process(std::process::id()).expect("this process's user"), own);
        assert_eq!(sid_of_name(&own).expect("a SID"), own);
        assert_eq!(sid_of_name("s-1-5-32-545").expect("a SID"), "S-1-5-32-545");
        assert_eq!(sid_of_name("Everyone").expect("a group"), "S-1-1-0");
        for nobody in ["", "no-such-user-or-group", "S-1-", "S-1-5-x", r"NO-SUCH-DOMAIN\alice"] {
            assert!(sid_of_name(nobody).is_err(), "{nobody:?}");
        }
    }

    #[test]
    fn what_the_system_the_administrators_and_this_user_have_is_trusted() {
        let own = "S-1-5-21-1-2-3-1001";
        for trusted in [own, "S-1-5-18", "S-1-5-32-544"] {
            assert!(is_own_or_administrators(trusted, own), "{trusted}");
        }
        for stranger in ["S-1-5-21-1-2-3-1002", "S-1-5-21-1-2-3-100", "S-1-1-0", "S-1-5-32-545", "S-1-5-19"] {
            assert!(!is_own_or_administrators(stranger, own), "{stranger}");
        }
    }

    #[test]
    fn they_are_named_with_their_sid_and_strangers_by_it() {
        assert!(described("S-1-5-18").ends_with(r"\SYSTEM (S-1-5-18)"), "{}", described("S-1-5-18"));
        assert_eq!(described("S-1-5-21-1-2-3-4000"), "S-1-5-21-1-2-3-4000");
    }
}
