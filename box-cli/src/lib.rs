//! box-cli
