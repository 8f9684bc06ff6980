//! One process: control plane and gate over one data directory.

use std::convert::Infallible;
use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use activation_token::SigningKey;
use activation_token::clock::{Clock, SystemClock};
use activation_token::credential::{CredentialKind, is_well_formed, new_secret};
use anyhow::{Context, bail};
use axum::Router;
use entitlements::Catalog;
use entitlements::flags::Flags;
use entitlements::meter::Metrics;
use jiff::SignedDuration;
use manifest::{Manifest, TierSets};
use registry_gate::reach::Reach;
use registry_gate::server::{self, Lifecycle, Stopper, Tls, lifecycle};
use registry_gate::{DownloadKeeper, Downloads, Gate, GateConfig, SnapshotSender};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use url::Url;

use crate::billing::Stripe;
use crate::data_dir::{DataDir, Keys};
use crate::domain::{Requester, Role};
use crate::entropy::{Entropy, OsEntropy, random};
use crate::operations::{Denials, LastUsed, NewCredential, Operations, Policy, said};
use crate::settings::Config;
use crate::store::{Database, Store, facts};
use crate::webhooks::{self, Dispatcher};
use crate::{api, embedded, head_note, metrics, signing};

/// How exact the time is at which a credential was used last.
const NOTES_EVERY: Duration = Duration::from_secs(30);
/// A vendor's own first token has at least this many bytes.
const CHOSEN_TOKEN_BYTES: std::ops::RangeInclusive<usize> = 16..=256;

/// At the latest after this time, a change of another control plane on the same database counts.
const FOLLOW_EVERY: Duration = Duration::from_secs(5);
/// How long the database may take to close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// What is told by variables alone.
#[derive(Debug, Default)]
pub struct Secrets {
    /// The first operator's token, where the vendor chooses it.
    pub operator_token: Option<SecretString>,
    /// What the keys of the data directory are encrypted with.
    pub key_passphrase: Option<SecretString>,
    /// What Stripe signs its events with.
    pub stripe_webhook_secret: Option<SecretString>,
}

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
    gate: (TcpListener, Gate),
    tls: Option<Tls>,
    life: (Stopper, Lifecycle),
    shutdown_delay: Duration,
    snapshots: SnapshotSender,
    downloads: DownloadKeeper,
    // Held until the end.
    data: Arc<DataDir>,
}

impl Server {
    /// Opens everything in the order in which a mistake costs least: the manifest is read and
    /// both ports are taken before anything is written.
    pub async fn open(config: Config, secrets: Secrets) -> anyhow::Result<Self> {
        // The gate's figures go to it too.
        metrics::recorder();
        let tiers = load_manifest(&config)?;
        let catalog = Catalog::from_manifest(&tiers).context("the manifest sells nothing sound")?;
        let chosen_token = secrets.operator_token;
        chosen_token.as_ref().map(check_chosen).transpose()?;
        let store_options = config.store_options()?;
        let upstream_token = config.upstream_token()?;
        let passphrase = config.key_passphrase(secrets.key_passphrase)?;
        let stripe = config.stripe(secrets.stripe_webhook_secret, &tiers)?;
        let given_key = config.signing_key.as_deref();
        let given_key = given_key.map(|path| signing::read_given(path, passphrase.as_ref()));
        let mut given_key = given_key.transpose()?;
        let tls = open_tls(&config)?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let bind = |what, flag, address| bind(what, flag, address, scheme);
        let (listener, control_plane_url) = bind("control plane", "--listen", config.listen)?;
        let (gate_listener, gate_url) = bind("gate", "--gate-listen", config.gate_listen)?;
        let registry_url = config.gate_url.clone().unwrap_or_else(|| gate_url.clone());

        let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
        let mut data = DataDir::open(&config.data)?;
        if let Some(passphrase) = passphrase {
            data = data.protect(passphrase, Arc::clone(&entropy))?;
        }
        let data = Arc::new(data);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let database = open_database(&config, &data).await?;
        let is_new = database.is_new().await?;
        let shutdown_delay = config.shutdown_delay();
        let trusted_proxies = config.trusted_proxies.clone().unwrap_or_default();
        // Keys are made for a new database only: with others, nothing in an old one would fit.
        let keys = if is_new {
            Keys::MayBeMade(&*entropy)
        } else {
            Keys::MustExist
        };
        let hash_key = data.hash_key(keys)?;
        let store = Store::new(database, &hash_key).await?;
        head_note::check(&store, &data).await?;
        let keyring = signing::open(&store, &data, config.max_stale, clock.now()).await?;
        let root_key = root_key(&store, &data, &*entropy).await?;
        let operations = Arc::new(Operations {
            denials: Denials::new(store.clone(), Arc::clone(&clock)),
            last_used: LastUsed::default(),
            store,
            flags: Flags::from_manifest(&tiers),
            metrics: Metrics::from_manifest(&tiers),
            tiers,
            catalog,
            keyring,
            root_key,
            hash_key,
            policy: policy(&config, &control_plane_url, registry_url.clone(), stripe),
            clock: Arc::clone(&clock),
            entropy,
        });
        let new_operator_token = if is_new {
            begin_anew(&operations, &data, chosen_token, given_key.take()).await?
        } else {
            None
        };
        signing::begin(&operations, given_key).await?;
        // First, so that a tier which only billing gave may go from the manifest.
        operations.follow_prices().await.map_err(said)?;
        operations.note_what_is_served().await.map_err(said)?;
        head_note::write(&operations.store, &data).await?;

        let life = lifecycle();
        let seed = random(&*operations.entropy)?;
        let (downloads, keeper) = Downloads::open(&data.downloads(), seed, Arc::clone(&clock))?;
        let gate_config = GateConfig {
            store_options,
            downloads: Some(downloads),
            lifecycle: Some(life.1.clone()),
            ..embedded::gate_config(&config, upstream_token, registry_url, &data)
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
            control_plane: (
                listener,
                api::ending_with(
                    api::router(Arc::clone(&operations), trusted_proxies),
                    life.1.clone(),
                ),
            ),
            gate: (gate_listener, gate),
            tls,
            life,
            shutdown_delay,
            operations,
            snapshots,
            downloads: keeper,
            data,
        })
    }

    /// Serves until `shutdown` is over, then lets running requests end.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) -> anyhow::Result<()> {
        let (operations, data) = (self.operations, self.data);
        let store = operations.store.clone();
        let dispatcher = Dispatcher::new(Arc::clone(&operations), webhooks::TIMEOUT)
            .context("there is no client to tell webhooks with")?;
        let mut background = JoinSet::new();
        background.spawn(embedded::feed(Arc::clone(&operations), self.snapshots));
        background.spawn(metrics::upkeep());
        background.spawn(keep_notes(Arc::clone(&operations)));
        background.spawn(signing::tend(Arc::clone(&operations)));
        background.spawn(head_note::keep(store.clone(), Arc::clone(&data)));
        background.spawn(async move { store.follow(FOLLOW_EVERY).await });
        background.spawn(dispatcher.run());
        let (served_all, ended) = oneshot::channel::<()>();
        let counter = embedded::DownloadCounter(Arc::clone(&operations));
        let keeping = tokio::spawn(self.downloads.keep(counter, async {
            // An error is the end as well.
            let _ = ended.await;
        }));
        let (stopper, life) = self.life;
        let (listener, router) = self.control_plane;
        let control_plane = server::Server::new(listener, self.tls.clone())
            .serve_with_peers(router, life.clone().ending());
        let (listener, gate) = self.gate;
        background.spawn(gate.clone().keep_metrics());
        let gate = server::Server::new(listener, self.tls).serve(gate, life.ending());
        let servers = async { tokio::try_join!(control_plane, gate) };
        tokio::pin!(servers);
        let delay = self.shutdown_delay;
        let told = async {
            shutdown.await;
            tracing::info!(?delay, "stopping; running requests may end");
            stopper.stop(delay).await;
        };
        let result = tokio::select! {
            result = &mut servers => result,
            () = told => servers.await,
        };
        drop(served_all);
        keeping.await.context("keeping downloads")?;
        background.shutdown().await;
        let end = async {
            operations.denials.settle().await;
            head_note::renew_or_warn(&operations.store, &data).await;
            operations.end().await;
        };
        if tokio::time::timeout(CLOSE_TIMEOUT, end).await.is_err() {
            tracing::warn!("the database did not close in time");
        }
        drop(data);
        result.map(drop).context("a listener failed")
    }
}

/// Writes down now and then when credentials were used. Never ends.
async fn keep_notes(operations: Arc<Operations>) -> Infallible {
    loop {
        tokio::time::sleep(NOTES_EVERY).await;
        if let Err(error) = operations.write_notes().await {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "notes could not be written");
        }
    }
}

/// The vendor's choices.
fn policy(config: &Config, listens_at: &Url, registry_url: Url, stripe: Option<Stripe>) -> Policy {
    Policy {
        issuer: config.issuer.clone(),
        audience: config.audience.clone(),
        key_rotation: config.key_rotation(),
        token_life: SignedDuration::from_secs(config.token_life.into()),
        max_stale_seconds: config.max_stale,
        license_key_prefix: config.license_key_prefix.clone(),
        url: config
            .control_plane_url
            .clone()
            .unwrap_or_else(|| listens_at.clone()),
        registry_url,
        webhook_reach: Reach::allowing_internal(config.webhook_allow_internal),
        stripe,
    }
}

fn load_manifest(config: &Config) -> anyhow::Result<TierSets> {
    let path = config.manifest()?;
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

fn open_tls(config: &Config) -> anyhow::Result<Option<Tls>> {
    let Some((certificate, key)) = config.tls() else {
        return Ok(None);
    };
    let tls = Tls::read(certificate, key).context("HTTPS cannot be served")?;
    tls.reload_on_hangup().context("cannot wait for SIGHUP")?;
    Ok(Some(tls))
}

fn bind(
    what: &str,
    flag: &str,
    address: SocketAddr,
    scheme: &str,
) -> anyhow::Result<(TcpListener, Url)> {
    let listener = TcpListener::bind(address).with_context(|| {
        format!("the {what} cannot listen on {address}\n  hint: choose another with `{flag}`")
    })?;
    listener.set_nonblocking(true)?;
    let url = Url::parse(&format!("{scheme}://{}", listener.local_addr()?))?;
    Ok((listener, url))
}

/// Opens the database of the settings and brings its schema up to date.
pub(crate) async fn open_database(config: &Config, data: &DataDir) -> anyhow::Result<Database> {
    if let Some(url) = &config.database_url {
        return Database::open_postgres(url.expose())
            .await
            .context("cannot open the PostgreSQL database of `database-url`");
    }
    let file = data.database()?;
    Database::open_sqlite(&file)
        .await
        .with_context(|| format!("cannot open the database `{}`", file.display()))
}

/// The root key. Gates and boxes hold on to its public half, so it is made once in the life of a
/// database, and not again where it is missing.
async fn root_key(
    store: &Store,
    data: &DataDir,
    entropy: &dyn Entropy,
) -> anyhow::Result<SigningKey> {
    let known = facts::get(store.read().await?.link(), facts::ROOT_KEY).await?;
    let keys = match known {
        Some(_) => Keys::MustExist,
        None => Keys::MayBeMade(entropy),
    };
    let key = data.root_key(keys)?;
    match known {
        Some(known) if known != key.public().id() => bail!(
            "the root key of the data directory is not the one that gates know\n  \
             hint: restore `root-key.pem` from a backup"
        ),
        Some(_) => {}
        None => {
            let mut tx = store.begin().await?;
            facts::put(&mut tx, facts::ROOT_KEY, key.public().id()).await?;
            tx.commit_notes().await?;
        }
    }
    Ok(key)
}

/// Makes the first signing key and the first operator, with the token the vendor chose or a fresh
/// one: both or none, since a database with one of them is no longer new.
async fn begin_anew(
    operations: &Operations,
    data: &DataDir,
    chosen: Option<SecretString>,
    given_key: Option<SigningKey>,
) -> anyhow::Result<Option<(SecretString, PathBuf)>> {
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
    let new = NewCredential {
        kind,
        name: "first operator".to_owned(),
        role: Some(Role::Admin),
        expires_at: None,
    };
    let mut change = signing::first(operations, given_key).await?;
    let mut tx = operations.store.begin().await?;
    let system = Requester::system();
    let reason = Some("the first start".to_owned());
    let key = operations
        .rotate_signing_key(&mut tx, &system, &mut change, reason)
        .await;
    key.map_err(said)?.into_value();
    let stored = operations
        .store_credential(&mut tx, &system, new, &token)
        .await;
    tx.commit(stored.map_err(said)?).await?;
    change.keep(operations.clock.now()).await;
    Ok(made.then(|| (token, data.operator_token())))
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
