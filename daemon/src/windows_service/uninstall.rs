//! `service uninstall`.

use std::{
    io::{self, Write as _},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use windows_service::{
    service::{Service, ServiceAccess, ServiceState},
    service_manager::{ServiceManager, ServiceManagerAccess},
};

use super::explain::{self, explain};

/// Between two looks at whether the service has ended.
const PAUSE: Duration = Duration::from_millis(50);

/// How long to wait at least. The service itself says how long its end may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the command of a service has that `service install` has made, whatever the program is called by now.
const COMMAND: &str = " service run ";

/// Stops the service, waits for its end and removes it.
pub(super) fn uninstall(name: &str) -> anyhow::Result<()> {
    let manager = ServiceManager::local_computer(None::<&str>, ServiceManagerAccess::CONNECT)
        .map_err(|error| explain(error, "remove", name))?;
    let rights =
        ServiceAccess::STOP | ServiceAccess::QUERY_STATUS | ServiceAccess::QUERY_CONFIG | ServiceAccess::DELETE;
    let service = manager.open_service(name, rights).map_err(|error| explain(error, "remove", name))?;
    let config = service.query_config().map_err(|error| explain(error, "look at", name))?;
    let command = config.executable_path.display().to_string();
    if !command.contains(COMMAND) {
        bail!("the service {name} is none of SkylineDB's, and was left alone: it runs {command}");
    }
    stop(&service, name)?;
    service.delete().map_err(|error| explain(error, "remove", name))?;
    writeln!(io::stdout(), "✓ The service {name} is removed; its database and its log stay").context("cannot say so")
}

fn stop(service: &Service, name: &str) -> anyhow::Result<()> {
    match service.stop() {
        Err(error) if explain::code(&error) != Some(explain::NOT_IN_USE) && !is_stopping(service) => {
            return Err(explain(error, "stop", name));
        }
        _ => {}
    }
    let begin = Instant::now();
    loop {
        let status = service.query_status().map_err(|error| explain(error, "stop", name))?;
        if status.current_state == ServiceState::Stopped {
            return Ok(());
        }
        if begin.elapsed() > status.wait_hint.max(PATIENCE) {
            bail!("the service {name} has not ended after {:?}; it was not removed", begin.elapsed());
        }
        thread::sleep(PAUSE);
    }
}

fn is_stopping(service: &Service) -> bool {
    service.query_status().is_ok_and(|status| status.current_state == ServiceState::StopPending)
}
