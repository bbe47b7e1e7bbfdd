//! gRPC's C++ and Java implementations on the Unix sockets. Each sends the socket's path as `:authority` in its own spelling, so
//! each plays a whole round with store and executor: capabilities, uploads, an action, its output. (Python: tests/reapi.rs.)

use shared::{
    digest::{Digest, Function},
    reapi::{
        Message, bytestream, digest_to_proto, longrunning,
        v2::{self, batch_update_blobs_request},
    },
};

use crate::kit::{Machine, Who};

const V2: &str = "/build.bazel.remote.execution.v2";
const JARS: &[&str] = &[
    "grpc-api",
    "grpc-context",
    "grpc-core",
    "grpc-netty",
    "grpc-stub",
    "guava",
    "netty-all",
    "netty-buffer",
    "netty-codec",
    "netty-codec-http",
    "netty-codec-http2",
    "netty-common",
    "netty-handler",
    "netty-handler-proxy",
    "netty-resolver",
    "netty-transport",
    "perfmark-api",
];

/// A program that makes calls (tests/callers), ready to be run in a machine.
struct Caller<'a> {
    machine: &'a Machine,
    words: String,
}

impl Caller<'_> {
    fn cxx(machine: &Machine) -> Caller<'_> {
        machine.write(machine.home().join("caller.cc"), include_str!("callers/caller.cc"));
        // Debian's libraries name what they need themselves.
        let link = "-Wl,--copy-dt-needed-entries -lgrpc++ -lgrpc -lgpr";
        machine.sh(&format!("g++ -std=c++17 caller.cc -o caller {link}")).ok();
        Caller { machine, words: "./caller".to_owned() }
    }

    fn java(machine: &Machine) -> Caller<'_> {
        machine.write(machine.home().join("Caller.java"), include_str!("callers/Caller.java"));
        let jars: Vec<_> = JARS.iter().map(|jar| format!("/usr/share/java/{jar}.jar")).collect();
        let path = jars.join(":");
        machine.sh(&format!("javac -cp {path} Caller.java")).ok();
        // The machine has control groups of its own, which Java does not understand.
        Caller { machine, words: format!("java -XX:-UseContainerSupport -cp .:{path} Caller") }
    }

    /// Makes calls over one connection; the answers to each.
    fn call(&self, socket: &str, calls: &[(&str, Vec<Vec<u8>>)]) -> Vec<Vec<Vec<u8>>> {
        let mut line = format!("{} $XDG_RUNTIME_DIR/vx/{socket}.sock", self.words);
        for (number, (method, requests)) in calls.iter().enumerate() {
            let framed = requests.iter().flat_map(|message| {
                let length = u32::try_from(message.len()).expect("a small message");
                [&[0], &length.to_be_bytes()[..], message].concat()
            });
            self.machine.write(self.machine.home().join(format!("requests{number}")), framed.collect::<Vec<_>>());
            line += &format!(" {method} requests{number} answers{number}");
        }
        let done = self.machine.sh(&line);
        assert_eq!(done.code, 0, "{line}\n{}\n{}", done.stderr, self.machine.journal());
        let answers =
            |number| std::fs::read(self.machine.outside(self.machine.home().join(format!("answers{number}"))));
        (0..calls.len()).map(|number| split(&answers(number).expect("its answers"))).collect()
    }
}

fn split(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    while let Some((head, rest)) = bytes.split_at_checked(5) {
        let length = u32::from_be_bytes(head[1..].try_into().expect("four bytes")) as usize;
        messages.push(rest[..length].to_vec());
        bytes = &rest[length..];
    }
    messages
}

fn of<M: Message>(function: Function, message: &M) -> (Digest, Vec<u8>) {
    let bytes = message.encode_to_vec();
    (Digest::of(function, &bytes), bytes)
}

/// A whole round; `salt` keeps it from being answered by another's result.
fn round(caller: &Caller<'_>, function: Function, salt: &str) {
    let digest_function = shared::reapi::function_to_proto(function);
    let script = format!("echo {salt}; head -c 3000000 /dev/zero >zeros");
    let command = v2::Command {
        arguments: ["/bin/sh", "-c", &script].map(str::to_owned).into(),
        output_paths: vec!["zeros".to_owned()],
        ..Default::default()
    };
    let command = of(function, &command);
    let action = v2::Action {
        command_digest: Some(digest_to_proto(&command.0)),
        input_root_digest: Some(digest_to_proto(&Digest::of(function, b""))),
        ..Default::default()
    };
    let action = of(function, &action);
    let large = vec![7; 2_000_000];
    let large_digest = Digest::of(function, &large);
    let segment = if function == Function::Blake3 { "blake3/" } else { "" };
    let name = |digest: &Digest| format!("blobs/{segment}{}/{}", digest.hex(), digest.size());
    let write = |offset: usize, data: &[u8]| bytestream::WriteRequest {
        resource_name: format!("uploads/{salt}/{}", name(&large_digest)),
        write_offset: offset as i64,
        finish_write: offset + data.len() == large.len(),
        data: data.to_vec(),
    };
    let update = |(digest, data): (Digest, Vec<u8>)| batch_update_blobs_request::Request {
        digest: Some(digest_to_proto(&digest)),
        data,
        compressor: 0,
    };
    let execute = v2::ExecuteRequest {
        action_digest: Some(digest_to_proto(&action.0)),
        inline_stdout: true,
        digest_function,
        ..Default::default()
    };
    let requests = [command, action].map(update).into();
    let update = v2::BatchUpdateBlobsRequest { requests, digest_function, ..Default::default() };
    let zeros = Digest::of(function, &vec![0; 3_000_000]);

    let writes = [write(0, &large[..1_000_000]), write(1_000_000, &large[1_000_000..])];
    let stored = caller.call(
        "cas",
        &[
            (&format!("{V2}.Capabilities/GetCapabilities"), vec![Vec::new()]),
            (&format!("{V2}.ContentAddressableStorage/BatchUpdateBlobs"), vec![update.encode_to_vec()]),
            ("/google.bytestream.ByteStream/Write", writes.iter().map(Message::encode_to_vec).collect()),
        ],
    );
    let able = v2::ServerCapabilities::decode(&*stored[0][0]).expect("capabilities");
    assert!(able.cache_capabilities.is_some(), "{able:?}");
    let updated = v2::BatchUpdateBlobsResponse::decode(&*stored[1][0]).expect("an answer");
    assert!(
        updated.responses.iter().all(|one| one.status.as_ref().is_none_or(|status| status.code == 0)),
        "{updated:?}"
    );
    let written = bytestream::WriteResponse::decode(&*stored[2][0]).expect("an answer");
    assert_eq!(written.committed_size, 2_000_000);

    // The executor serves the store too, over the same connection.
    let read = bytestream::ReadRequest { resource_name: name(&zeros), ..Default::default() };
    let ran = caller.call(
        "exec",
        &[
            (&format!("{V2}.Execution/Execute"), vec![execute.encode_to_vec()]),
            ("/google.bytestream.ByteStream/Read", vec![read.encode_to_vec()]),
        ],
    );
    let last = longrunning::Operation::decode(&**ran[0].last().expect("states")).expect("an operation");
    let Some(longrunning::operation::Result::Response(response)) = last.result else { panic!("{last:?}") };
    let response = v2::ExecuteResponse::decode(&*response.value).expect("a response");
    let result = response.result.expect("a result");
    assert_eq!(String::from_utf8_lossy(&result.stdout_raw), format!("{salt}\n"));
    assert_eq!(result.output_files[0].digest, Some(digest_to_proto(&zeros)));
    let read = ran[1].iter().map(|one| bytestream::ReadResponse::decode(&**one).expect("a piece").data.len());
    assert_eq!(read.sum::<usize>(), 3_000_000);
}

#[test]
fn a_client_in_cxx_is_served_on_the_unix_sockets() {
    let machine = Machine::with_vx(Who::Person);
    let caller = Caller::cxx(&machine);
    round(&caller, Function::Sha256, "cxx-sha256");
    round(&caller, Function::Blake3, "cxx-blake3");
}

#[test]
fn a_client_in_java_is_served_on_the_unix_sockets() {
    let machine = Machine::with_vx(Who::Person);
    let caller = Caller::java(&machine);
    round(&caller, Function::Sha256, "java-sha256");
    round(&caller, Function::Blake3, "java-blake3");
}
