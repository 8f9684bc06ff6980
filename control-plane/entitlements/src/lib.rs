#![doc = include_str!("../README.md")]
//!
//! ## Inside
//!
//! A [`Catalog`] says what can be sold, [`Stored`] what one subject has, and [`resolve()`] what
//! that amounts to. All three are pure: no clock, no database. [`Entitlements`] puts a
//! [`driver::Driver`] below and a cache between.

#[doc = include_str!("../BEHAVIOURS.md")]
pub mod behaviours {}

mod bits;
mod cache;
pub mod caps;
mod catalog;
mod clock;
pub mod driver;
pub mod flags;
pub mod meter;
mod names;
mod ports;
pub mod premium;
mod resolve;
mod service;
#[cfg(feature = "sql")]
pub mod sql;
mod stored;
#[cfg(feature = "tower")]
pub mod tier;

pub use catalog::{Builder, Catalog, CatalogError, TierGrants};
pub use clock::Clock;
pub use manifest::{AddOn, FeatureRule, Limit};
pub use names::{Kind, NotASubject, SUBJECT_BYTES_MAX, UnknownName, check_subject};
pub use ports::{UsageError, UsageSource, Used};
pub use resolve::{Dangling, Description, Effective, resolve};
pub use service::{By, Check, Entitlements, EntitlementsBuilder, Error};
pub use stored::{
    After, Assignment, Configured, LISTED, OverrideError, Overrides, SetSwitch, Source, Stored,
    Switch, Switched, Switches,
};
