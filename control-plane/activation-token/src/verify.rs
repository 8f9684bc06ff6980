//! From a text to a [`Verified`] token, in one fixed order of checks (DESIGN section 5).

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::claims::{Claims, ClaimsError, LIFE_SECONDS_MAX, OFFLINE_LIFE_SECONDS_MAX};
use crate::compact::{Compact, CompactError, Kind, OFFLINE_TOKEN, TOKEN};
use crate::keys::KeySet;

/// The most clock difference a gate may forgive, in seconds.
pub const LEEWAY_SECONDS_MAX: u8 = 60;

/// Whose tokens count here.
#[derive(Debug, Clone)]
pub struct Verifier {
    parties: Arc<Parties>,
    leeway: SignedDuration,
    kind: &'static Kind,
    life_seconds_max: i64,
}

/// Who signs, and whose gates are meant.
#[derive(Debug)]
struct Parties {
    issuer: String,
    audience: String,
}

/// A token whose signature, claims, time, issuer and audience are good. Made by
/// [`Verifier::verify`] alone.
#[derive(Debug, Clone)]
pub struct Verified {
    standing: Standing,
    claims: Claims,
}

/// What a verified token stands on: whatever has to be checked again while it is held. It is
/// small, and shares what it has in common with others, so that many can be held.
#[derive(Debug, Clone)]
pub struct Standing {
    key_id: Arc<str>,
    parties: Arc<Parties>,
    issued_at: Timestamp,
    not_before: Timestamp,
    expires_at: Timestamp,
}

/// Why a text is not a good token, in the order in which it is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Over [`crate::TOKEN_BYTES_MAX`].
    #[error("the token is too long")]
    TooLong,
    /// Not three parts of canonical base64url.
    #[error("this is not an activation token")]
    Form,
    /// Another algorithm or type, or a header member that does not belong there.
    #[error("this is not an activation token")]
    Header,
    /// Nobody here knows the key.
    #[error("the token is signed with a key that is not in force")]
    UnknownKey,
    /// The signature does not fit.
    #[error("the token's signature does not fit")]
    Signature,
    /// See [`ClaimsError`].
    #[error(transparent)]
    Claims(#[from] ClaimsError),
    /// `nbf` or `iat` lies ahead.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// `exp` has passed.
    #[error("the token has expired")]
    Expired,
    /// `iss` is somebody else.
    #[error("the token is from another issuer")]
    Issuer,
    /// `aud` is somebody else.
    #[error("the token is for another registry")]
    Audience,
}

impl From<CompactError> for TokenError {
    fn from(error: CompactError) -> Self {
        match error {
            CompactError::TooLong => Self::TooLong,
            CompactError::Form => Self::Form,
            CompactError::Header => Self::Header,
        }
    }
}

impl Verifier {
    /// Expects `issuer` and `audience` and forgives `leeway_seconds` of clock difference, at
    /// most [`LEEWAY_SECONDS_MAX`].
    pub fn new(issuer: impl Into<String>, audience: impl Into<String>, leeway_seconds: u8) -> Self {
        let leeway = SignedDuration::from_secs(leeway_seconds.min(LEEWAY_SECONDS_MAX).into());
        let parties = Parties {
            issuer: issuer.into(),
            audience: audience.into(),
        };
        Self {
            parties: Arc::new(parties),
            leeway,
            kind: &TOKEN,
            life_seconds_max: LIFE_SECONDS_MAX,
        }
    }

    /// The same, for offline tokens and no others.
    #[must_use]
    pub fn offline(self) -> Self {
        Self {
            kind: &OFFLINE_TOKEN,
            life_seconds_max: OFFLINE_LIFE_SECONDS_MAX,
            ..self
        }
    }

    /// Checks everything about a token but revocation and the package, which only a gate knows.
    pub fn verify(
        &self,
        token: &str,
        keys: &KeySet,
        now: Timestamp,
    ) -> Result<Verified, TokenError> {
        let compact = Compact::parse(token, self.kind)?;
        let key = keys.get(&compact.key_id).ok_or(TokenError::UnknownKey)?;
        if !key.verifies(compact.signed.as_bytes(), compact.signature) {
            return Err(TokenError::Signature);
        }
        let claims = Claims::from_json(&compact.payload, self.life_seconds_max)?;
        let standing = Standing {
            key_id: key.shared_id(),
            parties: Arc::clone(&self.parties),
            issued_at: claims.issued_at,
            not_before: claims.not_before,
            expires_at: claims.expires_at,
        };
        self.check_time(&standing, now)?;
        self.check_parties((&claims.issuer, &claims.audience))?;
        Ok(Verified { standing, claims })
    }

    /// Checks everything about a verified token that may have changed while it was held: whether
    /// its key is still in force, the time, and who is expected.
    pub fn recheck(
        &self,
        token: &Standing,
        keys: &KeySet,
        now: Timestamp,
    ) -> Result<(), TokenError> {
        keys.get(&token.key_id).ok_or(TokenError::UnknownKey)?;
        self.check_time(token, now)?;
        // The same ones as a rule: compared by address first.
        if Arc::ptr_eq(&token.parties, &self.parties) {
            return Ok(());
        }
        self.check_parties((&token.parties.issuer, &token.parties.audience))
    }

    fn check_parties(&self, (issuer, audience): (&str, &str)) -> Result<(), TokenError> {
        if issuer != self.parties.issuer {
            return Err(TokenError::Issuer);
        }
        if audience != self.parties.audience {
            return Err(TokenError::Audience);
        }
        Ok(())
    }

    fn check_time(&self, token: &Standing, now: Timestamp) -> Result<(), TokenError> {
        let latest_start = now.saturating_add(self.leeway).unwrap_or(now);
        let earliest_end = now.saturating_sub(self.leeway).unwrap_or(now);
        if token.not_before > latest_start || token.issued_at > latest_start {
            return Err(TokenError::NotYetValid);
        }
        if token.expires_at <= earliest_end {
            return Err(TokenError::Expired);
        }
        Ok(())
    }
}

impl Standing {
    /// When the token was made.
    pub fn issued_at(&self) -> Timestamp {
        self.issued_at
    }
}

impl Verified {
    /// What the token says.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// What has to be checked again for as long as the token is held, and what it says.
    pub fn into_parts(self) -> (Standing, Claims) {
        (self.standing, self.claims)
    }
}
