//! Whose request it is: closures of the application over the head of the request.

use std::future::{Future, Ready};

use http::request::Parts;

use super::TierError;

/// What a closure may answer: the owner, nobody, or why the request goes no further. An error
/// keeps a bad credential from being taken for none.
pub trait IntoOwner {
    /// The answer in one form.
    fn into_owner(self) -> Result<Option<String>, TierError>;
}

impl IntoOwner for Option<String> {
    fn into_owner(self) -> Result<Option<String>, TierError> {
        self.map_or(Ok(None), |owner| Ok(Some(owner)))
    }
}

impl IntoOwner for Result<Option<String>, TierError> {
    fn into_owner(self) -> Self {
        self
    }
}

/// Finds whose request it is.
pub trait Owner: Clone + Send + Sync + 'static {
    /// The wait for an answer.
    type Later: Future<Output = Result<Option<String>, TierError>> + Send + 'static;

    /// Whose request it is.
    fn owner(&self, parts: &Parts) -> Found<Self::Later>;
}

/// An answer, or the wait for it.
pub enum Found<L> {
    /// Known.
    Now(Result<Option<String>, TierError>),
    /// To be waited for.
    Later(L),
}

/// A closure that answers at once.
#[derive(Clone)]
pub struct Immediate<F>(pub(super) F);

/// A closure that answers with a future. What that needs of the request, the closure takes out.
#[derive(Clone)]
pub struct Awaited<F>(pub(super) F);

impl<F, R> Owner for Immediate<F>
where
    F: Fn(&Parts) -> R + Clone + Send + Sync + 'static,
    R: IntoOwner,
{
    type Later = Ready<Result<Option<String>, TierError>>;

    fn owner(&self, parts: &Parts) -> Found<Self::Later> {
        Found::Now((self.0)(parts).into_owner())
    }
}

impl<F, L> Owner for Awaited<F>
where
    F: Fn(&Parts) -> L + Clone + Send + Sync + 'static,
    L: Future<Output = Result<Option<String>, TierError>> + Send + 'static,
{
    type Later = L;

    fn owner(&self, parts: &Parts) -> Found<L> {
        Found::Later((self.0)(parts))
    }
}
