//! The one service behind the layer and all guards: it looks at the head of a request, and lets
//! the request on as it came or answers in its place.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::request::Parts;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{TierError, TierInfo};

/// What a [`Gate`] says: what to tell those within, or why the request goes no further.
pub(super) type Verdict = Result<Option<TierInfo>, TierError>;

/// What decides about a request by its head.
pub trait Gate: Clone {
    /// The wait for a verdict.
    type Later: Future<Output = Verdict>;

    /// The verdict, or the wait for it.
    fn ask(&self, parts: &Parts) -> Decision<Self::Later>;
}

/// A verdict, or the wait for it.
#[derive(Debug)]
pub enum Decision<L> {
    /// Known.
    Now(Verdict),
    /// To be waited for.
    Later(L),
}

/// A service that a gate stands before.
#[derive(Debug, Clone)]
pub struct Gated<S, G> {
    inner: S,
    gate: G,
}

impl<S, G> Gated<S, G> {
    pub(super) fn new(inner: S, gate: G) -> Self {
        Self { inner, gate }
    }
}

impl<S, G, B, R> Service<Request<B>> for Gated<S, G>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    G: Gate,
    R: From<String>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = GatedFuture<S, G::Later, B, R>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (parts, body) = request.into_parts();
        let decision = self.gate.ask(&parts);
        let request = Request::from_parts(parts, body);
        let state = match decision {
            Decision::Now(Ok(told)) => State::Inner {
                answer: self.inner.call(with(request, told)),
            },
            Decision::Now(Err(error)) => State::Refused {
                answer: Some(error.respond()),
            },
            Decision::Later(verdict) => {
                // The one that is ready is taken; its clone is asked whether it is.
                let fresh = self.inner.clone();
                State::Waiting {
                    verdict,
                    then: Some((std::mem::replace(&mut self.inner, fresh), request)),
                }
            }
        };
        GatedFuture { state }
    }
}

/// The request, and what those within are told.
fn with<B>(mut request: Request<B>, told: Option<TierInfo>) -> Request<B> {
    if let Some(info) = told {
        request.extensions_mut().insert(info);
    }
    request
}

pin_project! {
    /// The answer of a [`Gated`] service.
    #[must_use = "nothing happens until it is polled"]
    pub struct GatedFuture<S, L, B, R>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, L, B, R>,
    }
}

pin_project! {
    #[project = Step]
    enum State<S, L, B, R>
    where
        S: Service<Request<B>>,
    {
        Waiting {
            #[pin]
            verdict: L,
            then: Option<(S, Request<B>)>,
        },
        Inner {
            #[pin]
            answer: S::Future,
        },
        Refused {
            answer: Option<Response<R>>,
        },
    }
}

impl<S, L, B, R> Future for GatedFuture<S, L, B, R>
where
    S: Service<Request<B>, Response = Response<R>>,
    L: Future<Output = Verdict>,
    R: From<String>,
{
    type Output = Result<Response<R>, S::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let next = match state.as_mut().project() {
                Step::Inner { answer } => return answer.poll(context),
                Step::Refused { answer } => match answer.take() {
                    Some(answer) => return Poll::Ready(Ok(answer)),
                    // Polled again after its answer, which no caller may do.
                    None => return Poll::Pending,
                },
                Step::Waiting { verdict, then } => {
                    let verdict = ready!(verdict.poll(context));
                    match (verdict, then.take()) {
                        (Ok(told), Some((mut inner, request))) => State::Inner {
                            answer: inner.call(with(request, told)),
                        },
                        (Err(error), _) => State::Refused {
                            answer: Some(error.respond()),
                        },
                        (Ok(_), None) => return Poll::Pending,
                    }
                }
            };
            state.set(next);
        }
    }
}
