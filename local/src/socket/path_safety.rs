//! Whether a socket is safe at a path. Whoever can write its folder can put a socket of their own in its place, and would
//! get every client's requests; and whatever lies there already may be somebody's.

use std::{
    fs::{self, DirBuilder, Metadata},
    io,
    os::unix::{
        fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _},
        net::UnixStream,
    },
    path::Path,
};

use anyhow::{Context as _, bail};

use super::{Program, names};

const GROUP_WRITE: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;
/// In a folder with this bit only a file's owner, the folder's owner and root can rename or remove a file.
const STICKY: u32 = 0o1000;

/// Makes the socket's folder if it is not there, and looks whether others could replace what lies in it.
pub(super) fn check_folder(socket: &Path, program: &Program) -> anyhow::Result<()> {
    let folder = match socket.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // Not as wide as a generous umask would have it, which would not be safe.
    DirBuilder::new().recursive(true).mode(0o755).create(folder).context("cannot make its folder")?;
    // A link may lead to the folder, as /var/run leads to /run: where it leads is what counts.
    let folder = folder.canonicalize().context("cannot look at its folder")?;
    let own = rustix::process::geteuid().as_raw();
    for above in folder.ancestors() {
        let file = fs::metadata(above).with_context(|| format!("cannot look at {}", above.display()))?;
        if let Some(reason) = why_unsafe(&file, above == folder, own) {
            let folder = above.display();
            bail!(
                "the folder {folder} {reason}, who can replace what lies in it, the socket too, to get what clients send; choose \
                 another {} in a folder that only {} can write, or make this one so (chown, chmod go-w {folder})",
                program.option,
                names::user(own)
            );
        }
    }
    Ok(())
}

/// Who else can replace what lies in a folder. Further up than the socket's own folder that is everybody or nobody: owners and
/// groups there are left to the machine's administrator.
fn why_unsafe(folder: &Metadata, is_sockets: bool, own: u32) -> Option<String> {
    let mode = folder.mode();
    if is_sockets && ![own, 0].contains(&folder.uid()) {
        Some(format!("belongs to {}", names::user(folder.uid())))
    } else if mode & STICKY != 0 {
        None
    } else if mode & OTHERS_WRITE != 0 {
        Some("can be written by every user".to_owned())
    } else {
        let by_group = is_sockets && mode & GROUP_WRITE != 0;
        by_group.then(|| format!("can be written by the group {}", names::group(folder.gid())))
    }
}

/// Removes the socket that a dead program has left. Whatever else lies at the path is an error.
pub(super) fn make_room(socket: &Path, program: &Program) -> anyhow::Result<()> {
    let file = match fs::symlink_metadata(socket) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).context("cannot look at what is there"),
    };
    let (owner, own) = (names::user(file.uid()), rustix::process::geteuid().as_raw());
    let (kind, Program { name, option, if_taken }) = (file.file_type(), program);
    if kind.is_symlink() {
        let target = fs::read_link(socket).unwrap_or_default();
        bail!(
            "there is a symbolic link to {} of {owner}, and a link is not followed: whoever made it would say where the \
             socket lies; remove it, or choose another {option}",
            target.display()
        );
    }
    if kind.is_dir() {
        bail!("there is a folder; choose a path in it for {option}, or another one");
    }
    if !kind.is_socket() {
        bail!("there is a file that is not a socket; remove it, or choose another {option}");
    }
    if ![own, 0].contains(&file.uid()) {
        bail!(
            "there is a socket of another user, {owner}: it may be a {name} of theirs, or be meant to catch your clients; if \
             neither they nor you need it, remove it, or choose another {option}, in a folder that only {} can write",
            names::user(own)
        );
    }
    if UnixStream::connect(socket).is_ok() {
        bail!("another program listens there{if_taken}");
    }
    fs::remove_file(socket).with_context(|| format!("cannot remove the socket of a {name} that is no more"))
}

#[cfg(test)]
mod tests {
    use std::{
        os::unix::{fs::PermissionsExt as _, net::UnixListener},
        path::PathBuf,
    };

    use super::*;

    const PROGRAM: Program = Program { name: "program", option: "--path", if_taken: "; stop it" };

    fn folder(mode: u32) -> (tempfile::TempDir, PathBuf) {
        let parent = tempfile::tempdir().expect("a folder");
        let folder = parent.path().join("folder");
        fs::create_dir(&folder).expect("a folder in it");
        fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).expect("its mode");
        (parent, folder)
    }

    #[test]
    fn a_folder_that_only_its_owner_writes_is_safe_and_a_shared_one_only_if_it_is_sticky() {
        for mode in [0o700, 0o755, 0o711, 0o1777, 0o1775] {
            let (_parent, folder) = folder(mode);
            check_folder(&folder.join("x.sock"), &PROGRAM).unwrap_or_else(|error| panic!("{mode:o}: {error:#}"));
        }
        for (mode, who) in [(0o777, "every user"), (0o757, "every user"), (0o775, "the group")] {
            let (_parent, folder) = folder(mode);
            let error = check_folder(&folder.join("x.sock"), &PROGRAM).expect_err("it is not safe").to_string();
            assert!(error.contains(who) && error.contains(PROGRAM.option), "{mode:o}: {error}");
            assert!(error.contains(&folder.display().to_string()), "{mode:o}: {error}");
        }
    }

    #[test]
    fn a_folder_further_up_that_all_can_write_is_not_safe() {
        let (_parent, folder) = folder(0o777);
        let error = check_folder(&folder.join("deep/er/x.sock"), &PROGRAM).expect_err("it is not safe").to_string();
        assert!(error.contains(&format!("the folder {} can be", folder.display())), "{error}");
    }

    #[test]
    fn missing_folders_are_made_safe() {
        let (_parent, folder) = folder(0o700);
        let socket = folder.join("deep/er/x.sock");
        check_folder(&socket, &PROGRAM).expect("it is made");
        let made = fs::metadata(socket.parent().expect("a parent")).expect("the folder");
        assert_eq!(made.mode() & (GROUP_WRITE | OTHERS_WRITE), 0);
    }

    #[test]
    fn only_a_dead_socket_may_be_in_the_way() {
        let (_parent, folder) = folder(0o700);
        make_room(&folder.join("nothing"), &PROGRAM).expect("nothing is there");
        let socket = folder.join("socket");
        let listens = UnixListener::bind(&socket).expect("a socket");
        let error = make_room(&socket, &PROGRAM).expect_err("it is alive").to_string();
        assert_eq!(error, "another program listens there; stop it");
        drop(listens);
        make_room(&socket, &PROGRAM).expect("it is dead");
        assert!(!socket.exists());
        let (file, link) = (folder.join("file"), folder.join("link"));
        fs::write(&file, "precious").expect("a file");
        std::os::unix::fs::symlink(&socket, &link).expect("a link");
        for (path, what) in [(&file, "not a socket"), (&link, "symbolic link"), (&folder, "folder")] {
            let error = make_room(path, &PROGRAM).expect_err("it is in the way").to_string();
            assert!(error.contains(what) && error.contains(PROGRAM.option), "{error}");
        }
    }
}
