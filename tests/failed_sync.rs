//! The disk fails while commits are flushed, and the daemon is killed with -9, again and again. What was said to be undone
//! stays away, what was acknowledged is there, and of the rest it was said that it is not known.
#![cfg(target_os = "linux")]

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use skylinedb::{Error, TransactionKind, params};
use support::{Daemon, Folder};

const ROUNDS: i64 = 30;

/// Fails as many flushes as the control file says, and counts them down there.
const LIBRARY: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int fails(int fd) {
    char link[64], path[4096] = "", text[16] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 4 || strcmp(path + length - 4, "-wal") != 0) return 0;
    int control = open(getenv("FAILING_FLUSHES"), O_RDWR);
    if (control < 0) return 0;
    int left = pread(control, text, sizeof text - 1, 0) > 0 ? atoi(text) : 0;
    if (left > 0) {
        int digits = snprintf(text, sizeof text, "%d\n", left - 1);
        if (ftruncate(control, 0) != 0 || pwrite(control, text, digits, 0) != digits) abort();
    }
    close(control);
    return left > 0;
}

int fsync(int fd) {
    if (fails(fd)) { errno = EIO; return -1; }
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}

int fdatasync(int fd) {
    if (fails(fd)) { errno = EIO; return -1; }
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}
"#;

/// What a client was told of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Kept,
    Undone,
    Unknown,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_of_a_failed_commit_is_true_after_a_crash() {
    let folder = Folder::new();
    let (library, control) = (library(&folder), folder.path().join("failing"));
    let mut told = Vec::new();
    for round in 0..ROUNDS {
        fs::write(&control, "0").expect("the control file");
        let mut daemon =
            Daemon::builder_in(&folder).env("LD_PRELOAD", &library).env("FAILING_FLUSHES", &control).start();
        if round == 0 {
            daemon.execute("CREATE TABLE t(x INTEGER PRIMARY KEY, filler BLOB)");
        }
        assert_true(&daemon, &told);
        let client = daemon.client().await;
        let mut row = 10 * round;
        let insert = "INSERT INTO t VALUES (?, zeroblob(?))";
        // Small and large commits, so many flushes that fail, and a session's transaction in every third round.
        let filler = (round % 4) * 5_000;
        let mut next = || {
            row += 1;
            params![row, filler]
        };
        client.execute(insert, next()).await.expect("a row while the disk works");
        told.push((row_of(round, 1), Told::Kept));
        fs::write(&control, (round % 5 + 1).to_string()).expect("the control file");
        for number in 2..5 {
            let outcome = if round % 3 == 2 {
                let mut session = client.session().await.expect("a session");
                match session.transaction(TransactionKind::Write).await {
                    Ok(mut transaction) => {
                        transaction.execute(insert, next()).await.expect("a row");
                        transaction.commit().await.map(drop)
                    }
                    Err(error) => {
                        next();
                        Err(error)
                    }
                }
            } else {
                client.execute(insert, next()).await.map(drop)
            };
            told.push((row_of(round, number), understood(outcome)));
        }
        daemon.kill9();
    }
    let count = |what| told.iter().filter(|(_, told)| *told == what).count();
    assert!(count(Told::Undone) > 0 && count(Told::Unknown) > 0, "all cases are met: {told:?}");
    assert_true(&Daemon::builder_in(&folder).start(), &told);
}

fn row_of(round: i64, number: i64) -> i64 {
    10 * round + number
}

fn understood(outcome: Result<(), Error>) -> Told {
    match outcome {
        Ok(()) => Told::Kept,
        Err(Error::Database(error)) if error.message.contains("is not known") => Told::Unknown,
        Err(Error::Database(error)) => {
            assert!(error.message.contains("was written"), "{error}");
            Told::Undone
        }
        Err(other) => panic!("not the daemon's answer: {other}"),
    }
}

#[track_caller]
fn assert_true(daemon: &Daemon, told: &[(i64, Told)]) {
    let found = daemon.value("SELECT coalesce(group_concat(x), '') FROM t");
    let found: Vec<i64> = found.as_str().expect("a list").split(',').filter_map(|number| number.parse().ok()).collect();
    for (row, told) in told.iter().filter(|(_, told)| *told != Told::Unknown) {
        assert_eq!(found.contains(row), *told == Told::Kept, "row {row} was said to be {told:?}; found {found:?}");
    }
    assert_eq!(daemon.value("PRAGMA integrity_check"), "ok");
}

fn library(folder: &Folder) -> PathBuf {
    let (source, library) = (folder.path().join("failing.c"), folder.path().join("failing.so"));
    fs::write(&source, LIBRARY).expect("the source");
    compile(&source, &library);
    library
}

fn compile(source: &Path, library: &Path) {
    let output = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([library, source]).arg("-ldl").output();
    let output = output.expect("a C compiler: SQLite is compiled by it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
