#!/usr/bin/env python3
"""Drives a store whose file system is small: fills it, and says what goes on and what does not.

Usage: full_disk.py SOCKET leased     everything stored is in use: writes end in RESOURCE_EXHAUSTED, reads go on
       full_disk.py SOCKET evicting   nothing is in use: what was used longest ago makes room

Needs reapi_client.py beside it. Exits 1 at the first thing that is not so."""

import sys

import grpc

from reapi_client import ABSENT, M, Store, blob_name, digest, missing, put, read, refused, upload_name, write

FULL = grpc.StatusCode.RESOURCE_EXHAUSTED
LARGE, SMALL = 200_000, 2_000


def blob(kind, n, size):
    return f"{kind} {n} ".encode().ljust(size, b".")


def fill(store, kind, size, most):
    """Stores blobs until one is refused; those that were acknowledged."""
    stored = []
    for n in range(most):
        one = blob(kind, n, size)
        code = put(store, one)[0]
        if code != 0:
            assert code == FULL.value[0], f"status {code}"
            return stored
        stored.append(one)
    raise AssertionError(f"{most} blobs of {size} bytes fit")


def check_all_there(store, blobs):
    assert missing(store, *map(digest, blobs)) == []
    for one in blobs:
        assert read(store, blob_name(digest(one))) == one


def leased(store):
    action = digest(b"an action")
    large = fill(store, "large", LARGE, 500)
    assert large, "nothing was stored"
    # Small blobs need bytes and no inodes.
    small = [blob("small", n, SMALL) for n in range(20)]
    small = [one for one in small if put(store, one) == [0]]
    assert small, "a small blob needs no inode and few bytes"
    check_all_there(store, large + small)
    for size in (LARGE, LARGE * 3):
        one = blob("streamed", 0, size)
        refused(FULL, write, store, upload_name(digest(one)), [one[:1000], one[1000:]])
        assert missing(store, digest(one)), "a refused blob is there"
    assert put(store, large[0]) == [0], "what is there needs no room"
    assert write(store, upload_name(digest(large[0])), [large[0]]) == LARGE
    # The reserve is for what is known of blobs: a result of some bytes is taken and served.
    outputs = [M.OutputFile(path="out", digest=digest(large[0]))]
    store.put_result(M.UpdateActionResultRequest(action_digest=action, action_result=M.ActionResult(output_files=outputs)))
    assert store.get_result(M.GetActionResultRequest(action_digest=action)).output_files[0].path == "out"
    check_all_there(store, large + small)
    print(f"{len(large)} large and {len(small)} small blobs fit")


def evicting(store):
    before = [blob("large", n, LARGE) for n in range(500)]
    assert missing(store, digest(before[0])) == []
    fresh = [blob("fresh", n, LARGE) for n in range(800)]
    for one in fresh:
        assert put(store, one) == [0], "nothing is leased, and yet it is full"
    check_all_there(store, fresh[-3:])
    assert missing(store, digest(before[1])) and missing(store, digest(fresh[0]))
    refused(ABSENT, store.get_result, M.GetActionResultRequest(action_digest=digest(b"an action")))
    print("evicted what was used longest ago")


if __name__ == "__main__":
    {"leased": leased, "evicting": evicting}[sys.argv[2]](Store(sys.argv[1]))
