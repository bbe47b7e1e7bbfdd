#!/usr/bin/env python3
"""A plain Remote Execution API client that drives an executor through its store: Execute,
WaitExecution, Operations, Capabilities, and hostile actions among it.

Usage: reapi_exec_client.py CAS_ADDRESS EXEC_ADDRESS [sha256|blake3]     (needs grpcio and protobuf)

Prints one line a check; exits 1 at the first that fails. Nothing that an action tries may show
outside: whoever calls this looks for files named `vx-escaped` afterwards."""

import concurrent.futures
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
        "Timestamp": "1 seconds int64, 2 nanos int32",
        "UInt32Value": "1 value uint32",
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
    "NameRequest": "1 name string",
    "ListOperationsRequest": "1 filter string, 2 page_size int32, 3 page_token string, 4 name string",
    "ListOperationsResponse": "1 operations *.Operation, 2 next_page_token string",
    "WaitOperationRequest": "1 name string, 2 timeout google.protobuf.Duration",
}
base.PACKAGES["build.bazel.remote.execution.v2"].update(
    {
        "Variable": "1 name string, 2 value string",
        "NodeProperty": "1 name string, 2 value string",
        "NodeProperties": "1 properties *.NodeProperty, 2 mtime google.protobuf.Timestamp, 3 unix_mode google.protobuf.UInt32Value",
        "FileNode": "1 name string, 2 digest .Digest, 4 is_executable bool, 6 node_properties .NodeProperties",
        "OutputFile": "1 path string, 2 digest .Digest, 4 is_executable bool, 5 contents bytes, 7 node_properties .NodeProperties",
        "OutputDirectory": "1 path string, 3 tree_digest .Digest, 4 is_topologically_sorted bool, "
        "5 root_directory_digest .Digest",
        "Property": "1 name string, 2 value string",
        "Platform": "1 properties *.Property",
        "Command": "1 arguments *string, 2 environment_variables *.Variable, 3 output_files *string, "
        "4 output_directories *string, 5 platform .Platform, 6 working_directory string, 7 output_paths *string, "
        "8 output_node_properties *string, 9 output_directory_format int32",
        "Action": "1 command_digest .Digest, 2 input_root_digest .Digest, 6 timeout google.protobuf.Duration, "
        "7 do_not_cache bool, 10 platform .Platform",
        "ActionResult": "2 output_files *.OutputFile, 12 output_symlinks *.OutputSymlink, "
        "10 output_file_symlinks *.OutputSymlink, 11 output_directory_symlinks *.OutputSymlink, 3 output_directories *.OutputDirectory, 4 exit_code int32, "
        "5 stdout_raw bytes, 6 stdout_digest .Digest, 7 stderr_raw bytes, 8 stderr_digest .Digest, "
        "9 execution_metadata .ExecutedActionMetadata",
        "ExecutedActionMetadata": "1 worker string, 2 queued_timestamp T, 3 worker_start_timestamp T, "
        "4 worker_completed_timestamp T, 5 input_fetch_start_timestamp T, 6 input_fetch_completed_timestamp T, "
        "7 execution_start_timestamp T, 8 execution_completed_timestamp T, 9 output_upload_start_timestamp T, "
        "10 output_upload_completed_timestamp T, 12 virtual_execution_duration google.protobuf.Duration".replace(
            " T", " google.protobuf.Timestamp"
        ),
        "ExecutionPolicy": "1 priority int32",
        "ExecuteRequest": "1 instance_name string, 3 skip_cache_lookup bool, 6 action_digest .Digest, "
        "7 execution_policy .ExecutionPolicy, 9 digest_function int32, 10 inline_stdout bool, 11 inline_stderr bool, "
        "12 inline_output_files *string",
        "WaitExecutionRequest": "1 name string",
        "ExecuteResponse": "1 result .ActionResult, 2 cached_result bool, 3 status google.rpc.Status, 5 message string",
        "ExecuteOperationMetadata": "1 stage int32, 2 action_digest .Digest, 6 digest_function int32",
        "ExecutionCapabilities": "1 digest_function int32, 2 exec_enabled bool, 4 supported_node_properties *string, "
        "5 digest_functions *int32",
        "ServerCapabilities": "1 cache_capabilities .CacheCapabilities, 2 execution_capabilities .ExecutionCapabilities, "
        "4 low_api_version build.bazel.semver.SemVer, 5 high_api_version build.bazel.semver.SemVer",
    }
)
M = base.M = base.build_messages()
PATH = {"PATH": "/usr/bin:/bin"}
CANCELLED, INVALID, DEADLINE, ABSENT, DENIED, EXHAUSTED, PRECONDITION = 1, 3, 4, 5, 7, 8, 9
QUEUED, EXECUTING, COMPLETED = 2, 3, 4


class Executor:
    """The calls, as plain functions."""

    def __init__(self, socket):
        self.channel = grpc.insecure_channel(base.target(socket))
        self.by_tcp = "/" not in socket
        call, v2 = base.Store.call.__get__(self), "build.bazel.remote.execution.v2."
        self.execute = call(v2 + "Execution/Execute", "ExecuteRequest", "Operation", "unary_stream")
        self.wait = call(v2 + "Execution/WaitExecution", "WaitExecutionRequest", "Operation", "unary_stream")
        self.cancel = call("google.longrunning.Operations/CancelOperation", "NameRequest", "Empty")
        operations = "google.longrunning.Operations/"
        self.get = call(operations + "GetOperation", "NameRequest", "Operation")
        self.delete = call(operations + "DeleteOperation", "NameRequest", "Empty")
        self.list = call(operations + "ListOperations", "ListOperationsRequest", "ListOperationsResponse")
        self.wait_operation = call(operations + "WaitOperation", "WaitOperationRequest", "Operation")
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

    def nested(self, tree):
        """The digest of an input root: a dict is a directory, bytes a file, text a link, a pair a file with properties."""
        root = M.Directory()
        for name, node in sorted(tree.items()):
            if isinstance(node, dict):
                root.directories.add(name=name, digest=self.nested(node))
            elif isinstance(node, str):
                root.symlinks.add(name=name, target=node)
            else:
                data, properties = node if isinstance(node, tuple) else (node, None)
                executable = name.endswith(".sh") or data[:4] == b"\x7fELF"
                root.files.add(name=name, digest=self.upload(data), is_executable=executable, node_properties=properties)
        return self.put(root)

    def upload(self, data):
        """The digest of a blob of any size."""
        if len(data) < 1 << 20:
            return self.put(data)
        base.write(self.store, base.upload_name(base.digest(data)), [data[at : at + 500_000] for at in range(0, len(data), 500_000)])
        return base.digest(data)

    def read(self, digest):
        return base.read(self.store, base.blob_name(digest))

    def stored(self, action):
        """Whether the action cache has a result."""
        try:
            self.store.get_result(M.GetActionResultRequest(action_digest=action))
            return True
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.NOT_FOUND
            return False

    def states(self, action, **named):
        wanted = dict(inline_stdout=True, inline_stderr=True)
        return self.executor.execute(M.ExecuteRequest(action_digest=action, **{**wanted, **named}))

    def run(self, action, **named):
        """The ExecuteResponse, after checking what every stream must keep to."""
        states = list(self.states(action, **named))
        assert states and all(state.name == states[0].name and state.name for state in states)
        assert [state.done for state in states] == [False] * (len(states) - 1) + [True]
        metadata = [M.ExecuteOperationMetadata.FromString(state.metadata.value) for state in states]
        assert metadata[-1].stage == COMPLETED and all(data.action_digest == action for data in metadata)
        assert all(data.digest_function == base.FUNCTION for data in metadata)
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
    assert able.execution_capabilities.digest_function in able.execution_capabilities.digest_functions
    assert list(able.execution_capabilities.supported_node_properties) == ["mtime", "unix_mode"]
    assert rig.executor.health(M.HealthCheckRequest()).status == 1
    # The store is served on this address too.
    assert able.cache_capabilities == rig.store.capabilities(M.GetCapabilitiesRequest()).cache_capabilities
    blob = os.urandom(30)
    base.put(rig.store, blob)
    here = base.Store(sys.argv[2])
    assert base.read(here, base.blob_name(base.digest(blob))) == blob and not base.missing(here, base.digest(blob))


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
    name = base.blob_name(directory.tree_digest)
    tree = M.Tree.FromString(base.read(rig.store, name))
    assert [f.name for f in tree.root.files] == ["1"] and [d.name for d in tree.root.directories] == ["e"]
    assert [(s.name, s.target) for s in tree.children[0].symlinks] == [("l", "../1")]
    assert not result.output_file_symlinks and not result.output_directory_symlinks


def check_older_outputs(rig):
    """output_files and output_directories of API 2.0, which output_paths replaces where it is set."""
    script = "mkdir -p d/e; echo x >o/f; ln -s f o/l; ln -s d l; test -d p/q && ! test -e p/q/r; echo $?"
    named = dict(output_files=["absent", "o/f", "o/l"], output_directories=["d", "l", "p/q/r"])
    result = rig.run(rig.action(script, **named)).result
    assert result.stdout_raw == b"0\n", "the parents of outputs are there, the outputs are not"
    assert [f.path for f in result.output_files] == ["o/f"] and [d.path for d in result.output_directories] == ["d"]
    assert [(s.path, s.target) for s in result.output_file_symlinks] == [("o/l", "f")]
    assert [(s.path, s.target) for s in result.output_directory_symlinks] == [("l", "d")]
    assert not result.output_symlinks
    result = rig.run(rig.action("mkdir o; echo >o/f; echo >n", output_paths=["n"], **named)).result
    assert [f.path for f in result.output_files] == ["n"] and not result.output_directories
    # A directory where a file was declared is an error, unless the command failed on its own account.
    for named in (dict(output_files=["d"]), dict(output_directories=["f"])):
        rig.refused(PRECONDITION, rig.action("mkdir d; echo >f", **named))
        failed = rig.run(rig.action("mkdir d; echo >f; exit 4", **named))
        assert (failed.status.code, failed.result.exit_code) == (0, 4)
    whole = rig.run(rig.action("echo 1 >made", root=rig.tree({"in": b"2"}), output_directories=[""])).result
    [directory] = whole.output_directories
    assert directory.path == "" and [f.name for f in M.Tree.FromString(rig.read(directory.tree_digest)).root.files] == ["in", "made"]


def check_directory_formats(rig):
    script = "mkdir -p d/a/x d/b/x d/empty; echo 1 >d/a/x/f; echo 1 >d/b/x/f; echo 2 >d/f; chmod +x d/f"
    trees = set()
    for format, has_tree, has_root in ((0, True, False), (1, False, True), (2, True, True), (99, True, False)):
        [directory] = rig.run(rig.action(script, output_paths=["d"], output_directory_format=format)).result.output_directories
        assert (directory.HasField("tree_digest"), directory.HasField("root_directory_digest")) == (has_tree, has_root)
        if has_tree:
            trees.add(directory.tree_digest.hash)
            tree = M.Tree.FromString(rig.read(directory.tree_digest))
            assert directory.is_topologically_sorted
            check_records(rig.read(directory.tree_digest))
        if has_tree and has_root:
            assert directory.root_directory_digest == base.digest(tree.root.SerializeToString())
        if has_root:
            pages = rig.store.get_tree(M.GetTreeRequest(root_digest=directory.root_directory_digest))
            assert sum(len(page.directories) for page in pages) == 4, "each distinct directory is in the store"
    assert len(trees) == 1, "equal directories have equal digests"


def check_records(tree):
    """The form of a topologically sorted Tree: the root, then each distinct directory once, behind its parents."""
    at, known, first = 0, set(), True
    while at < len(tree):
        assert tree[at] == (0x0A if first else 0x12)
        size, at, shift = 0, at + 1, 0
        while True:
            size |= (tree[at] & 0x7F) << shift
            shift, at = shift + 7, at + 1
            if tree[at - 1] < 0x80:
                break
        record = tree[at : at + size]
        assert first or base.hash_of(record) in known, "a directory before its parents, or twice"
        known.discard(base.hash_of(record))
        known |= {child.digest.hash for child in M.Directory.FromString(record).directories}
        at, first = at + size, False
    assert not known


def check_node_properties(rig):
    properties = M.NodeProperties(mtime=M.Timestamp(seconds=1_000_000_000, nanos=5), unix_mode=M.UInt32Value(value=0o640))
    root = rig.nested({"in": (b"data", properties), "plain": b"more"})
    assert rig.says("stat -c '%a %Y' in", root=root) == "640 1000000000\n"
    script = "cp -p in out; chmod 604 out; mkdir d; cp -p in d/in"
    asked = rig.action(script, root=root, output_paths=["d", "out"], output_node_properties=["mtime", "unix_mode"])
    result = rig.run(asked).result
    said = result.output_files[0].node_properties
    assert (said.mtime.seconds, said.mtime.nanos, said.unix_mode.value) == (1_000_000_000, 5, 0o604)
    inner = M.Tree.FromString(rig.read(result.output_directories[0].tree_digest)).root.files[0].node_properties
    assert (inner.mtime.seconds, inner.unix_mode.value) == (1_000_000_000, 0o640)
    plain = rig.run(rig.action(script, root=root, output_paths=["out"])).result
    assert not plain.output_files[0].HasField("node_properties")
    rig.refused(INVALID, rig.action(script, output_paths=["out"], output_node_properties=["colour"]))


def check_inputs(rig):
    """An input root as it may be: links, empty files and folders, execution bits, a hundred folders deep."""
    deep = {"leaf": b"deep"}
    for _ in range(100):
        deep = {"d": deep}
    tree = {"bin": {"run.sh": b"#!/bin/sh\necho ran\n"}, "data": b"text", "empty": b"", "folder": {}, "deep": deep}
    tree.update({"link": "data", "away": "/usr/bin/env", "up": "bin/../data", "gone": "nowhere", "\u00e9 b": b"odd name"})
    root = rig.nested(tree)
    assert rig.says("cat link up 'é b'; ls -A folder; wc -c <empty; readlink away gone", root=root) == (
        "texttextodd name0\n/usr/bin/env\nnowhere\n"
    )
    assert rig.says("test -x data || echo plain; bin/run.sh", root=root) == "plain\nran\n"
    assert rig.says("cat deep/" + "d/" * 100 + "leaf", root=root) == "deep"
    outputs = ["deep", "empty", "folder", "gone", "link"]
    result = rig.run(rig.action("true", root=root, output_paths=outputs)).result
    assert [f.digest for f in result.output_files] == [base.digest(b"")]
    assert sorted(s.path for s in result.output_symlinks) == ["gone", "link"]
    assert sorted(d.path for d in result.output_directories) == ["deep", "folder"]


def check_programs(rig):
    """argv[0]: absolute, by the declared PATH, or relative to the working directory."""
    script = b"#!/bin/sh\necho $0\n"
    root = rig.nested({"tool.sh": script, "sub": {"tool.sh": script, "more": {"tool.sh": script}}})
    for program, printed in (("./tool.sh", "./tool.sh"), ("more/tool.sh", "more/tool.sh"), ("../tool.sh", "../tool.sh")):
        result = rig.run(rig.action([program], root=root, working_directory="sub")).result
        assert result.stdout_raw.decode() == printed + "\n"
    result = rig.run(rig.action(["tool.sh"], root=root, env={"PATH": "/usr/bin:/vx/root/sub"})).result
    assert result.stdout_raw == b"/vx/root/sub/tool.sh\n"
    assert rig.run(rig.action(["tool.sh"], root=root, working_directory="sub")).result.exit_code == 127
    assert rig.run(rig.action(["./data"], root=rig.tree({"data": b"no program"}))).result.exit_code == 126


def check_streams(rig):
    """Standard output and error by digest always, inside the result where asked for and small."""
    action = rig.action("echo out; echo err >&2")
    for stdout, stderr in ((True, True), (True, False), (False, True), (False, False)):
        result = rig.run(action, inline_stdout=stdout, inline_stderr=stderr).result
        assert result.stdout_raw == (b"out\n" if stdout else b"") and result.stderr_raw == (b"err\n" if stderr else b"")
        assert rig.read(result.stdout_digest) == b"out\n" and rig.read(result.stderr_digest) == b"err\n"
    result = rig.run(rig.action("head -c 3000000 /dev/zero")).result
    assert not result.stdout_raw and rig.read(result.stdout_digest) == bytes(3_000_000)
    result = rig.run(rig.action("true")).result
    assert (result.stdout_raw, result.stderr_raw) == (b"", b"")
    assert result.stdout_digest in (base.digest(b""), M.Digest())


def check_metadata(rig):
    result = rig.run(rig.action("echo x >f; sleep 0.05", output_paths=["f"])).result
    said = result.execution_metadata
    order = ["queued", "worker_start", "input_fetch_start", "input_fetch_completed", "execution_start"]
    order += ["execution_completed", "output_upload_start", "output_upload_completed", "worker_completed"]
    times = [getattr(said, name + "_timestamp") for name in order]
    times = [(time.seconds, time.nanos) for time in times]
    assert times == sorted(times) and times[0][0] > 1_600_000_000, times
    assert said.worker
    assert said.virtual_execution_duration.seconds or said.virtual_execution_duration.nanos >= 50_000_000


def check_stages(rig):
    states = list(rig.states(rig.action("sleep 0.5")))
    stages = [M.ExecuteOperationMetadata.FromString(state.metadata.value).stage for state in states]
    assert stages == sorted(stages) and stages[0] in (QUEUED, EXECUTING) and EXECUTING in stages
    assert all(state.done == (stage == COMPLETED) for state, stage in zip(states, stages)), "COMPLETED if and only if done"
    assert states[0].metadata.type_url.endswith("/build.bazel.remote.execution.v2.ExecuteOperationMetadata")


def check_priority(rig):
    """A priority is taken; who asks for none is not behind."""
    for priority in (-5, 0, 1000):
        policy = M.ExecutionPolicy(priority=priority)
        assert rig.run(rig.action(f"echo {priority}"), execution_policy=policy).status.code == 0


def check_headers(rig):
    metadata = [("build.bazel.remote.execution.v2.requestmetadata-bin", b"\xff no message")]
    request = M.ExecuteRequest(action_digest=rig.action("echo headers"), instance_name="any/name")
    assert list(rig.executor.execute(request, metadata=metadata))[-1].done


def check_merging(rig):
    """The same action in flight is one operation; one that is not to be cached is not merged."""
    merged = rig.action("sleep 600")
    runs = [rig.states(merged) for _ in range(4)]
    names = {next(run).name for run in runs}
    assert len(names) == 1, names
    rig.executor.cancel(M.NameRequest(name=names.pop()))
    for run in runs:
        assert list(run)[-1].done
    merged = rig.action("echo merged")
    rig.run(merged)
    apart = rig.action("sleep 1; echo apart", do_not_cache=True)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(lambda: list(rig.states(apart))) for _ in range(4)]
        names = {run.result()[-1].name for run in runs}
    assert len(names) == 4, names
    assert not rig.stored(apart) and rig.stored(merged)


def check_skip_lookup(rig):
    """skip_cache_lookup runs the action and replaces what was stored."""
    action = rig.action("echo true")
    poisoned = M.ActionResult(stdout_raw=b"poisoned\n", exit_code=0)
    rig.store.put_result(M.UpdateActionResultRequest(action_digest=action, action_result=poisoned))
    response = rig.run(action)
    assert response.cached_result and response.result.stdout_raw == b"poisoned\n"
    response = rig.run(action, skip_cache_lookup=True)
    assert not response.cached_result and response.result.stdout_raw == b"true\n"
    response = rig.run(action)
    assert response.cached_result and response.result.stdout_raw == b"true\n"


def check_uncached(rig):
    """What did not end well is not stored; nor is what is not to be."""
    for action in (rig.action("exit 1"), rig.action("kill -9 $$"), rig.action("sleep 9", timeout=M.Duration(seconds=1))):
        rig.run(action)
        assert not rig.stored(action)
    never = rig.action("true", do_not_cache=True)
    rig.run(never)
    assert not rig.stored(never)


def check_canonical(rig):
    """What is not in canonical form is not refused: it is another Action."""
    variables = [M.Variable(name=name, value="1") for name in ("PATH", "B", "A")]
    digests = set()
    for order in (variables, sorted(variables, key=lambda variable: variable.name)):
        command = M.Command(arguments=["/usr/bin/env"], environment_variables=order, output_paths=["b", "a"])
        action = rig.put(M.Action(command_digest=rig.put(command), input_root_digest=base.digest(b""), do_not_cache=True))
        assert sorted(rig.run(action).result.stdout_raw.split()) == [b"A=1", b"B=1", b"PATH=1"]
        digests.add(action.hash)
    assert len(digests) == 2


def check_timeout(rig):
    """A timeout covers the command: neither the wait for a slot nor the making of the view."""
    others = [rig.states(rig.action(f"sleep 2; echo {n}")) for n in range(8)]
    for other in others:
        next(other)
    assert rig.run(rig.action("echo in time", timeout=M.Duration(seconds=3))).result.stdout_raw == b"in time\n"
    for other in others:
        list(other)
    for seconds in (0, 24 * 3600):
        assert rig.run(rig.action(f"echo {seconds}", timeout=M.Duration(seconds=seconds))).status.code == 0


def check_malformed(rig):
    command = rig.put(M.Command(arguments=["true"]))
    root = base.digest(b"")
    for broken in (b"\xff\xff no Action", b"\x0a\xff"):
        rig.refused(INVALID, rig.put(broken))
    rig.refused(INVALID, rig.put(M.Action(input_root_digest=root)))
    rig.refused(INVALID, rig.put(M.Action(command_digest=command)))
    rig.refused(INVALID, rig.put(M.Action(command_digest=rig.put(b"\xff no Command"), input_root_digest=root)))
    rig.refused(INVALID, rig.put(M.Action(command_digest=command, input_root_digest=rig.put(b"\xff no Directory"))))
    rig.refused(INVALID, M.Digest())
    rig.refused(INVALID, M.Digest(hash="x" * 64, size_bytes=1))
    rig.refused(INVALID, rig.action([]))
    rig.refused(INVALID, rig.action([""]))
    rig.refused(INVALID, rig.action("true", timeout=M.Duration(seconds=1, nanos=2_000_000_000)))
    try:
        list(rig.states(rig.action("true"), digest_function=3))
        raise AssertionError("MD5 is served")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    # Right hash, wrong size: another blob, which is not there.
    action = rig.action("true")
    larger = M.Digest(hash=action.hash, size_bytes=action.size_bytes + 1)
    assert subjects(rig.refused(PRECONDITION, larger)) == {base.blob_name(larger)}


def check_inputs_are_copies(rig):
    data = b"as it was\n" * 10_000
    root = rig.tree({"in": data, "run.sh": b"#!/bin/sh\necho changed >in; cat in\n"})
    assert rig.says("./run.sh; chmod 777 in; echo more >>in", root=root) == "changed\n"
    digest = base.digest(data)
    assert base.read(rig.store, base.blob_name(digest)) == data
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
    assert subjects(refused) == {base.blob_name(absent[0])}
    both = rig.put(M.Action(command_digest=absent[0], input_root_digest=absent[1]))
    assert subjects(rig.refused(PRECONDITION, both)) == {base.blob_name(d) for d in absent}
    nodes = [M.FileNode(name=str(n), digest=digest) for n, digest in enumerate(absent)]
    files = rig.action("true", root=rig.put(M.Directory(files=nodes)))
    assert subjects(rig.refused(PRECONDITION, files)) == {base.blob_name(d) for d in absent}


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
    tree = M.Tree.FromString(base.read(rig.store, base.blob_name(directory.tree_digest)))
    assert not tree.root.files and [s.name for s in tree.root.symlinks] == ["x"]


def check_hostile_actions(rig):
    home = os.path.expanduser("~")
    look = f"ls -d {home} /root /home /run /mnt /var 2>/dev/null; cat /etc/shadow /proc/1/environ 2>/dev/null; true"
    assert rig.says(look) == ""
    places = f"/ /usr /etc /vx /dev /bin /proc/sys/kernel {home} /var/tmp ."
    rig.says(f"for p in {places}; do echo x >$p/vx-escaped; done 2>/dev/null; true")
    # The shell's own words, since the two ends of a pipe start in no order.
    assert rig.says("ls -A /tmp; grep -c . /proc/net/unix; set -- /proc/[0-9]*; echo $#") == "1\n2\n"
    probe = "import socket\nfor a in ('127.0.0.1', '192.0.2.1'):\n  print(socket.socket().connect_ex((a, 9)))"
    assert rig.run(rig.action(["/usr/bin/python3", "-c", probe])).result.stdout_raw == b"101\n101\n"
    assert rig.says("mount -t tmpfs x /tmp 2>/dev/null || unshare -U true 2>/dev/null || echo refused") == "refused\n"
    # A daemon that would write later, if it lived.
    late = "(setsid sh -c 'sleep 600; echo x >/vx/root/late' >/dev/null 2>&1 &); echo left"
    assert rig.says(late) == "left\n", "nobody waits for it"


def check_limits(rig):
    slow = rig.action("echo partial; sleep 600 & sleep 600", timeout=M.Duration(seconds=3))
    response = rig.run(slow)
    assert response.status.code == DEADLINE and response.result.stdout_raw == b"partial\n"
    rig.refused(INVALID, rig.action("true", timeout=M.Duration(seconds=10**9)))
    rig.refused(INVALID, rig.action("true", timeout=M.Duration(seconds=-1)))
    rig.refused(EXHAUSTED, rig.action("yes"))
    result = rig.run(rig.action("head -c 3000000 /dev/zero")).result
    assert not result.stdout_raw and result.stdout_digest == base.digest(bytes(3_000_000))
    assert rig.run(rig.action("kill -9 $$")).result.exit_code == 137


def check_resumed(rig):
    """A stream that breaks loses nothing: WaitExecution finds the operation, running and ended."""
    action = rig.action("sleep 1; echo whole")
    states = rig.states(action)
    name = next(states).name
    states.cancel()
    for _ in range(2):
        states = list(rig.executor.wait(M.WaitExecutionRequest(name=name)))
        assert {state.name for state in states} == {name} and states[-1].done
        response = M.ExecuteResponse.FromString(states[-1].response.value)
        assert response.status.code == 0 and response.result.stdout_raw == b"whole\n"
    assert rig.run(action).cached_result, "it was stored though nobody listened"


def check_operations_service(rig):
    """google.longrunning.Operations, as far as the API leaves it to servers."""
    action = rig.action("sleep 3; echo x")
    states = rig.states(action)
    name = next(states).name
    running = rig.executor.get(M.NameRequest(name=name))
    assert running.name == name and not running.done
    early = rig.executor.wait_operation(M.WaitOperationRequest(name=name, timeout=M.Duration(nanos=1000)))
    assert not early.done, "its time being over is an answer"
    rig.executor.delete(M.NameRequest(name=name))
    ended = rig.executor.wait_operation(M.WaitOperationRequest(name=name))
    assert ended.done and M.ExecuteResponse.FromString(ended.response.value).result.stdout_raw == b"x\n"
    list(states)
    listed, token = [], ""
    while True:
        page = rig.executor.list(M.ListOperationsRequest(page_size=3, page_token=token))
        assert len(page.operations) <= 3
        listed += [operation.name for operation in page.operations]
        token = page.next_page_token
        if not token:
            break
    assert listed.count(name) == 1 and len(set(listed)) == len(listed)
    rig.executor.delete(M.NameRequest(name=name))
    gone = grpc.StatusCode.NOT_FOUND
    base.refused(gone, rig.executor.get, M.NameRequest(name=name))
    base.refused(gone, rig.executor.delete, M.NameRequest(name=name))
    base.refused(gone, rig.executor.wait_operation, M.WaitOperationRequest(name=name))
    base.refused(gone, lambda: list(rig.executor.wait(M.WaitExecutionRequest(name=name))))
    base.refused(grpc.StatusCode.INVALID_ARGUMENT, rig.executor.list, M.ListOperationsRequest(filter="x"))


def check_operations(rig):
    slow = rig.action("sleep 600")
    states = rig.states(slow)
    name = next(states).name
    states.cancel()
    assert next(rig.states(slow)).name == name, "the same action in flight is joined"
    ends = []
    request = M.WaitExecutionRequest(name=name)
    waiter = threading.Thread(target=lambda: ends.extend(rig.executor.wait(request)))
    waiter.start()
    rig.executor.cancel(M.NameRequest(name=name))
    waiter.join(60)
    assert ends and ends[-1].done and M.ExecuteResponse.FromString(ends[-1].response.value).status.code == CANCELLED
    base.refused(grpc.StatusCode.NOT_FOUND, lambda: list(rig.executor.wait(M.WaitExecutionRequest(name="operations/x"))))
    base.refused(grpc.StatusCode.NOT_FOUND, rig.executor.cancel, M.NameRequest(name="operations/x"))


def check_properties(rig):
    def action(*properties, **named):
        properties = [M.Property(name=name, value=value) for name, value in properties]
        return rig.action("true", platform=M.Platform(properties=properties), **named)

    assert rig.run(action(("ISA", "x86-64" if os.uname().machine == "x86_64" else "arm-a64"), ("OSFamily", "linux"))).result.exit_code == 0
    rig.refused(PRECONDITION, action(("OSFamily", "windows")))
    rig.refused(PRECONDITION, action(("ISA", "sparc")))
    rig.refused(INVALID, action(("container-image", "docker://x")))
    # Those of the Action win over the Command's.
    command = rig.put(M.Command(arguments=["/bin/true"], platform=M.Platform(properties=[M.Property(name="OSFamily", value="windows")])))
    both = dict(command_digest=command, input_root_digest=base.digest(b""))
    rig.refused(PRECONDITION, rig.put(M.Action(**both)))
    assert rig.run(rig.put(M.Action(platform=M.Platform(), **both))).result.exit_code == 0
    own_refused = DENIED if rig.executor.by_tcp else INVALID
    rig.refused(own_refused, action(("vx-unknown", "1")))
    rig.refused(own_refused, action(("vx-toolchain", "00")))
    # The input root is `/` and nothing of the host is there: no shell.
    assert rig.run(action(("vx-root", "input"))).result.exit_code == 127
    root = rig.put(M.Directory(directories=[M.DirectoryNode(name="vx", digest=rig.put(M.Directory()))]))
    own = [("vx-key", "1"), ("vx-root", "input"), ("vx-toolchain", "00"), ("vx-view", "fixed")]
    if rig.executor.by_tcp:
        for name, value in own[:1] + own[2:] + [("vx-live", "/"), ("vx-place", "/vx/ws:/home"), ("vx-host", "00")]:
            rig.refused(DENIED, action((name, value)))
        result = M.UpdateActionResultRequest(action_digest=action(*own, root=root), action_result=M.ActionResult(exit_code=0))
        base.refused(grpc.StatusCode.PERMISSION_DENIED, rig.store.put_result, result)
    else:
        assert rig.refused(PRECONDITION, action(*own, root=root)).message.startswith("toolchain")


def check_view(rig):
    """Design rule 3: the host's programs, a minimal /etc and /dev, read-only; the input root as working tree."""
    shown = rig.says("echo /*").split()
    assert set(shown) <= {"/" + name for name in "bin dev etc lib lib32 lib64 libx32 proc sbin tmp usr vx".split()}, shown
    assert {"/bin", "/dev", "/etc", "/lib", "/usr"} <= set(shown)
    etc = set(rig.says("ls /etc").split())
    assert {"passwd", "group", "hosts", "nsswitch.conf"} <= etc and not etc & {"shadow", "machine-id", "hostname", "ssh"}, etc
    devices = set(rig.says("ls /dev").split())
    assert {"null", "zero", "urandom"} <= devices and not devices & {"mem", "sda", "kvm", "fuse", "log"}, devices
    read_only = "for p in / /usr /usr/bin /etc /etc/passwd /lib /vx /dev; do test -w $p && echo $p; done; true"
    writable = rig.says(read_only).split()
    tried = "for p in /x /usr/x /usr/bin/x /etc/x /lib/x /vx/x /dev/x; do (echo x >$p) 2>/dev/null && echo $p; done; true"
    assert rig.says(tried) == "", writable
    assert rig.says("echo 1 >new; cat in new; pwd", root=rig.tree({"in": b"0\n"})) == "0\n1\n/vx/root\n"
    assert rig.says("cc --version >/dev/null && echo cc") == "cc\n"


def check_input_root_view(rig):
    """vx-root=input: the input root is `/`, and nothing of the host is there."""

    def files(path):
        with open(path, "rb") as file:
            return file.read()

    lines = os.popen("ldd /bin/sh").read().split()
    tree = {"bin": {"sh": files("/bin/sh")}, "work": {"in": b"data\n"}}
    for path in {word for word in lines if word.startswith("/")}:
        at = tree
        for name in path.strip("/").split("/")[:-1]:
            at = at.setdefault(name, {})
        at[os.path.basename(path)] = files(path)
    platform = M.Platform(properties=[M.Property(name="vx-root", value="input")])
    script = "echo /*; read line <in; echo $line; test -e /vx || test -e /usr/bin/env || test -e /etc || echo bare; echo made >out"
    action = rig.action(script, root=rig.nested(tree), platform=platform, working_directory="work", output_paths=["out"])
    result = rig.run(action).result
    top = {"/" + name for name in tree} | {"/dev", "/proc"}
    lines = result.stdout_raw.decode().splitlines()
    assert result.exit_code == 0 and set(lines[0].split()) == top, result
    assert lines[1:] == ["data", "bare"] and rig.read(result.output_files[0].digest) == b"made\n"
    # The same by the name of the instance, which is not in the Action: not stored under its digest.
    plain = rig.action(script, root=rig.nested(tree), working_directory="work", output_paths=["out"], salt="instance" + rig.salt)
    named = rig.run(plain, instance_name="vx-root=input").result
    assert named.stdout_raw.decode().splitlines()[1:] == ["data", "bare"] and not rig.stored(plain)


# Called by other checks.
PARTS = {"check_records"}


def main():
    store, executor = base.Store(sys.argv[1]), Executor(sys.argv[2])
    rig = Rig(store, executor)
    for name, check in list(globals().items()):
        if name.startswith("check_") and name not in PARTS:
            began = time.monotonic()
            check(rig)
            print(f"ok {name[6:]} ({(time.monotonic() - began) * 1000:.0f} ms)", flush=True)


if __name__ == "__main__":
    main()
