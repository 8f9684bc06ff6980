//! The compiler from outside: its diagnostics, its promises on the example, its command.

#![cfg(feature = "cli")]

#[cfg(test)]
mod command;
#[cfg(test)]
mod diagnostics;
#[cfg(test)]
mod edits;
#[cfg(test)]
mod entitlements;
#[cfg(test)]
mod example;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod import;
#[cfg(test)]
mod tidy;
#[cfg(test)]
mod twin;
