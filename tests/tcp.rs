//! Clients that know no Unix sockets, over loopback: off until vx.toml asks for it, for the same user only, without anything that
//! is vx's own; Bazel among them.

use std::net::TcpListener;

use crate::{
    kit::{Machine, Who},
    ladder::{TAKEN, take},
    reapi::{SOCKETS, drive, write_clients},
};

const CONFIG: &str = "/home/vx-tester/.config/vx/vx.toml";

/// A machine whose two services listen on ports of their choice; casd's address and execd's.
fn listening(who: Who) -> (Machine, String, String) {
    let machine = Machine::with_vx(who);
    let (cas, exec) = listen(&machine);
    (machine, cas, exec)
}

fn listen(machine: &Machine) -> (String, String) {
    machine.write(CONFIG, "[cas]\nlisten_tcp = \"127.0.0.1:0\"\n[exec]\nlisten_tcp = \"127.0.0.1:0\"\n");
    machine.run(["systemctl", "--user", "start", "vx-casd.service", "vx-execd.service"]).ok();
    let address = |program: &str| {
        let said = machine.run(["vxctl", "status", "--json"]).ok();
        let said: serde_json::Value = serde_json::from_str(&said).expect("JSON");
        let services = said["services"].as_array().expect("a list of services").iter();
        let tcp = services.filter(|service| service["name"] == program).find_map(|one| one["status"]["tcp"].as_str());
        tcp.unwrap_or_else(|| panic!("no address of {program}: {said}")).to_owned()
    };
    (address("vx-casd"), address("vx-execd"))
}

/// Connects and begins to speak HTTP/2: prints what comes back, or nothing.
const GREET: &str = r#"
import socket, sys
host, port = sys.argv[1].split(":")
stream = socket.create_connection((host, int(port)))
stream.settimeout(120)
try:
    stream.sendall(sys.argv[2].encode().decode("unicode_escape").encode("latin1"))
    print(stream.recv(1000))
except ConnectionError:
    print(b"")
"#;
const HTTP2: &str = r"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";

#[test]
fn only_the_same_user_is_served_by_tcp_and_only_grpc() {
    let (machine, cas, exec) = listening(Who::Person);
    let greet = |address: &str, line: &str| machine.run(["/usr/bin/python3", "-c", GREET, address, line]).ok();
    for address in [&cas, &exec] {
        // A SETTINGS frame has type 4.
        assert!(greet(address, HTTP2).contains(r"\x04\x00"), "{}", machine.journal());
        assert!(greet(address, r#"{"jsonrpc":"2.0","id":1,"method":"blob.open"}\n"#).contains("gRPC alone"));
        let stranger = machine.run_as_root(&["/usr/bin/python3", "-c", GREET, address, HTTP2]).ok();
        assert_eq!(stranger, "b''\n", "root is not the same user");
    }
    assert!(machine.journal().contains("serves user 4711 only, not user 0"), "{}", machine.journal());
}

#[test]
fn a_port_is_opened_and_closed_by_a_reload_and_never_to_others() {
    let machine = Machine::with_vx(Who::Person);
    machine.run(["systemctl", "--user", "start", "vx-casd.service"]).ok();
    let says_tcp = || machine.run(["vxctl", "status"]).ok().contains("TCP: 127.0.0.1:");
    assert!(!says_tcp(), "off unless asked for");
    machine.write(CONFIG, "[cas]\nlisten_tcp = \"127.0.0.1:0\"\n");
    machine.run(["vxctl", "reload"]).ok();
    machine.until("the port is served", |_| says_tcp());
    machine.write(CONFIG, "[cas]\nlisten_tcp = \"0.0.0.0:18980\"\n");
    let refused = machine.run(["vxctl", "reload"]);
    assert_eq!(refused.code, 3, "{}", refused.stdout);
    assert!(refused.stderr.contains("vx.toml:2:") && refused.stderr.contains("loopback"), "{}", refused.stderr);
    machine.write(CONFIG, "");
    machine.run(["vxctl", "reload"]).ok();
    machine.until("the port is closed", |_| !says_tcp());
}

#[test]
fn a_tcp_socket_of_the_system_starts_the_service() {
    let machine = Machine::with_vx(Who::Person);
    let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").to_string();
    machine.write(CONFIG, format!("[exec]\nlisten_tcp = \"{free}\"\n"));
    let drop_in = machine.home().join(".config/systemd/user/vx-execd.socket.d/tcp.conf");
    machine.write(drop_in, format!("[Socket]\nListenStream={free}\n"));
    machine.sh("systemctl --user daemon-reload && systemctl --user restart vx-execd.socket").ok();
    assert_eq!(machine.property("vx-execd.service", "ActiveState"), "inactive");
    let said = machine.run(["/usr/bin/python3", "-c", GREET, &free, HTTP2]).ok();
    assert!(said.contains(r"\x04\x00"), "{said}\n{}", machine.journal());
    assert_eq!(machine.property("vx-execd.service", "ActiveState"), "active");
}

#[test]
fn the_executors_address_alone_serves_a_plain_client() {
    let (machine, _, exec) = listening(Who::Person);
    drive(&machine, &exec, &exec, "blake3");
}

#[test]
fn without_namespaces_nothing_runs_that_came_by_tcp() {
    let machine = Machine::with_vx(Who::Person);
    let landlock = TAKEN.iter().find(|(rung, _)| *rung == "landlock").expect("a rung of its own");
    take(&machine, landlock.1);
    let (_, exec) = listen(&machine);
    write_clients(&machine);
    let run = |cas: &str, exec: &str, then: &str| {
        let rig = "rig = client.Rig(client.base.Store(sys.argv[1]), client.Executor(sys.argv[2]))";
        let script = format!("import sys, reapi_exec_client as client\n{rig}\naction = rig.action('true')\n{then}\n");
        machine.write(machine.home().join("one.py"), script);
        machine.sh(&format!("/usr/bin/python3 -B one.py {cas} {exec}")).ok()
    };
    let refused = run(&exec, &exec, "print(rig.refused(client.PRECONDITION, action).code)");
    assert_eq!(refused, "9\n");
    let ran = run(SOCKETS[0], SOCKETS[1], "print(rig.run(action).result.exit_code)");
    assert_eq!(ran, "0\n", "by the socket the minimum decides");
}

/// What Bazel fetches from the network otherwise: rules that are Bazel's own anyway.
const RULES: [(&str, &str, &[&str]); 4] = [
    (
        "rules_cc",
        "cc",
        &[
            "cc_binary",
            "cc_library",
            "cc_import",
            "cc_test",
            "cc_proto_library",
            "cc_toolchain",
            "cc_toolchain_suite",
            "objc_library",
            "fdo_profile",
            "fdo_prefetch_hints",
        ],
    ),
    (
        "rules_java",
        "java",
        &[
            "java_binary",
            "java_library",
            "java_import",
            "java_test",
            "java_toolchain",
            "java_runtime",
            "java_plugin",
            "java_package_configuration",
            "java_proto_library",
        ],
    ),
    ("rules_proto", "proto", &["proto_library", "proto_lang_toolchain"]),
    ("remote_coverage_tools", "tools", &[]),
];

const BUILD: &str = r##"
genrule(
    name = "words",
    srcs = ["in.txt"],
    outs = ["words.h"],
    cmd = "echo \"#define WORDS \\\"$$(cat $(location in.txt))\\\"\" > $@",
)
cc_library(name = "lib", srcs = ["lib.cc", ":words"], hdrs = ["lib.h"])
cc_binary(name = "hello", srcs = ["main.cc"], deps = [":lib"])
"##;

const LIB: &str = "#include \"lib.h\"\n#include \"words.h\"\nconst char *words() { return WORDS; }\n";

struct Bazel<'a> {
    machine: &'a Machine,
    overrides: Vec<String>,
}

impl Bazel<'_> {
    fn begin(machine: &Machine) -> Bazel<'_> {
        let home = machine.home();
        let mut overrides = Vec::new();
        for (name, package, rules) in RULES {
            let folder = home.join("rules").join(name);
            let rule = |rule: &&str| format!("def {rule}(**named):\n    native.{rule}(**named)\n\n");
            machine.write(folder.join("WORKSPACE"), format!("workspace(name = \"{name}\")\n"));
            machine.write(folder.join("BUILD"), "");
            machine.write(folder.join(package).join("BUILD"), "");
            machine.write(folder.join(package).join("defs.bzl"), rules.iter().map(rule).collect::<String>());
            overrides.push(format!("--override_repository={name}={}", folder.display()));
        }
        let file = |name: &str, text: &str| machine.write(home.join("hello").join(name), text);
        file("WORKSPACE", "workspace(name = \"hello\")\n");
        file("BUILD", BUILD);
        file("in.txt", "hello from bazel\n");
        file("lib.h", "const char *words();\n");
        file("lib.cc", LIB);
        file("main.cc", "#include <cstdio>\n#include \"lib.h\"\nint main() { std::puts(words()); }\n");
        Bazel { machine, overrides }
    }

    /// Builds from nothing, runs what was built; the line in which Bazel counts its processes.
    fn build(&self, words: &[&str]) -> String {
        let folder = self.machine.home().join("hello");
        // The machine has control groups of its own, which Java does not understand.
        let java = "--host_jvm_args=-XX:-UseContainerSupport";
        let bazel = ["/usr/bin/bazel", "--batch", java, "--output_user_root=/home/vx-tester/bazel"];
        self.machine.run_in(&folder, bazel.iter().chain(&["clean"])).ok();
        let overrides: Vec<_> = self.overrides.iter().map(String::as_str).collect();
        let words = [&bazel[..], &["build", "//:hello"], words, &overrides].concat();
        let done = self.machine.run_in(&folder, words);
        assert_eq!(done.code, 0, "{}\n{}", done.stderr, self.machine.journal());
        assert_eq!(self.machine.run_in(&folder, ["bazel-bin/hello"]).ok(), "hello from bazel\n");
        let counts = |line: &&str| line.contains(" processes: ");
        done.stderr.lines().find(counts).unwrap_or_else(|| panic!("{}", done.stderr)).to_owned()
    }
}

#[test]
fn bazel_builds_over_loopback_and_again_from_the_cache_alone() {
    let (machine, cas, exec) = listening(Who::Person);
    let bazel = Bazel::begin(&machine);
    let remote = [&format!("--remote_executor=grpc://{exec}"), "--spawn_strategy=remote", "--genrule_strategy=remote"];
    let first = bazel.build(&remote);
    // A genrule, two compilations, a link.
    assert!(first.contains("4 remote") && !first.contains("cache hit"), "{first}");
    let again = bazel.build(&remote);
    assert!(again.contains("4 remote cache hit, 4 internal."), "{again}");
    let local = [&format!("--remote_cache=grpc://{cas}"), "--spawn_strategy=local", "--genrule_strategy=local"];
    machine.write(machine.home().join("hello/lib.cc"), LIB.replace("return", "/* changed */ return"));
    let stored = bazel.build(&local);
    assert!(stored.contains(" local"), "{stored}");
    let taken = bazel.build(&local);
    assert!(taken.contains("4 remote cache hit, 4 internal."), "{taken}");
}
