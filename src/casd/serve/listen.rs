//! Puts the calls on the socket: gRPC and local calls side by side, until the service stops.

use std::{io, os::unix::net::UnixListener, sync::Arc};

use shared::{
    limits::MESSAGE_BYTES,
    reapi::{
        bytestream::byte_stream_server::ByteStreamServer,
        v2::{
            action_cache_server::ActionCacheServer, capabilities_server::CapabilitiesServer,
            content_addressable_storage_server::ContentAddressableStorageServer,
        },
    },
    service::{Parts, serve_calls, sort_connections},
};
use tonic::{Request, Status, service::InterceptorLayer, transport::Server};

use super::{action_cache::Cache, bytestream::Bytes, calls, capabilities::Offer, cas::Cas, edge::Gate};
use crate::{actions::Actions, keeper::Keeper, store::Store};

/// What a client may have on the way before the store takes it: uploads of large blobs fill it.
const WINDOW_BYTES: u32 = 4 << 20;

/// The opened store with its action cache.
pub struct Casd {
    pub store: Arc<dyn Store>,
    pub actions: Arc<Actions>,
    pub keeper: Arc<Keeper>,
}

/// Serves until the service is asked to stop. Without a store, or while the gate is closed, every
/// call is answered with the reason.
pub async fn serve(listener: UnixListener, casd: Option<Arc<Casd>>, gate: Gate, parts: &Parts) -> io::Result<()> {
    let serving = sort_connections(listener, parts)?;
    let handler = {
        let (casd, gate, shutdown) = (casd.clone(), gate.clone(), parts.shutdown.clone());
        move |call| calls::answer(casd.clone(), gate.clone(), shutdown.clone(), call)
    };
    let calls = tokio::spawn(serve_calls(serving.calls, parts.clone(), handler));
    let (reporter, health) = tonic_health::server::health_reporter();
    let check = move |request: Request<()>| match gate.closed() {
        None => Ok(request),
        Some(why) => Err(Status::failed_precondition(why)),
    };
    let mut router = Server::builder()
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(2 * WINDOW_BYTES)
        .layer(InterceptorLayer::new(check))
        .add_service(health);
    if let Some(casd) = casd {
        let (store, actions) = (&casd.store, &casd.actions);
        let cas =
            ContentAddressableStorageServer::new(Cas { store: store.clone() }).max_decoding_message_size(MESSAGE_BYTES);
        let cache = ActionCacheServer::new(Cache { store: store.clone(), actions: actions.clone() });
        reporter.set_serving::<ContentAddressableStorageServer<Cas>>().await;
        reporter.set_serving::<ActionCacheServer<Cache>>().await;
        router = router
            .add_service(cas)
            .add_service(cache.max_decoding_message_size(MESSAGE_BYTES))
            .add_service(ByteStreamServer::new(Bytes::new(store.clone())).max_decoding_message_size(MESSAGE_BYTES))
            .add_service(CapabilitiesServer::new(Offer { store: store.clone() }));
    }
    let served = router.serve_with_incoming_shutdown(serving.grpc, std::future::pending()).await;
    let ended = calls.await;
    served.map_err(io::Error::other)?;
    ended.map_err(io::Error::other)
}
