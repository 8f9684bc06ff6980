//! What the box's and the operator's command line have in common: how they end ([`exit`]), print
//! ([`output`]), ask ([`ask`]), show that they wait ([`progress`]), keep secrets in files
//! ([`private_file`]), describe themselves ([`manual`]), say how all stands ([`checks`]) and how a
//! server is reached ([`reach`]), and talk to a control plane ([`control_plane`]).
//!
//! What must stay absent: any server, and what either command line is for.

pub mod ask;
pub mod checks;
pub mod control_plane;
pub mod exit;
pub mod manual;
pub mod output;
pub mod private_file;
pub mod progress;
pub mod reach;

pub use control_plane::{ControlPlane, Unanswered};
pub use exit::{Exit, Failure};
