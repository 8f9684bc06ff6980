//! The contract between control plane and gate.
//!
//! A license key is exchanged for an **activation token**: a compact JWS, signed with Ed25519,
//! that names the packages its bearer may install. This package says what such a token is
//! ([`Claims`]), whose signature counts ([`KeySet`]), and how a text becomes a [`Verified`]
//! token ([`Verifier`], the only way to make one). Beside it stand the other things that both
//! sides must agree on: the form of credentials ([`credential`]), the [`snapshot`] a gate works
//! from, what goes by hand to places without a network ([`offline`]), both signed with a key of
//! their own, the root key, and how a gate tells of [`downloads`].
//!
//! What must stay absent: I/O, clock reads, and any server. Signing is behind the feature
//! `sign`, which the gate never enables.

mod claims;
pub mod clock;
mod compact;
pub mod credential;
pub mod downloads;
#[cfg(feature = "sign")]
mod key_file;
mod keys;
pub mod offline;
mod provider;
mod root_signed;
#[cfg(feature = "sign")]
mod signing;
pub mod snapshot;
#[cfg(test)]
#[cfg(feature = "sign")]
mod tests;
mod verify;

pub use claims::{Claims, ClaimsError, LIFE_SECONDS_MAX, OFFLINE_LIFE_SECONDS_MAX, Packages};
pub use compact::{
    BUNDLE_HEAD_BYTES_MAX, BUNDLE_HEAD_TYPE, LICENSE_FILE_BYTES_MAX, LICENSE_FILE_TYPE,
    OFFLINE_TOKEN_TYPE, SNAPSHOT_BYTES_MAX, SNAPSHOT_TYPE, TOKEN_BYTES_MAX, TOKEN_TYPE,
};
#[cfg(feature = "sign")]
pub use key_file::KeyFileError;
pub use keys::{Key, KeyError, KeySet, KeySetError};
pub use provider::ProviderTaken;
pub use root_signed::Untrusted;
#[cfg(feature = "sign")]
pub use signing::{LISTED_BYTES_MAX, SignError, SigningKey};
pub use verify::{LEEWAY_SECONDS_MAX, Standing, TokenError, Verified, Verifier};
