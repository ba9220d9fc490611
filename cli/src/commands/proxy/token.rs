//! The token that clients over TCP must send: any user of the machine can connect there, but only this one can read it.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use hyper::{HeaderMap, header::AUTHORIZATION};
use skylinedb_local::state_folder;
use subtle::ConstantTimeEq as _;

use super::{listen::Listener, platform};
use crate::{args::ListenAddress, failure::Failure};

const TOKEN_BYTES: usize = 32;

/// What is before the token, in any case (RFC 6750).
const SCHEME: &str = "Bearer ";

/// A token and its file, which is removed when this is dropped.
pub(super) struct Token {
    text: String,
    path: PathBuf,
}

/// What is wrong with a call's token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mistake {
    Missing,
    Wrong,
}

impl Token {
    /// A new token, if the listener needs one.
    pub(super) fn for_listener(listener: &Listener, file: Option<PathBuf>) -> Result<Option<Self>, Failure> {
        let address = match (listener.address(), &file) {
            (ListenAddress::Tcp(address), _) => address,
            (ListenAddress::Unix(_), None) => return Ok(None),
            (ListenAddress::Unix(_), Some(_)) => {
                return Err(Failure::usage(
                    "--token-file is for TCP: a Unix socket needs no token, because only this user can connect to it",
                ));
            }
        };
        let path = if let Some(path) = file {
            std::path::absolute(&path).unwrap_or(path)
        } else {
            let folder = state_folder().ok_or_else(|| {
                Failure::usage("this user has no folder for the token (XDG_STATE_HOME or HOME, on Windows LOCALAPPDATA, would say it): give \
                     --token-file")
            })?;
            fs::create_dir_all(&folder)
                .map_err(|error| Failure::refused(format!("cannot make the folder {}: {error}", folder.display())))?;
            let path =
                folder.join(format!("proxy-{}-{}.token", address.ip().to_string().replace(':', "_"), address.port()));
            // Whoever has left one there has crashed: this proxy has the address.
            fs::remove_file(&path).ok();
            path
        };
        Self::make(&path).map(Some)
    }

    fn make(path: &Path) -> Result<Self, Failure> {
        let mut bytes = [0; TOKEN_BYTES];
        getrandom::fill(&mut bytes)
            .map_err(|error| Failure::refused(format!("no random bytes for a token: {error}")))?;
        let text = bytes.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}"); // writing to a String cannot fail
            text
        });
        // A file that is there may be open to somebody already, so it has to be a new one.
        let token = platform::create_private(path).and_then(|mut file| {
            let token = Self { text, path: path.to_owned() };
            file.write_all(token.text.as_bytes())?;
            Ok(token)
        });
        token.map_err(|error| {
            let hint = match error.kind() {
                std::io::ErrorKind::AlreadyExists => {
                    "remove it if no other proxy uses it, or choose another --token-file"
                }
                _ => "choose another --token-file",
            };
            Failure::refused(format!("cannot make the token file {}: {error}; {hint}", path.display()))
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a call has the token. How long that takes does not tell how much of it was right.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), Mistake> {
        let mut values = headers.get_all(AUTHORIZATION).into_iter();
        let value = values.next().ok_or(Mistake::Missing)?.as_bytes();
        let (scheme, given) = value.split_at_checked(SCHEME.len()).ok_or(Mistake::Wrong)?;
        let is_right = bool::from(given.ct_eq(self.text.as_bytes()));
        if is_right && scheme.eq_ignore_ascii_case(SCHEME.as_bytes()) && values.next().is_none() {
            return Ok(());
        }
        Err(Mistake::Wrong)
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        // Another one that has taken its place is not ours to remove.
        if fs::read(&self.path).is_ok_and(|text| text.is_empty() || text == self.text.as_bytes()) {
            fs::remove_file(&self.path).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(token: &Token, values: &[&str]) -> Result<(), Mistake> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().expect("a header"));
        }
        token.check(&headers)
    }

    #[test]
    fn only_the_whole_token_lets_in() {
        let folder = tempfile::tempdir().expect("a folder");
        let token = Token::make(&folder.path().join("token")).expect("a token");
        let text = fs::read_to_string(token.path()).expect("its file");
        assert_eq!(text.len(), 2 * TOKEN_BYTES);
        assert!(text.bytes().all(|byte| byte.is_ascii_hexdigit()), "{text}");
        let right = format!("Bearer {text}");
        assert_eq!(check(&token, &[&right]), Ok(()));
        assert_eq!(check(&token, &[&format!("bearer {text}")]), Ok(()));
        assert_eq!(check(&token, &[]), Err(Mistake::Missing));
        let other = if text.starts_with('0') { "1" } else { "0" };
        for wrong in [
            String::new(),
            text.clone(),
            "Bearer ".to_owned(),
            format!("Basic  {text}"),
            right[..right.len() - 1].to_owned(),
            format!("{right}0"),
            format!("Bearer {other}{}", &text[1..]),
        ] {
            assert_eq!(check(&token, &[&wrong]), Err(Mistake::Wrong), "{wrong}");
        }
        assert_eq!(check(&token, &[&right, "Bearer other"]), Err(Mistake::Wrong));
        assert_eq!(check(&token, &["Bearer other", &right]), Err(Mistake::Wrong));
    }

    #[test]
    fn each_has_its_own_file_and_removes_no_other() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        let token = Token::make(&path).expect("a token");
        let refused = Token::make(&path).err().expect("a second one is refused");
        assert!(refused.message().contains("--token-file"), "{}", refused.message());
        drop(token);
        assert!(!path.exists());
        let token = Token::make(&path).expect("a token");
        fs::write(&path, "another").expect("replace it");
        drop(token);
        assert!(path.exists());
    }
}
