//! What only premium users get: one gate that answers, and one that runs the work.

use super::PremiumStatus;

/// Who is asking.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Caller<'a> {
    /// Nobody in particular.
    #[default]
    Anonymous,
    /// Whoever holds a claim, such as a license key, and is no user.
    ClaimBearer,
    /// A user.
    User(&'a str),
}

impl<'a> Caller<'a> {
    /// The user, if it is one. Nobody else can be premium (TOOL-30).
    pub fn user(self) -> Option<&'a str> {
        match self {
            Self::User(user) if !user.is_empty() => Some(user),
            Self::User(_) | Self::Anonymous | Self::ClaimBearer => None,
        }
    }

    /// Whether it is a premium user. The claims are asked of users alone.
    pub async fn is_premium<C: PremiumStatus + ?Sized>(self, claims: &C) -> bool {
        match self.user() {
            Some(user) => claims.is_premium(user).await,
            None => false,
        }
    }
}

/// A caller that is not known is anonymous (TOOL-12).
impl<'a> From<Option<&'a str>> for Caller<'a> {
    fn from(user: Option<&'a str>) -> Self {
        user.map_or(Self::Anonymous, Self::User)
    }
}

/// The caller is not premium. Over HTTP that is 402 with [`NotPremium::CODE`]; whoever asks the
/// gate decides (TOOL-10).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is for premium users; ask whoever runs this service for premium")]
pub struct NotPremium;

impl NotPremium {
    /// What programs go by.
    pub const CODE: &str = "premium_required";
    /// The HTTP status that says it: Payment Required.
    pub const STATUS: u16 = 402;
}

/// Lets premium users pass (TOOL-9).
pub async fn require_premium<C: PremiumStatus + ?Sized>(
    claims: &C,
    caller: Caller<'_>,
) -> Result<(), NotPremium> {
    if caller.is_premium(claims).await {
        Ok(())
    } else {
        Err(NotPremium)
    }
}

/// Runs the work for premium users. For others it is not even started (TOOL-11).
pub async fn if_premium<C, W, F>(claims: &C, caller: Caller<'_>, work: W) -> Option<F::Output>
where
    C: PremiumStatus + ?Sized,
    W: FnOnce() -> F,
    F: Future,
{
    match require_premium(claims, caller).await {
        Ok(()) => Some(work().await),
        Err(NotPremium) => None,
    }
}
