//! Stories: what people do with the product, from outside.

mod activation;
mod bad_input;
mod gating;
mod public_packages;
mod serving;
mod tokens;
