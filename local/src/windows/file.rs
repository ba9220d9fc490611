//! Files of one user.

use std::{
    fs::{File, OpenOptions},
    io,
    os::windows::fs::OpenOptionsExt as _,
    path::Path,
};

use windows_permissions::{
    LocalBox, SecurityDescriptor,
    constants::{SeObjectType, SecurityInformation},
    wrappers::SetSecurityInfo,
};

use super::user;

/// `GENERIC_WRITE`, `READ_CONTROL` and `WRITE_DAC`.
const ACCESS: u32 = 0x4006_0000;

/// Makes a new file that only this user can open, beside the system and the administrators, who can take it anyway. Nobody else
/// can before it is returned, nor while it is open.
pub fn create_private(path: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new().write(true).create_new(true).access_mode(ACCESS).share_mode(0).open(path)?;
    let descriptor: LocalBox<SecurityDescriptor> = user::access_of_owner(&user::own_sid()?, "FA").parse()?;
    // Protected: what the folder has its files inherit does not count.
    let what = SecurityInformation::Dacl | SecurityInformation::ProtectedDacl;
    SetSecurityInfo(&mut file, SeObjectType::SE_FILE_OBJECT, what, None, None, descriptor.dacl(), None)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write as _};

    use super::*;

    /// Wine gives the file the list of its folder all the same, so that the list is not looked at.
    #[test]
    fn a_private_file_is_new_and_nobody_reads_it_while_it_is_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret");
        let mut file = create_private(&path).expect("a file");
        assert!(fs::read(&path).is_err());
        file.write_all(b"secret").expect("write");
        drop(file);
        assert_eq!(fs::read(&path).expect("its owner may"), b"secret");
        assert_eq!(create_private(&path).expect_err("it is there").kind(), io::ErrorKind::AlreadyExists);
    }
}
