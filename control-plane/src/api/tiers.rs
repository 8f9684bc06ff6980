//! `/v1/tiers` and `/v1/manifest`: what can be sold.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use manifest::{Limit, PackageName};
use serde::Serialize;

use super::App;
use super::caller::{Allowed, ReadTiers};
use super::json::private;
use super::problem::Problem;
use crate::operations::Operations;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TierList<'t> {
    tiers: Vec<TierView<'t>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TierView<'t> {
    name: &'t str,
    default: bool,
    features: Vec<&'t str>,
    /// Numbers; `null` is unlimited.
    limits: BTreeMap<&'t str, Option<u64>>,
    package_count: usize,
    digest: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TierPackages<'t> {
    tier: &'t str,
    digest: String,
    packages: Vec<&'t PackageName>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ManifestView<'t> {
    scope: &'t str,
    default_tier: &'t str,
    features: Vec<&'t str>,
    limits: Vec<&'t str>,
    tiers: Vec<TierView<'t>>,
    digest: String,
}

/// `GET /v1/tiers`: the tiers in ascending order (KUM-9).
pub(super) async fn list(State(app): State<App>, _caller: Allowed<ReadTiers>) -> Response {
    private(StatusCode::OK, TierList { tiers: views(&app) })
}

/// `GET /v1/tiers/{tier}/packages`: the tier's set, sorted.
pub(super) async fn packages(
    State(app): State<App>,
    _caller: Allowed<ReadTiers>,
    Path(tier): Path<String>,
) -> Result<Response, Problem> {
    let tier = app.find_tier(&tier)?;
    let answer = TierPackages {
        tier: tier.name().as_str(),
        digest: tier.packages().digest().to_string(),
        packages: tier.packages().iter().collect(),
    };
    Ok(private(StatusCode::OK, answer))
}

/// `GET /v1/manifest`: what is in force, with the digest to compare by.
pub(super) async fn manifest(State(app): State<App>, _caller: Allowed<ReadTiers>) -> Response {
    let answer = ManifestView {
        scope: app.tiers.scope(),
        default_tier: app.tiers.default_tier().name().as_str(),
        features: app.tiers.features().collect(),
        limits: app.tiers.limits().collect(),
        tiers: views(&app),
        digest: app.tiers.digest().to_string(),
    };
    private(StatusCode::OK, answer)
}

fn views(app: &Operations) -> Vec<TierView<'_>> {
    let default = app.tiers.default_tier().name();
    app.tiers
        .tiers()
        .map(|tier| TierView {
            name: tier.name().as_str(),
            default: tier.name() == default,
            features: tier.features().collect(),
            limits: tier
                .limits()
                .map(|(name, limit)| (name, number(limit)))
                .collect(),
            package_count: tier.packages().len(),
            digest: tier.packages().digest().to_string(),
        })
        .collect()
}

fn number(limit: Limit) -> Option<u64> {
    match limit {
        Limit::Count(count) => Some(count),
        Limit::Unlimited => None,
    }
}
