//! Users and groups by their names: the system's name service (`/etc/passwd`, `/etc/group`, and what else
//! `/etc/nsswitch.conf` has it ask, such as LDAP). It may take its time: not for the runtime's threads once clients are there.

/// A user for people: `alice (uid 1000)`.
#[must_use]
pub fn user(uid: u32) -> String {
    match uzers::get_user_by_uid(uid) {
        Some(user) => format!("{} (uid {uid})", user.name().display()),
        None => format!("uid {uid}"),
    }
}

/// A group for people: `staff (gid 50)`.
#[must_use]
pub fn group(gid: u32) -> String {
    match uzers::get_group_by_gid(gid) {
        Some(group) => format!("{} (gid {gid})", group.name().display()),
        None => format!("gid {gid}"),
    }
}

/// The user that a command line means: a uid, or a name. `None` if there is no such user; a uid needs none.
#[must_use]
pub fn uid_of(text: &str) -> Option<u32> {
    number(text).or_else(|| uzers::get_user_by_name(text).map(|user| user.uid()))
}

/// The group that a command line means: a gid, or a name. `None` if there is no such group; a gid needs none.
#[must_use]
pub fn gid_of(text: &str) -> Option<u32> {
    number(text).or_else(|| uzers::get_group_by_name(text).map(|group| group.gid()))
}

/// All groups of a user, as they would be at a login. None for a uid without a user.
#[must_use]
pub fn groups_of(uid: u32) -> Vec<u32> {
    let groups = uzers::get_user_by_uid(uid).and_then(|user| user.groups());
    groups.unwrap_or_default().iter().map(uzers::Group::gid).collect()
}

/// The highest number means "none" to the system's calls.
fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|number| *number != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_groups_are_known_by_number_and_by_name() {
        assert_eq!((uid_of("root"), gid_of("root")), (Some(0), Some(0)));
        assert_eq!((uid_of("4000000000"), gid_of("4000000000")), (Some(4_000_000_000), Some(4_000_000_000)));
        for nobody in ["", "no-such-user-or-group", "-1", "4294967295", "4294967296"] {
            assert_eq!((uid_of(nobody), gid_of(nobody)), (None, None), "{nobody:?}");
        }
    }

    #[test]
    fn they_are_named_with_their_number_and_strangers_by_it() {
        assert_eq!((user(0).as_str(), group(0).as_str()), ("root (uid 0)", "root (gid 0)"));
        assert_eq!((user(4_000_000_000), group(4_000_000_000)), ("uid 4000000000".into(), "gid 4000000000".into()));
        assert!(groups_of(0).contains(&0));
        assert!(groups_of(4_000_000_000).is_empty());
    }
}
