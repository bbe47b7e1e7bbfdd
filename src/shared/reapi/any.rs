//! `google.protobuf.Any` by hand: the generated API has no reflection, so each message that is
//! ever packed is named here.

use bazel_remote_apis::build::bazel::remote::execution::v2;
pub use bazel_remote_apis::google::protobuf::Any;
use prost::Message;

/// A message with its full protobuf name.
pub trait Named: Message + Default {
    /// The full name, as `Any.type_url` ends.
    const NAME: &'static str;
}

impl Named for v2::ExecuteOperationMetadata {
    const NAME: &'static str = "build.bazel.remote.execution.v2.ExecuteOperationMetadata";
}

impl Named for v2::ExecuteResponse {
    const NAME: &'static str = "build.bazel.remote.execution.v2.ExecuteResponse";
}

/// Packs a message under its full name.
pub fn pack<M: Named>(message: &M) -> Any {
    Any { type_url: format!("type.googleapis.com/{}", M::NAME), value: message.encode_to_vec() }
}

/// Unpacks a message if it is of that type and decodes.
pub fn unpack<M: Named>(any: &Any) -> Option<M> {
    let name = any.type_url.rsplit('/').next()?;
    (name == M::NAME).then(|| M::decode(any.value.as_slice()).ok()).flatten()
}
