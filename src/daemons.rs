//! Which daemons run: found by the locks that they hold, so that none is woken, or started by a service manager that listens
//! on its socket.

use std::{fs, path::Path, time::Duration};

use crate::{
    client::{Client, Pong},
    endpoint::Endpoint,
    scope::Scope,
};

/// How long one may take to say who it is.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// A daemon that runs.
#[derive(Debug)]
pub struct Found {
    /// Its scope, if it is in the place of one.
    pub scope: Option<Scope>,
    /// Its socket.
    pub endpoint: Endpoint,
    /// Who it says it is; or why it does not: it starts, it ends, or it belongs to somebody else.
    pub answer: Result<Pong, String>,
    /// What its lock says.
    holder: Option<u32>,
}

impl Found {
    /// Its process id, if that is known.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.answer.as_ref().map(|pong| pong.pid).ok().or(self.holder)
    }
}

/// Finds the daemons of the machine, of this user and of databases, and the one at this endpoint (without it at
/// `SKYLINEDB_ENDPOINT`), if it runs.
pub async fn find(endpoint: Option<Endpoint>) -> Vec<Found> {
    let mut places = Vec::new();
    for (scope, folder, begin) in Scope::folders() {
        // A folder that cannot be read has none that could be talked to.
        let Ok(files) = fs::read_dir(&folder) else { continue };
        let mut names: Vec<_> = files.flatten().filter_map(|file| file.file_name().into_string().ok()).collect();
        names.sort();
        for name in names {
            let Some(middle) = name.strip_prefix(begin).and_then(|rest| rest.strip_suffix(".lock")) else { continue };
            let scope = match middle {
                "" => scope,
                hash if hash.starts_with('-') => Scope::Database,
                _ => continue,
            };
            places.push((Some(scope), folder.join(&name)));
        }
    }
    if let Some(endpoint) = endpoint.or_else(Endpoint::from_environment) {
        let lock_file = endpoint.path().with_extension("lock");
        if !places.iter().any(|(_, known)| *known == lock_file) {
            places.push((None, lock_file));
        }
    }
    let mut found = Vec::new();
    for (scope, lock_file) in places {
        if is_held(&lock_file) {
            let endpoint = Endpoint::new(lock_file.with_extension("sock"));
            found.push(Found { scope, answer: ask(&endpoint).await, endpoint, holder: holder(&lock_file) });
        }
    }
    found
}

async fn ask(endpoint: &Endpoint) -> Result<Pong, String> {
    let asking = async { Client::connect(endpoint.clone()).await?.ping().await };
    match tokio::time::timeout(ANSWER_TIME, asking).await {
        Ok(answer) => answer.map_err(|error| match error {
            crate::Error::NotRunning { looked } => looked.into_iter().map(|(_, reason)| reason).collect(),
            other => other.to_string(),
        }),
        Err(_) => Err(format!("no answer within {ANSWER_TIME:?}")),
    }
}

/// Whether somebody holds the lock. To try to take it would be in the way of a daemon that starts just now, so Linux is
/// asked for its list of locks; elsewhere the PID in the file has to do.
fn is_held(lock_file: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(file) = fs::metadata(lock_file) else { return false };
    match fs::read_to_string("/proc/locks") {
        Ok(locks) => {
            let inode = format!(":{}", file.ino());
            // 1: FLOCK  ADVISORY  WRITE 4321 00:1a:1234 0 EOF
            locks.lines().any(|line| {
                let mut words = line.split_ascii_whitespace().skip(1);
                words.next() == Some("FLOCK") && words.nth(3).is_some_and(|place| place.ends_with(&inode))
            })
        }
        Err(_) => holder(lock_file).is_some(),
    }
}

/// The PID in the file, if such a process runs.
fn holder(lock_file: &Path) -> Option<u32> {
    let text = fs::read_to_string(lock_file).ok()?;
    let pid = rustix::process::Pid::from_raw(text.trim().parse().ok()?)?;
    let is_gone = matches!(rustix::process::test_kill_process(pid), Err(rustix::io::Errno::SRCH));
    (!is_gone).then(|| pid.as_raw_nonzero().get().unsigned_abs())
}
