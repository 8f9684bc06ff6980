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
use metrics_exporter_prometheus::PrometheusBuilder;
use registry_gate::reach::Reach;
use registry_gate::server::{Server, Tls, lifecycle, stop_signal};
use registry_gate::{
    FollowerConfig, Gate, GateConfig, MetricsPage, StoreOptions, StoreUrl, UpstreamConfig,
    UpstreamTimeouts,
};
use secrecy::{ExposeSecret, SecretString};
use tracing_subscriber::EnvFilter;
use url::Url;

mod source;

use source::Source;

/// The npm registry that boxes install from, gated by their activation tokens.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// Where to listen.
    #[arg(long, env = "TOLLGATE_GATE_LISTEN", default_value = "127.0.0.1:7401")]
    listen: SocketAddr,
    /// The control plane's address.
    #[arg(
        long,
        env = "TOLLGATE_CONTROL_PLANE",
        value_name = "URL",
        required_unless_present = "bundle"
    )]
    control_plane: Option<Url>,
    /// Serve a bundle that `tollgate bundle` made, without a control plane: to boxes that were
    /// activated from a license file, until the bundle ends.
    #[arg(
        long,
        env = "TOLLGATE_BUNDLE",
        value_name = "FILE",
        conflicts_with_all = [
            "control_plane", "token_file", "upstream", "pass_through", "store", "poll_seconds"
        ]
    )]
    bundle: Option<PathBuf>,
    /// A file with the gate token (`tgg_…`), or the token itself in `TOLLGATE_GATE_TOKEN`.
    #[arg(long, env = "TOLLGATE_GATE_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The control plane's root key, as a JWK or as a file with one. Without it, the key that
    /// the control plane names at the first start is kept, and no other counts afterwards.
    #[arg(long, env = "TOLLGATE_ROOT_KEY", value_name = "FILE|JWK")]
    root_key: Option<String>,
    /// The directory of published packages, and of what the gate keeps of its control plane and of
    /// registries behind it.
    #[arg(
        long,
        env = "TOLLGATE_GATE_DATA",
        default_value = "./registry-gate-data"
    )]
    data: PathBuf,
    /// Where published packages lie, if not in that directory: `s3://bucket/prefix`, or another
    /// directory.
    #[arg(long, env = "TOLLGATE_STORE", value_name = "URL")]
    store: Option<StoreUrl>,
    /// A file with what the bucket is reached with, beside the `AWS_…` variables: lines such as
    /// `aws_access_key_id = …`.
    #[arg(long, env = "TOLLGATE_STORE_OPTIONS_FILE", value_name = "FILE")]
    store_options_file: Option<PathBuf>,
    /// The address boxes reach the gate under; the listener's own if not given.
    #[arg(long, env = "TOLLGATE_GATE_URL", value_name = "URL")]
    gate_url: Option<Url>,
    /// The registry behind the gate, for packages that were not published here.
    #[arg(long, env = "TOLLGATE_UPSTREAM", value_name = "URL")]
    upstream: Option<Url>,
    /// A file with the gate's bearer token at the upstream.
    #[arg(long, env = "TOLLGATE_UPSTREAM_TOKEN_FILE", value_name = "FILE")]
    upstream_token_file: Option<PathBuf>,
    /// The registry for names outside the gated scope, which any good token may read; without it,
    /// they are not found here.
    #[arg(long, env = "TOLLGATE_PASS_THROUGH", value_name = "URL")]
    pass_through: Option<Url>,
    /// Let the names of these registries lead to addresses that are not public: into your own
    /// network. An address in figures and `localhost` may without.
    #[arg(
        long,
        env = "TOLLGATE_UPSTREAM_ALLOW_INTERNAL",
        value_name = "BOOL",
        default_value = "false",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_parser = clap::builder::BoolishValueParser::new()
    )]
    upstream_allow_internal: bool,
    /// How long these registries may take for a package document, in seconds, and the longest
    /// silence within a tarball.
    #[arg(long, env = "TOLLGATE_UPSTREAM_TIMEOUT", value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=600))]
    upstream_timeout: u64,
    /// Room on disk for what these registries send, in MiB; 0 keeps nothing.
    #[arg(
        long,
        env = "TOLLGATE_CACHE_MIB",
        value_name = "MIB",
        default_value_t = 10240
    )]
    cache_mib: u32,
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
    /// A file with the bearer token that opens `/metrics`, which nobody sees without it.
    #[arg(long, env = "TOLLGATE_METRICS_TOKEN_FILE", value_name = "FILE")]
    metrics_token_file: Option<PathBuf>,
    /// What is logged to standard error, for example `info` or, with a line for each request,
    /// `info,registry_gate::requests=debug`.
    #[arg(
        long,
        env = "TOLLGATE_LOG",
        value_name = "FILTER",
        default_value = "info",
        value_parser = |filter: &str| EnvFilter::try_new(filter)
    )]
    log: EnvFilter,
    /// Log one JSON object a line.
    #[arg(
        long,
        env = "TOLLGATE_LOG_JSON",
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value = "false",
        default_missing_value = "true",
        value_parser = clap::builder::BoolishValueParser::new()
    )]
    log_json: bool,
    /// How often the control plane is asked while no change is heard of, in seconds.
    #[arg(long, env = "TOLLGATE_POLL_SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    poll_seconds: u64,
    /// Memory for tokens that were verified, in MiB; a million take about 400. 512 if not given.
    #[arg(long, env = "TOLLGATE_TOKEN_CACHE_MIB", value_name = "MIB")]
    token_cache_mib: Option<u32>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    log(options.log, options.log_json);
    // Before the listener: a signal that comes early must not be lost.
    let stop = stop_signal().context("waiting for signals")?;

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
    config.store = options.store;
    if let Some(file) = &options.store_options_file {
        config.store_options = store_options(file)?;
    }
    config.cache_bytes_max = u64::from(options.cache_mib) * 1024 * 1024;
    let behind = |url| UpstreamConfig {
        reach: Reach::allowing_internal(options.upstream_allow_internal),
        timeouts: UpstreamTimeouts::patient_for(Duration::from_secs(options.upstream_timeout)),
        ..UpstreamConfig::new(url)
    };
    config.pass_through = options.pass_through.map(behind);
    if let Some(mib) = options.token_cache_mib {
        config.token_cache_bytes = u64::from(mib) * 1024 * 1024;
    }
    if let Some(url) = options.upstream {
        let mut upstream = behind(url);
        upstream.token = options
            .upstream_token_file
            .as_deref()
            .map(read_secret)
            .transpose()?;
        config.upstream = Some(upstream);
    }

    if let Some(metrics) = &options.metrics_token_file {
        config.metrics = Some(metrics_page(read_secret(metrics)?)?);
    }
    let source = match (&options.bundle, options.control_plane) {
        (Some(bundle), _) => Source::bundle(
            bundle,
            options.root_key.as_deref().map(root_key).transpose()?,
            &options.data,
            &mut config,
        )?,
        (None, Some(control_plane)) => Source::control_plane(
            FollowerConfig {
                root_key: options.root_key.as_deref().map(root_key).transpose()?,
                every: Duration::from_secs(options.poll_seconds),
                ..FollowerConfig::new(
                    control_plane,
                    gate_token(options.token_file.as_deref())?,
                    &options.data,
                )
            },
            &options.data,
            &mut config,
        )?,
        (None, None) => anyhow::bail!("neither a control plane nor a bundle is named"),
    };
    let clock = Arc::new(SystemClock);
    let (gate, sender) = Gate::new(config, clock)?;
    let running = source.start(sender)?;
    if options.metrics_token_file.is_some() {
        tokio::spawn(gate.clone().keep_metrics());
    }
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
    running.end().await?;
    served.context("serving")
}

/// Lines on standard error.
fn log(filter: EnvFilter, json: bool) {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if json {
        lines.json().flatten_event(true).init();
    } else {
        lines.with_ansi(std::io::stderr().is_terminal()).init();
    }
}

/// Makes the recorder of this process and the page that shows what it holds.
fn metrics_page(token: SecretString) -> anyhow::Result<MetricsPage> {
    /// Samples that nobody scrapes are folded this often, so that they take no memory.
    const UPKEEP: Duration = Duration::from_secs(5);
    if token.expose_secret().is_empty() {
        anyhow::bail!("the file of --metrics-token-file is empty");
    }
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).context("starting the metrics")?;
    let kept = handle.clone();
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(UPKEEP);
        loop {
            ticks.tick().await;
            kept.run_upkeep();
        }
    });
    Ok(MetricsPage {
        token,
        render: Arc::new(move || handle.render()),
    })
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

fn store_options(file: &std::path::Path) -> anyhow::Result<StoreOptions> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read the store's options {}", file.display()))?;
    text.parse()
        .with_context(|| format!("in {}", file.display()))
}

fn read_secret(file: &std::path::Path) -> anyhow::Result<SecretString> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read the token file {}", file.display()))?;
    Ok(SecretString::from(text.trim()))
}
