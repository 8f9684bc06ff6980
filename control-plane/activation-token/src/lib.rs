//! activation-token
