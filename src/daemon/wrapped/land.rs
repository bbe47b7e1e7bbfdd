//! What a wrapped call left comes to the place where cargo looks for it: files under their own
//! names, then the dep-info, then what the compiler said.

use std::{
    fs::{self, File},
    io::Write,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    sync::Arc,
};

use shared::{
    digest::Digest,
    fault::{Failure, Fault},
};

use super::result::Left;
use crate::{
    cargo::{
        call::{Call, Role},
        wrapped::Speech,
    },
    place::{Item, Mask, put},
    services::{Services, persist},
    sources::Hashes,
    start::Ground,
};

/// Places the files, and says what the compiler said.
pub async fn land(
    services: &Services,
    hashes: &Arc<Hashes>,
    ground: &Ground,
    folder: &Path,
    (call, left, speech): (&Call, &Left, &Speech),
) -> Result<(), Failure> {
    let mut dep_info = call.outputs.iter().find(|output| output.role == Role::DepInfo).map(|output| {
        let text = speech.dep_info(&left.dep_info);
        (folder.join(&output.name), text)
    });
    let mut items = Vec::new();
    for output in call.outputs.iter().filter(|output| output.role != Role::DepInfo).rev() {
        let Some((digest, mode)) = left.files.get(&output.name) else { continue };
        let path = folder.join(&output.name);
        items.push(Item { path, digest: *digest, mode: *mode, dep_info: dep_info.take() });
    }
    // The first written is the last of these, and cargo looks at the dep-info when all is over.
    items.reverse();
    let digests: Vec<Digest> = items.iter().map(|item| item.digest).collect();
    let (opened, fds) = persist(async || services.cas.open(&digests).await).await?;
    let (hashes, folder) = (Arc::clone(hashes), folder.to_owned());
    let mask = Mask::of(ground.umask);
    blocking(move || {
        fs::create_dir_all(&folder)
            .map_err(|err| Failure::new(Fault::User, format!("failed to write `{}`: {err}", folder.display())))?;
        for (item, opened) in items.iter().zip(opened) {
            put(&folder, item, opened, &fds, mask)?;
            hashes.wrote(&item.path, item.digest);
        }
        Ok(())
    })
    .await?;
    let [_, stdout, stderr] = &ground.streams;
    say(stdout, speech.stream(&left.stdout)).await?;
    say(stderr, speech.stream(&left.stderr)).await
}

/// Writes to one of the person's descriptors. A reader that never reads holds up only its own call.
async fn say(to: &OwnedFd, text: String) -> Result<(), Failure> {
    if text.is_empty() {
        return Ok(());
    }
    let to = to.as_fd().try_clone_to_owned();
    let to = to.map_err(|err| Failure::new(Fault::Environment, format!("a descriptor: {err}")))?;
    blocking(move || {
        // A reader that went away is cargo's end.
        let _gone = File::from(to).write_all(text.as_bytes());
        Ok(())
    })
    .await
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Failure> + Send + 'static) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.map_err(|err| Failure::new(Fault::Bug, format!("placing: {err}")))?
}
