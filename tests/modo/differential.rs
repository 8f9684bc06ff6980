//! Whatever the tier, the guard and the request: modo's layer and guards and ours answer with the
//! same status, tell the service the same, and ask backend and usage as often.
//!
//! Meant to differ, and so not generated:
//! - a limit without bound, which modo has not; ours passes without asking for the usage;
//! - a guard's key that nobody declared: ours cannot be made, so every key here is declared;
//! - the body of an error (MODO-25): ours is a problem. The statuses are the same.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::convert::Infallible;
use std::future::ready;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::{Body, to_bytes};
use axum::http::request::Parts;
use axum::http::{Request, Response, StatusCode};
use entitlements::premium::BoxFuture;
use entitlements::tier as ours;
use modo::tier as theirs;
use proptest::prelude::*;
use tower::util::BoxCloneSyncService;
use tower::{Layer, ServiceExt, service_fn};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
/// Declared, and in no tier.
const RARE: &str = "rare";

type Service = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// What a tier says about a name.
#[derive(Debug, Clone, Copy)]
enum Access {
    Toggle(bool),
    Limit(u64),
}

/// A tier: what it says about each of [`NAMES`].
type Tier = [Option<Access>; 4];

#[derive(Debug, Clone)]
enum Guard {
    Feature(&'static str),
    /// With what is used, or the status of an error.
    Limit(&'static str, Result<u64, StatusCode>),
}

/// Where the guard stands.
#[derive(Debug, Clone, Copy)]
enum Place {
    Within,
    Outside,
    NoLayer,
}

#[derive(Debug, Clone)]
struct Case {
    guard: Guard,
    place: Place,
    owner: Option<String>,
    backend: Result<Tier, StatusCode>,
    default: Option<Tier>,
}

/// What can be seen from outside.
#[derive(Debug, PartialEq, Default)]
struct Seen {
    status: u16,
    backend_asked: usize,
    usage_asked: usize,
    /// The tier's name as the service saw it, and the request's body, each time it was reached.
    service: Vec<(Option<String>, Vec<u8>)>,
}

/// Counts, shared with closures.
#[derive(Clone, Default)]
struct Probe {
    backend: Arc<AtomicUsize>,
    usage: Arc<AtomicUsize>,
    service: Arc<Mutex<Vec<(Option<String>, Vec<u8>)>>>,
}

impl Probe {
    /// A service that notes what reaches it; `name` finds the tier's.
    fn service(&self, name: fn(&Request<Body>) -> Option<String>) -> Service {
        let seen = self.service.clone();
        BoxCloneSyncService::new(service_fn(move |request: Request<Body>| {
            let seen = seen.clone();
            async move {
                let name = name(&request);
                let body = to_bytes(request.into_body(), 1024).await.unwrap();
                seen.lock().unwrap().push((name, body.to_vec()));
                Ok(Response::new(Body::empty()))
            }
        }))
    }

    /// Asks the service once.
    fn ask(self, service: Service, owner: Option<&str>) -> Seen {
        let mut request = Request::post("/");
        if let Some(owner) = owner {
            request = request.header("x-owner", owner);
        }
        let request = request.body(Body::from("all of it")).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.build().unwrap();
        let answer = runtime.block_on(service.oneshot(request)).unwrap();
        Seen {
            status: answer.status().as_u16(),
            backend_asked: self.backend.load(Ordering::Relaxed),
            usage_asked: self.usage.load(Ordering::Relaxed),
            service: std::mem::take(&mut self.service.lock().unwrap()),
        }
    }
}

fn owner(parts: &Parts) -> Option<String> {
    let owner = parts.headers.get("x-owner")?;
    Some(owner.to_str().unwrap().to_owned())
}

fn boxed<L>(layer: &L, service: Service) -> Service
where
    L: Layer<Service>,
    L::Service: tower::Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    <L::Service as tower::Service<Request<Body>>>::Future: Send,
{
    BoxCloneSyncService::new(layer.layer(service))
}

/// Puts layer and guard around the service as the case says.
fn arranged<L, G>(place: Place, layer: &L, guard: &G, service: Service) -> Service
where
    L: Fn(Service) -> Service,
    G: Fn(Service) -> Service,
{
    match place {
        Place::Within => layer(guard(service)),
        Place::Outside => guard(layer(service)),
        Place::NoLayer => guard(service),
    }
}

// Ours.

fn our_info(name: &str, tier: Tier) -> ours::TierInfo {
    let features = NAMES.into_iter().zip(tier).filter_map(|(name, access)| {
        let access = match access? {
            Access::Toggle(on) => ours::FeatureAccess::Toggle(on),
            Access::Limit(count) => ours::FeatureAccess::Limit(count),
        };
        Some((name, access))
    });
    ours::TierInfo::new(name, features)
}

struct OurBackend(Result<Tier, StatusCode>, Arc<AtomicUsize>);

impl ours::TierBackend for OurBackend {
    fn resolve<'a>(
        &'a self,
        owner: &'a str,
    ) -> BoxFuture<'a, Result<ours::TierInfo, ours::TierError>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        let info = self.0.map(|tier| our_info(owner, tier));
        Box::pin(ready(info.map_err(our_error)))
    }
}

fn our_error(status: StatusCode) -> ours::TierError {
    match status {
        StatusCode::INTERNAL_SERVER_ERROR => ours::TierError::fault("broken"),
        status => ours::TierError::refused(status, "refused", "no"),
    }
}

fn by_us(case: &Case) -> Seen {
    let probe = Probe::default();
    let backend = OurBackend(case.backend, probe.backend.clone());
    let layer = ours::TierLayer::new(ours::TierResolver::new(backend), owner);
    // Every name is declared as a limit, since those may be guarded as features as well.
    let keys = ours::Keys::new([], NAMES.into_iter().chain([RARE]));
    let with_default = layer.clone().with_default(our_info("empty", [None; 4]));
    let guards = with_default.guards(keys).unwrap();
    let guard: Box<dyn Fn(Service) -> Service> = match case.guard.clone() {
        Guard::Feature(name) => {
            let guard = guards.require_feature(name).unwrap();
            Box::new(move |service| boxed(&guard, service))
        }
        Guard::Limit(name, used) => {
            let asked = probe.usage.clone();
            let usage = move |_: &Parts| {
                asked.fetch_add(1, Ordering::Relaxed);
                ready(used.map_err(our_error))
            };
            let guard = guards.require_limit(name, usage).unwrap();
            Box::new(move |service| boxed(&guard, service))
        }
    };
    let layer: Box<dyn Fn(Service) -> Service> = match case.default {
        None => Box::new(move |service| boxed(&layer, service)),
        Some(tier) => {
            let layer = layer.with_default(our_info("default", tier));
            Box::new(move |service| boxed(&layer, service))
        }
    };
    let service = probe.service(|request| {
        let info = request.extensions().get::<ours::TierInfo>();
        info.map(|info| info.name().to_owned())
    });
    let service = arranged(case.place, &layer, &guard, service);
    probe.ask(service, case.owner.as_deref())
}

// Theirs.

fn their_info(name: &str, tier: Tier) -> theirs::TierInfo {
    let features = NAMES.into_iter().zip(tier).filter_map(|(name, access)| {
        let access = match access? {
            Access::Toggle(on) => theirs::FeatureAccess::Toggle(on),
            Access::Limit(count) => theirs::FeatureAccess::Limit(count),
        };
        Some((name.to_owned(), access))
    });
    theirs::TierInfo {
        name: name.to_owned(),
        features: features.collect(),
    }
}

struct TheirBackend(Result<Tier, StatusCode>, Arc<AtomicUsize>);

impl theirs::TierBackend for TheirBackend {
    fn resolve(&self, owner: &str) -> BoxFuture<'_, modo::Result<theirs::TierInfo>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        let info = self.0.map(|tier| their_info(owner, tier));
        Box::pin(ready(info.map_err(their_error)))
    }
}

fn their_error(status: StatusCode) -> modo::Error {
    modo::Error::new(status, "no")
}

fn by_them(case: &Case) -> Seen {
    let probe = Probe::default();
    let backend = TheirBackend(case.backend, probe.backend.clone());
    let resolver = theirs::TierResolver::from_backend(Arc::new(backend));
    let mut layer = theirs::TierLayer::new(resolver, owner);
    if let Some(tier) = case.default {
        layer = layer.with_default(their_info("default", tier));
    }
    let guard: Box<dyn Fn(Service) -> Service> = match case.guard.clone() {
        Guard::Feature(name) => {
            let guard = theirs::require_feature(name);
            Box::new(move |service| boxed(&guard, service))
        }
        Guard::Limit(name, used) => {
            let asked = probe.usage.clone();
            let guard = theirs::require_limit(name, move |_: &Parts| {
                asked.fetch_add(1, Ordering::Relaxed);
                ready(used.map_err(their_error))
            });
            Box::new(move |service| boxed(&guard, service))
        }
    };
    let layer = move |service| boxed(&layer, service);
    let service = probe.service(|request| {
        let info = request.extensions().get::<theirs::TierInfo>();
        info.map(|info| info.name.clone())
    });
    let service = arranged(case.place, &layer, &guard, service);
    probe.ask(service, case.owner.as_deref())
}

// Cases.

fn count() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0..4_u64, 1 => any::<u64>()]
}

fn tier() -> impl Strategy<Value = Tier> {
    let access = prop_oneof![
        any::<bool>().prop_map(Access::Toggle),
        count().prop_map(Access::Limit),
    ];
    proptest::array::uniform4(proptest::option::weighted(0.8, access))
}

fn name() -> impl Strategy<Value = &'static str> {
    prop_oneof![5 => proptest::sample::select(&NAMES[..]), 1 => Just(RARE)]
}

fn error() -> impl Strategy<Value = StatusCode> {
    proptest::sample::select(vec![
        StatusCode::INTERNAL_SERVER_ERROR,
        StatusCode::UNAUTHORIZED,
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::TOO_MANY_REQUESTS,
    ])
}

fn or_error<T>(value: impl Strategy<Value = T>) -> impl Strategy<Value = Result<T, StatusCode>>
where
    T: std::fmt::Debug,
{
    (value, proptest::option::weighted(0.1, error())).prop_map(|(value, error)| match error {
        Some(error) => Err(error),
        None => Ok(value),
    })
}

fn case() -> impl Strategy<Value = Case> {
    let guard = prop_oneof![
        name().prop_map(Guard::Feature),
        (name(), or_error(count())).prop_map(|(name, used)| Guard::Limit(name, used)),
    ];
    let place = prop_oneof![
        8 => Just(Place::Within),
        1 => Just(Place::Outside),
        1 => Just(Place::NoLayer),
    ];
    let owner = proptest::option::weighted(0.7, "[a-z]{1,8}");
    let default = proptest::option::of(tier());
    (guard, place, owner, or_error(tier()), default).prop_map(
        |(guard, place, owner, backend, default)| Case {
            guard,
            place,
            owner,
            backend,
            default,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 4096,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn modo_10_to_24_every_request_is_answered_alike(case in case()) {
        prop_assert_eq!(by_us(&case), by_them(&case));
    }

    #[test]
    fn modo_1_to_8_every_question_is_answered_alike(tier in tier(), name in name(), used in count()) {
        let (our, their) = (our_info("tier", tier), their_info("tier", tier));
        prop_assert_eq!(our.has_feature(name), their.has_feature(name));
        prop_assert_eq!(our.is_enabled(name), their.is_enabled(name));
        let limit = our.limit(name).map(number);
        prop_assert_eq!(limit, their.limit(name));
        let ceiling = our.limit_ceiling(name).map(number);
        prop_assert_eq!(
            ceiling.map_err(|error| error.status()),
            their.limit_ceiling(name).map_err(|error| error.status())
        );
        prop_assert_eq!(
            our.check_limit(name, used).map_err(|error| error.status()),
            their.check_limit(name, used).map_err(|error| error.status())
        );
        let text = serde_json::to_value(&their).unwrap();
        prop_assert_eq!(serde_json::to_value(&our).unwrap(), text.clone());
        prop_assert_eq!(serde_json::from_value::<ours::TierInfo>(text).unwrap(), our);
    }
}

fn number(limit: entitlements::Limit) -> u64 {
    match limit {
        entitlements::Limit::Count(count) => count,
        entitlements::Limit::Unlimited => panic!("not generated"),
    }
}
