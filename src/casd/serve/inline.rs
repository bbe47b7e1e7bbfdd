//! What of a result's blobs travels inside the result: what the client asked for and has room, and
//! nothing else, whatever was uploaded.

use shared::{
    digest::Function,
    limits::BATCH_BYTES,
    reapi::{digest_from_proto, v2},
};

use crate::store::Store;

/// Fills and empties the inlined fields as the request asks. A blob that cannot be read stays out:
/// its digest says where it is.
pub fn settle(
    store: &dyn Store,
    function: Function,
    request: &v2::GetActionResultRequest,
    result: &mut v2::ActionResult,
) {
    let mut room = BATCH_BYTES;
    let mut settle = |wanted: bool, bytes: &mut Vec<u8>, digest: Option<&v2::Digest>| {
        // Uploaded without a digest it is nowhere else.
        let Some(digest) = digest.and_then(|digest| digest_from_proto(function, Some(digest)).ok()) else { return };
        let Some(left) = room.checked_sub(digest.size()).filter(|_| wanted) else { return bytes.clear() };
        if bytes.len() as u64 != digest.size() {
            let read = store.get(&digest).ok().flatten().and_then(|blob| blob.into_bytes().ok());
            *bytes = read.unwrap_or_default();
        }
        room = left;
    };
    settle(request.inline_stdout, &mut result.stdout_raw, result.stdout_digest.as_ref());
    settle(request.inline_stderr, &mut result.stderr_raw, result.stderr_digest.as_ref());
    for file in &mut result.output_files {
        let wanted = request.inline_output_files.contains(&file.path);
        settle(wanted, &mut file.contents, file.digest.as_ref());
    }
}
