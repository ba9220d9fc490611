//! The one path that names a database file.

use std::{
    io,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use crate::scope;

/// The one path that stands for a database file, whichever way it was named. The file need not be there, but its folder
/// must.
///
/// # Errors
/// What the system says of the folder, such as that it is not there.
pub fn canonical_database(path: &Path) -> io::Result<PathBuf> {
    let absolute = std::path::absolute(path)?;
    let (Some(folder), Some(name)) = (absolute.parent(), absolute.file_name()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file's path"));
    };
    match dunce::canonicalize(&absolute) {
        Ok(existing) => Ok(existing),
        // A database that is yet to be made has no canonical path, but its folder has.
        Err(_) => dunce::canonicalize(folder).map(|folder| folder.join(name)),
    }
}

/// Whether a [canonical](canonical_database) path and one that a daemon has given are of one database file.
#[must_use]
pub fn is_same_database(canonical: &Path, other: &str) -> bool {
    scope::identity(canonical.as_os_str()) == scope::identity(other.as_ref())
}

/// The hash of a [canonical](canonical_database) path, as it is in names of database scope: 16 hexadecimal digits.
#[must_use]
pub fn database_hash(database: &Path) -> String {
    let digest = Sha256::digest(scope::identity(database.as_os_str()));
    let mut hash = format!("{digest:x}");
    hash.truncate(16);
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_has_one_hash_however_it_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path().canonicalize().expect("a path");
        let database = folder.join("app.db");
        let named = |path: &Path| database_hash(&canonical_database(path).expect("a path"));
        let before = named(&database);
        std::fs::create_dir(folder.join("sub")).expect("a folder");
        assert_eq!(named(&folder.join("sub/../app.db")), before);
        std::fs::write(&database, "").expect("write");
        assert_eq!(named(&database), before, "now that it is there");
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(&database, folder.join("link.db")).expect("a link");
            assert_eq!(named(&folder.join("link.db")), before);
        }
        #[cfg(windows)]
        for other in [
            database.to_string_lossy().to_uppercase(),
            format!(r"\\?\{}", dunce::simplified(&database).display()),
            dunce::simplified(&database).to_string_lossy().replace('\\', "/"),
        ] {
            assert_eq!(named(Path::new(&other)), before, "{other}");
        }
        assert_ne!(named(&folder.join("other.db")), before);
        // As any language can have it: hashlib.sha256(b"/a/b.db").hexdigest()[:16]
        assert_eq!(database_hash(Path::new("/a/b.db")), "e5f789e7feaf32e4");
        assert!(
            canonical_database(&folder.join("none/app.db")).is_err() && canonical_database(Path::new("/")).is_err()
        );
    }
}
