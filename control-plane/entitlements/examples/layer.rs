//! What the tier layer and the guards cost a request, beside the same router without them:
//! nanoseconds and ratio. `cargo run --release -p entitlements --example layer`.

use std::convert::Infallible;
use std::future::{Future, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::http::request::Parts;
use axum::response::Response;
use axum::routing::get;
use entitlements::premium::BoxFuture;
use entitlements::tier::{
    FeatureAccess, Keys, StaticTierBackend, TierBackend, TierError, TierInfo, TierLayer,
    TierResolver,
};
use tower::util::MapRequestLayer;
use tower::{Layer, Service, ServiceExt, service_fn};

// Short rounds, many of them: the best one is one that nothing interrupted.
const REQUESTS: u32 = 500;
const ROUNDS: usize = 1_000;

/// Knows every tier without waiting.
struct AtOnce(TierInfo);

impl TierBackend for AtOnce {
    fn resolve<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<TierInfo, TierError>> {
        Box::pin(ready(Ok(self.0.clone())))
    }

    fn resolve_now(&self, _: &str) -> Option<TierInfo> {
        Some(self.0.clone())
    }
}

fn owner(parts: &Parts) -> Option<String> {
    let owner = parts.headers.get("x-owner")?;
    owner.to_str().ok().map(str::to_owned)
}

#[expect(clippy::print_stdout, reason = "a program whose result is its output")]
fn main() -> Result<()> {
    let features = (0..20).map(|n| (format!("feature_{n}"), FeatureAccess::Toggle(true)));
    let limit = ("seats".to_owned(), FeatureAccess::Limit(5));
    let tier = TierInfo::new("growth", features.chain([limit]));
    let waits = TierResolver::new(StaticTierBackend::new(tier.clone()));
    let waits = TierLayer::new(waits, owner).with_default(tier.clone());
    let at_once = TierResolver::new(AtOnce(tier.clone()));
    let at_once = TierLayer::new(at_once, owner).with_default(tier);

    let features: Vec<String> = (0..20).map(|n| format!("feature_{n}")).collect();
    let keys = Keys::new(features.iter().map(String::as_str), ["seats"]);
    let guards = at_once.guards(keys)?;
    let feature = guards.require_feature("feature_7")?;
    let limit = guards.require_limit("seats", |_| ready(Ok(4)))?;

    let idle = MapRequestLayer::new(|request: Request<Body>| request);
    let bare = || Router::new().route("/", get(async || "done"));
    let routers = [
        ("nothing", bare()),
        // What axum takes for any layer.
        ("a layer that does nothing", bare().layer(idle)),
        ("layer, backend waits", bare().layer(waits)),
        (
            "layer, backend knows at once",
            bare().layer(at_once.clone()),
        ),
        (
            "that and a guard by feature",
            bare().route_layer(feature.clone()).layer(at_once.clone()),
        ),
        (
            "that and a guard by limit",
            bare().route_layer(limit).layer(at_once.clone()),
        ),
    ];
    println!("around a route of an axum router:");
    let mut best = [f64::MAX; 6];
    for _ in 0..ROUNDS {
        // In turn, so that a noisy moment does not hit one alone.
        for (best, (_, router)) in best.iter_mut().zip(&routers) {
            *best = best.min(timed(|| router.clone())?);
        }
    }
    for (ns, (name, _)) in best.iter().zip(&routers) {
        let [bare, ..] = best;
        println!("  {name:<30} {ns:>5.0} ns, ratio {:.2}", bare / ns);
    }

    let inner = service_fn(async |_: Request<Body>| Ok(Response::new(Body::empty())));
    let gated = at_once.layer(feature.layer(inner));
    let (mut with, mut without) = (f64::MAX, f64::MAX);
    for _ in 0..ROUNDS {
        without = without.min(timed(|| inner)?);
        with = with.min(timed(|| gated.clone())?);
    }
    println!(
        "around a bare service: layer and guard by feature {:.0} ns",
        with - without
    );
    Ok(())
}

/// Nanoseconds for one request, the making of which is the same for all.
fn timed<S>(service: impl Fn() -> S) -> Result<f64>
where
    S: Service<Request<Body>, Response = Response, Error = Infallible>,
{
    let start = Instant::now();
    for _ in 0..REQUESTS {
        let request = Request::get("/").header("x-owner", "acme");
        let answer = pin!(service().oneshot(request.body(Body::empty())?));
        let mut context = Context::from_waker(Waker::noop());
        let answer = match { answer }.poll(&mut context) {
            Poll::Ready(answer) => answer?,
            Poll::Pending => None.context("nothing here waits")?,
        };
        ensure!(answer.status().is_success(), "every request passes");
    }
    Ok(start.elapsed().as_secs_f64() * 1e9 / f64::from(REQUESTS))
}
