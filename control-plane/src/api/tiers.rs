//! `/v1/tiers` and `/v1/manifest`: what can be sold.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::response::Response;
use manifest::PackageName;
use serde::Serialize;
use url::Url;
use utoipa::ToSchema;

use super::App;
use super::caller::{Allowed, ReadTiers};
use super::json::shown;
use super::problem::{Problem, ReadProblems};
use crate::operations::Operations;

/// The tiers, ascending.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct TierList<'t> {
    tiers: Vec<TierView<'t>>,
}

/// A tier.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Tier)]
struct TierView<'t> {
    name: &'t str,
    default: bool,
    features: Vec<&'t str>,
    /// Numbers; `null` is unlimited.
    limits: BTreeMap<&'t str, Option<u64>>,
    package_count: usize,
    digest: String,
}

/// A tier's packages.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct TierPackages<'t> {
    tier: &'t str,
    digest: String,
    #[schema(value_type = Vec<String>)]
    packages: Vec<&'t PackageName>,
}

/// The manifest in force.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Manifest)]
pub(super) struct ManifestView<'t> {
    scope: &'t str,
    default_tier: &'t str,
    features: Vec<&'t str>,
    limits: Vec<&'t str>,
    tiers: Vec<TierView<'t>>,
    digest: String,
    /// Where boxes install from, and publishers publish to.
    #[schema(value_type = String)]
    registry_url: &'t Url,
}

/// Every package of the manifest.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ManifestPackages<'t> {
    digest: String,
    #[schema(value_type = Vec<String>)]
    packages: Vec<&'t PackageName>,
}

/// List the tiers, ascending.
// KUM-9.
#[utoipa::path(get, path = "/v1/tiers", operation_id = "listTiers", tag = "tiers",
    security(("operator" = []), ("application" = [])),
    responses((status = 200, body = TierList), ReadProblems))]
pub(super) async fn list(
    State(app): State<App>,
    _caller: Allowed<ReadTiers>,
) -> Result<Response, Problem> {
    shown(&TierList { tiers: views(&app) })
}

/// List a tier's packages.
#[utoipa::path(get, path = "/v1/tiers/{tier}/packages", operation_id = "listTierPackages",
    tag = "tiers", security(("operator" = []), ("application" = [])),
    params(("tier" = String, Path)),
    responses((status = 200, body = TierPackages), ReadProblems))]
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
    shown(&answer)
}

/// Read the manifest in force, with the digest to compare by.
#[utoipa::path(get, path = "/v1/manifest", operation_id = "getManifest", tag = "tiers",
    security(("operator" = []), ("application" = [])),
    responses((status = 200, body = ManifestView), ReadProblems))]
pub(super) async fn manifest(
    State(app): State<App>,
    _caller: Allowed<ReadTiers>,
) -> Result<Response, Problem> {
    let answer = ManifestView {
        scope: app.tiers.scope(),
        default_tier: app.tiers.default_tier().name().as_str(),
        features: app.tiers.features().collect(),
        limits: app.tiers.limits().collect(),
        tiers: views(&app),
        digest: app.tiers.digest().to_string(),
        registry_url: &app.policy.registry_url,
    };
    shown(&answer)
}

/// List every package that the manifest declares, also those of no tier.
#[utoipa::path(get, path = "/v1/manifest/packages", operation_id = "listManifestPackages",
    tag = "tiers", security(("operator" = []), ("application" = [])),
    responses((status = 200, body = ManifestPackages), ReadProblems))]
pub(super) async fn all_packages(
    State(app): State<App>,
    _caller: Allowed<ReadTiers>,
) -> Result<Response, Problem> {
    shown(&ManifestPackages {
        digest: app.tiers.digest().to_string(),
        packages: app.tiers.packages().map(|package| package.name()).collect(),
    })
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
                .map(|(name, limit)| (name, limit.count()))
                .collect(),
            package_count: tier.packages().len(),
            digest: tier.packages().digest().to_string(),
        })
        .collect()
}
