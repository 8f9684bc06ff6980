//! What a subject may do: features (on or off) and limits (a number, or unlimited).
//!
//! A [`Catalog`] says what can be sold, [`Stored`] what one subject has, and [`resolve()`] what
//! that amounts to. All three are pure: no clock, no database.
//!
//! A key is known when the catalog declares it. A typing error is therefore an error and never
//! a silent "no" (ENT-28, ENT-30); a known limit that nobody grants is 0, which denies (ENT-29).

mod bits;
mod catalog;
mod clock;
mod names;
mod resolve;
#[cfg(feature = "sql")]
pub mod sql;
mod stored;

pub use catalog::{Builder, Catalog, CatalogError, TierGrants};
pub use clock::Clock;
pub use manifest::{AddOn, FeatureRule, Limit};
pub use names::{Kind, NotASubject, SUBJECT_BYTES_MAX, UnknownName, check_subject};
pub use resolve::{Dangling, Description, Effective, resolve};
pub use stored::{
    After, Assignment, Configured, LISTED, OverrideError, Overrides, SetSwitch, Source, Stored,
    Switch, Switched, Switches,
};
