//! Finds the other processes that hold SQLite's locks on a database, where the system tells of them: Linux does in
//! `/proc/locks` (<https://man7.org/linux/man-pages/man5/proc_locks.5.html>).

use std::path::Path;

/// What is known of the processes that hold a database's locks.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "other systems do not tell"))]
pub(super) enum Holders {
    /// These keep others from writing: each with its PID and its program's name.
    Writing(String),
    /// No process writes any more, but these read the file.
    Reading(String),
    /// Nothing is known.
    Unknown,
}

/// Who, beside this process, holds locks on a database.
#[cfg(not(target_os = "linux"))]
pub(super) fn find(_: &Path) -> Holders {
    Holders::Unknown
}

#[cfg(target_os = "linux")]
pub(super) use linux::find;

#[cfg(target_os = "linux")]
mod linux {
    use std::{collections::BTreeMap, ffi::OsString, fs, os::unix::fs::MetadataExt as _, path::PathBuf};

    use super::{Holders, Path};

    /// A file beside a database whose locks SQLite uses.
    struct Locked {
        path: PathBuf,
        /// The numbers of its device, and its own, as the kernel writes them.
        device: String,
        inode: String,
    }

    /// A line of `/proc/locks` that tells of a lock which is held.
    struct Lock<'l> {
        is_exclusive: bool,
        pid: u32,
        device: &'l str,
        inode: &'l str,
    }

    pub(crate) fn find(database: &Path) -> Holders {
        let files: Vec<Locked> =
            ["", "-wal", "-shm"].iter().filter_map(|suffix| Locked::beside(database, suffix)).collect();
        let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
        // With each PID, whether one of its locks keeps others out.
        let mut holders = BTreeMap::<u32, bool>::new();
        for lock in locks.lines().filter_map(Lock::parse) {
            if lock.pid != std::process::id() && files.iter().any(|file| file.has(&lock)) {
                *holders.entry(lock.pid).or_default() |= lock.is_exclusive;
            }
        }
        let named = |is_exclusive| {
            let holders = holders.iter().filter(|(_, exclusive)| **exclusive == is_exclusive);
            holders.map(|(pid, _)| format!("PID {pid}, {}", program(*pid))).collect::<Vec<_>>().join("; ")
        };
        match (named(true), named(false)) {
            (writing, _) if !writing.is_empty() => Holders::Writing(writing),
            (_, reading) if !reading.is_empty() => Holders::Reading(reading),
            _ => Holders::Unknown,
        }
    }

    /// The name of a process's program, as `ps` has it.
    fn program(pid: u32) -> String {
        let name = fs::read_to_string(format!("/proc/{pid}/comm"));
        name.map_or_else(|_| "a program that has ended".to_owned(), |name| name.trim_end().to_owned())
    }

    impl Locked {
        fn beside(database: &Path, suffix: &str) -> Option<Self> {
            let mut path = OsString::from(database);
            path.push(suffix);
            let path = PathBuf::from(path);
            let found = fs::metadata(&path).ok()?;
            let (major, minor) = (rustix::fs::major(found.dev()), rustix::fs::minor(found.dev()));
            Some(Self { path, device: format!("{major:02x}:{minor:02x}"), inode: found.ino().to_string() })
        }

        /// Whether the lock is on this file. Some file systems, such as Btrfs, have other device numbers in `/proc/locks`: there
        /// the process must have the file open.
        fn has(&self, lock: &Lock<'_>) -> bool {
            self.inode == lock.inode && (self.device == lock.device || self.is_open_in(lock.pid))
        }

        fn is_open_in(&self, pid: u32) -> bool {
            let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
            files.filter_map(|file| fs::read_link(file.path()).ok()).any(|path| path == self.path)
        }
    }

    impl<'l> Lock<'l> {
        /// Reads `1: POSIX  ADVISORY  WRITE 3568 fd:00:2531452 120 120`. `flock` is not what SQLite uses, and a line with an
        /// arrow is of one who waits.
        fn parse(line: &'l str) -> Option<Self> {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [_, "POSIX", _, kind, pid, file, ..] = words[..] else { return None };
            let (device, inode) = file.rsplit_once(':')?;
            Some(Self { is_exclusive: kind == "WRITE", pid: pid.parse().ok().filter(|pid| *pid != 0)?, device, inode })
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn only_locks_that_are_held_and_of_sqlites_kind_count() {
            let lock = Lock::parse("12: POSIX  ADVISORY  WRITE 3568 fd:00:2531452 120 120").expect("a lock");
            assert_eq!((lock.is_exclusive, lock.pid, lock.device, lock.inode), (true, 3568, "fd:00", "2531452"));
            assert!(Lock::parse("3: POSIX  ADVISORY  READ 9 fe:00:1 128 128").is_some_and(|lock| !lock.is_exclusive));
            for line in [
                "12: -> POSIX  ADVISORY  WRITE 3568 fd:00:2531452 120 120",
                "1: FLOCK  ADVISORY  WRITE 7 fe:00:1 0 EOF",
                "1: OFDLCK ADVISORY  WRITE -1 fe:00:1 0 EOF",
                "1: POSIX  ADVISORY  WRITE 0 fe:00:1 0 EOF",
                "",
            ] {
                assert!(Lock::parse(line).is_none(), "{line}");
            }
        }
    }
}
