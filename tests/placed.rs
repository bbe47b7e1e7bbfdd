//! The files in a target folder are the person's own: nothing that is done to them reaches the store or another checkout, also
//! where the executor moved what it had captured.

use std::{fs, os::unix::fs::MetadataExt};

use crate::kit::{Machine, Project, Who};

#[test]
fn a_program_that_was_moved_into_place_is_nobody_elses() {
    let machine = Machine::with_vx(Who::Person);
    let one = Project::write(&machine, "one", "one", "").path;
    machine.run_in(&one, ["vx", "build"]).ok();
    let program = machine.outside(one.join("target/debug/app"));
    let meta = fs::metadata(&program).expect("it was placed");
    assert!(meta.len() > 256 << 10, "large enough to be moved: {}", meta.len());
    assert_eq!((meta.nlink(), meta.mode() & 0o7777), (1, 0o755));
    // In the executor's stage it is no more.
    let left = machine.run(["sh", "-c", &format!("find .cache/vx/exec/stage/x -size {}c | wc -l", meta.len())]);
    assert_eq!(left.ok().trim(), "0");
    // Spoilt in place: another checkout gets what was built, and so does this one.
    machine
        .run_in(
            &one,
            ["sh", "-c", "cp target/debug/app ../app.kept; printf spoilt | dd of=target/debug/app conv=notrunc"],
        )
        .ok();
    machine.run(["cp", "-r", "one", "two"]).ok();
    let two = machine.home().join("two");
    machine.run(["rm", "-r", "two/target"]).ok();
    for folder in [&two, &one] {
        let done = machine.run_in(folder, ["vx", "build"]);
        assert!(done.stderr.contains("5 hits, 0 built"), "{}", done.stderr);
        machine.run_in(folder, ["cmp", "target/debug/app", "../app.kept"]).ok();
    }
}

/// Plugins are tested so: the library beside the test's own program, under its plain name.
#[test]
fn a_library_that_a_test_loads_lies_beside_it() {
    let machine = Machine::with_vx(Who::Person);
    let manifest = |name: &str| format!("[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2024\"\n");
    let at = machine.home().join("plugins");
    machine.write(at.join("Cargo.toml"), "[workspace]\nmembers = [\"host\", \"plug\"]\nresolver = \"2\"\n");
    machine.write(at.join("plug/Cargo.toml"), manifest("plug") + "[lib]\ncrate-type = [\"cdylib\", \"rlib\"]\n");
    machine.write(at.join("host/Cargo.toml"), manifest("host") + "[dev-dependencies]\nplug = { path = \"../plug\" }\n");
    machine.write(at.join("host/src/lib.rs"), "");
    let test = r#"
unsafe extern "C" {
    fn dlopen(path: *const i8, flags: i32) -> *mut u8;
    fn dlsym(library: *mut u8, name: *const i8) -> *mut u8;
}
#[test]
fn loads() {
    let path = std::env::current_exe().unwrap().with_file_name("libplug.so");
    let path = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    let number = unsafe { dlsym(dlopen(path.as_ptr(), 2), c"number".as_ptr()) };
    assert!(!number.is_null());
    let number: extern "C" fn() -> i32 = unsafe { std::mem::transmute(number) };
    println!("the plugin says {}", number());
}
"#;
    machine.write(at.join("host/tests/loads.rs"), test);
    for number in [1, 2] {
        let plugin = format!("#[unsafe(no_mangle)]\npub extern \"C\" fn number() -> i32 {{ {number} }}\n");
        machine.write(at.join("plug/src/lib.rs"), plugin);
        let done = machine.run_in(&at, ["vx", "test", "-p", "host", "--", "--nocapture"]);
        assert!(done.stdout.contains(&format!("the plugin says {number}")), "{}\n{}", done.stdout, done.stderr);
    }
}

/// In a program one text begins where another ends, and optimised code holds a short one as numbers.
#[test]
fn a_place_is_found_whatever_stands_behind_it_and_in_code() {
    let machine = Machine::with_vx(Who::Person);
    let manifest = "[package]\nname = \"app\"\nversion = \"1.0.0\"\nedition = \"2021\"\n";
    let at = machine.home().join("embeds");
    machine.write(at.join("Cargo.toml"), format!("{manifest}[dependencies]\nmac = {{ path = \"mac\" }}\n"));
    let script = "fn main() {\n    let out = std::path::PathBuf::from(std::env::var(\"OUT_DIR\").unwrap());\n    \
                  std::fs::create_dir_all(out.join(\"deep\")).unwrap();\n    \
                  std::fs::write(out.join(\"deep/made\"), \"made\").unwrap();\n    \
                  for (to, link) in [(\"deep/made\", \"link\"), (\"deep\", \"folder\")] {\n        \
                  let _ = std::os::unix::fs::symlink(to, out.join(link));\n    }\n}\n";
    machine.write(at.join("build.rs"), script);
    let main = "fn main() {\n    let out = std::path::Path::new(env!(\"OUT_DIR\"));\n    \
                for name in [\"deep/made\", \"link\", \"folder/made\"] {\n        \
                print!(\"{} \", std::fs::read_to_string(out.join(name)).unwrap());\n    }\n}\n";
    machine.write(at.join("src/main.rs"), main);
    let here = "fn main() {\n    let mut text = String::from(mac::here!());\n    text.push('x');\n    print!(\"{text}\");\n}\n";
    machine.write(at.join("src/bin/here.rs"), here);
    machine.write(at.join("mac/Cargo.toml"), format!("{manifest}[lib]\nproc-macro = true\n").replace("app", "mac"));
    let macros = "use proc_macro::TokenStream;\n#[proc_macro]\npub fn here(_: TokenStream) -> TokenStream {\n    \
                  format!(\"{:?}\", std::env::var(\"CARGO_MANIFEST_DIR\").unwrap()).parse().unwrap()\n}\n";
    machine.write(at.join("mac/src/lib.rs"), macros);
    for words in [&["-q"][..], &["-q", "--release"]] {
        let run = |name| machine.run_in(&at, [&["vx", "run", "--bin", name], words].concat()).ok();
        assert_eq!(run("app"), "made made made ", "{words:?}");
        assert_eq!(run("here"), format!("{}x", at.display()), "{words:?}");
    }
}

/// What a script writes of its folder into a text is in the program that includes it.
#[test]
fn a_text_that_a_script_made_names_the_persons_folder() {
    let machine = Machine::with_vx(Who::Person);
    let at = machine.home().join("texts");
    machine.write(at.join("Cargo.toml"), "[package]\nname = \"app\"\nversion = \"1.0.0\"\nedition = \"2021\"\n");
    let script = r#"fn main() {
    let out = std::env::var("OUT_DIR").unwrap();
    std::fs::write(format!("{out}/place"), std::env::var("CARGO_MANIFEST_DIR").unwrap()).unwrap();
    std::fs::write(format!("{out}/made"), "made").unwrap();
    std::fs::write(format!("{out}/made.rs"), format!("const MADE: &str = {:?};", format!("{out}/made"))).unwrap();
}
"#;
    machine.write(at.join("build.rs"), script);
    let main = r#"include!(concat!(env!("OUT_DIR"), "/made.rs"));
fn main() {
    print!("{} {}", std::fs::read_to_string(MADE).unwrap(), include_str!(concat!(env!("OUT_DIR"), "/place")));
}
"#;
    machine.write(at.join("src/main.rs"), main);
    for words in [&[][..], &[], &["--target-dir", "no/../other"]] {
        let words = [&["vx", "run", "-q"], words].concat();
        assert_eq!(machine.run_in(&at, &words).ok(), format!("made {}", at.display()), "{words:?}");
    }
    // What it did not make no exception would show.
    machine.write(at.join("src/main.rs"), main.replace("/place", "/absent"));
    let failed = machine.run_in(&at, ["vx", "build"]).stderr;
    assert!(failed.contains("out/absent`: No such file") && !failed.contains("sandbox.exception"), "{failed}");
}

#[test]
fn what_is_placed_is_as_open_as_the_persons_mask_lets_it_be() {
    let machine = Machine::with_vx(Who::Person);
    let list = "find target target/debug target/debug/app target/debug/app.d target/CACHEDIR.TAG -maxdepth 0 -printf '%m %P%p\\n'";
    for mask in ["077", "027", "002"] {
        let modes = |program: &str| {
            let at = Project::write(&machine, &format!("{program}{mask}"), "masked", "").path;
            let line = format!("umask {mask}; {program} build && {program} build && {list}");
            machine.run_in(&at, ["sh", "-c", &line]).ok()
        };
        assert_eq!(modes("vx"), modes("cargo"), "umask {mask}");
    }
}
