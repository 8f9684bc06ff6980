//! Stripe's own library signs the events, and the real program takes them.
