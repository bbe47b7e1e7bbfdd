#!/usr/bin/env python3
"""A plain Remote Execution API client that drives a store: CAS, ActionCache, ByteStream,
Capabilities, health, and hostile input among it.

Usage: reapi_client.py ADDRESS [sha256|blake3]      (needs grpcio and protobuf; no .proto files, no protoc)

ADDRESS is a socket or HOST:PORT. The other function is used where both have to be told apart.

It builds the messages it needs from the table below, so it shares no line with the server.
Prints one line a check; exits 1 at the first that fails. What it uploads stays in the store."""

import concurrent.futures
import functools
import hashlib
import os
import sys
import threading
import time
import uuid

import blake3_plain
import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGES = {
    "build.bazel.semver": {"SemVer": "1 major int32, 2 minor int32, 3 patch int32"},
    "google.rpc": {"Status": "1 code int32, 2 message string"},
    "grpc.health.v1": {
        "HealthCheckRequest": "1 service string",
        "HealthCheckResponse": "1 status int32",
    },
    "google.bytestream": {
        "ReadRequest": "1 resource_name string, 2 read_offset int64, 3 read_limit int64",
        "ReadResponse": "10 data bytes",
        "WriteRequest": "1 resource_name string, 2 write_offset int64, 3 finish_write bool, 10 data bytes",
        "WriteResponse": "1 committed_size int64",
        "QueryWriteStatusRequest": "1 resource_name string",
        "QueryWriteStatusResponse": "1 committed_size int64, 2 complete bool",
    },
    "build.bazel.remote.execution.v2": {
        "Digest": "1 hash string, 2 size_bytes int64",
        "FileNode": "1 name string, 2 digest .Digest, 4 is_executable bool",
        "DirectoryNode": "1 name string, 2 digest .Digest",
        "SymlinkNode": "1 name string, 2 target string",
        "Directory": "1 files *.FileNode, 2 directories *.DirectoryNode, 3 symlinks *.SymlinkNode",
        "Tree": "1 root .Directory, 2 children *.Directory",
        "Command": "1 arguments *string",
        "Action": "1 command_digest .Digest, 2 input_root_digest .Digest",
        "OutputFile": "1 path string, 2 digest .Digest, 4 is_executable bool, 5 contents bytes",
        "OutputDirectory": "1 path string, 3 tree_digest .Digest, 5 root_directory_digest .Digest",
        "OutputSymlink": "1 path string, 2 target string",
        "ActionResult": "2 output_files *.OutputFile, 12 output_symlinks *.OutputSymlink, "
        "3 output_directories *.OutputDirectory, 4 exit_code int32, 5 stdout_raw bytes, 6 stdout_digest .Digest, "
        "7 stderr_raw bytes, 8 stderr_digest .Digest",
        "FindMissingBlobsRequest": "1 instance_name string, 2 blob_digests *.Digest, 3 digest_function int32",
        "FindMissingBlobsResponse": "2 missing_blob_digests *.Digest",
        "UpdateBlob": "1 digest .Digest, 2 data bytes, 3 compressor int32",
        "BatchUpdateBlobsRequest": "1 instance_name string, 2 requests *.UpdateBlob, 5 digest_function int32",
        "UpdatedBlob": "1 digest .Digest, 2 status google.rpc.Status",
        "BatchUpdateBlobsResponse": "1 responses *.UpdatedBlob",
        "BatchReadBlobsRequest": "1 instance_name string, 2 digests *.Digest, 3 acceptable_compressors *int32, 4 digest_function int32",
        "ReadBlob": "1 digest .Digest, 2 data bytes, 3 status google.rpc.Status, 4 compressor int32",
        "BatchReadBlobsResponse": "1 responses *.ReadBlob",
        "GetTreeRequest": "1 instance_name string, 2 root_digest .Digest, 3 page_size int32, 4 page_token string, "
        "5 digest_function int32",
        "GetTreeResponse": "1 directories *.Directory, 2 next_page_token string",
        "GetActionResultRequest": "1 instance_name string, 2 action_digest .Digest, 3 inline_stdout bool, "
        "4 inline_stderr bool, 5 inline_output_files *string, 6 digest_function int32",
        "UpdateActionResultRequest": "1 instance_name string, 2 action_digest .Digest, 3 action_result .ActionResult, "
        "5 digest_function int32",
        "SplitBlobRequest": "1 instance_name string, 2 blob_digest .Digest, 3 digest_function int32",
        "SpliceBlobRequest": "1 instance_name string, 2 blob_digest .Digest, 4 digest_function int32",
        "SplitBlobResponse": "1 chunk_digests *.Digest",
        "GetCapabilitiesRequest": "1 instance_name string",
        "CacheCapabilities": "1 digest_functions *int32, 4 max_batch_total_size_bytes int64, "
        "6 supported_compressors *int32, 7 supported_batch_update_compressors *int32, 8 max_cas_blob_size_bytes int64, "
        "9 split_blob_support bool, 10 splice_blob_support bool",
        "ServerCapabilities": "1 cache_capabilities .CacheCapabilities, 4 low_api_version build.bazel.semver.SemVer, "
        "5 high_api_version build.bazel.semver.SemVer",
    },
}
SHA256, BLAKE3 = 1, 9
FUNCTION = BLAKE3 if sys.argv[-1] == "blake3" else SHA256
OTHER = SHA256 + BLAKE3 - FUNCTION
# SHA-256 has no word of its own in names.
SEGMENT, OTHER_SEGMENT = ("blake3/", "") if FUNCTION == BLAKE3 else ("", "blake3/")
ZSTD = 1


def build_messages():
    pool = descriptor_pool.DescriptorPool()
    # Debian 12's protobuf knows only the older of the two.
    newer = getattr(message_factory, "GetMessageClass", None)
    message_class = newer or message_factory.MessageFactory(pool).GetPrototype
    classes = {}
    for package, messages in PACKAGES.items():
        file = descriptor_pb2.FileDescriptorProto(name=package + ".proto", package=package, syntax="proto3")
        file.dependency.extend(p + ".proto" for p in PACKAGES if p != package and any(p + "." in m for m in messages.values()))
        for name, fields in messages.items():
            message = file.message_type.add(name=name)
            for field in fields.split(","):
                number, field_name, kind = field.split()
                entry = message.field.add(name=field_name, number=int(number))
                entry.label = entry.LABEL_REPEATED if kind.startswith("*") else entry.LABEL_OPTIONAL
                kind = kind.lstrip("*")
                if "." in kind:
                    entry.type = entry.TYPE_MESSAGE
                    entry.type_name = "." + (package + kind if kind.startswith(".") else kind)
                else:
                    entry.type = getattr(entry, "TYPE_" + kind.upper())
        pool.Add(file)
        for name in messages:
            classes[name] = message_class(pool.FindMessageTypeByName(package + "." + name))
    return type("Messages", (), classes)


M = build_messages()


def target(address):
    return "unix:" + address if "/" in address else address


class Store:
    """The calls, as plain functions."""

    def __init__(self, socket):
        self.channel = grpc.insecure_channel(target(socket), options=[("grpc.max_receive_message_length", 4 << 20)])
        v2, bytestream = "build.bazel.remote.execution.v2.", "google.bytestream.ByteStream/"
        cas, cache = v2 + "ContentAddressableStorage/", v2 + "ActionCache/"
        self.find_missing = self.call(cas + "FindMissingBlobs", "FindMissingBlobsRequest", "FindMissingBlobsResponse")
        self.update = self.call(cas + "BatchUpdateBlobs", "BatchUpdateBlobsRequest", "BatchUpdateBlobsResponse")
        self.read_batch = self.call(cas + "BatchReadBlobs", "BatchReadBlobsRequest", "BatchReadBlobsResponse")
        self.get_tree = self.call(cas + "GetTree", "GetTreeRequest", "GetTreeResponse", "unary_stream")
        self.split = self.call(cas + "SplitBlob", "SplitBlobRequest", "SplitBlobResponse")
        self.splice = self.call(cas + "SpliceBlob", "SpliceBlobRequest", "SplitBlobResponse")
        self.get_result = self.call(cache + "GetActionResult", "GetActionResultRequest", "ActionResult")
        self.put_result = self.call(cache + "UpdateActionResult", "UpdateActionResultRequest", "ActionResult")
        self.capabilities = self.call(v2 + "Capabilities/GetCapabilities", "GetCapabilitiesRequest", "ServerCapabilities")
        self.read = self.call(bytestream + "Read", "ReadRequest", "ReadResponse", "unary_stream")
        self.write = self.call(bytestream + "Write", "WriteRequest", "WriteResponse", "stream_unary")
        self.write_future = self.start(bytestream + "Write", "WriteRequest", "WriteResponse")
        self.query = self.call(bytestream + "QueryWriteStatus", "QueryWriteStatusRequest", "QueryWriteStatusResponse")
        self.health = self.call("grpc.health.v1.Health/Check", "HealthCheckRequest", "HealthCheckResponse")

    def call(self, path, request, response, kind="unary_unary"):
        serialize = getattr(M, request).SerializeToString
        deserialize = getattr(M, response).FromString
        method = getattr(self.channel, kind)("/" + path, request_serializer=serialize, response_deserializer=deserialize)

        def call(argument, timeout=60, **named):
            # BLAKE3 has to be named; SHA-256 is what a hash of that length is taken for.
            if FUNCTION == BLAKE3 and "digest_function" in getattr(M, request).DESCRIPTOR.fields_by_name:
                argument.digest_function = argument.digest_function or BLAKE3
            return method(argument, timeout=timeout, **named)

        return call

    def start(self, path, request, response):
        serialize = getattr(M, request).SerializeToString
        deserialize = getattr(M, response).FromString
        return self.channel.stream_unary("/" + path, request_serializer=serialize, response_deserializer=deserialize).future


@functools.lru_cache(1 << 14)
def hash_of(data):
    return blake3_plain.hexdigest(data) if FUNCTION == BLAKE3 else hashlib.sha256(data).hexdigest()


def digest(data):
    return M.Digest(hash=hash_of(data), size_bytes=len(data))


def blob_name(d):
    return f"blobs/{SEGMENT}{d.hash}/{d.size_bytes}"


def put(store, *blobs):
    requests = [M.UpdateBlob(digest=digest(blob), data=blob) for blob in blobs]
    return [r.status.code for r in store.update(M.BatchUpdateBlobsRequest(requests=requests)).responses]


def missing(store, *digests, function=0):
    request = M.FindMissingBlobsRequest(blob_digests=digests, digest_function=function)
    return [(d.hash, d.size_bytes) for d in store.find_missing(request).missing_blob_digests]


def read(store, name, offset=0, limit=0):
    request = M.ReadRequest(resource_name=name, read_offset=offset, read_limit=limit)
    return b"".join(response.data for response in store.read(request))


def write(store, name, pieces, finish=True):
    def messages():
        offset = 0
        for at, piece in enumerate(pieces):
            last = finish and at == len(pieces) - 1
            yield M.WriteRequest(resource_name=name if at == 0 else "", write_offset=offset, data=piece, finish_write=last)
            offset += len(piece)

    return store.write(messages()).committed_size


def upload_name(d, extra=""):
    return f"uploads/{uuid.uuid4()}/blobs/{SEGMENT}{d.hash}/{d.size_bytes}{extra}"


def refused(code, call, *arguments, **named):
    """Fails unless the call is refused with that status."""
    try:
        result = call(*arguments, **named)
        if hasattr(result, "__next__"):
            list(result)
    except grpc.RpcError as error:
        assert error.code() == code, f"{error.code()} {error.details()!r} where {code} was due"
        assert error.details(), "a status without words"
        return
    raise AssertionError(f"served where {code} was due")


INVALID, ABSENT = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND


def check_capabilities(store):
    able = store.capabilities(M.GetCapabilitiesRequest())
    assert (able.low_api_version.major, able.low_api_version.minor) == (2, 0), "Bazel 4 needs low version 2.0"
    assert set(able.cache_capabilities.digest_functions) >= {SHA256, BLAKE3}
    assert 0 < able.cache_capabilities.max_batch_total_size_bytes < 4 << 20
    assert ZSTD in able.cache_capabilities.supported_compressors
    assert ZSTD in able.cache_capabilities.supported_batch_update_compressors
    assert store.health(M.HealthCheckRequest()).status == 1


def check_blobs(store):
    blobs = [os.urandom(n) for n in (8, 64, 4096, 65536, 65537, 1_000_000)]
    digests = [digest(blob) for blob in blobs]
    assert len(missing(store, *digests)) == len(blobs)
    assert put(store, *blobs) == [0] * len(blobs)
    assert put(store, *blobs) == [0] * len(blobs)
    assert missing(store, *digests) == []
    answer = store.read_batch(M.BatchReadBlobsRequest(digests=digests + [digest(b"never there")]))
    assert [r.data for r in answer.responses[:-1]] == blobs
    assert answer.responses[-1].status.code == 5


def check_empty_blob(store):
    empty = digest(b"")
    blake3 = M.Digest(hash="af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262")
    assert missing(store, empty) == [] and missing(store, blake3, function=BLAKE3) == []
    assert read(store, f"blobs/{SEGMENT}{empty.hash}/0") == b""
    assert store.read_batch(M.BatchReadBlobsRequest(digests=[empty])).responses[0].status.code == 0
    assert put(store, b"") == [0]
    assert write(store, upload_name(empty), [b""]) == 0
    assert len(list(store.get_tree(M.GetTreeRequest(root_digest=empty)))[0].directories) == 1


def check_hostile_digests(store):
    good = digest(b"hostile")
    put(store, b"hostile")
    hashes = ["../../../etc/passwd", "", good.hash[:-1], good.hash + "0", good.hash.upper(), "é" * 32, "0" * 63 + "/"]
    for bad in [M.Digest(hash=h, size_bytes=7) for h in hashes] + [M.Digest(hash=good.hash, size_bytes=-1)]:
        refused(INVALID, missing, store, bad)
        refused(INVALID, store.get_result, M.GetActionResultRequest(action_digest=bad))
        refused(INVALID, store.get_tree, M.GetTreeRequest(root_digest=bad))
        answer = store.update(M.BatchUpdateBlobsRequest(requests=[M.UpdateBlob(digest=bad, data=b"hostile")]))
        assert answer.responses[0].status.code == 3
        assert store.read_batch(M.BatchReadBlobsRequest(digests=[bad])).responses[0].status.code == 3
        refused(INVALID, read, store, f"blobs/{SEGMENT}{bad.hash}/{bad.size_bytes}")
        refused(INVALID, write, store, f"uploads/u/blobs/{SEGMENT}{bad.hash}/{bad.size_bytes}", [b"hostile"])
    # The size and the function are part of the name.
    other = M.Digest(hash=good.hash, size_bytes=8)
    assert missing(store, other) == [(good.hash, 8)]
    assert missing(store, good, function=OTHER) == [(good.hash, 7)]
    refused(ABSENT, read, store, f"blobs/{SEGMENT}{good.hash}/8")
    refused(ABSENT, read, store, f"blobs/{OTHER_SEGMENT}{good.hash}/7")
    refused(INVALID, missing, store, good, function=3)
    huge = M.Digest(hash="0" * 64, size_bytes=2**63 - 1)
    assert missing(store, huge) == [(huge.hash, huge.size_bytes)]
    refused(INVALID, write, store, upload_name(huge), [b"x"])
    assert store.read_batch(M.BatchReadBlobsRequest(digests=[good])).responses[0].status.code == 0


def check_batches(store):
    wrong = M.UpdateBlob(digest=digest(b"right"), data=b"wrong")
    short = M.UpdateBlob(digest=M.Digest(hash=digest(b"short").hash, size_bytes=4), data=b"short")
    packed = M.UpdateBlob(digest=digest(b"packed"), data=b"packed", compressor=2)
    good = os.urandom(30)
    fine = M.UpdateBlob(digest=digest(good), data=good)
    answer = store.update(M.BatchUpdateBlobsRequest(requests=[wrong, short, packed, fine]))
    assert [r.status.code for r in answer.responses] == [3, 3, 3, 0]
    assert len(missing(store, wrong.digest, short.digest, packed.digest, fine.digest)) == 3
    limit = store.capabilities(M.GetCapabilitiesRequest()).cache_capabilities.max_batch_total_size_bytes
    full = os.urandom(limit)
    assert put(store, full) == [0]
    assert store.read_batch(M.BatchReadBlobsRequest(digests=[digest(full)])).responses[0].data == full
    refused(INVALID, put, store, full, b"x")
    refused(INVALID, store.read_batch, M.BatchReadBlobsRequest(digests=[digest(full), digest(b"x")]))
    many = [M.Digest(hash=f"{n:064x}", size_bytes=n) for n in range(50_000)]
    assert len(missing(store, *many)) == 50_000


def check_writes(store):
    for size in (100, 65_536, 200_000, 9_000_000):
        data = os.urandom(size)
        d = digest(data)
        name = upload_name(d)
        pieces = [data[at : at + 300_000] for at in range(0, size, 300_000)]
        refused(ABSENT, store.query, M.QueryWriteStatusRequest(resource_name=name))
        refused(INVALID, write, store, name, pieces, finish=False)
        refused(INVALID, write, store, name, [data[:-1] + b"\0" if data[-1] else data[:-1] + b"\1"])
        refused(INVALID, write, store, name, [data, b"more"])
        refused(INVALID, write, store, name, [data[:-1]])
        gap = [M.WriteRequest(resource_name=name, data=data[:50]), M.WriteRequest(write_offset=60, data=data[60:], finish_write=True)]
        refused(INVALID, store.write, iter(gap))
        other = [M.WriteRequest(resource_name=name, data=data[:50])]
        other.append(M.WriteRequest(resource_name=name + "x", write_offset=50, data=data[50:], finish_write=True))
        refused(INVALID, store.write, iter(other))
        assert missing(store, d) == [(d.hash, size)], "a half upload is visible"
        assert write(store, name, pieces + [b""]) == size, "finish_write on an empty message"
        assert read(store, f"some/instance/blobs/{SEGMENT}{d.hash}/{size}") == data
        status = store.query(M.QueryWriteStatusRequest(resource_name=name))
        assert status.complete and status.committed_size == size
        # Answered at once, whatever follows.
        assert write(store, upload_name(d, "/extra/segments"), [b"ignored"], finish=False) == size
    refused(INVALID, write, store, "nonsense", [b"x"])
    refused(INVALID, store.write, iter([]))


def check_reads(store):
    for size in (1000, 1_000_000):
        data = os.urandom(size)
        put(store, data)
        name = f"blobs/{SEGMENT}{digest(data).hash}/{size}"
        assert read(store, name, 10) == data[10:]
        assert read(store, name, 10, 20) == data[10:30]
        assert read(store, name, size - 5, 100) == data[-5:]
        assert read(store, name, size) == b""
        refused(grpc.StatusCode.OUT_OF_RANGE, read, store, name, size + 1)
        refused(grpc.StatusCode.OUT_OF_RANGE, read, store, name, -1)
        refused(INVALID, read, store, name, 0, -1)
    refused(INVALID, read, store, "compressed-blobs/deflate/" + name[6:])
    refused(INVALID, read, store, "nonsense")


def broken_off(store, name, data, committed):
    """Sends data and cancels; returns when the store says that all of it came."""
    release = threading.Event()

    def messages():
        yield M.WriteRequest(resource_name=name, data=data)
        release.wait(30)

    call = store.write_future(messages())
    for _ in range(600):
        try:
            status = store.query(M.QueryWriteStatusRequest(resource_name=name))
            assert not status.complete
            if status.committed_size == committed:
                break
        except grpc.RpcError as error:
            assert error.code() == ABSENT
        time.sleep(0.05)
    else:
        raise AssertionError("what was sent is not committed")
    # The stream still runs: nobody else may go on with it.
    follow = [M.WriteRequest(resource_name=name, write_offset=committed, data=b"x", finish_write=True)]
    refused(grpc.StatusCode.UNAVAILABLE, store.write, iter(follow))
    call.cancel()
    release.set()


def resume(store, name, offset, data):
    """Goes on at offset; the store may not have noticed yet that the first stream is gone."""
    for _ in range(600):
        try:
            return store.write(iter([M.WriteRequest(resource_name=name, write_offset=offset, data=data, finish_write=True)]))
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.UNAVAILABLE, error
        time.sleep(0.05)
    raise AssertionError("the interrupted upload cannot be resumed")


def check_resumed_writes(store):
    for size in (60_000, 5_000_000):
        data = os.urandom(size)
        d = digest(data)
        name = upload_name(d)
        half = size // 2
        refused(INVALID, store.write, iter([M.WriteRequest(resource_name=name, write_offset=half, data=data[half:], finish_write=True)]))
        broken_off(store, name, data[:half], half)
        assert missing(store, d) == [(d.hash, size)]
        assert resume(store, name, half, data[half:]).committed_size == size
        assert read(store, f"blobs/{SEGMENT}{d.hash}/{size}") == data


def raw_frame(data):
    """A zstd frame that holds its data in raw blocks: what no library is needed for."""
    blocks = [data[at : at + 100_000] for at in range(0, len(data), 100_000)] or [b""]
    frame = b"\x28\xb5\x2f\xfd\x00\x40"
    for at, block in enumerate(blocks):
        head = len(block) << 3 | (at == len(blocks) - 1)
        frame += head.to_bytes(3, "little") + block
    return frame


def check_zstd(store):
    for function, of in ((BLAKE3, "blake3/"),) if FUNCTION == BLAKE3 else ((0, ""), (0, "sha256/")):
        data = os.urandom(700_000)
        d = digest(data)
        name = f"uploads/{uuid.uuid4()}/compressed-blobs/zstd/{of}{d.hash}/{d.size_bytes}"
        packed = raw_frame(data[:400_000]) + raw_frame(data[400_000:])
        refused(INVALID, write, store, name, [packed[:-1]])
        refused(INVALID, write, store, name, [raw_frame(data + b"more")])
        refused(INVALID, write, store, name, [raw_frame(data[:-1])])
        refused(INVALID, write, store, name, [b"no zstd at all"])
        refused(INVALID, write, store, name, [raw_frame(data[:-1] + bytes([data[-1] ^ 1]))])
        assert missing(store, d, function=function) == [(d.hash, len(data))]
        assert write(store, name, [packed[:1000], packed[1000:]]) == len(packed)
        assert read(store, f"blobs/{SEGMENT}{d.hash}/{len(data)}") == data
        assert write(store, name, [b"ignored"]) == -1, "there already, sent packed"
        refused(INVALID, read, store, f"compressed-blobs/zstd/{of}{d.hash}/{len(data)}", 0, 5)
        for offset in (0, 10, len(data)):
            answer = read(store, f"compressed-blobs/zstd/{of}{d.hash}/{len(data)}", offset)
            assert answer[:4] == b"\x28\xb5\x2f\xfd"
            # What was packed by the store is a legal upload of the same bytes.
            rest = data[offset:]
            other = digest(rest + b"tail")
            name = f"uploads/{uuid.uuid4()}/compressed-blobs/zstd/{SEGMENT}{other.hash}/{other.size_bytes}"
            write(store, name, [answer + raw_frame(b"tail")])
            assert read(store, f"blobs/{SEGMENT}{other.hash}/{other.size_bytes}") == rest + b"tail"
    check_zstd_resumed(store)
    check_zstd_batches(store)


def check_zstd_resumed(store):
    data = os.urandom(500_000)
    d = digest(data)
    name = f"uploads/{uuid.uuid4()}/compressed-blobs/zstd/{SEGMENT}{d.hash}/{d.size_bytes}"
    broken_off(store, name, raw_frame(data[:200_000]), 200_000)
    resume(store, name, 200_000, raw_frame(data[200_000:]))
    assert read(store, f"blobs/{SEGMENT}{d.hash}/{d.size_bytes}") == data


def check_zstd_batches(store):
    good, lying, broken = os.urandom(3000), os.urandom(3000), os.urandom(3000)
    blobs = [
        M.UpdateBlob(digest=digest(good), data=raw_frame(good), compressor=ZSTD),
        M.UpdateBlob(digest=M.Digest(hash=digest(lying).hash, size_bytes=2999), data=raw_frame(lying), compressor=ZSTD),
        M.UpdateBlob(digest=digest(broken), data=raw_frame(broken)[:-1], compressor=ZSTD),
    ]
    answer = store.update(M.BatchUpdateBlobsRequest(requests=blobs))
    assert [r.status.code for r in answer.responses] == [0, 3, 3]
    # A bomb: a repeated byte in few bytes, said to be more than a batch may hold, or less than it is.
    zeros = bytes(50_000_000)
    block = (100_000 << 3 | 2).to_bytes(3, "little") + b"\0"
    bomb = b"\x28\xb5\x2f\xfd\x00\x40" + block * 499 + (100_000 << 3 | 3).to_bytes(3, "little") + b"\0"
    refused(INVALID, store.update, M.BatchUpdateBlobsRequest(requests=[M.UpdateBlob(digest=digest(zeros), data=bomb, compressor=ZSTD)]))
    small = M.Digest(hash=digest(zeros).hash, size_bytes=1000)
    answer = store.update(M.BatchUpdateBlobsRequest(requests=[M.UpdateBlob(digest=small, data=bomb, compressor=ZSTD)]))
    assert answer.responses[0].status.code == 3
    text = b"the same words again and again. " * 1000
    put(store, text, good)
    request = M.BatchReadBlobsRequest(digests=[digest(text), digest(good)], acceptable_compressors=[ZSTD])
    packed, plain = store.read_batch(request).responses
    assert packed.compressor == ZSTD and len(packed.data) < 1000
    assert (plain.compressor, plain.data) == (0, good), "what does not shrink comes as it is"
    other = digest(text + b"tail")
    tail = M.UpdateBlob(digest=other, data=packed.data + raw_frame(b"tail"), compressor=ZSTD)
    assert store.update(M.BatchUpdateBlobsRequest(requests=[tail])).responses[0].status.code == 0
    assert store.read_batch(M.BatchReadBlobsRequest(digests=[digest(text)])).responses[0].data == text


def check_concurrent_writers(store):
    blobs = [os.urandom(n) for n in (1000, 500_000)]
    for blob in blobs:
        d = digest(blob)
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            work = [pool.submit(write, store, upload_name(d), [blob[:500], blob[500:]]) for _ in range(16)]
            assert [w.result() for w in work] == [len(blob)] * 16
        assert read(store, f"blobs/{SEGMENT}{d.hash}/{len(blob)}") == blob


def check_trees(store):
    file = os.urandom(40)
    leaf = M.Directory(files=[M.FileNode(name="f", digest=digest(file))]).SerializeToString()
    absent = digest(os.urandom(8))
    children = [M.DirectoryNode(name=f"d{n}", digest=digest(leaf)) for n in range(3)]
    root = M.Directory(directories=children + [M.DirectoryNode(name="gone", digest=absent)]).SerializeToString()
    put(store, file, leaf, root)
    found = list(store.get_tree(M.GetTreeRequest(root_digest=digest(root))))
    assert [d.SerializeToString() for r in found for d in r.directories] == [root, leaf]
    paged = list(store.get_tree(M.GetTreeRequest(root_digest=digest(root), page_size=1)))
    assert [len(r.directories) for r in paged] == [1, 1] and paged[0].next_page_token
    rest = list(store.get_tree(M.GetTreeRequest(root_digest=digest(root), page_token=paged[0].next_page_token)))
    assert [d.SerializeToString() for r in rest for d in r.directories] == [leaf]
    refused(ABSENT, store.get_tree, M.GetTreeRequest(root_digest=absent))
    for hostile in hostile_directories(digest(file)):
        put(store, hostile)
        refused(INVALID, store.get_tree, M.GetTreeRequest(root_digest=digest(hostile)))
    wide = [M.Directory(files=[M.FileNode(name=f"{n}-{'x' * 200}", digest=digest(file))]).SerializeToString() for n in range(2000)]
    for at in range(0, len(wide), 1000):
        put(store, *wide[at : at + 1000])
    top = M.Directory(directories=[M.DirectoryNode(name=f"{n:05}", digest=digest(d)) for n, d in enumerate(wide)])
    put(store, top.SerializeToString())
    pages = list(store.get_tree(M.GetTreeRequest(root_digest=digest(top.SerializeToString()))))
    assert sum(len(r.directories) for r in pages) == 2001


def hostile_directories(file):
    for name in ("", ".", "..", "a/b", "/etc/passwd", "nul\0", "x" * 256):
        yield M.Directory(files=[M.FileNode(name=name, digest=file)]).SerializeToString()
        yield M.Directory(symlinks=[M.SymlinkNode(name=name, target="x")]).SerializeToString()
        yield M.Directory(directories=[M.DirectoryNode(name=name, digest=digest(b""))]).SerializeToString()
    yield M.Directory(files=[M.FileNode(name="twice", digest=file)] * 2).SerializeToString()
    yield M.Directory(files=[M.FileNode(name="a", digest=file)], symlinks=[M.SymlinkNode(name="a", target="b")]).SerializeToString()
    yield M.Directory(files=[M.FileNode(name="a", digest=M.Digest(hash="../x", size_bytes=1))]).SerializeToString()
    yield M.Directory(files=[M.FileNode(name="a")]).SerializeToString()
    yield b"\xff\xff no directory at all"


def new_action(store):
    """An Action that nobody ran, uploaded with its Command as the API asks before a result is."""
    command = M.Command(arguments=["true", str(uuid.uuid4())]).SerializeToString()
    action = M.Action(command_digest=digest(command), input_root_digest=digest(b"")).SerializeToString()
    assert put(store, command, action) == [0, 0]
    return digest(action)


def check_action_cache(store):
    action = new_action(store)
    file, stdout = os.urandom(20), os.urandom(20)
    inner = os.urandom(20)
    tree = M.Tree(root=M.Directory(files=[M.FileNode(name="inner", digest=digest(inner))])).SerializeToString()

    def update(result, key=action):
        return store.put_result(M.UpdateActionResultRequest(action_digest=key, action_result=result))

    def get(key=action):
        return store.get_result(M.GetActionResultRequest(action_digest=key))

    refused(ABSENT, get)
    outputs = [M.OutputFile(path="../out/libx.rlib", digest=digest(file), is_executable=True)]
    directories = [M.OutputDirectory(path="d", tree_digest=digest(tree))]
    result = M.ActionResult(output_files=outputs, output_directories=directories, stdout_digest=digest(stdout))
    refused(grpc.StatusCode.FAILED_PRECONDITION, update, result)
    put(store, tree)
    update(result)
    # Not served before the last blob of its closure is there, the file in the tree included.
    for blob in (file, stdout, inner):
        refused(ABSENT, get)
        put(store, blob)
    assert get() == result
    result.exit_code = 7
    update(result)
    assert get().exit_code == 7
    refused(ABSENT, get, digest(b"another action"))
    check_hostile_results(store, update, digest(file))


def check_inlining(store):
    action, out, err, file = new_action(store), b"out" * 9, b"err" * 9, b"file" * 9
    put(store, out, err, file)
    outputs = [M.OutputFile(path="a/f", digest=digest(file), contents=file), M.OutputFile(path="g", digest=digest(file))]
    result = M.ActionResult(output_files=outputs, stdout_digest=digest(out), stderr_digest=digest(err), stdout_raw=out)
    store.put_result(M.UpdateActionResultRequest(action_digest=action, action_result=result))

    def get(**named):
        return store.get_result(M.GetActionResultRequest(action_digest=action, **named))

    plain = get()
    assert not plain.stdout_raw and not plain.stderr_raw and not any(f.contents for f in plain.output_files)
    asked = get(inline_stdout=True, inline_stderr=True, inline_output_files=["g", "absent"])
    assert (asked.stdout_raw, asked.stderr_raw) == (out, err)
    assert [f.contents for f in asked.output_files] == [b"", file]
    # What would not fit into a message stays out, asked for or not.
    large = os.urandom(2_000_000)
    put(store, large)
    result = M.ActionResult(stdout_digest=digest(large), stderr_digest=digest(large))
    store.put_result(M.UpdateActionResultRequest(action_digest=action, action_result=result))
    asked = get(inline_stdout=True, inline_stderr=True)
    assert asked.stdout_raw == large and not asked.stderr_raw


def check_chunking(store):
    """Splitting and splicing are not offered, and are refused as what is not there."""
    able = store.capabilities(M.GetCapabilitiesRequest()).cache_capabilities
    assert not able.split_blob_support and not able.splice_blob_support
    refused(grpc.StatusCode.UNIMPLEMENTED, store.split, M.SplitBlobRequest(blob_digest=digest(b"")))
    refused(grpc.StatusCode.UNIMPLEMENTED, store.splice, M.SpliceBlobRequest(blob_digest=digest(b"")))


def check_headers(store):
    """Metadata of a request is nobody's reason to refuse it."""
    for value in (b"", b"\xff\xff no message", os.urandom(3000)):
        metadata = [("build.bazel.remote.execution.v2.requestmetadata-bin", value)]
        assert store.capabilities(M.GetCapabilitiesRequest(), metadata=metadata).cache_capabilities.digest_functions
    data = os.urandom(100)
    put(store, data)
    metadata = [("build.bazel.remote.execution.v2.resource-name", blob_name(digest(data)))]
    request = M.ReadRequest(resource_name=blob_name(digest(data)))
    assert b"".join(r.data for r in store.read(request, metadata=metadata)) == data
    # There is one instance, whatever it is called.
    request = M.FindMissingBlobsRequest(instance_name="any/name", blob_digests=[digest(data)])
    assert not store.find_missing(request).missing_blob_digests


def check_hostile_results(store, update, file):
    key = new_action(store)
    for path in ("", "/etc/passwd", "a//b", "nul\0", "./x", "x" * 256):
        refused(INVALID, update, M.ActionResult(output_files=[M.OutputFile(path=path, digest=file)]), key)
        refused(INVALID, update, M.ActionResult(output_symlinks=[M.OutputSymlink(path=path, target="x")]), key)
    refused(INVALID, update, M.ActionResult(output_files=[M.OutputFile(path="a", digest=M.Digest(hash="../x", size_bytes=1))]), key)
    refused(INVALID, update, M.ActionResult(output_files=[M.OutputFile(path="a")]), key)
    refused(INVALID, store.put_result, M.UpdateActionResultRequest(action_digest=key))
    for hostile in hostile_directories(file):
        put(store, hostile)
        root = M.ActionResult(output_directories=[M.OutputDirectory(path="d", root_directory_digest=digest(hostile))])
        refused(INVALID, update, root, key)
        try:
            tree = M.Tree(root=M.Directory.FromString(hostile)).SerializeToString()
        except Exception:
            continue
        put(store, tree)
        refused(INVALID, update, M.ActionResult(output_directories=[M.OutputDirectory(path="d", tree_digest=digest(tree))]), key)
    refused(ABSENT, store.get_result, M.GetActionResultRequest(action_digest=key))


# Called by other checks.
PARTS = {"check_hostile_results", "check_zstd_resumed", "check_zstd_batches"}


def main():
    store = Store(sys.argv[1])
    for name, check in list(globals().items()):
        if name.startswith("check_") and name not in PARTS:
            start = time.monotonic()
            check(store)
            print(f"ok {name[6:]} ({time.monotonic() - start:.2f} s)", flush=True)


if __name__ == "__main__":
    main()
