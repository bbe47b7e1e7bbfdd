//! The Remote Execution API v2: its generated types under one name each, and what is said about
//! them in more than one program: digests, canonical trees, packed messages, vx's own record.

pub mod any;
pub mod folder;
mod names;
mod properties;
pub mod record;
pub mod tree;

pub use bazel_remote_apis::{
    build::bazel::{remote::execution::v2, semver},
    google::{bytestream, longrunning, protobuf, rpc},
};
pub use names::{
    REQUEST_METADATA, api_versions, digest_from_proto, digest_to_proto, function_from_proto, function_to_proto,
    is_component, property,
};
pub use properties::{MTIME, Properties, UNIX_MODE};
pub use prost::Message;
