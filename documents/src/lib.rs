//! Manual pages and completions for shells, made from what the command line says of itself.

use std::{fs, io, path::Path};

use clap::{Command, ValueEnum as _};
use clap_complete::Shell;

/// Writes those of a program into a folder, which is made if it is not there.
///
/// # Errors
/// What the system says if a file cannot be written.
pub fn write(command: Command, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let name = command.get_name().to_owned();
    for shell in Shell::value_variants() {
        clap_complete::generate_to(*shell, &mut command.clone(), &name, folder)?;
    }
    clap_mangen::generate_to(command, folder)
}
