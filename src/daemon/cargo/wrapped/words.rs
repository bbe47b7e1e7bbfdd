//! The words of a compiler's call, read back. A word that is not known here, or that makes the
//! result depend on what no key holds, makes the call unfit: it is then run as it is.

use std::path::{Path, PathBuf};

use super::{codegen, folders::OutDir};

/// Why a call is run as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plain {
    /// It asks the compiler something, and compiles no crate.
    Asks,
    /// vx cannot keep what comes of it, and why.
    Unfit(String),
}

/// A word of the call, or what stands in the place of one that names a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Word {
    As(String),
    OutDir,
    /// The extern's name, and its file's.
    Extern(String, String),
    Dependency,
    /// The kind with its `=`, the script's folder, and the path below it.
    Native(String, OutDir, String),
}

/// A call that compiles one crate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compile {
    pub(super) words: Vec<Word>,
    pub crate_name: String,
    pub(super) extra: String,
    pub(super) crate_types: Vec<String>,
    pub(super) emits: Vec<String>,
    /// As the call names it.
    pub source: PathBuf,
    pub out_dir: PathBuf,
    /// Libraries that it names, absolute.
    pub externs: Vec<PathBuf>,
    /// Folders in which it looks for what those were compiled against.
    pub searched: Vec<PathBuf>,
    /// Scripts' folders in which it looks for libraries of other languages.
    pub natives: Vec<OutDir>,
    /// Whether it names such libraries.
    pub(super) names_libraries: bool,
}

/// Words that make a question of a call, wherever they stand.
const QUESTIONS: [&str; 7] = ["-", "-V", "-vV", "--version", "-h", "--help", "--print"];
/// Words with a value that is nobody's file.
const VALUED: [&str; 20] = [
    "--cfg",
    "--check-cfg",
    "--cap-lints",
    "--edition",
    "--error-format",
    "--json",
    "--color",
    "--diagnostic-width",
    "--remap-path-prefix",
    "--remap-path-scope",
    "--allow",
    "--warn",
    "--deny",
    "--forbid",
    "--force-warn",
    "-A",
    "-W",
    "-D",
    "-F",
    "-l",
];
/// Words with a value that is looked into.
const READ: [&str; 9] =
    ["--crate-name", "--crate-type", "--emit", "--out-dir", "--extern", "--target", "--codegen", "-C", "-L"];
/// Words without a value.
const BARE: [&str; 5] = ["-g", "-O", "-v", "--verbose", TEST];
/// Makes a program that runs the tests of a crate, whatever its type.
const TEST: &str = "--test";
/// Kinds of `-L` that find libraries of other languages.
const NATIVE: [&str; 3] = ["native", "all", "framework"];
/// Where linkers look by themselves, so that what is there is known by the identity of the C tools.
const LINKED: [&str; 4] = ["/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib"];

/// The type of a program.
const PROGRAM: &str = "bin";

/// Reads what follows the compiler.
pub fn read(args: &[String]) -> Result<Compile, Plain> {
    if args.iter().any(|arg| QUESTIONS.contains(&arg.as_str()) || arg.starts_with("--print=")) {
        return Err(Plain::Asks);
    }
    let mut found = Found::default();
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        if arg.starts_with('@') {
            return Err(unfit("its words stand in a file"));
        }
        if !arg.starts_with('-') {
            if found.source.replace(arg.into()).is_some() {
                return Err(unfit("it names two sources"));
            }
            found.words.push(Word::As(arg.clone()));
            continue;
        }
        if BARE.contains(&arg.as_str()) {
            found.words.push(Word::As(arg.clone()));
            found.is_test |= arg == TEST;
            continue;
        }
        let (flag, value) = split(arg).ok_or_else(|| unfit(&format!("of the word {arg}")))?;
        let value = match value {
            Some(value) => value.to_owned(),
            None => rest.next().cloned().ok_or_else(|| unfit(&format!("{arg} has no value")))?,
        };
        found.take(flag, &value)?;
    }
    found.compile()
}

fn unfit(why: &str) -> Plain {
    Plain::Unfit(why.to_owned())
}

/// A known word, and its value where that is part of it.
fn split(arg: &str) -> Option<(&'static str, Option<&str>)> {
    let known = || VALUED.iter().chain(&READ).copied();
    if arg.starts_with("--") {
        let (name, value) = arg.split_once('=').map_or((arg, None), |(name, value)| (name, Some(value)));
        return known().find(|flag| *flag == name).map(|flag| (flag, value));
    }
    let flag = known().find(|flag| !flag.starts_with("--") && arg.starts_with(flag))?;
    Some((flag, Some(&arg[flag.len()..]).filter(|value| !value.is_empty())))
}

#[derive(Default)]
struct Found {
    words: Vec<Word>,
    source: Option<PathBuf>,
    crate_name: Option<String>,
    extra: String,
    crate_types: Vec<String>,
    emits: Vec<String>,
    out_dir: Option<PathBuf>,
    externs: Vec<PathBuf>,
    searched: Vec<PathBuf>,
    natives: Vec<OutDir>,
    names_libraries: bool,
    is_test: bool,
}

impl Found {
    fn push(&mut self, flag: &str, value: &str) {
        self.words.extend([Word::As(flag.to_owned()), Word::As(value.to_owned())]);
    }

    fn take(&mut self, flag: &str, value: &str) -> Result<(), Plain> {
        match flag {
            "--crate-name" => self.crate_name = Some(value.to_owned()),
            "--crate-type" => self.crate_types.extend(value.split(',').map(str::to_owned)),
            "--emit" => self.emits.extend(value.split(',').map(str::to_owned)),
            "--target" if !value.contains("-linux-") || value.contains(['/', '.']) => {
                return Err(unfit(&format!("it is for {value}")));
            }
            "-l" => self.names_libraries = true,
            // Nobody is shown what it would wrap.
            "--diagnostic-width" => return Ok(()),
            "--out-dir" => {
                self.out_dir = Some(value.into());
                self.words.extend([Word::As(flag.to_owned()), Word::OutDir]);
                return Ok(());
            }
            "--extern" => return self.dependency(value),
            "-C" | "--codegen" => {
                let (name, rest) = value.split_at(value.find('=').unwrap_or(value.len()));
                let value = format!("{}{rest}", name.replace('_', "-"));
                codegen::check(&value).map_err(Plain::Unfit)?;
                if let Some(extra) = value.strip_prefix("extra-filename=") {
                    self.extra = extra.to_owned();
                }
                self.push("-C", &value);
                return Ok(());
            }
            "-L" => return self.search(value),
            _ => {}
        }
        self.push(flag, value);
        Ok(())
    }

    fn dependency(&mut self, value: &str) -> Result<(), Plain> {
        let Some((name, path)) = value.split_once('=') else {
            self.push("--extern", value);
            return Ok(());
        };
        let path = Path::new(path);
        let file = path.file_name().and_then(|name| name.to_str()).filter(|_| path.is_absolute());
        let file = file.ok_or_else(|| unfit(&format!("of the library {}", path.display())))?;
        self.words.extend([Word::As("--extern".to_owned()), Word::Extern(name.to_owned(), file.to_owned())]);
        self.externs.push(path.to_owned());
        Ok(())
    }

    fn search(&mut self, value: &str) -> Result<(), Plain> {
        self.words.push(Word::As("-L".to_owned()));
        let (kind, path) = match value.split_once('=') {
            Some(("dependency", path)) => {
                self.searched.push(path.into());
                self.words.push(Word::Dependency);
                return Ok(());
            }
            Some((kind, path)) if NATIVE.contains(&kind) => (format!("{kind}="), path),
            _ => (String::new(), value),
        };
        let path = Path::new(path);
        match OutDir::around(path) {
            Some((out_dir, below)) => {
                self.words.push(Word::Native(kind, out_dir.clone(), below));
                if !self.natives.contains(&out_dir) {
                    self.natives.push(out_dir);
                }
            }
            None if is_linked(path) => self.words.push(Word::As(value.to_owned())),
            None => return Err(unfit(&format!("it looks for libraries in {}", path.display()))),
        }
        Ok(())
    }

    fn compile(mut self) -> Result<Compile, Plain> {
        if self.is_test {
            self.crate_types = vec![PROGRAM.to_owned()];
        }
        let (Some(source), Some(crate_name)) = (self.source, self.crate_name) else { return Err(Plain::Asks) };
        let out_dir =
            self.out_dir.filter(|path| path.is_absolute()).ok_or_else(|| unfit("it has no folder to write to"))?;
        if let Some(emit) = self.emits.iter().find(|emit| !["dep-info", "metadata", "link"].contains(&emit.as_str())) {
            return Err(unfit(&format!("it makes {emit}")));
        }
        if !self.emits.iter().any(|emit| emit == "dep-info") {
            return Err(unfit("it does not say what it read"));
        }
        if self.emits.iter().all(|emit| emit == "dep-info") {
            return Err(unfit("it makes nothing"));
        }
        const TYPES: [&str; 7] = ["lib", "rlib", PROGRAM, "proc-macro", "dylib", "cdylib", "staticlib"];
        if self.crate_types.is_empty() || self.crate_types.iter().any(|one| !TYPES.contains(&one.as_str())) {
            return Err(unfit("of its crate type"));
        }
        Ok(Compile {
            words: self.words,
            crate_name,
            extra: self.extra,
            crate_types: self.crate_types,
            emits: self.emits,
            source,
            out_dir,
            externs: self.externs,
            searched: self.searched,
            natives: self.natives,
            names_libraries: self.names_libraries,
        })
    }
}

fn is_linked(path: &Path) -> bool {
    let is_multiarch = |path: &Path| {
        let name = path.file_name().is_some_and(|name| name.to_string_lossy().contains("-linux-gnu"));
        name && path.parent().is_some_and(|parent| [LINKED[0], LINKED[3]].iter().any(|one| parent == Path::new(one)))
    };
    LINKED.iter().any(|one| path == Path::new(one)) || is_multiarch(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    const LIB: &str = "--crate-name a_b --edition=2021 /r/a-b-1.0.0/src/lib.rs --error-format=json \
        --json=diagnostic-rendered-ansi,artifacts,future-incompat --crate-type lib --emit=dep-info,metadata,link \
        -C embed-bitcode=no -C debuginfo=2 --check-cfg cfg(docsrs,test) --cfg feature=\"x\" -C metadata=0123 \
        -C extra-filename=-4567 --out-dir /w/target/debug/deps -C strip=debuginfo -L dependency=/w/target/debug/deps \
        --extern c=/w/target/debug/deps/libc-89.rmeta --extern d=/w/target/debug/deps/libd-ab.so --extern proc_macro \
        --cap-lints allow -L native=/w/target/debug/build/s-cd/out/lib -L /usr/lib/x86_64-linux-gnu -lstatic=s";

    #[test]
    fn cargos_own_calls_are_read() {
        let compile = read(&words(LIB)).expect("a call that can be kept");
        assert_eq!((compile.crate_name.as_str(), compile.extra.as_str()), ("a_b", "-4567"));
        assert_eq!(compile.source, Path::new("/r/a-b-1.0.0/src/lib.rs"));
        assert_eq!(compile.out_dir, Path::new("/w/target/debug/deps"));
        assert_eq!(
            compile.externs,
            ["/w/target/debug/deps/libc-89.rmeta", "/w/target/debug/deps/libd-ab.so"].map(PathBuf::from)
        );
        assert_eq!(compile.natives[0].mount, "/vx/build/s-cd/out");
        assert!(compile.names_libraries);
    }

    #[test]
    fn questions_and_what_no_key_holds_are_told_from_them() {
        for line in ["-vV", "- --crate-name ___ --print=file-names", "--print cfg", "--version", "src/main.rs"] {
            assert_eq!(read(&words(line)), Err(Plain::Asks), "{line}");
        }
        for more in [
            "-C incremental=/w/target/debug/incremental",
            "-Cincremental=/x",
            "-C target-cpu=native",
            "-Ctarget_cpu=native",
            "-C profile-use=/x",
            "-C rpath",
            "-C split-debuginfo=packed",
            "-C linker=/opt/my-ld",
            "-C link-arg=-Wl,-T/x.ld",
            "-C link-arg=-fuse-ld=wild",
            "-C unheard-of=1",
            "--emit=asm",
            "--emit=link=/x",
            "--target wasm32-unknown-unknown",
            "--target /x/my-linux-gnu.json",
            "--sysroot /x",
            "-Zthreads=8",
            "-o /x",
            "@/x",
            "second.rs",
            "-L /opt/lib",
            "--extern x=relative.rlib",
            "--crate-type sdylib",
        ] {
            let call = read(&words(&format!("{LIB} {more}")));
            assert!(matches!(call, Err(Plain::Unfit(_))), "{more}: {call:?}");
        }
    }
}
