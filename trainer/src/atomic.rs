//! Files that are there whole or not at all.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use tempfile::NamedTempFile;

use crate::error::{Error, Result, WithPath};

/// Writes a file through a temporary one beside it: written, synced to disk, then renamed. On any
/// error what was at `path` before is still there, and the temporary file is gone.
///
/// # Errors
///
/// What `write` returns; [`Error::Io`] when the folder cannot be written or the disk is full.
pub fn write_atomic(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> Result<()>,
) -> Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder).with_path(folder)?;
    let temporary = NamedTempFile::with_prefix_in(".amaes-", folder).with_path(folder)?;
    let (file, temporary) = temporary.into_parts();
    let mut writer = BufWriter::with_capacity(1 << 20, file);
    write(&mut writer)?;
    let file = writer
        .into_inner()
        .map_err(io::IntoInnerError::into_error)
        .with_path(path)?;
    // A temporary file is private; the result has the rights that any new file has.
    #[cfg(unix)]
    set_default_mode(&file).with_path(path)?;
    file.sync_all().with_path(path)?;
    temporary
        .persist(path)
        .map_err(|e| e.error)
        .with_path(path)?;
    sync_folder(folder);
    Ok(())
}

/// Writes `bytes` as [`write_atomic`] does.
///
/// # Errors
///
/// [`Error::Io`].
pub fn write_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    write_atomic(path, |w| {
        w.write_all(bytes).map_err(|source| Error::Io {
            path: path.into(),
            source,
        })
    })
}

#[cfg(unix)]
fn set_default_mode(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

/// Makes the rename durable where the system can sync a folder; where it cannot, the file is
/// whole all the same.
pub(crate) fn sync_folder(folder: &Path) {
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.bin");
        write_bytes(&path, b"old").expect("written");
        let failed = write_atomic(&path, |w| {
            w.write_all(b"half of the new").with_path(&path)?;
            Err(Error::unsuitable(&path, "stop"))
        });
        assert!(failed.is_err());
        assert_eq!(fs::read(&path).expect("read"), b"old");
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1);
    }

    #[test]
    fn folders_are_made() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("sub/deeper/a.bin");
        write_bytes(&path, b"new").expect("written");
        assert_eq!(fs::read(&path).expect("read"), b"new");
    }
}
