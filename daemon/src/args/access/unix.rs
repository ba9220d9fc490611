//! The options that say who may come in. What they mean together is in `docs/access.md`.

use anyhow::{Context as _, bail};
use clap::Args;
use skylinedb_local::{DatabaseFile, socket::names};

use crate::transport::{Policy, SocketFile};

const ACCESS: &str = "Access (without these: this user and root)";

/// Who may come in.
#[derive(Args, Debug)]
pub(crate) struct AccessArguments {
    /// The socket file's permissions, octal. 0660 also lets the socket's group in, 0666 every user of this machine; of
    /// them only some, if there is an --allow-uid or --allow-gid
    #[arg(long, value_name = "MODE", default_value = "0600", value_parser = mode, help_heading = ACCESS)]
    pub(crate) socket_mode: Mode,
    /// The socket file's group, by name or gid. Needs a --socket-mode that lets the group in, such as 0660
    #[arg(long, value_name = "GROUP", help_heading = ACCESS)]
    pub(crate) socket_group: Option<String>,
    /// A user, by name or uid, who may come in; may be given several times. Of those whom --socket-mode lets in, only
    /// users named so or by --allow-gid then may, beside this user and root, who always may
    #[arg(long, value_name = "USER", help_heading = ACCESS)]
    pub(crate) allow_uid: Vec<String>,
    /// A group, by name or gid, whose members may come in; may be given several times. As --allow-uid
    #[arg(long, value_name = "GROUP", help_heading = ACCESS)]
    pub(crate) allow_gid: Vec<String>,
    /// The permissions of a new database file, octal: 0640 lets its group read the file beside the daemon. A file that is
    /// there keeps its own
    #[arg(long, value_name = "MODE", default_value = "0600", value_parser = database_mode, help_heading = ACCESS)]
    pub(crate) database_mode: Mode,
}

/// A file's permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mode(pub(crate) u32);

impl AccessArguments {
    /// What the socket's file is to be like.
    pub(crate) fn socket_file(&self) -> anyhow::Result<SocketFile> {
        let Mode(mode) = self.socket_mode;
        let group = self.socket_group.as_deref().map(|name| {
            names::gid_of(name).with_context(|| {
                format!("there is no group {name:?} (--socket-group); make it (groupadd), or give another")
            })
        });
        if self.socket_group.is_some() && mode & 0o020 == 0 {
            bail!(
                "--socket-group lets nobody in while the socket's mode is {mode:04o}: its group may not write, which \
                 connecting needs; add --socket-mode 0660"
            );
        }
        Ok(SocketFile { mode, group: group.transpose()? })
    }

    /// What the database file is like if it is made.
    pub(crate) const fn database_file(&self) -> DatabaseFile {
        let Mode(mode) = self.database_mode;
        DatabaseFile { mode }
    }

    /// Who may come in.
    pub(crate) fn policy(&self) -> anyhow::Result<Policy> {
        let uids = self.allow_uid.iter().map(|name| {
            names::uid_of(name)
                .with_context(|| format!("there is no user {name:?} (--allow-uid); give another, or a uid"))
        });
        let gids = self.allow_gid.iter().map(|name| {
            names::gid_of(name)
                .with_context(|| format!("there is no group {name:?} (--allow-gid); give another, or a gid"))
        });
        Ok(Policy {
            own_uid: rustix::process::geteuid().as_raw(),
            uids: uids.collect::<anyhow::Result<_>>()?,
            gids: gids.collect::<anyhow::Result<_>>()?,
            socket_mode: self.socket_mode.0,
        })
    }
}

fn mode(text: &str) -> Result<Mode, String> {
    permissions(text, "a socket", "connect")
}

fn database_mode(text: &str) -> Result<Mode, String> {
    permissions(text, "a database", "open it")
}

/// Reads an octal mode of a file, without which its owner cannot do what it is for.
fn permissions(text: &str, file: &str, use_of_it: &str) -> Result<Mode, String> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err("it is an octal number, such as 0600 or 0660".to_owned());
    }
    match u32::from_str_radix(digits, 8) {
        Ok(mode) if mode > 0o777 => {
            Err(format!("it has more than permissions (0777); {file} needs no set-uid, set-gid or sticky bit"))
        }
        Ok(mode) if mode & 0o600 != 0o600 => {
            Err(format!("its owner could not {use_of_it}: the first of its three digits must be 6 or 7"))
        }
        Ok(mode) => Ok(Mode(mode)),
        Err(_) => Err("it is an octal number, such as 0600 or 0660".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::parse, *};

    #[test]
    fn a_mode_is_octal_however_it_is_written() {
        for (text, expected) in [("0600", 0o600), ("660", 0o660), ("0o666", 0o666), ("0777", 0o777)] {
            assert_eq!(mode(text), Ok(Mode(expected)), "{text}");
        }
    }

    #[test]
    fn a_mode_that_is_none_or_shuts_the_owner_out_is_refused() {
        for (text, why) in [
            ("", "octal"),
            ("rw-------", "octal"),
            ("+600", "octal"),
            ("0680", "octal"),
            ("99999999999999999999", "octal"),
            ("1600", "sticky"),
            ("4755", "set-uid"),
            ("0060", "owner"),
            ("0400", "owner"),
            ("0", "owner"),
        ] {
            for error in [mode(text).expect_err(text), database_mode(text).expect_err(text)] {
                assert!(error.contains(why), "{text}: {error}");
            }
        }
    }

    #[test]
    fn the_default_is_for_the_owner_alone() {
        let access = parse(&[]);
        assert_eq!(access.database_file(), DatabaseFile { mode: 0o600 });
        assert_eq!(access.socket_file().expect("a file"), SocketFile { mode: 0o600, group: None });
        let policy = access.policy().expect("a policy");
        assert_eq!((policy.uids.len(), policy.gids.len(), policy.socket_mode), (0, 0, 0o600));
    }

    #[test]
    fn users_and_groups_are_looked_up() {
        let access =
            parse(&["--socket-mode", "0660", "--socket-group", "root", "--allow-uid", "root", "--allow-gid", "7"]);
        assert_eq!(access.socket_file().expect("a file"), SocketFile { mode: 0o660, group: Some(0) });
        let policy = access.policy().expect("a policy");
        assert_eq!((policy.uids, policy.gids), (vec![0], vec![7]));
    }

    #[test]
    fn what_is_not_there_or_can_have_no_effect_is_refused_and_named() {
        for arguments in [
            ["--allow-uid", "no-such-user"].as_slice(),
            &["--allow-gid", "no-such-group"],
            &["--socket-mode", "0660", "--socket-group", "no-such-group"],
            &["--socket-group", "root"],
        ] {
            let access = parse(arguments);
            let errors = [access.policy().err(), access.socket_file().err()].into_iter().flatten();
            let errors: Vec<String> = errors.map(|error| error.to_string()).collect();
            assert_eq!(errors.len(), 1, "{arguments:?}: {errors:?}");
            assert!(errors[0].contains(arguments[arguments.len() - 2]), "{arguments:?}: {errors:?}");
        }
    }
}
