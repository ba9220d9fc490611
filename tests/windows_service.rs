//! The daemon as a Windows service: installed, started and stopped by the service control manager, and removed.
#![cfg(windows)]

mod support;

use std::{
    cell::Cell,
    fs,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use skylinedb::{Client, TransactionKind, params};
use support::{Folder, Output, command, is_running, program, run, wait_for, wait_until};
use windows_service::{
    service::{
        ServiceAccess, ServiceErrorControl, ServiceExitCode, ServiceInfo, ServiceStartType, ServiceState,
        ServiceStatus, ServiceType,
    },
    service_manager::{ServiceManager, ServiceManagerAccess},
};

/// Wine's manager takes the next program that says it is a service for the one that it has just started, whichever it is. So one
/// test at a time has services.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Asks Wine's manager until it does not say "Invalid handle" (`ERROR_INVALID_HANDLE`): on a busy machine it now and then has not
/// got over the service's last program yet. What it has done all the same is done (`ERROR_SERVICE_ALREADY_RUNNING`,
/// `ERROR_SERVICE_NOT_ACTIVE`).
fn insist<T>(what: &str, ask: impl Fn() -> windows_service::Result<T>) {
    let mut asked_again = false;
    wait_for(what, || match ask() {
        Ok(_) => Some(()),
        Err(windows_service::Error::Winapi(error)) => match error.raw_os_error() {
            Some(6) => {
                asked_again = true;
                None
            }
            Some(1056 | 1062) if asked_again => Some(()),
            _ => panic!("{what}: {error}"),
        },
        Err(error) => panic!("{what}: {error}"),
    });
}

/// A service of one test, removed when it is dropped.
struct Service {
    folder: Folder,
    name: String,
    /// The program that was told to stop. Wine's manager cannot start the next one before it has ended.
    last: Cell<Option<u32>>,
    _alone: MutexGuard<'static, ()>,
}

impl Service {
    /// One that is not installed.
    fn new() -> Self {
        let alone = alone();
        let folder = Folder::new();
        Self { name: format!("SkylineDB {}", unique(&folder)), folder, last: Cell::default(), _alone: alone }
    }

    /// Installs one with these further options.
    fn install(options: &[&str]) -> Self {
        let service = Self::new();
        let output = service.try_install(options).success();
        assert!(output.stdout.contains("is installed") && output.stdout.contains(&service.name), "{output:#?}");
        service
    }

    fn try_install(&self, options: &[&str]) -> Output {
        let mut install = command(program("skylinedb-daemon"));
        install.current_dir(self.folder.path()).args(["service", "install", "my data/app.db", "--name", &self.name]);
        install.arg("--endpoint").arg(self.folder.endpoint()).arg("--log-file").arg("my log.txt");
        run(install.args(options), b"")
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("my data/app.db")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("my log.txt")).unwrap_or_default()
    }

    fn open(&self) -> windows_service::Result<windows_service::service::Service> {
        let manager = ServiceManager::local_computer(None::<&str>, ServiceManagerAccess::CONNECT)?;
        let rights = ServiceAccess::START | ServiceAccess::STOP | ServiceAccess::QUERY_STATUS;
        manager.open_service(&self.name, rights | ServiceAccess::QUERY_CONFIG)
    }

    fn status(&self) -> ServiceStatus {
        self.open().and_then(|service| service.query_status()).expect("a status")
    }

    fn wait_for_state(&self, state: ServiceState) -> ServiceStatus {
        wait_for("the service's state", || Some(self.status()).filter(|status| status.current_state == state))
    }

    fn start(&self) {
        if let Some(pid) = self.last.take() {
            wait_until("the end of the last program", || !is_running(pid));
        }
        insist("a start", || self.open()?.start::<&str>(&[]));
    }

    fn start_and_wait(&self) {
        self.start();
        self.wait_for_state(ServiceState::Running);
    }

    fn stop(&self) {
        self.last.set(self.status().process_id);
        insist("a stop", || self.open()?.stop());
    }

    fn uninstall(&self) -> Output {
        run(command(program("skylinedb-daemon")).args(["service", "uninstall", "--name", &self.name]), b"")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if self.open().is_ok() {
            self.uninstall().success();
        }
    }
}

/// The letters of a folder's name that a service's may have.
fn unique(folder: &Folder) -> String {
    let name = folder.path().file_name().expect("a name").to_string_lossy().into_owned();
    name.chars().filter(char::is_ascii_alphanumeric).collect()
}

#[test]
fn it_serves_from_its_start_to_its_stop_and_is_gone_when_it_is_removed() {
    let service = Service::install(&["--allow-attach", "my data"]);
    assert_eq!(service.status().current_state, ServiceState::Stopped, "installed is not started");
    let config = service.open().and_then(|service| service.query_config()).expect("its configuration");
    assert_eq!(config.start_type, ServiceStartType::AutoStart);
    assert_eq!(config.account_name, Some(format!(r"NT SERVICE\{}", service.name).into()));

    for rows in 1..=2 {
        service.start_and_wait();
        service.folder.cli(["execute", "CREATE TABLE IF NOT EXISTS t(x); INSERT INTO t VALUES (1)"]).success();
        let counted = service.folder.cli(["query", "--format", "json", "SELECT count(*) AS n FROM t"]).success().json();
        assert_eq!(counted, serde_json::json!([{ "n": rows }]));
        let ping = service.folder.cli(["ping"]).success().stdout;
        assert!(ping.contains(r"my data\app.db"), "{ping}");
        service.stop();
        assert_eq!(service.wait_for_state(ServiceState::Stopped).exit_code, ServiceExitCode::NO_ERROR);
        service.folder.cli(["ping"]).failure(3);
    }
    let log = service.log();
    assert!(log.contains("the service is stopped: shutting down"), "{log}");
    assert_eq!(log.matches("Daemon stopped").count(), 2, "{log}");

    service.start_and_wait(); // it is stopped when it is removed
    let output = service.uninstall().success();
    assert!(output.stdout.contains(&service.name), "{output:#?}");
    assert!(service.open().is_err());
    assert_eq!(service.log().matches("Daemon stopped").count(), 3);
    assert!(service.database().is_file());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_the_work_in_hand() {
    let service = Service::install(&["--drain-timeout", "1h", "--transaction-idle-timeout", "1h"]);
    service.start_and_wait();
    let client = Client::connect(service.folder.endpoint()).await.expect("a client");
    client.execute("CREATE TABLE t(x)", params![]).await.expect("a table");
    let mut session = client.session().await.expect("a session");
    let mut transaction = session.transaction(TransactionKind::Write).await.expect("a transaction");
    transaction.execute("INSERT INTO t VALUES (1)", params![]).await.expect("a row");

    service.stop();
    wait_until("the end's begin", || service.log().contains("shutting down"));
    let status = service.status();
    assert_eq!(status.current_state, ServiceState::StopPending);
    assert!(status.wait_hint > Duration::from_hours(1), "{status:?}");
    client.execute("INSERT INTO t VALUES (0)", params![]).await.expect_err("new work is refused");
    transaction.execute("INSERT INTO t VALUES (2)", params![]).await.expect("work in hand");
    transaction.commit().await.expect("the end of the work");
    assert_eq!(service.wait_for_state(ServiceState::Stopped).exit_code, ServiceExitCode::NO_ERROR);
    let file = rusqlite::Connection::open(service.database()).expect("the database");
    let sum: i64 = file.query_one("SELECT sum(x) FROM t", [], |row| row.get(0)).expect("a sum");
    assert_eq!(sum, 3);
}

#[test]
fn the_end_of_the_daemon_is_the_end_of_the_service() {
    let service = Service::install(&[]);
    service.start_and_wait();
    service.folder.cli(["shutdown"]).success();
    assert_eq!(service.wait_for_state(ServiceState::Stopped).exit_code, ServiceExitCode::NO_ERROR);
}

#[test]
fn one_that_cannot_start_has_an_exit_code_and_says_why_in_its_log() {
    let service = Service::install(&[]);
    fs::write(service.database(), "this is no database, however long one looks at it").expect("a file");
    service.start();
    let status = service.wait_for_state(ServiceState::Stopped);
    assert_eq!(status.exit_code, ServiceExitCode::ServiceSpecific(1));
    assert!(service.log().contains("file is not a database"), "{}", service.log());
}

#[test]
fn a_mistake_is_told_when_it_is_installed_and_nothing_is() {
    for (options, code, why) in [
        (&["--nonsense"][..], 2, "--nonsense"),
        (&["--readers", "many"], 2, "many"),
        (&["--endpoint", "app.sock"], 2, "--endpoint"),
        (&["--allow-user", "no-such-user"], 1, "no-such-user"),
        (&["--allow-attach", "not there"], 1, "not there"),
        (&["--config", "not there.toml"], 1, "not there.toml"),
        (&["--account", ""], 2, "--account"),
    ] {
        let service = Service::new();
        let mut install = command(program("skylinedb-daemon"));
        install.current_dir(service.folder.path()).args(["service", "install", "app.db", "--name", &service.name]);
        let output = run(install.args(options), b"").failure(code);
        assert!(output.stderr.contains(why), "{options:?}: {output:#?}");
        assert!(service.open().is_err(), "{options:?}: it is installed");
    }
}

#[test]
fn names_are_checked_and_taken_once() {
    let daemon = |arguments: &[&str]| run(command(program("skylinedb-daemon")).arg("service").args(arguments), b"");
    for name in ["a/b", r"a\b", "a:b", "a."] {
        let output = daemon(&["install", "--name", name]).failure(1);
        assert!(output.stderr.contains("letters, digits"), "{output:#?}");
    }
    let service = Service::install(&[]);
    let output = service.try_install(&[]).failure(1);
    assert!(output.stderr.contains("already") && output.stderr.contains("service uninstall"), "{output:#?}");
    let output = daemon(&["uninstall", "--name", "no such service"]).failure(1);
    assert!(output.stderr.contains("no service is called no such service"), "{output:#?}");
    let output = daemon(&["run", &service.name]).failure(1);
    assert!(output.stderr.contains(&format!("net start \"{}\"", service.name)), "{output:#?}");
}

#[test]
fn a_service_of_another_program_is_not_removed() {
    let _alone = alone();
    let folder = Folder::new();
    let name = format!("Not SkylineDB {}", unique(&folder));
    let info = ServiceInfo {
        name: (&name).into(),
        display_name: (&name).into(),
        service_type: ServiceType::OWN_PROCESS,
        start_type: ServiceStartType::OnDemand,
        error_control: ServiceErrorControl::Normal,
        executable_path: program("skylinedb-cli"),
        launch_arguments: vec!["run".into()],
        dependencies: Vec::new(),
        account_name: None,
        account_password: None,
    };
    let rights = ServiceManagerAccess::CONNECT | ServiceManagerAccess::CREATE_SERVICE;
    let manager = ServiceManager::local_computer(None::<&str>, rights).expect("the manager");
    let other = manager.create_service(&info, ServiceAccess::DELETE).expect("a service");

    let output =
        run(command(program("skylinedb-daemon")).args(["service", "uninstall", "--name", &name]), b"").failure(1);
    assert!(output.stderr.contains("none of SkylineDB's") && output.stderr.contains("skylinedb-cli"), "{output:#?}");
    other.delete().expect("it is there still");
}

#[test]
fn it_is_found_in_help_and_a_database_may_still_be_called_service() {
    let daemon = |arguments: &[&str]| run(command(program("skylinedb-daemon")).args(arguments), b"");
    assert!(daemon(&["--help"]).success().stdout.contains("skylinedb-daemon service --help"));
    let help = daemon(&["service", "--help"]).success().stdout;
    assert!(help.contains("install") && help.contains("uninstall"), "{help}");
    let help = daemon(&["service", "install", "--help"]).success().stdout;
    assert!(help.contains("--account") && help.contains("--drain-timeout") && help.contains("[default: 0s]"), "{help}");
    let output = daemon(&["./service", "--print-config"]).success();
    assert!(output.stdout.contains(r#"database = "./service""#), "{output:#?}");
    let output = daemon(&["service", "install", "--name", "A", "--print-config"]).success();
    assert!(output.stdout.contains("idle-timeout = \"0s\"") && output.stdout.contains("A.log"), "{output:#?}");
}
