//! One process: control plane and gate over one data directory.

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use activation_token::clock::{Clock, SystemClock};
use activation_token::credential::{CredentialKind, is_well_formed, new_secret};
use anyhow::{Context, bail};
use axum::Router;
use jiff::SignedDuration;
use manifest::{Manifest, TierSets};
use registry_gate::{Gate, GateConfig, SnapshotSender, UpstreamConfig};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::data_dir::{DataDir, Keys};
use crate::domain::{Actor, Requester, Role};
use crate::entropy::{Entropy, OsEntropy, random};
use crate::operations::{Error, NewCredential, Operations, Policy};
use crate::settings::Config;
use crate::store::{Store, credentials};
use crate::{api, embedded};

/// A vendor's own first token has at least this many bytes.
const CHOSEN_TOKEN_BYTES: std::ops::RangeInclusive<usize> = 16..=256;

/// Everything is open and nothing is served yet.
pub struct Server {
    /// Where the control plane listens.
    pub control_plane_url: Url,
    /// Where the gate listens.
    pub gate_url: Url,
    /// The first operator's token, if this start made one, and the file it is kept in.
    pub new_operator_token: Option<(SecretString, PathBuf)>,
    operations: Arc<Operations>,
    control_plane: (TcpListener, Router),
    gate: (TcpListener, Router),
    snapshots: SnapshotSender,
    // Held until the end.
    data: DataDir,
}

impl Server {
    /// Opens everything in the order in which a mistake costs least: the manifest is read and
    /// both ports are taken before anything is written.
    pub async fn open(config: Config, chosen_token: Option<SecretString>) -> anyhow::Result<Self> {
        let tiers = load_manifest(&config)?;
        chosen_token.as_ref().map(check_chosen).transpose()?;
        let (listener, control_plane_url) = bind("control plane", "--listen", config.listen)?;
        let (gate_listener, gate_url) = bind("gate", "--gate-listen", config.gate_listen)?;
        let registry_url = config.gate_url.clone().unwrap_or_else(|| gate_url.clone());

        let data = DataDir::open(&config.data)?;
        let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let store = open_store(&config, &data).await?;
        let mut conn = store.read().await?;
        // Keys are made for a new database only: with others, nothing in an old one would fit.
        let keys = if credentials::exists(conn.link(), CredentialKind::Operator).await? {
            Keys::MustExist
        } else {
            Keys::MayBeMade(&*entropy)
        };
        drop(conn);
        let (signing_key, root_key) = (data.signing_key(keys)?, data.root_key(keys)?);
        let hash_key = data.hash_key(keys)?;
        let operations = Arc::new(Operations {
            store,
            tiers,
            signing_key,
            root_key,
            hash_key,
            policy: Policy {
                issuer: config.issuer,
                audience: config.audience,
                token_life: SignedDuration::from_secs(config.token_life.into()),
                max_stale_seconds: config.max_stale,
                license_key_prefix: config.license_key_prefix,
                registry_url: registry_url.clone(),
            },
            clock: Arc::clone(&clock),
            entropy,
        });
        let new_operator_token = first_operator(&operations, &data, chosen_token).await?;

        let upstream = config.upstream.map(|url| UpstreamConfig {
            token: config.upstream_token,
            ..UpstreamConfig::new(url)
        });
        let gate_config = GateConfig {
            upstream,
            ..GateConfig::new(registry_url, data.packages())
        };
        let (gate, snapshots) = Gate::new(gate_config, clock).context("cannot open the gate")?;
        embedded::feed_once(&operations, &snapshots).await.context(
            "the gate cannot be told what to serve\n  \
             hint: a tier or package that licenses use must stay in the manifest",
        )?;
        Ok(Self {
            control_plane_url,
            gate_url,
            new_operator_token,
            control_plane: (listener, api::router(Arc::clone(&operations))),
            gate: (gate_listener, gate.router()),
            operations,
            snapshots,
            data,
        })
    }

    /// Serves until `shutdown` is over, then lets running requests end.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) -> anyhow::Result<()> {
        let feed = tokio::spawn(embedded::feed(Arc::clone(&self.operations), self.snapshots));
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let server = |(listener, router): (TcpListener, Router)| {
            let mut stopped = stopped.clone();
            registry_gate::server::serve(listener, router, async move {
                // An error means that the sender is gone, which is the end as well.
                let _ = stopped.wait_for(|stop| *stop).await;
            })
        };
        let servers = async { tokio::try_join!(server(self.control_plane), server(self.gate)) };
        tokio::pin!(servers);
        let result = tokio::select! {
            result = &mut servers => result,
            () = shutdown => {
                tracing::info!("stopping; running requests may end");
                stop.send_replace(true);
                // Gates listen for ever.
                self.operations.store.changes().end();
                servers.await
            }
        };
        feed.abort();
        self.operations.store.close().await;
        drop(self.data);
        result.map(drop).context("a listener failed")
    }
}

fn load_manifest(config: &Config) -> anyhow::Result<TierSets> {
    let path = &config.manifest;
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the manifest `{}`", path.display()))?;
    match Manifest::load(&text, &path.display().to_string()) {
        Ok(loaded) => {
            if !loaded.warnings.is_empty() {
                tracing::warn!("the manifest has warnings\n\n{}", loaded.warnings);
            }
            Ok(loaded.tiers)
        }
        Err(diagnostics) => {
            bail!(
                "the manifest `{}` breaks its rules\n\n{diagnostics}",
                path.display()
            )
        }
    }
}

fn bind(what: &str, flag: &str, address: SocketAddr) -> anyhow::Result<(TcpListener, Url)> {
    let listener = TcpListener::bind(address).with_context(|| {
        format!("the {what} cannot listen on {address}\n  hint: choose another with `{flag}`")
    })?;
    listener.set_nonblocking(true)?;
    let url = Url::parse(&format!("http://{}", listener.local_addr()?))?;
    Ok((listener, url))
}

async fn open_store(config: &Config, data: &DataDir) -> anyhow::Result<Store> {
    if let Some(url) = &config.database_url {
        return Store::open_postgres(url.expose_secret())
            .await
            .context("cannot open the PostgreSQL database of `database-url`");
    }
    let file = data.database()?;
    Store::open_sqlite(&file)
        .await
        .with_context(|| format!("cannot open the database `{}`", file.display()))
}

/// Makes the first operator where there is none yet, with the token the vendor chose or a fresh
/// one.
async fn first_operator(
    operations: &Operations,
    data: &DataDir,
    chosen: Option<SecretString>,
) -> anyhow::Result<Option<(SecretString, PathBuf)>> {
    let mut conn = operations.store.read().await?;
    if credentials::exists(conn.link(), CredentialKind::Operator).await? {
        return Ok(None);
    }
    drop(conn);
    let kind = CredentialKind::Operator;
    let made = chosen.is_none();
    let token = match chosen {
        Some(token) => token,
        None => new_secret(kind.prefix(), &random(&*operations.entropy)?),
    };
    if made {
        // Kept first: a token that nobody can read would lock everyone out.
        data.keep_operator_token(&token)?;
    }
    let requester = Requester {
        actor: Actor::System,
        request_id: None,
    };
    let new = NewCredential {
        kind,
        name: "first operator".to_owned(),
        role: Some(Role::Admin),
        expires_at: None,
    };
    match operations.store_credential(&requester, new, &token).await {
        Ok(_) => Ok(made.then(|| (token, data.operator_token()))),
        Err(Error::Fault(fault)) => Err(fault.into()),
        Err(Error::Refused(refusal)) => bail!("{refusal}"),
    }
}

fn check_chosen(token: &SecretString) -> anyhow::Result<()> {
    let text = token.expose_secret();
    if !CHOSEN_TOKEN_BYTES.contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_graphic()) {
        bail!(
            "TOLLGATE_OPERATOR_TOKEN must have {} to {} visible ASCII characters",
            CHOSEN_TOKEN_BYTES.start(),
            CHOSEN_TOKEN_BYTES.end()
        );
    }
    let like_ours = CredentialKind::ALL
        .into_iter()
        .any(|kind| text.starts_with(&format!("{}_", kind.prefix())));
    if like_ours && !is_well_formed(CredentialKind::Operator.prefix(), text) {
        bail!(
            "TOLLGATE_OPERATOR_TOKEN looks like a Tollgate credential but is not an operator's\n  \
             hint: check it for a typing error, or choose one that does not begin like ours"
        );
    }
    Ok(())
}
