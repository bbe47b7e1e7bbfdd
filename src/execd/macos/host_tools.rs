//! `toolchain/host_tools` for macOS: the tools of Xcode or of its command line tools, whichever is
//! chosen, and the interfaces of the system's libraries in their SDKs.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Where the person's choice (`xcode-select`) is kept; without it, the command line tools.
const CHOICE: &str = "/var/db/xcode_select_link";
const COMMAND_LINE_TOOLS: &str = "/Library/Developer/CommandLineTools";
/// Programs that build scripts and linkers call, below `usr/bin`.
const PROGRAMS: &[&str] = &[
    "cc",
    "gcc",
    "c++",
    "g++",
    "cpp",
    "clang",
    "clang++",
    "ld",
    "ld-classic",
    "as",
    "ar",
    "libtool",
    "ranlib",
    "nm",
    "strip",
    "lipo",
    "install_name_tool",
    "dsymutil",
    "make",
    "m4",
    "xcrun",
    "cmake",
    "pkg-config",
];
/// Of the compiler and the linker themselves: headers and libraries that they bring along.
const WHOLE: &[&str] = &["usr/lib/clang", "usr/include"];

/// The chosen developer folder, and the tool chain in it.
fn developer() -> (PathBuf, PathBuf) {
    let developer = fs::canonicalize(CHOICE).unwrap_or_else(|_| COMMAND_LINE_TOOLS.into());
    let chain = developer.join("Toolchains/XcodeDefault.xctoolchain");
    (developer, chain)
}

/// All of them that are there, sorted.
pub fn paths() -> Vec<PathBuf> {
    let (developer, chain) = developer();
    let mut paths = Vec::new();
    for root in [Path::new("/"), &developer, &chain] {
        paths.extend(PROGRAMS.iter().map(|name| root.join("usr/bin").join(name)));
    }
    for root in [&developer, &chain] {
        paths.extend(WHOLE.iter().map(|name| root.join(name)));
    }
    for sdks in [developer.join("SDKs"), developer.join("Platforms/MacOSX.platform/Developer/SDKs")] {
        let entries = fs::read_dir(sdks).into_iter().flatten().flatten();
        // Of an SDK what names its version: headers and interfaces come and go with that.
        paths.extend(entries.flat_map(|sdk| {
            ["SDKSettings.json", "System/Library/CoreServices/SystemVersion.plist"].map(|name| sdk.path().join(name))
        }));
    }
    paths.retain(|path| path.exists());
    paths.sort();
    paths.dedup();
    paths
}

/// Folders of libraries, one an architecture: libraries here hold all of theirs.
pub fn multiarch(_: &Path) -> Vec<PathBuf> {
    Vec::new()
}
