//! What the service control manager's errors mean, and what to do.

use std::io;

use anyhow::anyhow;
use windows_service::Error;

pub(super) const ACCESS_DENIED: i32 = 5;
pub(super) const NOT_IN_USE: i32 = 1062; // ERROR_SERVICE_NOT_ACTIVE
pub(super) const NOT_OF_THE_MANAGER: i32 = 1063; // ERROR_FAILED_SERVICE_CONTROLLER_CONNECT
const INVALID_ACCOUNT: i32 = 1057;
const NOT_INSTALLED: i32 = 1060;
const MARKED_FOR_DELETION: i32 = 1072;
const EXISTS: i32 = 1073;
const DUPLICATE_DISPLAY_NAME: i32 = 1078;

/// Windows' own code.
pub(super) fn code(error: &Error) -> Option<i32> {
    match error {
        Error::Winapi(error) => error.raw_os_error(),
        _ => None,
    }
}

/// The error with what was to be done.
pub(super) fn explain(error: Error, what: &str, name: &str) -> anyhow::Error {
    let hint = match code(&error) {
        Some(ACCESS_DENIED) => {
            "only an administrator may do this; open the console with \"Run as administrator\"".to_owned()
        }
        Some(EXISTS | DUPLICATE_DISPLAY_NAME) => already_installed(name),
        Some(NOT_INSTALLED) => format!(
            "no service is called {name}; `sc.exe query type= service state= all` lists those that there are, and --name \
             says which is meant"
        ),
        Some(MARKED_FOR_DELETION) => format!(
            "{name} is being removed, which is done when nobody has it open; close the list of services and try again"
        ),
        Some(INVALID_ACCOUNT) => {
            "there is no such account, or it needs a password (--account); one with a password is set \
                                  after the installation: sc.exe config NAME obj= ACCOUNT password= PASSWORD"
                .to_owned()
        }
        _ => return anyhow!(reason(error)).context(format!("cannot {what} the service {name}")),
    };
    anyhow!(hint).context(format!("cannot {what} the service {name}"))
}

/// What to do about a service that is there.
pub(super) fn already_installed(name: &str) -> String {
    format!(
        "a service is called so already; give this one another --name, or remove that one first: skylinedb-daemon service \
         uninstall --name \"{name}\""
    )
}

/// Windows' own error.
pub(super) fn reason(error: Error) -> io::Error {
    match error {
        Error::Winapi(error) => error,
        other => io::Error::other(other),
    }
}
