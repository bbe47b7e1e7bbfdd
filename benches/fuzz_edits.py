"""The edits of benches/fuzz: each takes a state (all files, the words after `vx`, variables) to another one as a person might, and
says in words what it did, or nothing where it had nothing to do. Nothing is written to disk here.
"""
import dataclasses, re

TOKEN = re.compile(r'(const V: &str = "[a-z])([0-9])"')
# Few values, so that earlier states come back.
VALUES = 3
BROKEN = "fn broken( {\n"
WRONG = 'const WRONG: u32 = "text";\n'
NOISE = "pub fn noisy(quiet: u8) {}\n"


@dataclasses.dataclass
class State:
    files: dict
    words: list
    variables: dict
    # The folder that the checkout lies in.
    place: str = "one"

    def copy(self):
        return State(dict(self.files), list(self.words), dict(self.variables), self.place)

    def sources(self):
        return sorted(path for path, text in self.files.items() if path.endswith(".rs"))


class Edits:
    def __init__(self, rng, words):
        """`words` are those of vx that are played with: build, check, test, run."""
        self.rng, self.words, self.history = rng, words, []
        self.kinds = [
            (self.token, 30), (self.text, 10), (self.module_moves, 5), (self.module_renamed, 4), (self.broken, 3), (self.wrong, 2),
            (self.noise, 5), (self.listed, 5), (self.features, 6), (self.profile, 5), (self.profile_table, 6), (self.lint, 3),
            (self.variable, 6), (self.config, 5), (self.version, 3), (self.edition, 3), (self.resolver, 2), (self.dependency, 5),
            (self.package_renamed, 2), (self.program_renamed, 3), (self.program_added, 3), (self.unread, 3), (self.lock, 1),
            (self.moved, 2), (self.word, 14), (self.reverted, 10), (self.files_reverted, 4), (self.several, 5), (self.script, 4),
        ]

    def one(self, state):
        while True:
            kind = self.rng.choices([kind for kind, _ in self.kinds], [weight for _, weight in self.kinds])[0]
            if said := kind(state):
                return said

    def flip(self, state, path, *choices):
        """Another one of `choices` in the place of the one that is there."""
        text = state.files.get(path, "")
        now = next((choice for choice in choices if choice in text), None)
        if now is None:
            return None
        new = self.rng.choice([choice for choice in choices if choice != now])
        state.files[path] = text.replace(now, new)
        return f"{path}: {now!r} to {new!r}"

    def token(self, state):
        path = self.rng.choice([path for path in state.sources() if TOKEN.search(state.files[path])])
        text, number = state.files[path], str(self.rng.randrange(VALUES))
        state.files[path] = TOKEN.sub(lambda match: f'{match[1]}{number}"', text, count=1)
        return state.files[path] != text and f"{path} = {number}"

    def text(self, state):
        path = self.rng.choice([path for path in ("app/data.txt", "app/src/notes.txt", "app/macro.txt") if path in state.files])
        text = self.rng.choice([f"{state.files[path][0]}{number}" for number in range(VALUES)])
        if path == "app/data.txt":
            text = self.rng.choice(["d0", "d1", "d2", "fail", "warn", "warn"])
        elif self.rng.random() < 0.2:
            path, text = "core/src/bytes.bin", "0123"[: self.rng.randrange(1, 4)]
        old, state.files[path] = state.files[path], text
        return old != text and f"{path} = {text}"

    def module_moves(self, state):
        folder, name = self.rng.choice([("app/src", "a"), ("app/src", "b"), ("core/src", "wide")])
        plain, inside = f"{folder}/{name}.rs", f"{folder}/{name}/mod.rs"
        old, new = (plain, inside) if plain in state.files else (inside, plain)
        if old not in state.files:
            return None
        if self.rng.random() < 0.1:
            state.files[new] = state.files[old]
            return f"{old} copied to {new}"
        state.files[new] = state.files.pop(old)
        return f"{old} moved to {new}"

    def module_renamed(self, state):
        old, new = ("deep", "deeper") if "app/src/b/deep.rs" in state.files else ("deeper", "deep")
        users = [path for path in ("app/src/lib.rs", "app/src/b/mod.rs", "app/src/b.rs") if path in state.files]
        if f"app/src/b/{old}.rs" not in state.files:
            return None
        state.files[f"app/src/b/{new}.rs"] = state.files.pop(f"app/src/b/{old}.rs")
        forgotten = self.rng.random() < 0.15
        for path in users[: 1 if forgotten else None]:
            state.files[path] = re.sub(rf"\b{old}\b", new, state.files[path])
        return f"module {old} renamed to {new}{', not everywhere' if forgotten else ''}"

    def line(self, state, path, line, what):
        text = state.files[path]
        state.files[path] = text.replace(line, "") if line in text else text + line
        return f"{path} {what} {'no more' if line in text else ''}".strip()

    def broken(self, state):
        return self.line(state, self.rng.choice(state.sources()), BROKEN, "broken")

    def wrong(self, state):
        return self.line(state, self.rng.choice(state.sources()), WRONG, "has a wrong type")

    def noise(self, state):
        return self.line(state, self.rng.choice(state.sources()), NOISE, "warned about")

    def listed(self, state):
        names = sorted(path for path in state.files if path.startswith("app/listed/"))
        new = f"app/listed/{self.rng.choice(['one', 'two', 'three'])}"
        how = self.rng.choice(["renamed", "added", "deleted", "changed"])
        if how == "added" or not names:
            state.files.setdefault(new, "1c")
            return new not in names and f"{new} added"
        old = self.rng.choice(names)
        if how == "renamed":
            if new in names:
                return None
            state.files[new] = state.files.pop(old)
            return f"{old} renamed to {new}"
        if how == "deleted":
            del state.files[old]
            return f"{old} deleted"
        state.files[old] = self.rng.choice(["1a", "1b", "1c"])
        return f"{old} changed"

    def features(self, state):
        return self.toggled(state, self.rng.choice([["--features", "app/extra"], ["--no-default-features"], ["--all-features"]]))

    def toggled(self, state, more):
        if all(word in state.words for word in more):
            state.words = [word for word in state.words if word not in more]
        else:
            state.words = state.words + more
        return f"words: {' '.join(state.words)}"

    def profile(self, state):
        rest = [word for word in state.words if word not in ("--release", "--profile", "small")]
        more = self.rng.choice([[], [], ["--release"], ["--profile", "small"]])
        if rest + more == state.words:
            return None
        state.words = rest + more
        return f"words: {' '.join(state.words)}"

    def profile_table(self, state):
        return self.rng.choice([
            lambda: self.flip(state, "Cargo.toml", "debug-assertions = true", "debug-assertions = false"),
            lambda: self.flip(state, "Cargo.toml", "overflow-checks = true", "overflow-checks = false"),
            lambda: self.flip(state, "Cargo.toml", "core-lib]\nopt-level = 0", "core-lib]\nopt-level = 1"),
            lambda: self.flip(state, "Cargo.toml", "override]\nopt-level = 0", "override]\nopt-level = 1"),
            lambda: self.flip(state, "Cargo.toml", "[profile.dev]\ndebug = 0", '[profile.dev]\ndebug = "line-tables-only"',
                              '[profile.dev]\npanic = "abort"\ndebug = 0'),
            lambda: self.flip(state, "Cargo.toml", "[profile.release]\nopt-level = 1", "[profile.release]\nopt-level = 2"),
            lambda: self.flip(state, "Cargo.toml", 'opt-level = "s"\n', 'opt-level = "s"\nlto = "thin"\n'),
        ])()

    def lint(self, state):
        return self.flip(state, "Cargo.toml", '= "warn"', '= "allow"', '= "deny"')

    def variable(self, state):
        name, values = self.rng.choice([
            ("FUZZ_APP", ["v0", "v1"]), ("FUZZ_CORE", ["v0", "v1"]), ("FUZZ_SCRIPT", ["v0", "v1"]),
            ("FUZZ_SILENT", ["v0", "v1"]), ("FUZZ_SILENT_M", ["v0", "v1"]),
            ("RUSTFLAGS", ["--cfg loud", ""]), ("CARGO_PROFILE_DEV_DEBUG_ASSERTIONS", ["true", "false"]),
            ("CARGO_PROFILE_RELEASE_OPT_LEVEL", ["0", "2"]), ("CARGO_INCREMENTAL", ["0", "1"]),
            ("CARGO_ENCODED_RUSTFLAGS", ["--cfg\x1floud"]), ("CARGO_BUILD_RUSTFLAGS", ["--cfg loud"]),
        ])
        value = self.rng.choice([None, *values])
        if state.variables.get(name) == value:
            return None
        state.variables.pop(name, None)
        if value is not None:
            state.variables[name] = value
        return f"{name} {'unset' if value is None else f'= {value!r}'}"

    def config(self, state):
        texts = [
            None, '[build]\nrustflags = ["--cfg", "loud"]\n', '[env]\nFUZZ_APP = "c1"\n',
            '[env]\nFUZZ_SCRIPT = { value = "c2", force = true }\n', "[profile.dev]\ndebug-assertions = false\n",
            "[target.'cfg(unix)']\nrustflags = [\"--cfg\", \"loud\"]\n", "[build]\nincremental = false\n",
            '[profile.dev.package."*"]\nopt-level = 1\n',
        ]
        path, new = ".cargo/config.toml", self.rng.choice(texts)
        if state.files.get(path) == new:
            return None
        state.files.pop(path, None)
        if new:
            state.files[path] = new
        return f"{path}: {new!r}"

    def version(self, state):
        path = self.rng.choice(["core/Cargo.toml", "Cargo.toml"])
        return self.flip(state, path, 'version = "1.0.0"', 'version = "1.0.1"')

    def edition(self, state):
        path = self.rng.choice(["core/Cargo.toml", "Cargo.toml"])
        return self.flip(state, path, 'edition = "2021"', 'edition = "2018"', 'edition = "2024"')

    def resolver(self, state):
        return self.flip(state, "Cargo.toml", 'resolver = "1"', 'resolver = "2"', 'resolver = "3"')

    def dependency(self, state):
        return self.rng.choice([
            lambda: self.flip(state, "app/Cargo.toml", '"../core", default-features = false', '"../core", features = ["fancy"]'),
            lambda: self.flip(state, "app/Cargo.toml", 'features = ["loud"]', "features = []"),
            lambda: self.flip(state, "app/Cargo.toml", "'cfg(unix)'", "'cfg(all())'", "'cfg(windows)'"),
            lambda: self.flip(state, "app/Cargo.toml", 'default = ["fancy"]', 'default = ["fancy", "extra"]', "default = []"),
            lambda: self.flip(state, "app/Cargo.toml", '"../opt", optional = true', '"../opt", features = ["loud"], optional = true'),
            lambda: self.flip(state, "sys/Cargo.toml", 'links = "fuzzsys"\n', 'links = "elsesys"\n'),
            lambda: self.flip(state, "app/Cargo.toml", '"says all"', '"says \\"it\\""', '"says ü"'),
        ])()

    def package_renamed(self, state):
        old, new = ("core-lib", "core-two") if '"core-lib"' in state.files["core/Cargo.toml"] else ("core-two", "core-lib")
        for path in ("core/Cargo.toml", "app/Cargo.toml", "Cargo.toml"):
            state.files[path] = state.files[path].replace(old, new)
        return f"package {old} renamed to {new}"

    def program_renamed(self, state):
        if self.rng.random() < 0.5:
            return self.flip(state, "app/Cargo.toml", 'name = "gated"', 'name = "gate"')
        old, new = ("tool", "tools") if "app/src/bin/tool.rs" in state.files else ("tools", "tool")
        if f"app/src/bin/{old}.rs" not in state.files:
            return None
        state.files[f"app/src/bin/{new}.rs"] = state.files.pop(f"app/src/bin/{old}.rs")
        return f"program {old} renamed to {new}"

    def program_added(self, state):
        path = self.rng.choice(["app/src/bin/more/main.rs", "app/examples/more.rs", "app/tests/more.rs", "opt/src/main.rs"])
        if path in state.files:
            del state.files[path]
            return f"{path} removed"
        state.files[path] = 'const V: &str = "j0";\nfn main() {\n    println!("more {V}");\n}\n#[test]\nfn more() {}\n'
        return f"{path} added"

    def script(self, state):
        return self.rng.choice([
            lambda: self.flip(state, "sys/script.rs", "cargo::metadata=token", "cargo::metadata=tokens", "cargo:token"),
            lambda: self.line(state, "sys/script.rs", "// a line\n", "has another line"),
            lambda: self.flip(state, "app/build.rs", "cargo::rustc-env=APP_SCRIPT={V}", "cargo:rustc-env=APP_SCRIPT=old {V}"),
            lambda: self.flip(state, "app/build.rs", 'println!("cargo::rerun-if-changed=listed");\n', "\n"),
            lambda: self.flip(state, "app/build.rs", 'rustc-check-cfg=cfg(loud', 'rustc-cfg=loud");println!("cargo::rustc-check-cfg=cfg(loud'),
        ])()

    def unread(self, state):
        path = self.rng.choice(["README.md", "app/src/unused.rs", "core/notes.txt", "app/src/.a.rs.swp", "sys/other.txt"])
        state.files[path] = f"// {self.rng.randrange(VALUES)}\n"
        return f"{path} written, which nobody reads"

    def lock(self, state):
        return state.files.pop("Cargo.lock", None) and "Cargo.lock removed"

    def moved(self, state):
        state.place = {"one": "zwei ü", "zwei ü": "one"}[state.place]
        return f"the checkout moved to {state.place!r}"

    def word(self, state):
        word = self.rng.choice(self.words)
        rest = [other for other in state.words[1:] if other in
                ("--release", "--profile", "small", "--features", "app/extra", "--no-default-features", "--all-features")]
        targets = [[], [], [], ["-p", "app"], ["-p", "app", "--lib"], ["-p", "app", "--bin", "app"], ["--bins"], ["--examples"],
                   ["-p", "opt", "-p", "mac"], ["--workspace", "--exclude", "app"]]
        if word in ("check", "clippy"):
            targets += [["--all-targets"], ["--tests"], ["--all-targets"]]
        if word == "test":
            targets = [[], [], ["-p", "app"], ["--lib"], ["--test", "it"], ["--no-fail-fast"], ["--doc"]]
        if word == "run":
            targets = [["--bin", "app"], ["--example", "show"]]
        new = [word, *rest, *self.rng.choice(targets)]
        if new == state.words:
            return None
        state.words = new
        return f"words: {' '.join(new)}"

    def reverted(self, state):
        if not self.history:
            return None
        number = self.rng.randrange(len(self.history))
        old = self.history[number].copy()
        state.files, state.words, state.variables, state.place = old.files, old.words, old.variables, old.place
        return f"all as {len(self.history) - number} edits ago"

    def files_reverted(self, state):
        if not self.history:
            return None
        number = self.rng.randrange(len(self.history))
        state.files = dict(self.history[number].files)
        return f"all files as {len(self.history) - number} edits ago"

    def several(self, state):
        return " + ".join(self.one(state) for _ in range(self.rng.randrange(2, 4)))
