//! What the process is told from outside while it serves.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGINT or SIGTERM, from now on: one that comes before anybody waits for it is not lost. After
/// the first, a second one ends the process at once.
pub fn stop_signal() -> io::Result<impl Future<Output = ()> + Send> {
    let mut signals = [
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    ];
    Ok(async move {
        either(&mut signals).await;
        tokio::spawn(async move {
            either(&mut signals).await;
            tracing::warn!("a second signal: ending at once");
            std::process::exit(1);
        });
    })
}

async fn either([one, other]: &mut [Signal; 2]) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}
