//! What gets installed: the release that `VX_DIST_ROOT` names (tests/run sets it), else the programs that cargo built for this
//! very test run, laid out by packaging/build.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The top of the source tree.
pub fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A folder that packaging/install takes.
pub fn dist_root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| match env::var_os("VX_DIST_ROOT") {
        Some(root) => PathBuf::from(root),
        None => lay_out("dist-root-"),
    })
}

/// The same with programs that die at failpoints. cargo has built their dependencies for this test run already.
pub fn failpoint_root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        // Before the programs of its folder are replaced; the next build by cargo puts the ordinary ones back.
        dist_root();
        let done = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--locked", "--bins", "--features", "failpoints"])
            .current_dir(top())
            .env(
                "CARGO_TARGET_DIR",
                Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it lies in the target folder"),
            )
            .output()
            .expect("cargo can be started");
        assert!(done.status.success(), "cargo build: {}", String::from_utf8_lossy(&done.stderr));
        lay_out("failpoint-root-")
    })
}

/// One folder a build of the programs serves every run of the tests until the next.
fn lay_out(prefix: &str) -> PathBuf {
    sweep(Path::new(env!("CARGO_TARGET_TMPDIR")), prefix);
    let programs = Path::new(env!("CARGO_BIN_EXE_vx")).parent().expect("a program lies in a folder");
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{prefix}{}", std::process::id()));
    let done = Command::new(top().join("packaging/build"))
        .args(["--programs".as_ref(), programs.as_os_str(), "--into".as_ref(), root.as_os_str()])
        .output()
        .expect("packaging/build can be started");
    assert!(done.status.success(), "packaging/build: {}", String::from_utf8_lossy(&done.stderr));
    root
}

/// Takes away what test runs that were killed left in a folder: `PREFIX` and their process id, then anything.
pub fn sweep(folder: &Path, prefix: &str) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(process) = name.strip_prefix(prefix).and_then(|rest| rest.split('-').next()) else { continue };
        if process.parse::<u32>().is_ok() && !Path::new("/proc").join(process).exists() {
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}
