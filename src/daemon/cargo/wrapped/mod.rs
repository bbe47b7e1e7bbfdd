//! A compiler's call as cargo makes it through a wrapper (`RUSTC_WRAPPER`): what its words say,
//! whether an action can be made of it, and the call of that action. Which files there are, and
//! what became of the call, is `crate::wrapped`'s.

mod call;
mod codegen;
mod folders;
mod speech;
mod words;

pub use call::{OUT_DIR, Seen};
pub use folders::{Home, OutDir, home, named_by_script};
pub use speech::{Speech, first_error};
pub use words::{Compile, Plain, read};

/// Programs that cargo asks through a wrapper.
const COMPILERS: [&str; 2] = ["rustc", "clippy-driver"];
/// The wrapper's own name.
const OWN: &str = "vx";

/// The compiler's words among those that a client got, where it was called as a wrapper: cargo
/// puts the compiler first, or another wrapper of the same name.
pub fn compiler(argv: &[std::ffi::OsString]) -> Option<&[std::ffi::OsString]> {
    use std::path::Path;
    let first = Path::new(argv.first()?);
    let is_named =
        |path: &Path, names: &[&str]| names.iter().any(|name| path.file_name().is_some_and(|it| it == *name));
    if is_named(first, &[OWN]) && argv.len() > 1 {
        return compiler(&argv[1..]);
    }
    (first.is_absolute() || COMPILERS.iter().any(|name| first == Path::new(name))).then_some(argv)
}

/// Whether a program is rustc itself, by its name.
pub fn is_rustc(program: &str) -> bool {
    std::path::Path::new(program).file_name().is_some_and(|name| name == COMPILERS[0])
}

/// Whether a variable's value, or a configuration's, names vx as the wrapper.
pub fn names_vx(value: &str) -> bool {
    std::path::Path::new(value).file_name().is_some_and(|name| name == OWN)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    #[test]
    fn a_compiler_is_told_from_a_word() {
        let words = |line: &str| line.split_whitespace().map(OsString::from).collect::<Vec<_>>();
        for (line, compiler) in [
            ("/t/bin/rustc -vV", Some("/t/bin/rustc")),
            ("rustc -vV", Some("rustc")),
            ("vx /t/bin/clippy-driver /t/bin/rustc x", Some("/t/bin/clippy-driver")),
            ("/opt/vx rustc -", Some("rustc")),
            ("/opt/my-rustc -", Some("/opt/my-rustc")),
            ("build --release", None),
            ("rustcx", None),
            ("", None),
        ] {
            let found = super::compiler(&words(line)).map(|words| words[0].to_string_lossy().into_owned());
            assert_eq!(found.as_deref(), compiler, "{line}");
        }
    }
}
