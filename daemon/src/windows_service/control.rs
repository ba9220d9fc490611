//! What the service control manager says to the service, and what it is told. In a process that is no service, nothing
//! happens here.

use std::{
    sync::{LazyLock, OnceLock},
    time::Duration,
};

use tokio::sync::watch;
use windows_service::{
    service::{ServiceControl, ServiceControlAccept, ServiceExitCode, ServiceState, ServiceStatus, ServiceType},
    service_control_handler::{self, ServiceControlHandlerResult, ServiceStatusHandle},
};

/// How long the manager should wait until the daemon serves. It takes that long only with a large write-ahead log.
const START_WAIT: Duration = Duration::from_mins(5);

/// How long the end may take beside the work in hand: the write-ahead log is emptied.
const CLOSE_WAIT: Duration = Duration::from_mins(1);

/// The manager counts milliseconds in 32 bits.
const LONGEST_WAIT: Duration = Duration::from_hours(24 * 40);

/// Why the service is to end, once it is.
static END: LazyLock<watch::Sender<Option<&'static str>>> = LazyLock::new(watch::Sender::default);

/// Whom to tell; only a service has it.
static MANAGER: OnceLock<ServiceStatusHandle> = OnceLock::new();

/// How long the end may take.
static STOP_WAIT: OnceLock<Duration> = OnceLock::new();

/// Makes this process the service's, which begins to start.
pub(super) fn register(name: &str) -> windows_service::Result<()> {
    // A function, which has no state: the crate frees a handler's state with the first Stop, though more may come.
    let manager = service_control_handler::register(name, handle)?;
    let _ = MANAGER.set(manager);
    tell(ServiceState::StartPending, START_WAIT, ServiceExitCode::NO_ERROR);
    Ok(())
}

/// How long the service may take to end, if its work in hand may take this long.
pub(super) fn stop_wait(drain: Duration) -> Duration {
    drain.saturating_add(CLOSE_WAIT).min(LONGEST_WAIT)
}

/// Takes note of how long work in hand may take.
pub(super) fn set_drain_timeout(drain: Duration) {
    let _ = STOP_WAIT.set(stop_wait(drain));
}

/// Why the service is to end; `None` if this process is none.
pub(crate) fn ends() -> Option<watch::Receiver<Option<&'static str>>> {
    MANAGER.get()?;
    let mut ends = END.subscribe();
    ends.mark_changed(); // it may have been said already
    Some(ends)
}

/// The daemon serves.
pub(crate) fn running() {
    tell(ServiceState::Running, Duration::ZERO, ServiceExitCode::NO_ERROR);
}

/// The daemon finishes its work.
pub(crate) fn stopping() {
    tell(ServiceState::StopPending, STOP_WAIT.get().copied().unwrap_or(CLOSE_WAIT), ServiceExitCode::NO_ERROR);
}

/// The daemon has ended, with this exit code.
pub(super) fn stopped(code: u8) {
    let code = match code {
        0 => ServiceExitCode::NO_ERROR,
        code => ServiceExitCode::ServiceSpecific(code.into()),
    };
    tell(ServiceState::Stopped, Duration::ZERO, code);
}

fn handle(control: ServiceControl) -> ServiceControlHandlerResult {
    let why = match control {
        ServiceControl::Stop => "the service is stopped",
        ServiceControl::Preshutdown | ServiceControl::Shutdown => "Windows shuts down",
        ServiceControl::Interrogate => return ServiceControlHandlerResult::NoError,
        _ => return ServiceControlHandlerResult::NotImplemented,
    };
    stopping();
    END.send_replace(Some(why));
    ServiceControlHandlerResult::NoError
}

fn tell(state: ServiceState, wait_hint: Duration, exit_code: ServiceExitCode) {
    let Some(manager) = MANAGER.get() else { return };
    let controls = match state {
        ServiceState::Running => {
            ServiceControlAccept::STOP | ServiceControlAccept::PRESHUTDOWN | ServiceControlAccept::SHUTDOWN
        }
        _ => ServiceControlAccept::empty(),
    };
    let status = ServiceStatus {
        service_type: ServiceType::OWN_PROCESS,
        current_state: state,
        controls_accepted: controls,
        exit_code,
        checkpoint: 0,
        wait_hint,
        process_id: None,
    };
    if let Err(error) = manager.set_service_status(status) {
        tracing::warn!(?error, ?state, "cannot tell the service control manager");
    }
}
