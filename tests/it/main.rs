//! Stories: what people do with the product, from outside.
#![expect(
    clippy::expect_used,
    clippy::format_collect,
    clippy::format_push_string,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::too_many_lines,
    clippy::unwrap_used,
    reason = "a story fails by panicking and may take its time"
)]

mod activation;
mod audit;
mod audit_log;
mod authzen;
mod backup;
mod bad_input;
mod behaviours;
mod billing;
mod box_doctor;
mod box_exec;
mod box_files;
mod box_install;
mod box_life;
mod box_mends;
mod box_wrapper;
mod boxes;
mod bundle;
mod clients;
mod commands;
mod credentials;
mod customers;
mod database;
mod downloads;
mod flags;
mod gate_feed;
mod gateway;
mod gating;
mod idempotency;
mod importing;
mod interoperability;
mod key_files;
mod license_files;
mod licenses;
mod limits;
mod listing;
mod manuals;
mod narrowing;
mod offline;
mod ofrep;
mod open_feature;
mod openapi;
mod operator_audit;
mod operator_customers;
mod operator_doctor;
mod operator_keys;
mod operator_licenses;
mod operator_login;
mod operator_publish;
mod outage;
mod potter;
mod premium;
mod previous_release;
mod public_packages;
mod publishing;
mod refusals;
mod replicas;
mod rights;
mod running;
mod seats;
mod secrets;
mod serving;
mod signing_keys;
mod subjects;
mod tokens;
mod usage;
mod verdaccio_suite;
mod webhooks;
mod writer;
