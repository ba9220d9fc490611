//! Who may use a service's files. Windows' own `icacls` sets that.

use std::{env, fs, path::Path, process::Command};

use anyhow::{Context as _, bail};
use skylinedb_local::windows::user::{ADMINISTRATORS, SYSTEM, USERS};

use crate::config::check_machine_folder;

/// Makes the folder of all services' files if it is not there; one that is there must be no other user's. In a new folder below
/// `%PROGRAMDATA%` every user may make files, and one of them could be the configuration: in this one only administrators may.
pub(super) fn make_machine_folder(folder: &Path) -> anyhow::Result<()> {
    if folder.is_dir() {
        return check_machine_folder(folder);
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    // By their SIDs: their names are other ones in other languages.
    let full = |who| format!("*{who}:(OI)(CI)F");
    let read = format!("*{USERS}:(OI)(NP)RX"); // what is in it, and not what is in its folders
    icacls(folder, &["/inheritance:r", "/grant:r", &full(SYSTEM), &full(ADMINISTRATORS), &read])
}

/// Lets an account write in a folder, and in all that is in it, which inherits that.
pub(super) fn let_write_in(folder: &Path, account: &str) -> anyhow::Result<()> {
    icacls(folder, &["/grant", &format!("{account}:(OI)(CI)M"), "/Q"])
}

/// Lets an account write a file.
pub(super) fn let_write(file: &Path, account: &str) -> anyhow::Result<()> {
    icacls(file, &["/grant", &format!("{account}:M"), "/Q"])
}

/// Lets an account run a program.
pub(super) fn let_run(program: &Path, account: &str) -> anyhow::Result<()> {
    icacls(program, &["/grant", &format!("{account}:RX"), "/Q"])
}

fn icacls(path: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    let root = env::var_os("SYSTEMROOT").context("SYSTEMROOT is not set: where is icacls?")?;
    let program = Path::new(&root).join(r"System32\icacls.exe");
    let output = Command::new(&program).arg(path).args(arguments).output();
    let output = output.with_context(|| format!("cannot run {}", program.display()))?;
    if !output.status.success() {
        let (said, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        bail!("cannot say who may use {}: icacls {}: {said}{error}", path.display(), arguments.join(" "));
    }
    Ok(())
}
