#!/usr/bin/env python3
"""A plain Remote Execution API client that drives an executor through its store: Execute,
WaitExecution, Operations, Capabilities, and hostile actions among it.

Usage: reapi_exec_client.py CAS_SOCKET EXEC_SOCKET     (needs grpcio and protobuf)

Prints one line a check; exits 1 at the first that fails. Nothing that an action tries may show
outside: whoever calls this looks for files named `vx-escaped` afterwards."""

import os
import sys
import threading
import time

import grpc

import reapi_client as base

# First, because the others name it.
base.PACKAGES = {
    "google.protobuf": {
        "Any": "1 type_url string, 2 value bytes",
        "Duration": "1 seconds int64, 2 nanos int32",
        "Empty": "1 unused int32",
    },
    **base.PACKAGES,
}
base.PACKAGES["google.rpc"] = {
    "Status": "1 code int32, 2 message string, 3 details *google.protobuf.Any",
    "Violation": "1 type string, 2 subject string",
    "PreconditionFailure": "1 violations *.Violation",
}
base.PACKAGES["google.longrunning"] = {
    "Operation": "1 name string, 2 metadata google.protobuf.Any, 3 done bool, 4 error google.rpc.Status, "
    "5 response google.protobuf.Any",
    "CancelOperationRequest": "1 name string",
}
base.PACKAGES["build.bazel.remote.execution.v2"].update(
    {
        "Variable": "1 name string, 2 value string",
        "Property": "1 name string, 2 value string",
        "Platform": "1 properties *.Property",
        "Command": "1 arguments *string, 2 environment_variables *.Variable, 3 output_files *string, "
        "4 output_directories *string, 5 platform .Platform, 6 working_directory string, 7 output_paths *string",
        "Action": "1 command_digest .Digest, 2 input_root_digest .Digest, 6 timeout google.protobuf.Duration, "
        "7 do_not_cache bool, 10 platform .Platform",
        "ActionResult": "2 output_files *.OutputFile, 12 output_symlinks *.OutputSymlink, "
        "10 output_file_symlinks *.OutputSymlink, 3 output_directories *.OutputDirectory, 4 exit_code int32, "
        "5 stdout_raw bytes, 6 stdout_digest .Digest, 7 stderr_raw bytes, 8 stderr_digest .Digest",
        "ExecuteRequest": "1 instance_name string, 3 skip_cache_lookup bool, 6 action_digest .Digest, "
        "10 inline_stdout bool, 11 inline_stderr bool",
        "WaitExecutionRequest": "1 name string",
        "ExecuteResponse": "1 result .ActionResult, 2 cached_result bool, 3 status google.rpc.Status, 5 message string",
        "ExecuteOperationMetadata": "1 stage int32, 2 action_digest .Digest",
        "ExecutionCapabilities": "1 digest_function int32, 2 exec_enabled bool, 5 digest_functions *int32",
        "ServerCapabilities": "2 execution_capabilities .ExecutionCapabilities, "
        "4 low_api_version build.bazel.semver.SemVer, 5 high_api_version build.bazel.semver.SemVer",
    }
)
M = base.M = base.build_messages()
PATH = {"PATH": "/usr/bin:/bin"}
CANCELLED, INVALID, DEADLINE, ABSENT, EXHAUSTED, PRECONDITION = 1, 3, 4, 5, 8, 9


class Executor:
    """The calls, as plain functions."""

    def __init__(self, socket):
        self.channel = grpc.insecure_channel("unix:" + socket)
        call, v2 = base.Store.call.__get__(self), "build.bazel.remote.execution.v2."
        self.execute = call(v2 + "Execution/Execute", "ExecuteRequest", "Operation", "unary_stream")
        self.wait = call(v2 + "Execution/WaitExecution", "WaitExecutionRequest", "Operation", "unary_stream")
        self.cancel = call("google.longrunning.Operations/CancelOperation", "CancelOperationRequest", "Empty")
        self.capabilities = call(v2 + "Capabilities/GetCapabilities", "GetCapabilitiesRequest", "ServerCapabilities")
        self.health = call("grpc.health.v1.Health/Check", "HealthCheckRequest", "HealthCheckResponse")


class Rig:
    """A store, an executor, and actions made from a few words."""

    def __init__(self, store, executor):
        self.store, self.executor = store, executor
        self.salt = f"{time.time_ns()}-{os.getpid()}"

    def put(self, message):
        data = message if isinstance(message, bytes) else message.SerializeToString()
        if data:
            assert base.put(self.store, data) == [0]
        return base.digest(data)

    def action(self, arguments, root=None, env=PATH, salt=None, **named):
        """The digest of an Action that was uploaded with its Command."""
        fields = {key: named.pop(key) for key in ("timeout", "do_not_cache") if key in named}
        if isinstance(arguments, str):
            arguments = ["/bin/sh", "-c", arguments]
        variables = dict(env, SALT=self.salt if salt is None else salt)
        variables = [M.Variable(name=name, value=value) for name, value in sorted(variables.items())]
        command = M.Command(arguments=arguments, environment_variables=variables, **named)
        root = self.put(b"") if root is None else root
        return self.put(M.Action(command_digest=self.put(command), input_root_digest=root, **fields))

    def tree(self, files, links=()):
        """The digest of a flat input root."""
        nodes = [
            M.FileNode(name=name, digest=self.put(data), is_executable=name.endswith(".sh"))
            for name, data in sorted(files.items())
        ]
        links = [M.SymlinkNode(name=name, target=target) for name, target in links]
        return self.put(M.Directory(files=nodes, symlinks=links))

    def states(self, action, **named):
        request = M.ExecuteRequest(action_digest=action, inline_stdout=True, inline_stderr=True, **named)
        return self.executor.execute(request)

    def run(self, action, **named):
        """The ExecuteResponse, after checking what every stream must keep to."""
        states = list(self.states(action, **named))
        assert states and all(state.name == states[0].name and state.name for state in states)
        assert [state.done for state in states] == [False] * (len(states) - 1) + [True]
        metadata = [M.ExecuteOperationMetadata.FromString(state.metadata.value) for state in states]
        assert metadata[-1].stage == 4 and all(data.action_digest == action for data in metadata)
        assert not states[-1].HasField("error")
        assert states[-1].response.type_url == "type.googleapis.com/build.bazel.remote.execution.v2.ExecuteResponse"
        return M.ExecuteResponse.FromString(states[-1].response.value)

    def says(self, script, **named):
        """What a script printed; it must have exited with 0."""
        response = self.run(self.action(script, **named))
        result = response.result
        assert response.status.code == 0 and result.exit_code == 0, f"{script}: {response}"
        return result.stdout_raw.decode()

    def refused(self, code, action):
        """The status that says no, before or after an operation exists."""
        try:
            status = self.run(action).status
        except grpc.RpcError as error:
            trailing = dict(error.trailing_metadata()).get("grpc-status-details-bin", b"")
            status = M.Status.FromString(trailing) if trailing else M.Status(code=error.code().value[0])
            assert error.details(), "a status without words"
        assert status.code == code, f"{status} where {code} was due"
        return status


def check_capabilities(rig):
    able = rig.executor.capabilities(M.GetCapabilitiesRequest())
    assert (able.low_api_version.major, able.low_api_version.minor) == (2, 0), "Bazel 4 needs low version 2.0"
    assert able.execution_capabilities.exec_enabled
    assert set(able.execution_capabilities.digest_functions) >= {base.SHA256, base.BLAKE3}
    assert rig.executor.health(M.HealthCheckRequest()).status == 1


def check_cache(rig):
    action = rig.action(["/bin/true"])
    assert not rig.run(action).cached_result and rig.run(action).cached_result
    assert not rig.run(action, skip_cache_lookup=True).cached_result
    failing = rig.action("echo no >&2; exit 3")
    for _ in range(2):
        response = rig.run(failing)
        assert (response.status.code, response.result.exit_code, response.cached_result) == (0, 3, False)
        assert response.result.stderr_raw == b"no\n" and response.result.stderr_digest == base.digest(b"no\n")
    alone = rig.action("true", do_not_cache=True)
    assert not rig.run(alone).cached_result and not rig.run(alone).cached_result


def check_outputs(rig):
    script = "mkdir -p d/e; echo 1 >d/1; echo 1 >d/e/1; ln -s ../1 d/e/l; ln -s nowhere s; echo x >o/f; chmod +x o/f"
    paths = ["d", "s", "o/f", "absent", "w/../o/g"]
    result = rig.run(rig.action(script, output_paths=paths)).result
    assert [(f.path, f.is_executable, f.digest) for f in result.output_files] == [("o/f", True, base.digest(b"x\n"))]
    assert [(s.path, s.target) for s in result.output_symlinks] == [("s", "nowhere")]
    [directory] = result.output_directories
    name = f"blobs/{directory.tree_digest.hash}/{directory.tree_digest.size_bytes}"
    tree = M.Tree.FromString(base.read(rig.store, name))
    assert [f.name for f in tree.root.files] == ["1"] and [d.name for d in tree.root.directories] == ["e"]
    assert [(s.name, s.target) for s in tree.children[0].symlinks] == [("l", "../1")]
    older = rig.action(script, output_files=["o/f", "d"], output_directories=["d", "o/f"])
    result = rig.run(older).result
    assert [f.path for f in result.output_files] == ["o/f"] and [d.path for d in result.output_directories] == ["d"]


def check_inputs_are_copies(rig):
    data = b"as it was\n" * 10_000
    root = rig.tree({"in": data, "run.sh": b"#!/bin/sh\necho changed >in; cat in\n"})
    assert rig.says("./run.sh; chmod 777 in; echo more >>in", root=root) == "changed\n"
    digest = base.digest(data)
    assert base.read(rig.store, f"blobs/{digest.hash}/{digest.size_bytes}") == data
    assert rig.says("head -c 9 in", root=root) == "as it was"


def check_environment(rig):
    assert rig.says("/usr/bin/env | sort", salt="1") == "PATH=/usr/bin:/bin\nPWD=/vx/root\nSALT=1\n"
    assert rig.says("cat; ls /proc/self/fd | wc -l") == "4\n"
    root = rig.put(M.Directory(directories=[M.DirectoryNode(name="sub", digest=rig.tree({"f": b"1"}))]))
    result = rig.run(rig.action("pwd; echo 2 >../top", root=root, working_directory="sub", output_paths=["../top"])).result
    assert result.stdout_raw == b"/vx/root/sub\n" and [f.path for f in result.output_files] == ["../top"]
    response = rig.run(rig.action(["no-such-program"]))
    assert (response.status.code, response.result.exit_code) == (0, 127) and b"no-such-program" in response.result.stderr_raw


def check_missing(rig):
    absent = [base.digest(f"{rig.salt} {n}".encode()) for n in range(2)]
    refused = rig.refused(PRECONDITION, absent[0])
    assert subjects(refused) == {f"blobs/{absent[0].hash}/{absent[0].size_bytes}"}
    both = rig.put(M.Action(command_digest=absent[0], input_root_digest=absent[1]))
    assert subjects(rig.refused(PRECONDITION, both)) == {f"blobs/{d.hash}/{d.size_bytes}" for d in absent}
    nodes = [M.FileNode(name=str(n), digest=digest) for n, digest in enumerate(absent)]
    files = rig.action("true", root=rig.put(M.Directory(files=nodes)))
    assert subjects(rig.refused(PRECONDITION, files)) == {f"blobs/{d.hash}/{d.size_bytes}" for d in absent}


def subjects(status):
    violations = []
    for detail in status.details:
        assert detail.type_url == "type.googleapis.com/google.rpc.PreconditionFailure"
        violations += M.PreconditionFailure.FromString(detail.value).violations
    assert all(violation.type == "MISSING" for violation in violations)
    return {violation.subject for violation in violations}


def check_hostile_trees(rig):
    data = rig.put(b"x")
    for name in ["", ".", "..", "../vx-escaped", "a/vx-escaped", "/tmp/vx-escaped", "x" * 256, "nul\0"]:
        for root in [
            M.Directory(files=[M.FileNode(name=name, digest=data)]),
            M.Directory(directories=[M.DirectoryNode(name=name, digest=base.digest(b""))]),
            M.Directory(symlinks=[M.SymlinkNode(name=name, target="x")]),
        ]:
            rig.refused(INVALID, rig.action("true", root=rig.put(root)))
    clash = M.Directory(files=[M.FileNode(name="a", digest=data)], symlinks=[M.SymlinkNode(name="a", target="/tmp")])
    rig.refused(INVALID, rig.action("true", root=rig.put(clash)))
    for hash in ["../../etc/passwd", "x" * 64, ""]:
        bad = M.Directory(files=[M.FileNode(name="a", digest=M.Digest(hash=hash, size_bytes=1))])
        rig.refused(INVALID, rig.action("true", root=rig.put(bad)))
    deep = base.digest(b"")
    for _ in range(200):
        deep = rig.put(M.Directory(directories=[M.DirectoryNode(name="d", digest=deep)]))
    rig.refused(INVALID, rig.action("true", root=deep))
    wide = base.digest(b"")
    for _ in range(8):
        names = [M.DirectoryNode(name=str(n), digest=wide) for n in range(10)]
        wide = rig.put(M.Directory(directories=names))
    rig.refused(INVALID, rig.action("true", root=wide))


def check_hostile_paths(rig):
    for path in ["../x", "/etc/passwd", "a/../../x", "../../../../tmp/vx-escaped"]:
        rig.refused(INVALID, rig.action("true", output_paths=[path]))
    for path in ["..", "/tmp", "absent"]:
        rig.refused(INVALID, rig.action("true", working_directory=path))
    root = rig.tree({"f": b"1"}, links=[("l", "/tmp"), ("up", "../../../../../../../tmp")])
    for path in ["l/vx-escaped", "up/vx-escaped"]:
        rig.refused(INVALID, rig.action("true", root=root, output_paths=[path]))
    script = "ln -s / r; ln -s /etc/passwd p; ln -s ../../../../../../../../etc e; mkdir d; ln -s /etc d/x; mkfifo d/f"
    result = rig.run(rig.action(script, output_paths=["r/etc/passwd", "p", "e/passwd", "d"])).result
    assert not result.output_files and [s.path for s in result.output_symlinks] == ["p"]
    [directory] = result.output_directories
    tree = M.Tree.FromString(base.read(rig.store, f"blobs/{directory.tree_digest.hash}/{directory.tree_digest.size_bytes}"))
    assert not tree.root.files and [s.name for s in tree.root.symlinks] == ["x"]


def check_hostile_actions(rig):
    home = os.path.expanduser("~")
    look = f"ls -d {home} /root /home /run /mnt /var 2>/dev/null; cat /etc/shadow /proc/1/environ 2>/dev/null; true"
    assert rig.says(look) == ""
    places = f"/ /usr /etc /vx /dev /bin /proc/sys/kernel {home} /var/tmp ."
    rig.says(f"for p in {places}; do echo x >$p/vx-escaped; done 2>/dev/null; true")
    assert rig.says("ls -A /tmp; grep -c . /proc/net/unix; ls /proc | grep -c '^[0-9]' ") == "1\n4\n"
    probe = "import socket\nfor a in ('127.0.0.1', '192.0.2.1'):\n  print(socket.socket().connect_ex((a, 9)))"
    assert rig.run(rig.action(["/usr/bin/python3", "-c", probe])).result.stdout_raw == b"101\n101\n"
    assert rig.says("mount -t tmpfs x /tmp 2>/dev/null || unshare -U true 2>/dev/null || echo refused") == "refused\n"
    # A daemon that would write later, if it lived.
    late = "(setsid sh -c 'sleep 1; echo x >/vx/root/late' >/dev/null 2>&1 &); echo left"
    began = time.monotonic()
    assert rig.says(late) == "left\n" and time.monotonic() - began < 1


def check_limits(rig):
    began = time.monotonic()
    slow = rig.action("echo partial; sleep 60 & sleep 60", timeout=M.Duration(seconds=1))
    response = rig.run(slow)
    assert response.status.code == DEADLINE and response.result.stdout_raw == b"partial\n"
    assert time.monotonic() - began < 20
    rig.refused(INVALID, rig.action("true", timeout=M.Duration(seconds=10**9)))
    rig.refused(INVALID, rig.action("true", timeout=M.Duration(seconds=-1)))
    rig.refused(EXHAUSTED, rig.action("yes"))
    result = rig.run(rig.action("head -c 3000000 /dev/zero")).result
    assert not result.stdout_raw and result.stdout_digest == base.digest(bytes(3_000_000))
    assert rig.run(rig.action("kill -9 $$")).result.exit_code == 137


def check_operations(rig):
    slow = rig.action("sleep 60")
    states = rig.states(slow)
    name = next(states).name
    states.cancel()
    assert next(rig.states(slow)).name == name, "the same action in flight is joined"
    ends = []
    request = M.WaitExecutionRequest(name=name)
    waiter = threading.Thread(target=lambda: ends.extend(rig.executor.wait(request)))
    waiter.start()
    rig.executor.cancel(M.CancelOperationRequest(name=name))
    waiter.join(20)
    assert ends and ends[-1].done and M.ExecuteResponse.FromString(ends[-1].response.value).status.code == CANCELLED
    base.refused(grpc.StatusCode.NOT_FOUND, lambda: list(rig.executor.wait(M.WaitExecutionRequest(name="operations/x"))))
    base.refused(grpc.StatusCode.NOT_FOUND, rig.executor.cancel, M.CancelOperationRequest(name="operations/x"))


def check_properties(rig):
    def action(*properties, **named):
        properties = [M.Property(name=name, value=value) for name, value in properties]
        return rig.action("true", platform=M.Platform(properties=properties), **named)

    assert rig.run(action(("OSFamily", "linux"))).result.exit_code == 0
    rig.refused(INVALID, action(("vx-unknown", "1")))
    rig.refused(INVALID, action(("vx-toolchain", "00")))
    # The input root is `/` and nothing of the host is there: no shell.
    assert rig.run(action(("vx-root", "input"))).result.exit_code == 127
    root = rig.put(M.Directory(directories=[M.DirectoryNode(name="vx", digest=rig.put(M.Directory()))]))
    own = [("vx-key", "1"), ("vx-root", "input"), ("vx-toolchain", "00"), ("vx-view", "fixed")]
    assert rig.refused(PRECONDITION, action(*own, root=root)).message.startswith("toolchain")


def main():
    store, executor = base.Store(sys.argv[1]), Executor(sys.argv[2])
    rig = Rig(store, executor)
    for name, check in list(globals().items()):
        if name.startswith("check_"):
            began = time.monotonic()
            check(rig)
            print(f"ok {name[6:]} ({(time.monotonic() - began) * 1000:.0f} ms)", flush=True)


if __name__ == "__main__":
    main()
