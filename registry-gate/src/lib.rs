//! registry-gate
