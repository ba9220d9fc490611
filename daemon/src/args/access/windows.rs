//! The option that says who may come in on Windows, beside the daemon's user, the system and the administrators.

use anyhow::Context as _;
use clap::Args;
use skylinedb_local::{DatabaseFile, windows::user};

use crate::transport::{Policy, SocketFile};

const ACCESS: &str = "Access (without this: this user, the system and administrators)";

/// Who may come in.
#[derive(Args, Debug)]
pub(crate) struct AccessArguments {
    /// A user or a group who may come in, too, by name or SID, such as PC\alice, BUILTIN\Users or S-1-5-32-545; may be given
    /// several times
    #[arg(long, value_name = "NAME|SID", help_heading = ACCESS)]
    pub(crate) allow_user: Vec<String>,
}

impl AccessArguments {
    /// What the pipe is to be like.
    pub(crate) fn socket_file(&self) -> anyhow::Result<SocketFile> {
        let sids = self.allow_user.iter().map(|name| {
            user::sid_of_name(name).with_context(|| {
                format!(
                    r#"there is no user and no group "{name}" (--allow-user); give another, with its domain perhaps (PC\alice), or a SID"#
                )
            })
        });
        Ok(SocketFile { allowed: sids.collect::<anyhow::Result<_>>()? })
    }

    /// What the database file is like if it is made.
    #[expect(clippy::unused_self, reason = "as on Unix, where there is an option")]
    pub(crate) const fn database_file(&self) -> DatabaseFile {
        DatabaseFile
    }

    /// Who of those who can open it may come in: all.
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "as at a socket, which has options")]
    pub(crate) const fn policy(&self) -> anyhow::Result<Policy> {
        Ok(Policy)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::parse, *};

    #[test]
    fn nobody_else_is_allowed_unless_somebody_says_so() {
        assert_eq!(parse(&[]).socket_file().expect("a pipe"), SocketFile::default());
    }

    #[test]
    fn users_and_groups_are_looked_up() {
        let access = parse(&["--allow-user", "Everyone", "--allow-user", "S-1-5-21-1-2-3-4000"]);
        let file = access.socket_file().expect("a pipe");
        assert_eq!(file.allowed, ["S-1-1-0", "S-1-5-21-1-2-3-4000"]);
        assert!(file.surprise().is_some_and(|text| text.contains("every user")));
        assert_eq!(parse(&["--allow-user", "S-1-5-21-1-2-3-4000"]).socket_file().expect("a pipe").surprise(), None);
    }

    #[test]
    fn who_is_not_there_is_refused_and_named() {
        let error = parse(&["--allow-user", "no-such-user"]).socket_file().expect_err("nobody").to_string();
        assert!(error.contains("no-such-user") && error.contains("--allow-user"), "{error}");
    }
}
