//! ATTACH and VACUUM INTO open the file that was allowed, or none: not one that another program puts there meanwhile.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use super::*;

/// A race that is lost once in ten was lost 259 times in 1,581 before there was a check.
const TRIES: usize = 2_000;

/// An engine that may attach below `allowed`, beside which another folder is.
async fn engine() -> (Engine, PathBuf, PathBuf) {
    let engine = Engine::with(|config, _| {
        let root = config.attach_folders.remove(0);
        config.synchronous = Synchronous::Off;
        config.attach_folders = vec![root.join("allowed")];
    })
    .await;
    let root = engine.folder.path().canonicalize().expect("a path");
    let (allowed, outside) = (root.join("allowed"), root.join("outside"));
    fs::create_dir(&allowed).and_then(|()| fs::create_dir(&outside)).expect("folders");
    (engine, allowed, outside)
}

fn make_database(path: &Path, what: &str) {
    let connection = rusqlite::Connection::open(path).expect("a database");
    connection.execute_batch(&format!("CREATE TABLE s (a); INSERT INTO s VALUES ('{what}')")).expect("a table");
}

/// How often the file is swapped in the time of one try: more would only keep the disk from other tests.
const SWAPS_PER_TRY: usize = 16;

/// Puts other files in the place of one, over and over, while `attempt` is run.
fn while_swapping(file: &Path, others: &[&(dyn Fn(&Path) + Sync)], tries: usize, attempt: impl AsyncFn()) {
    let (is_over, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    let new = file.with_extension("new");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for (swap, other) in others.iter().cycle().enumerate() {
                while swap / SWAPS_PER_TRY > done.load(Ordering::Relaxed) && !is_over.load(Ordering::Relaxed) {
                    std::thread::yield_now();
                }
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                other(&new);
                fs::rename(&new, file).expect("another file in its place");
            }
        });
        let _end = EndOnDrop(&is_over);
        tokio::task::block_in_place(|| {
            for _ in 0..tries {
                tokio::runtime::Handle::current().block_on(attempt());
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
    });
}

struct EndOnDrop<'b>(&'b AtomicBool);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_file_outside_is_attached_however_fast_it_is_put_in_place() {
    let (engine, allowed, outside) = engine().await;
    let (good, secret) = (outside.join("good.db"), outside.join("secret.db"));
    make_database(&good, "good");
    make_database(&secret, "secret");
    let file = allowed.join("x.db");
    fs::copy(&good, &file).expect("a file");
    let others: [&(dyn Fn(&Path) + Sync); 4] = [
        &|new| assert!(fs::copy(&good, new).expect("a file") > 0),
        &|new| symlink(&secret, new).expect("a link"),
        &|new| assert!(fs::copy(&good, new).expect("a file") > 0),
        &|new| fs::hard_link(&secret, new).expect("a second name"),
    ];
    let attach = format!("ATTACH '{}' AS x", file.display());
    let attached = AtomicUsize::new(0);
    let batch = [attach.as_str(), "SELECT a FROM x.s"];
    while_swapping(&file, &others, TRIES, async || {
        // Statements that follow must not see the file either.
        let result = engine.run_batch(each(&batch)).await.expect("a batch");
        match &result.results[1] {
            Ok(rows) => {
                assert_eq!(rows.rows, [[Value::Text("good".into())]]);
                attached.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => assert!(result.results[0].is_err(), "{error}"),
        }
    });
    assert!(attached.into_inner() > 0, "the right file was never attached");
    let left: Vec<_> = engine.column("SELECT name FROM pragma_database_list").await;
    assert_eq!(left, [Value::Text("main".into())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_file_outside_is_written_by_vacuum_into() {
    let (engine, allowed, outside) = engine().await;
    let (victim, missing) = (outside.join("victim.db"), outside.join("missing.db"));
    fs::write(&victim, "").expect("a file");
    let file = allowed.join("x.db");
    let link_to = |target: &Path, new: &Path| symlink(target, new).expect("a link");
    let others: [&(dyn Fn(&Path) + Sync); 3] =
        [&|new| fs::write(new, "").expect("a file"), &|new| link_to(&victim, new), &|new| link_to(&missing, new)];
    let vacuum = format!("VACUUM INTO '{}'", file.display());
    while_swapping(&file, &others, TRIES / 10, async || drop(engine.run(&[&vacuum]).await));
    assert_eq!(fs::metadata(&victim).expect("the file").len(), 0);
    assert!(!missing.exists());
}

#[tokio::test]
async fn a_file_with_a_second_name_or_behind_a_link_is_refused() {
    let (engine, allowed, outside) = engine().await;
    let secret = outside.join("secret.db");
    make_database(&secret, "secret");
    fs::hard_link(&secret, allowed.join("hard.db")).expect("a second name");
    symlink(&outside, allowed.join("folder")).expect("a link");
    fs::create_dir(allowed.join("inner")).and_then(|()| fs::create_dir(allowed.join("directory"))).expect("folders");
    symlink(allowed.join("inner"), allowed.join("link")).expect("a link");
    for (name, part_of_reason) in [
        ("hard.db", "hard links"),
        ("folder/x.db", "--allow-attach"),
        ("link/x.db", "inner/x.db"),
        ("directory", "no regular file"),
    ] {
        for sql in ["ATTACH '{}' AS x", "VACUUM INTO '{}'"] {
            let sql = sql.replace("{}", &allowed.join(name).display().to_string());
            let error = engine.run(&[&sql]).await.expect_err("refused");
            assert_eq!(error.reason, "SQLITE_AUTH", "{sql}: {error}");
            assert!(error.message.contains(part_of_reason), "{sql}: {error}");
        }
    }
    assert!(!allowed.join("inner/x.db").exists());
}

#[tokio::test]
async fn a_file_that_attach_makes_is_its_owners_and_goes_when_the_statement_fails() {
    let (engine, allowed, _) = engine().await;
    let file = allowed.join("x.db");
    let path = file.display();
    engine.run(&[&format!("EXPLAIN ATTACH '{path}' AS x")]).await.expect("an explanation");
    assert!(!file.exists());
    engine.run(&[&format!("ATTACH '{path}' AS main")]).await.expect_err("a name that is taken");
    assert!(!file.exists());
    engine.run(&[&format!("ATTACH '{path}' AS x"), "CREATE TABLE x.s (a)"]).await.expect("a new file");
    assert_eq!(fs::metadata(&file).expect("the file").permissions().mode() & 0o777, 0o600);
    engine.run(&[&format!("VACUUM INTO '{path}'")]).await.expect_err("a file that is not empty");
    assert!(file.exists());
}
