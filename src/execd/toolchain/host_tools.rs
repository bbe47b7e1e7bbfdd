//! Which files of the host a compiler or linker could load: its C tools, what they bring along,
//! the start-up objects, libraries to link with, pkg-config's files and all headers.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Programs that build scripts and linkers call. What else a script runs is in its own key.
const PROGRAMS: &[&str] = &[
    "cc",
    "gcc",
    "c++",
    "g++",
    "cpp",
    "clang",
    "clang++",
    "ld",
    "ld.bfd",
    "ld.gold",
    "ld.lld",
    "lld",
    "mold",
    "as",
    "ar",
    "ranlib",
    "nm",
    "strip",
    "objcopy",
    "make",
    "cmake",
    "pkg-config",
];
/// Folders that count whole.
const WHOLE: &[&str] = &[
    "/usr/lib/gcc",
    "/usr/libexec/gcc",
    "/usr/include",
    "/usr/local/include",
    "/usr/local/lib/pkgconfig",
    "/usr/lib/pkgconfig",
    "/usr/lib64/pkgconfig",
    "/usr/share/pkgconfig",
];
/// What the linker records of a library that is only loaded later: its versions.
const LOADED: &[&str] = &["libc.so.6", "libm.so.6", "libgcc_s.so.1"];

/// All of them that are there, sorted.
pub fn paths() -> Vec<PathBuf> {
    let mut paths: Vec<_> = PROGRAMS.iter().map(|name| Path::new("/usr/bin").join(name)).collect();
    paths.extend(WHOLE.iter().map(PathBuf::from));
    let lib = Path::new("/usr/lib");
    for folder in multiarch(lib).into_iter().chain([lib.to_owned(), "/usr/lib64".into(), "/usr/local/lib".into()]) {
        paths.push(folder.join("pkgconfig"));
        let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
        paths.extend(entries.filter_map(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let counts =
                name.ends_with(".o") || name.ends_with(".a") || name.ends_with(".so") || LOADED.contains(&&*name);
            counts.then(|| entry.path())
        }));
    }
    paths.retain(|path| path.exists());
    paths.sort();
    paths.dedup();
    paths
}

/// Whether a program is among them.
pub fn counts(program: &Path) -> bool {
    let is_listed = program.parent() == Some(Path::new("/usr/bin"))
        && program.file_name().is_some_and(|name| PROGRAMS.iter().any(|one| name == *one));
    is_listed || WHOLE.iter().any(|folder| program.starts_with(folder))
}

/// Debian's folders of libraries, one an architecture.
pub fn multiarch(lib: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(lib).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().contains("-linux-gnu"))
        .map(|entry| entry.path())
        .collect()
}
