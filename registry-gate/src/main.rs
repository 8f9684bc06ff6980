//! `registry-gate`: a gate that stands alone and follows a control plane.

use std::io::{IsTerminal, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use activation_token::Key;
use activation_token::clock::SystemClock;
use anyhow::Context;
use clap::Parser;
use registry_gate::server::{Server, Tls, lifecycle, stop_signal};
use registry_gate::{Follower, FollowerConfig, Gate, GateConfig, UpstreamConfig};
use secrecy::SecretString;
use url::Url;

/// The npm registry that boxes install from, gated by their activation tokens.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// Where to listen.
    #[arg(long, env = "TOLLGATE_GATE_LISTEN", default_value = "127.0.0.1:7401")]
    listen: SocketAddr,
    /// The control plane's address.
    #[arg(long, env = "TOLLGATE_CONTROL_PLANE", value_name = "URL")]
    control_plane: Url,
    /// A file with the gate token (`tgg_…`), or the token itself in `TOLLGATE_GATE_TOKEN`.
    #[arg(long, env = "TOLLGATE_GATE_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The control plane's root key, as a JWK or as a file with one. Without it, the key that
    /// the control plane names at the first start is kept, and no other counts afterwards.
    #[arg(long, env = "TOLLGATE_ROOT_KEY", value_name = "FILE|JWK")]
    root_key: Option<String>,
    /// The directory of published packages, and of what the gate keeps of its control plane.
    #[arg(
        long,
        env = "TOLLGATE_GATE_DATA",
        default_value = "./registry-gate-data"
    )]
    data: PathBuf,
    /// The address boxes reach the gate under; the listener's own if not given.
    #[arg(long, env = "TOLLGATE_GATE_URL", value_name = "URL")]
    gate_url: Option<Url>,
    /// The registry behind the gate, for packages that were not published here.
    #[arg(long, env = "TOLLGATE_UPSTREAM", value_name = "URL")]
    upstream: Option<Url>,
    /// A file with the gate's bearer token at the upstream.
    #[arg(long, env = "TOLLGATE_UPSTREAM_TOKEN_FILE", value_name = "FILE")]
    upstream_token_file: Option<PathBuf>,
    /// A certificate chain (PEM): the gate then speaks HTTPS. Read again on SIGHUP.
    #[arg(
        long,
        env = "TOLLGATE_TLS_CERT",
        value_name = "FILE",
        requires = "tls_key"
    )]
    tls_cert: Option<PathBuf>,
    /// The private key (PEM) of that certificate.
    #[arg(
        long,
        env = "TOLLGATE_TLS_KEY",
        value_name = "FILE",
        requires = "tls_cert"
    )]
    tls_key: Option<PathBuf>,
    /// How long to go on serving after a stop signal, not ready, so that load balancers notice;
    /// in seconds.
    #[arg(long, env = "TOLLGATE_SHUTDOWN_DELAY", value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=600))]
    shutdown_delay: u64,
    /// How often the control plane is asked while no change is heard of, in seconds.
    #[arg(long, env = "TOLLGATE_POLL_SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    poll_seconds: u64,
    /// Memory for tokens that were verified, in MiB; a million take about 400. 512 if not given.
    #[arg(long, env = "TOLLGATE_TOKEN_CACHE_MIB", value_name = "MIB")]
    token_cache_mib: Option<u32>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()),
        )
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let options = Options::parse();
    // Before the listener: a signal that comes early must not be lost.
    let stop = stop_signal().context("waiting for signals")?;

    let token = gate_token(options.token_file.as_deref())?;
    let tls = match (&options.tls_cert, &options.tls_key) {
        (Some(certificate), Some(key)) => {
            let tls = Tls::read(certificate, key).context("cannot serve HTTPS")?;
            tls.reload_on_hangup().context("waiting for signals")?;
            Some(tls)
        }
        _ => None,
    };
    let listener = TcpListener::bind(options.listen)
        .with_context(|| format!("cannot listen on {}", options.listen))?;
    let address = listener
        .local_addr()
        .context("reading the listener's address")?;
    let public_url = match options.gate_url {
        Some(url) => url,
        None => Url::parse(&format!("{}://{address}", scheme(tls.as_ref())))
            .context("forming the gate's address")?,
    };
    let (stopper, life) = lifecycle();
    let mut config = GateConfig::new(public_url.clone(), &options.data);
    config.lifecycle = Some(life.clone());
    if let Some(mib) = options.token_cache_mib {
        config.token_cache_bytes = u64::from(mib) * 1024 * 1024;
    }
    if let Some(url) = options.upstream {
        let mut upstream = UpstreamConfig::new(url);
        upstream.token = options
            .upstream_token_file
            .as_deref()
            .map(read_secret)
            .transpose()?;
        config.upstream = Some(upstream);
    }

    let clock = Arc::new(SystemClock);
    let (gate, sender) = Gate::new(config, clock.clone())?;
    let follower = FollowerConfig {
        root_key: options.root_key.as_deref().map(root_key).transpose()?,
        every: Duration::from_secs(options.poll_seconds),
        ..FollowerConfig::new(options.control_plane, token, options.data)
    };
    let follower = Follower::open(follower, clock, sender)?;
    let following = tokio::spawn(follower.run());
    let delay = Duration::from_secs(options.shutdown_delay);
    tokio::spawn(async move {
        stop.await;
        stopper.stop(delay).await;
    });
    // Connections are accepted from the moment the listener is bound.
    let ready = format!(
        "registry-gate ready: {}\n",
        public_url.as_str().trim_end_matches('/')
    );
    std::io::stdout()
        .write_all(ready.as_bytes())
        .context("writing to stdout")?;
    let served = Server::new(listener, tls).serve(gate, life.ending()).await;
    following.abort();
    served.context("serving")
}

fn scheme(tls: Option<&Tls>) -> &'static str {
    if tls.is_some() { "https" } else { "http" }
}

fn gate_token(file: Option<&std::path::Path>) -> anyhow::Result<SecretString> {
    match file {
        Some(file) => read_secret(file),
        None => std::env::var("TOLLGATE_GATE_TOKEN")
            .map(SecretString::from)
            .context("no gate token: give --token-file, or TOLLGATE_GATE_TOKEN"),
    }
}

fn root_key(given: &str) -> anyhow::Result<Key> {
    let text = if given.starts_with('{') {
        given.to_owned()
    } else {
        std::fs::read_to_string(given)
            .with_context(|| format!("cannot read the root key file {given}"))?
    };
    Key::from_jwk(text.trim().as_bytes()).context("the root key of --root-key")
}

fn read_secret(file: &std::path::Path) -> anyhow::Result<SecretString> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read the token file {}", file.display()))?;
    Ok(SecretString::from(text.trim()))
}
