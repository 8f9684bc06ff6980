//! What a tracer sees (ENT-46, ENT-47).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use entitlements::driver::Memory;
use entitlements::{By, Entitlements, Limit, Overrides};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Subscriber;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use crate::world::{Hands, Meter, service};

type Fields = BTreeMap<&'static str, String>;

/// Keeps the spans that have ended, with all that was said of them.
#[derive(Clone, Default)]
struct Tracer(Arc<Mutex<Vec<(&'static str, Fields)>>>);

struct Read<'f>(&'f mut Fields);

impl Visit for Read<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Tracer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::new();
        attributes.record(&mut Read(&mut fields));
        context.span(id).unwrap().extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let span = context.span(id).unwrap();
        let mut extensions = span.extensions_mut();
        values.record(&mut Read(extensions.get_mut::<Fields>().unwrap()));
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let span = context.span(&id).unwrap();
        let fields = span.extensions_mut().remove::<Fields>().unwrap();
        self.0.lock().unwrap().push((span.name(), fields));
    }
}

/// The spans of ours that ended while `work` ran.
async fn traced(work: impl Future<Output = ()>) -> Vec<(&'static str, Fields)> {
    let tracer = Tracer::default();
    let subscriber = tracing_subscriber::registry().with(tracer.clone());
    let guard = tracing::subscriber::set_default(subscriber);
    work.await;
    drop(guard);
    let ended = std::mem::take(&mut *tracer.0.lock().unwrap());
    let ours = ended.into_iter();
    ours.filter(|(name, _)| name.starts_with("entitle"))
        .collect()
}

fn subjects() -> Entitlements {
    let meter = Arc::new(Meter::default());
    service(Arc::new(Memory::new()), &Hands::at(0))
        .usage(meter)
        .build()
}

fn fields(pairs: &[(&'static str, &str)]) -> Fields {
    pairs
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()))
        .collect()
}

#[tokio::test]
async fn ent_46_can_and_check_have_spans_that_name_subject_and_feature() {
    let all = subjects();
    let spans = traced(async {
        all.can("acme", "sso").await.unwrap();
        all.check("acme", "boxes").await.unwrap();
    });
    let expected = [
        (
            "entitle.can",
            fields(&[("entitle.subject", "acme"), ("entitle.feature", "sso")]),
        ),
        (
            "entitle.check",
            fields(&[("entitle.subject", "acme"), ("entitle.feature", "boxes")]),
        ),
    ];
    assert_eq!(spans.await, expected);
}

#[tokio::test]
async fn ent_46_47_an_error_stands_on_the_span_unless_the_feature_is_none() {
    let all = subjects();
    let spans = traced(async {
        all.can("acme", "ss0").await.unwrap_err();
        all.check("acme", "seat").await.unwrap_err();
        all.check("acme", "calls").await.unwrap_err();
    });
    let spans = spans.await;
    assert_eq!(spans.len(), 2);
    assert!(spans.iter().all(|(name, _)| *name == "entitle.check"));
    assert!(spans[0].1["error"].starts_with("unknown limit `seat`"));
    assert_eq!(spans[1].1["error"], "unknown metric `calls`");
}

#[tokio::test]
async fn ent_47_nothing_else_has_a_span() {
    let all = subjects();
    let spans = traced(async {
        all.limit("acme", "boxes").await.unwrap();
        all.plan("acme").await.unwrap();
        all.describe("acme").await.unwrap();
        all.assign("acme", "growth", By::hand("ann")).await.unwrap();
        let set = Overrides::default().limit("boxes", Limit::Count(1));
        all.override_("acme", set).await.unwrap();
        all.limit("acme", "boxen").await.unwrap_err();
    });
    assert_eq!(spans.await, []);
}
