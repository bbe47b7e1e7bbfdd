//! Small cargo packages of the tests' own, without dependencies from a registry, so that a build of one takes a second.

use super::Machine;

/// A workspace in the machine: `app` (a program) uses `mid` (a library with a build script) uses `base` (a library).
pub struct Project {
    pub path: std::path::PathBuf,
}

impl Project {
    /// Writes one below the home folder. `salt` goes into each source, so that no other project shares a result; `script` is the
    /// body of the build script's main function.
    pub fn write(machine: &Machine, name: &str, salt: &str, script: &str) -> Project {
        let path = machine.home().join(name);
        let file = |below: &str, text: &str| machine.write(path.join(below), text);
        file("Cargo.toml", "[workspace]\nmembers = [\"app\", \"mid\", \"base\"]\nresolver = \"2\"\n");
        let manifest = |name: &str, dependency: &str| {
            let dependencies = match dependency {
                "" => String::new(),
                other => format!("[dependencies]\n{other} = {{ path = \"../{other}\" }}\n"),
            };
            format!("[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2021\"\n{dependencies}")
        };
        file("app/Cargo.toml", &manifest("app", "mid"));
        file("app/src/main.rs", &format!("// {salt}\nfn main() {{\n    println!(\"{{}}\", mid::say());\n}}\n"));
        file("mid/Cargo.toml", &manifest("mid", "base"));
        file(
            "mid/src/lib.rs",
            &format!(
                "// {salt}\npub fn say() -> String {{\n    format!(\"{{}} {{}}\", base::say(), env!(\"SCRIPT\"))\n}}\n"
            ),
        );
        file(
            "mid/build.rs",
            &format!("// {salt}\nfn main() {{\n{script}\n    println!(\"cargo::rustc-env=SCRIPT=ran\");\n}}\n"),
        );
        file("base/Cargo.toml", &manifest("base", ""));
        file("base/src/lib.rs", &format!("// {salt}\npub fn say() -> &'static str {{\n    \"base\"\n}}\n"));
        Project { path }
    }

    /// What its program prints.
    pub const SAYS: &'static str = "base ran\n";
}
