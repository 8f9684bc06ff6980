//! The compiler from outside: its diagnostics, its promises on the example, its command.

#![cfg(feature = "compile")]

#[cfg(test)]
mod diagnostics;
#[cfg(test)]
mod example;
