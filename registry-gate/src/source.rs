//! Where a gate that stands alone has from what it decides by: a control plane that it follows, or
//! a bundle.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use activation_token::clock::{Clock, SystemClock};
use anyhow::Context;
use jiff::{SignedDuration, Timestamp};
use registry_gate::bundle::{self, Opened, Terms};
use registry_gate::{
    DownloadKeeper, Downloads, Follower, FollowerConfig, GateConfig, SnapshotSender,
};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Whether a bundle has ended is looked at this often, whatever the clock did meanwhile.
const LOOK_EVERY: Duration = Duration::from_mins(1);

/// One of the two, before the gate is there.
pub(crate) enum Source {
    /// A control plane, and the downloads that it is told of.
    ControlPlane(Box<FollowerConfig>, DownloadKeeper),
    /// A bundle that was checked.
    Bundle(Box<Opened>),
}

/// What goes on while the gate serves.
pub(crate) struct Running {
    following: JoinHandle<()>,
    keeping: Option<(JoinHandle<()>, oneshot::Sender<()>)>,
}

impl Source {
    /// Notes downloads, and follows the control plane later.
    pub(crate) fn control_plane(
        follower: FollowerConfig,
        data: &Path,
        config: &mut GateConfig,
    ) -> anyhow::Result<Self> {
        let downloads = data.join("downloads");
        let (downloads, keeper) =
            Downloads::open(&downloads, fresh_seed()?, Arc::new(SystemClock))?;
        config.downloads = Some(downloads);
        Ok(Self::ControlPlane(Box::new(follower), keeper))
    }

    /// Checks the bundle and has the gate serve what is in it.
    pub(crate) fn bundle(
        bundle: &Path,
        terms: Terms,
        data: &Path,
        config: &mut GateConfig,
    ) -> anyhow::Result<Self> {
        let shown = bundle.display();
        let opened = bundle::open(bundle, terms, data, SystemClock.now())
            .with_context(|| format!("cannot serve `{shown}`"))?;
        let head = &opened.head;
        if opened.trusts_anew {
            tracing::warn!(
                key = opened.root_key.id(),
                "no root key was given or kept: from now on the one in the bundle is trusted, and no other"
            );
        }
        let ends = end(&opened);
        anyhow::ensure!(
            SystemClock.now() < ends,
            "the bundle `{shown}` ended at {ends}\n  hint: ask for a new one, or set this machine's clock"
        );
        tracing::info!(
            license = head.license_id,
            customer = head.customer_id,
            made = %head.created_at,
            %ends,
            "serving a bundle"
        );
        config.store_dir.clone_from(&opened.store_dir);
        Ok(Self::Bundle(Box::new(opened)))
    }

    /// Lets the gate decide.
    pub(crate) fn start(self, sender: SnapshotSender) -> anyhow::Result<Running> {
        match self {
            Self::ControlPlane(config, keeper) => {
                let follower = Follower::open(*config, Arc::new(SystemClock), sender)?;
                let reporter = follower.download_reporter();
                let (served_all, ended) = oneshot::channel::<()>();
                let following = tokio::spawn(async {
                    follower.run().await;
                });
                let keeping = tokio::spawn(keeper.keep(reporter, async {
                    // An error is the end as well.
                    let _ = ended.await;
                }));
                Ok(Running {
                    following,
                    keeping: Some((keeping, served_all)),
                })
            }
            Self::Bundle(opened) => {
                let ends = end(&opened);
                sender
                    .publish_offline(opened.head.snapshot.clone(), opened.head.license_id.clone())
                    .context("the bundle's snapshot cannot be used")?;
                Ok(Running {
                    // Goes on holding what is served.
                    following: tokio::spawn(async move {
                        tell_of_the_end(ends).await;
                        std::future::pending::<()>().await;
                        drop(opened);
                    }),
                    keeping: None,
                })
            }
        }
    }
}

impl Running {
    /// When all requests were served.
    pub(crate) async fn end(self) -> anyhow::Result<()> {
        self.following.abort();
        if let Some((keeping, served_all)) = self.keeping {
            drop(served_all);
            keeping.await.context("keeping downloads")?;
        }
        Ok(())
    }
}

/// When the gate stops deciding by a bundle.
fn end(opened: &Opened) -> Timestamp {
    let snapshot = &opened.head.snapshot;
    let life = SignedDuration::from_secs(snapshot.max_stale_seconds.into());
    let end = snapshot.issued_at.saturating_add(life);
    end.unwrap_or(snapshot.issued_at)
}

/// From then on everything is refused, and this says why.
async fn tell_of_the_end(ends: Timestamp) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    while SystemClock.now() < ends {
        ticks.tick().await;
    }
    tracing::error!(%ends, "the bundle has ended; nothing is served until the gate is given a new one");
}

/// What the ids of this start's batches are made of.
#[expect(
    clippy::disallowed_methods,
    reason = "the gate asks for randomness here alone, and hands it on"
)]
fn fresh_seed() -> anyhow::Result<[u8; 16]> {
    let mut seed = [0; 16];
    getrandom::fill(&mut seed).context("the operating system gives no random bytes")?;
    Ok(seed)
}
