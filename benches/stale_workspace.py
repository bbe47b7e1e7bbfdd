"""The workspace that benches/stale plays with, and its oracle: what the program of a tree of files must print, read from the
files themselves. Which edits are made, and by whom it is built, is benches/stale's business.

Every source holds one short token; the program prints all that a clean build sees. Tokens come from few values, so that a
result of an earlier state is always near at hand for a builder that mixes them up.
"""
import json, os, pathlib, re, subprocess

TOKEN = re.compile(r'const V: &str = "([^"]*)"')
BROKEN = "fn broken( {\n"

MANIFEST = """[workspace]
members = ["app", "base", "gen", "mac", "stamp"]
resolver = "2"

[profile.dev]
debug = 0
debug-assertions = true
"""
PACKAGE = '[package]\nname = "{name}"\nversion = "1.0.0"\nedition = "2021"\n'
EXTERNAL = "../../../ext"

FILES = {
    "Cargo.toml": MANIFEST,
    ".gitignore": "target\n",
    "README.md": "nothing reads this\n",
    "app/Cargo.toml": PACKAGE.format(name="app")
    + f'[features]\nfancy = ["base/fancy"]\n[dependencies]\nbase = {{ path = "../base" }}\ngen = {{ path = "../gen" }}\n'
    f'stamp = {{ path = "../stamp" }}\next = {{ path = "{EXTERNAL}" }}\n',
    "app/src/notes.txt": "n0",
    "app/src/unused.rs": "// no module names this\n",
    "app/src/main.rs": """const V: &str = "p0";
fn main() {
    let say = |name: &str, value: &str| println!("{name}\\t{value}");
    say("main", V);
    say("notes", include_str!("notes.txt"));
    say("mode", option_env!("STALE_APP").unwrap_or("none"));
    say("assertions", if cfg!(debug_assertions) { "on" } else { "off" });
    say("fancy", if cfg!(feature = "fancy") { "on" } else { "off" });
    say("ext", ext::V);
    say("ext text", ext::TEXT);
    for (name, value) in base::SAYS.iter().chain(gen::SAYS).chain(stamp::SAYS) {
        say(name, value);
    }
}
""",
    "base/Cargo.toml": PACKAGE.format(name="base") + '[features]\nfancy = []\n[dependencies]\nmac = { path = "../mac" }\n',
    "base/src/lib.rs": """const V: &str = "l0";
mod a;
mod b;
#[path = "odd/place.rs"]
mod odd;
pub const SAYS: &[(&str, &str)] = &[
    ("base", V),
    ("base.a", a::V),
    ("base.b", b::V),
    ("base.b.deep", b::deep::V),
    ("base.odd", odd::V),
    ("base text", include_str!("text.txt")),
    ("base fragment", include!("frag.in")),
    ("base fancy", if cfg!(feature = "fancy") { "on" } else { "off" }),
    ("base mode", if let Some(mode) = option_env!("STALE_MODE") { mode } else { "none" }),
    ("base version", env!("CARGO_PKG_VERSION")),
    ("base listed", mac::listed!("listed")),
WIDE];
""",
    "base/src/a.rs": 'pub const V: &str = "a0";\n',
    "base/src/b/mod.rs": 'pub mod deep;\npub const V: &str = "b0";\n',
    "base/src/b/deep.rs": 'pub const V: &str = "d0";\n',
    "base/src/odd/place.rs": 'pub const V: &str = "o0";\n',
    "base/src/text.txt": "t0",
    "base/src/frag.in": '"f0"',
    "base/listed/one": "1a",
    "base/listed/two": "1b",
    "shared/motd.txt": "m0",
    "shared/listed/one": "2a",
    "shared/conf": "c0",
    "mac/Cargo.toml": PACKAGE.format(name="mac") + "[lib]\nproc-macro = true\n",
    "mac/src/lib.rs": """use std::{fs, path::PathBuf};
const V: &str = "x0";
#[proc_macro]
pub fn listed(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let below = input.to_string();
    let folder = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap()).join(below.trim_matches('"'));
    let mut said = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if !name.starts_with('.') && !name.ends_with('~') {
            said.push(format!("{name}={};", fs::read_to_string(entry.path()).unwrap()));
        }
    }
    said.sort();
    format!("{:?}", format!("{V}:{}", said.concat())).parse().unwrap()
}
""",
    "gen/Cargo.toml": PACKAGE.format(name="gen"),
    "gen/src/lib.rs": """const V: &str = "g0";
pub const SAYS: &[(&str, &str)] = &[("gen", V), ("gen.script", env!("GEN_SCRIPT")), GENERATED];
include!(concat!(env!("OUT_DIR"), "/generated.rs"));
""",
    "gen/build.rs": """use std::{env, fs, path::Path, process::Command};
const V: &str = "s0";
fn listing(folder: &str) -> String {
    let mut said = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if !name.starts_with('.') && !name.ends_with('~') {
            said.push(format!("{name}={};", fs::read_to_string(entry.path()).unwrap()));
        }
    }
    said.sort();
    said.concat()
}
fn main() {
    println!("cargo::rerun-if-env-changed=STALE_SCRIPT");
    let named = fs::read_to_string("pointer").unwrap();
    let pointed = fs::read_to_string(format!("pool/{named}")).unwrap();
    let tool = Command::new("sh").arg("tool.sh").output().unwrap();
    assert!(tool.status.success());
    let is = |path: &str| if Path::new(path).exists() { "there" } else { "absent" };
    let mut said = vec![
        format!("data {}", listing("data")),
        format!("pointed {pointed}"),
        format!("tool {}", String::from_utf8(tool.stdout).unwrap()),
        format!("env {}", env::var("STALE_SCRIPT").unwrap_or("none".into())),
        format!("flags {}", env::var("CFLAGS").unwrap_or("none".into())),
        format!("profile {}", env::var("PROFILE").unwrap()),
        format!("maybe {}", is("maybe.txt")),
        format!("deep {}", is("probe/deep/flag")),
    ];
WIDE    println!("cargo::rustc-env=GEN_SCRIPT={V}");
    let text = format!("const GENERATED: (&str, &str) = (\\"generated\\", {:?});\\n", said.join("|"));
    fs::write(Path::new(&env::var("OUT_DIR").unwrap()).join("generated.rs"), text).unwrap();
}
""",
    "gen/data/one": "3a",
    "gen/data/two": "3b",
    "gen/pool/p": "4a",
    "gen/pool/q": "4b",
    "gen/pointer": "p",
    "gen/tool.sh": "printf 5a",
    "gen/probe/deep/other": "never read",
    "stamp/Cargo.toml": PACKAGE.format(name="stamp"),
    "stamp/build.rs": """use std::{fs, path::PathBuf};
fn commit() -> Option<String> {
    let mut git = PathBuf::from("../.git");
    let text = |path: PathBuf| fs::read_to_string(path).map(|text| text.trim().to_owned()).ok();
    if git.is_file() {
        git = PathBuf::from(text(git)?.strip_prefix("gitdir: ")?);
    }
    let head = text(git.join("HEAD"))?;
    let Some(name) = head.strip_prefix("ref: ") else { return Some(head) };
    let common = text(git.join("commondir")).map_or(git.clone(), |below| git.join(below));
    text(common.join(name))
}
fn main() {
    println!("cargo::rustc-env=STAMP={}", commit().unwrap_or("none".into()));
}
""",
    "stamp/src/lib.rs": """const V: &str = "w0";
pub const SAYS: &[(&str, &str)] = &[("stamp", V), ("commit", env!("STAMP")), ("place", env!("CARGO_MANIFEST_DIR"))];
""",
}
WIDE_BASE = """    ("base motd", include_str!("../../shared/motd.txt")),
    ("base listed beside", mac::listed!("../shared/listed")),
"""
WIDE_GEN = """    said.push(format!("conf {}", fs::read_to_string("../shared/conf").unwrap()));
    said.push(format!("beside {}", is("../shared/empty/flag")));
"""
EXTERNAL_FILES = {
    "Cargo.toml": PACKAGE.format(name="ext"),
    "src/lib.rs": 'pub const V: &str = "e0";\npub const TEXT: &str = include_str!("text.txt");\n',
    "src/text.txt": "y0",
}


def git(folder, *words):
    environment = dict(os.environ, GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_SYSTEM="/dev/null")
    for who in ("AUTHOR", "COMMITTER"):
        environment.update({f"GIT_{who}_NAME": "stale", f"GIT_{who}_EMAIL": "stale@localhost"})
    done = subprocess.run(["git", "-c", "gc.auto=0", *words], cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"stale: git {words} in {folder}: {done.stderr}")
    return done.stdout.strip()


def write(work, scope):
    """Two git worktrees of one repository below `work`, and the package beside them; `scope` "packages" leaves out what
    lies outside of the package that reads it."""
    wide = scope == "workspace"
    files = dict(FILES)
    files["base/src/lib.rs"] = files["base/src/lib.rs"].replace("WIDE", WIDE_BASE if wide else "")
    files["gen/build.rs"] = files["gen/build.rs"].replace("WIDE", WIDE_GEN if wide else "")
    if not wide:
        files["stamp/build.rs"] = 'fn main() {\n    println!("cargo::rustc-env=STAMP=none");\n}\n'
        files["stamp/src/lib.rs"] = files["stamp/src/lib.rs"].replace(', ("place", env!("CARGO_MANIFEST_DIR"))', "")
    one, two = work / "in/one", work / "in/two"
    for folder, texts in ((one, files), (work / "ext", EXTERNAL_FILES)):
        for path, text in texts.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
    (one / "gen/data/link").symlink_to("../pool/q")
    subprocess.run(["cargo", "generate-lockfile", "-q", "--offline"], cwd=one, check=True)
    git(one, "init", "-q", "-b", "trunk")
    git(one, "add", "-A")
    git(one, "commit", "-q", "-m", "first")
    git(one, "worktree", "add", "-q", "-b", "other", str(two))
    return one, two


class Wrong(Exception):
    """The tree cannot be built: why."""


def text(path):
    try:
        return path.read_text()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise Wrong(f"{path.name} is missing")


def source(path):
    found = text(path)
    if BROKEN in found:
        raise Wrong(f"{path.name} is broken")
    return found


def token(path):
    return TOKEN.search(source(path))[1]


def module(folder, name):
    """A module's token, and the folder of its own modules."""
    plain, inside = folder / f"{name}.rs", folder / name / "mod.rs"
    if plain.exists() == inside.exists():
        raise Wrong(f"{name}.rs {'and' if plain.exists() else 'nor'} {name}/mod.rs")
    return token(plain if plain.exists() else inside)


def listing(folder):
    names = os.listdir(folder) if folder.is_dir() else []
    seen = [f"{name}={text(folder / name)};" for name in names if not name.startswith(".") and not name.endswith("~")]
    return "".join(sorted(seen))


def presence(path):
    return "there" if path.exists() else "absent"


def expected(root, words, variables, scope):
    """What the program prints after a clean build; `Wrong` where none is possible."""
    wide = scope == "workspace"
    fancy = "on" if "--features" in words else "off"
    release = "--release" in words
    base, gen, ext = root / "base", root / "gen", root.parent.parent / "ext"
    manifest = text(root / "Cargo.toml")
    source(root / "stamp/build.rs")
    said = {
        "main": token(root / "app/src/main.rs"),
        "notes": text(root / "app/src/notes.txt"),
        "mode": variables.get("STALE_APP", "none"),
        "assertions": "on" if "debug-assertions = true" in manifest and not release else "off",
        "fancy": fancy,
        "ext": token(ext / "src/lib.rs"),
        "ext text": text(ext / "src/text.txt"),
        "base": token(base / "src/lib.rs"),
        "base.a": module(base / "src", "a"),
        "base.b": module(base / "src", "b"),
        "base.b.deep": module(base / "src/b", "deep"),
        "base.odd": token(base / "src/odd/place.rs"),
        "base text": text(base / "src/text.txt"),
        "base fragment": text(base / "src/frag.in").strip('"'),
        "base fancy": fancy,
        "base mode": variables.get("STALE_MODE", "none"),
        "base version": re.search(r'version = "(.*)"', text(base / "Cargo.toml"))[1],
    }
    macro = token(root / "mac/src/lib.rs")
    said["base listed"] = f"{macro}:{listing(base / 'listed')}"
    if wide:
        said["base motd"] = text(root / "shared/motd.txt")
        said["base listed beside"] = f"{macro}:{listing(root / 'shared/listed')}"
    said["gen"], said["gen.script"] = token(gen / "src/lib.rs"), token(gen / "build.rs")
    script = [
        f"data {listing(gen / 'data')}",
        f"pointed {text(gen / 'pool' / text(gen / 'pointer'))}",
        f"tool {text(gen / 'tool.sh').removeprefix('printf ')}",
        f"env {variables.get('STALE_SCRIPT', 'none')}",
        f"flags {variables.get('CFLAGS', 'none')}",
        f"profile {'release' if release else 'debug'}",
        f"maybe {presence(gen / 'maybe.txt')}",
        f"deep {presence(gen / 'probe/deep/flag')}",
    ]
    if wide:
        script += [f"conf {text(root / 'shared/conf')}", f"beside {presence(root / 'shared/empty/flag')}"]
    said["generated"] = "|".join(script)
    said["stamp"] = token(root / "stamp/src/lib.rs")
    said["commit"] = git(root, "rev-parse", "HEAD") if wide else "none"
    if wide:
        said["place"] = str(root / "stamp")
    return said


def printed(output):
    """The program's lines as the oracle writes them."""
    return dict(line.split("\t", 1) for line in output.splitlines())


def difference(wanted, got):
    """Lines in which two outcomes differ, as text."""
    if not isinstance(wanted, dict) or not isinstance(got, dict):
        return f"wanted {json.dumps(wanted)}, got {json.dumps(got)}"
    names = [name for name in {**wanted, **got} if wanted.get(name) != got.get(name)]
    return "; ".join(f"{name}: wanted {wanted.get(name)!r}, got {got.get(name)!r}" for name in names)
