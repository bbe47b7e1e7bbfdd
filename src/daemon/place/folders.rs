//! The person's mask for new files, and the folders on the way to what is placed: made as that has them, and never through a
//! link. What goes into them is `place`'s.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

use shared::reapi::tree::Mode;

/// Which permissions new files and folders are made without.
#[derive(Clone, Copy)]
pub struct Mask(u32);

impl Mask {
    /// The person's; the usual one where that cannot be seen.
    pub fn of(umask: Option<u32>) -> Self {
        Mask(umask.unwrap_or(0o022) & 0o777)
    }

    /// The permissions of a file.
    pub fn file(self, mode: Mode) -> u32 {
        let whole = if mode == Mode::Executable { 0o777 } else { 0o666 };
        // What cannot be read by its own maker could not be placed.
        (whole & !self.0) | 0o600
    }

    /// Gives a file that is there its permissions.
    pub fn allow(self, path: &Path, mode: Mode) -> io::Result<()> {
        fs::set_permissions(path, fs::Permissions::from_mode(self.file(mode)))
    }

    fn folder(self) -> u32 {
        (0o777 & !self.0) | 0o700
    }
}

/// Makes every folder on the way from the target folder to another.
pub fn own_folders(target: &Path, folder: &Path, mask: Mask) -> io::Result<()> {
    let Ok(below) = folder.strip_prefix(target) else { return own_folder(folder, mask) };
    let mut path = target.to_owned();
    for part in below.components() {
        path.push(part);
        own_folder(&path, mask)?;
    }
    Ok(())
}

/// Makes a folder that is not there yet; a link to one does not count as being there.
pub fn own_folder(path: &Path, mask: Mask) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_symlink() => Err(io::Error::other("it is a symbolic link; remove it")),
        Ok(meta) if meta.is_dir() => Ok(()),
        _ => make_folder(path, mask),
    }
}

/// Makes a folder, and those above it.
fn make_folder(path: &Path, mask: Mask) -> io::Result<()> {
    fs::create_dir_all(path)?;
    // That files made in it are its group's is inherited.
    let inherited = fs::metadata(path)?.permissions().mode() & 0o7000;
    fs::set_permissions(path, fs::Permissions::from_mode(inherited | mask.folder()))
}

/// Makes the target folder where there is none.
pub fn make_target(target: &Path, mask: Mask) -> io::Result<()> {
    if target.is_dir() {
        return Ok(());
    }
    make_folder(target, mask)?;
    // cargo writes the same tag, which keeps backups out.
    let tag = "Signature: 8a477f597d28d172789f06886806bc55\n# This file is a cache directory tag created by cargo.\n\
        # For information about cache directory tags see https://bford.info/cachedir/\n";
    write(&target.join("CACHEDIR.TAG"), mask.file(Mode::Plain), |file| {
        io::Write::write_all(&mut &*file, tag.as_bytes())
    })
}

/// Writes a new file.
pub fn write(path: &Path, mode: u32, fill: impl Fn(&File) -> io::Result<()>) -> io::Result<()> {
    // Whatever has this name was left by another daemon, or is a checkout's link to elsewhere.
    let _not_there = fs::remove_file(path);
    let file = File::options().read(true).write(true).create_new(true).mode(0o600).open(path)?;
    fill(&file)?;
    file.set_permissions(fs::Permissions::from_mode(mode))
}
