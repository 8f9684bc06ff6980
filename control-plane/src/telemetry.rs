//! What the process tells about itself while it runs: lines on standard error, and spans to an
//! OpenTelemetry collector where there is one.

use std::io::IsTerminal;
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use axum::http::{HeaderMap, Request, Response};
use futures_util::future::BoxFuture;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{Bytes, HeaderExtractor, HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Span;
use tracing::level_filters::LevelFilter;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};
use url::Url;

use crate::settings::Config;

/// A collector answers within this time, or the spans are lost.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// Spans that are still to be sent.
#[must_use = "spans are lost unless they are flushed"]
pub struct Telemetry(Option<SdkTracerProvider>);

/// Starts it, once a process.
pub fn start(config: &Config) -> anyhow::Result<Telemetry> {
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = if config.log_json {
        let lines = lines.json().flatten_event(true).with_span_list(false);
        lines.boxed()
    } else {
        lines.with_ansi(std::io::stderr().is_terminal()).boxed()
    };
    let provider = config.otlp_endpoint.as_ref().map(exporter).transpose()?;
    let spans = provider.as_ref().map(|provider| {
        // Our own work alone: an exporter that reported on itself would never come to an end.
        let own = Targets::new()
            .with_target("control_plane", LevelFilter::INFO)
            .with_target("registry_gate", LevelFilter::INFO);
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("tollgate"))
            .with_location(false)
            .with_threads(false)
            .with_filter(own)
    });
    tracing_subscriber::registry()
        .with(lines.with_filter(config.log_filter()?))
        .with(spans)
        .init();
    std::panic::set_hook(Box::new(log_panic));
    Ok(Telemetry(provider))
}

impl Telemetry {
    /// Sends what is left. Waits no longer than a collector may take.
    pub async fn flush(self) {
        let Some(provider) = self.0 else { return };
        let shutdown = move || provider.shutdown_with_timeout(EXPORT_TIMEOUT);
        // Sending goes on in this runtime, so the waiting must not hold it up.
        if let Ok(Err(error)) = tokio::task::spawn_blocking(shutdown).await {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "the last spans were not sent");
        }
    }
}

/// Makes the span of a request a part of its caller's trace (W3C `traceparent`), if spans are
/// sent anywhere. The first thing to be done with a span.
pub(crate) fn join_trace(span: &Span, headers: &HeaderMap, method: &str, route: &str) {
    let caller = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
    if span.set_parent(caller).is_ok() {
        span.record("otel.name", format!("{method} {route}"));
        span.record("otel.kind", "server");
        span.set_attribute("http.request.method", method.to_owned());
        span.set_attribute("http.route", route.to_owned());
    }
}

/// Tells the request's span how it was answered.
pub(crate) fn note_status(status: u16) {
    let span = Span::current();
    span.set_attribute("http.response.status_code", i64::from(status));
    if status >= 500 {
        span.set_status(opentelemetry::trace::Status::error(""));
    }
}

fn exporter(endpoint: &Url) -> anyhow::Result<SdkTracerProvider> {
    let client = reqwest::Client::builder()
        .timeout(EXPORT_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .context("the client for `otlp-endpoint` cannot start")?;
    let collector = Collector {
        client,
        runtime: tokio::runtime::Handle::current(),
        failing: AtomicBool::new(false),
    };
    let base = endpoint.as_str().trim_end_matches('/');
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(collector)
        .with_endpoint(format!("{base}/v1/traces"))
        .with_timeout(EXPORT_TIMEOUT)
        .build()
        .context("spans cannot be sent to `otlp-endpoint`")?;
    let resource = Resource::builder()
        .with_service_name("tollgate")
        .with_attribute(opentelemetry::KeyValue::new(
            "service.version",
            env!("CARGO_PKG_VERSION"),
        ));
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource.build())
        .build())
}

/// The way to a collector. The exporter asks from a thread of its own, where no connection could
/// be made; the sending itself is done in the runtime.
#[derive(Debug)]
struct Collector {
    client: reqwest::Client,
    runtime: tokio::runtime::Handle,
    failing: AtomicBool,
}

impl Collector {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = reqwest::Request::try_from(request)?;
        let client = self.client.clone();
        let sending = self.runtime.spawn(async move {
            let response = client.execute(request).await?;
            let status = response.status();
            reqwest::Result::Ok((status, response.bytes().await?))
        });
        let (status, body) = sending.await?.map_err(reqwest::Error::without_url)?;
        Ok(Response::builder().status(status).body(body)?)
    }

    /// Said when it begins and when it is over, and not for every batch between.
    fn note(&self, failure: Option<String>) {
        let failing = failure.is_some();
        if self.failing.swap(failing, Ordering::Relaxed) == failing {
            return;
        }
        if let Some(error) = failure {
            tracing::warn!(error, "the collector of spans takes none");
        } else {
            tracing::info!("the collector of spans takes them again");
        }
    }
}

impl HttpClient for Collector {
    fn send_bytes<'c, 'f>(
        &'c self,
        request: Request<Bytes>,
    ) -> BoxFuture<'f, Result<Response<Bytes>, HttpError>>
    where
        'c: 'f,
        Self: 'f,
    {
        Box::pin(async move {
            let answer = self.send(request).await;
            self.note(match &answer {
                Ok(response) if response.status().is_success() => None,
                Ok(response) => Some(format!("status {}", response.status())),
                Err(error) => Some(error.to_string()),
            });
            answer
        })
    }
}

/// A panic is one line like any other; within a request its span tells the id.
fn log_panic(info: &PanicHookInfo<'_>) {
    let location = info.location().map(ToString::to_string);
    // Quoted, so that it stays one line.
    let cause = info.payload_as_str().map(|cause| format!("{cause:?}"));
    tracing::error!(location, cause, "panicked");
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_panic_is_one_line_with_the_requests_id() {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = fmt::layer()
            .with_ansi(false)
            .with_writer(move || writer.clone());
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(log_panic));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let span = tracing::error_span!("request", request_id = "r-1");
            let result = span.in_scope(|| std::panic::catch_unwind(|| panic!("one\ntwo")));
            assert!(result.is_err());
        });
        std::panic::set_hook(before);
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        for part in ["r-1", "panicked", r"one\", "telemetry.rs:"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
