//! The npm package of `box`.
