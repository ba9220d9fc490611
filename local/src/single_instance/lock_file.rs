//! Opens the lock's file, if it is one: whatever else lies at its path is left as it is, and named.

use std::{
    fs::{self, DirBuilder, File, FileType, Metadata, OpenOptions, Permissions},
    io,
    os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use crate::socket::names;
use anyhow::{Context as _, bail};
use rustix::fs::OFlags;

/// Whoever can open the file can lock it, be it for reading only, and no daemon could start: so only its owner can.
const MODE: u32 = 0o600;

const ELSEWHERE: &str = "choose another place (--lock-file, with an --endpoint beside it)";

/// Opens the file for its holder to be, and makes it if it is not there. It is close-on-exec.
pub(super) fn open(path: &Path) -> anyhow::Result<File> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o755).create(folder).with_context(|| {
            format!("cannot make the lock file's folder {}; make it, or {ELSEWHERE}", folder.display())
        })?;
    }
    // Looked at before it is opened: opening a FIFO or a device can do something, and says less about what is wrong.
    let found = match fs::symlink_metadata(path) {
        Ok(found) => Some(found),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            return Err(error).with_context(|| format!("cannot look at the lock file {}; {ELSEWHERE}", path.display()));
        }
    };
    if let Some(found) = &found {
        check_is_regular(path, found.file_type())?;
    }
    // A link that has come since is not followed: it could make the daemon write into another's file. Close-on-exec is
    // what Rust does anyway; here it is part of the contract.
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(MODE).custom_flags(flags.bits().cast_signed());
    // Linux does not let even root open another's file in a folder that all may write, if it might have to be made.
    options.create(found.is_none());
    let file = options.open(path).map_err(|error| explain(path, found.as_ref(), error))?;
    let opened = file.metadata().with_context(|| format!("cannot look at the lock file {}", path.display()))?;
    check_is_regular(path, opened.file_type())?;
    Ok(file)
}

/// For the holder of the lock: looks whether the file is this user's or root's, and shuts others out of it.
pub(super) fn make_own(path: &Path, file: &File) -> anyhow::Result<()> {
    let found = file.metadata().with_context(|| format!("cannot look at the lock file {}", path.display()))?;
    let own = rustix::process::geteuid().as_raw();
    if found.uid() != own && found.uid() != 0 {
        bail!(belongs_to_another(path, found.uid()));
    }
    if found.uid() == own && found.mode() & 0o7777 != MODE {
        file.set_permissions(Permissions::from_mode(MODE))
            .with_context(|| format!("cannot shut others out of the lock file {}; {ELSEWHERE}", path.display()))?;
    }
    Ok(())
}

/// If a file is neither this user's nor root's: whose it is. Its owner can hold the lock without a daemon.
pub(super) fn stranger(file: &File) -> Option<String> {
    let owner = file.metadata().ok()?.uid();
    (owner != rustix::process::geteuid().as_raw() && owner != 0).then(|| names::user(owner))
}

fn check_is_regular(path: &Path, kind: FileType) -> anyhow::Result<()> {
    let what = if kind.is_symlink() {
        match fs::read_link(path) {
            Ok(target) => format!("a symbolic link to {}, which is not followed", target.display()),
            Err(_) => "a symbolic link, which is not followed".to_owned(),
        }
    } else if kind.is_dir() {
        "a folder".to_owned()
    } else if kind.is_socket() {
        "a socket".to_owned()
    } else if kind.is_fifo() || kind.is_char_device() || kind.is_block_device() {
        "a device or a pipe".to_owned()
    } else {
        return Ok(());
    };
    bail!("the lock file must be a regular file, but {} is {what}; remove it, or {ELSEWHERE}", path.display());
}

fn explain(path: &Path, found: Option<&Metadata>, error: io::Error) -> anyhow::Error {
    let own = rustix::process::geteuid().as_raw();
    if let Some(owner) = found.map(Metadata::uid).filter(|owner| *owner != own)
        && error.kind() == io::ErrorKind::PermissionDenied
    {
        return anyhow::Error::new(error).context(belongs_to_another(path, owner));
    }
    let hint = match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem => {
            format!("its file system is read-only; mount it writable, or {ELSEWHERE}")
        }
        io::ErrorKind::PermissionDenied => format!("{} may not write there; {ELSEWHERE}", names::user(own)),
        _ => format!(
            "a regular file that {} may write is needed there; make room for it, or {ELSEWHERE}",
            names::user(own)
        ),
    };
    anyhow::Error::new(error).context(format!("cannot open the lock file {}: {hint}", path.display()))
}

fn belongs_to_another(path: &Path, owner: u32) -> String {
    let (owner, own) = (names::user(owner), names::user(rustix::process::geteuid().as_raw()));
    format!(
        "the lock file {} belongs to {owner}, and this is {own}: a daemon of {owner} may be running, or have run there. Start \
         the daemon as {owner}, or remove the file if no daemon of theirs runs, or {ELSEWHERE}",
        path.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_made_for_its_owner_alone_and_an_older_one_becomes_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.lock");
        let mode = || fs::metadata(&path).expect("the file").mode() & 0o7777;
        drop(open(&path).expect("it is made"));
        assert_eq!(mode(), MODE);
        fs::set_permissions(&path, Permissions::from_mode(0o666)).expect("a wide mode");
        make_own(&path, &open(&path).expect("it is opened")).expect("it is ours");
        assert_eq!(mode(), MODE);
    }

    #[test]
    fn whatever_is_not_a_regular_file_is_named_and_left_as_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name| folder.path().join(name);
        fs::write(path("victim"), "precious").expect("a file");
        std::os::unix::fs::symlink(path("victim"), path("link")).expect("a link");
        std::os::unix::fs::symlink(path("nothing"), path("dangling")).expect("a link to nothing");
        drop(std::os::unix::net::UnixListener::bind(path("socket")).expect("a socket"));
        for (path, what) in [
            (path("link"), "symbolic link to"),
            (path("dangling"), "symbolic link to"),
            (path("socket"), "a socket"),
            (folder.path().to_owned(), "a folder"),
            ("/dev/null".into(), "a device"),
        ] {
            let error = open(&path).expect_err(what).to_string();
            for text in [what, "--lock-file", &path.display().to_string()] {
                assert!(error.contains(text), "no {text:?} in {error}");
            }
        }
        assert_eq!(fs::read_to_string(path("victim")).expect("read"), "precious");
        assert!(!path("nothing").exists(), "nothing is made through a link");
    }
}
