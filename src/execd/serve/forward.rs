//! The store's services on the executor's endpoint, for clients that know one address only: whole
//! calls are handed on to casd and its answers handed back, neither of them decoded.

use std::{
    convert::Infallible,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
};

use shared::service::{BY_TCP, FORWARDED, Peer};
use tonic::{
    Status,
    body::Body,
    codegen::{
        Service,
        http::{HeaderValue, Request, Response},
    },
    server::NamedService,
    transport::Channel,
};

/// Hands on every call of the service `S`.
#[derive(Debug)]
pub struct Forward<S> {
    channel: Channel,
    service: PhantomData<fn() -> S>,
}

impl<S> Forward<S> {
    /// To the service at the end of `channel`.
    pub fn new(channel: Channel) -> Self {
        Forward { channel, service: PhantomData }
    }
}

impl<S> Clone for Forward<S> {
    fn clone(&self) -> Self {
        Forward::new(self.channel.clone())
    }
}

impl<S: NamedService> NamedService for Forward<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Forward<S> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let mut channel = self.channel.clone();
        // The store sees this service's own connection, so it has to be told.
        if request.extensions().get::<Peer>() == Some(&Peer::Tcp) {
            request.headers_mut().insert(FORWARDED, HeaderValue::from_static(BY_TCP));
        }
        Box::pin(async move {
            let answered = match std::future::poll_fn(|cx| channel.poll_ready(cx)).await {
                Ok(()) => channel.call(request).await,
                Err(err) => Err(err),
            };
            Ok(answered.unwrap_or_else(|err| Status::unavailable(format!("the store: {err}")).into_http()))
        })
    }
}
