//! On Unix daemons are found by their locks, so that none is woken, or started by a service manager that listens on its
//! socket.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use super::Candidate;
use crate::{
    endpoint::Endpoint,
    scope::{Scope, folders},
};

/// The places of scopes where there is a daemon, and this one.
pub(super) fn running(endpoint: Option<Endpoint>) -> Vec<Candidate> {
    let mut places = Vec::new();
    for (scope, folder, begin) in folders() {
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
    if let Some(endpoint) = endpoint {
        let lock_file = endpoint.path().with_extension("lock");
        if !places.iter().any(|(_, known)| *known == lock_file) {
            places.push((None, lock_file));
        }
    }
    let held = places.into_iter().filter(|(_, lock_file)| is_held(lock_file));
    held.map(|(scope, lock_file)| Candidate {
        scope,
        endpoint: Endpoint::new(lock_file.with_extension("sock")),
        holder: holder(&lock_file),
    })
    .collect()
}

/// Whether somebody holds the lock. To try to take it would be in the way of a daemon that starts just now, so Linux is
/// asked for its list of locks; elsewhere the PID in the file has to do.
fn is_held(lock_file: &Path) -> bool {
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
