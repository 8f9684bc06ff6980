//! `/v1/licenses`.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use manifest::PackageName;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use super::App;
use super::caller::{Allowed, ReadLicenses, WriteLicenses};
use super::json::{Body, private};
use super::problem::Problem;
use crate::domain::{License, Refusal};
use crate::operations::{NewLicense, Operations};
use crate::store::licenses;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct IssueRequest {
    customer_id: String,
    tier: Option<String>,
    expires_at: Option<Timestamp>,
    max_boxes: Option<u32>,
    #[serde(default)]
    add_ons: Vec<PackageName>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

/// A license as the API shows it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LicenseView<'l> {
    id: &'l str,
    customer_id: &'l str,
    tier: &'l str,
    /// `license` when it names the tier itself, `default` when it follows the manifest's.
    tier_source: &'l str,
    status: &'l str,
    expires_at: Option<Timestamp>,
    max_boxes: Option<u32>,
    add_ons: &'l [PackageName],
    metadata: &'l BTreeMap<String, String>,
    created_at: Timestamp,
    /// The license key, once.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'l str>,
}

/// `POST /v1/licenses`
pub(super) async fn issue(
    State(app): State<App>,
    caller: Allowed<WriteLicenses>,
    Body(request): Body<IssueRequest>,
) -> Result<Response, Problem> {
    let new = NewLicense {
        customer_id: request.customer_id,
        tier: request.tier,
        expires_at: request.expires_at,
        max_boxes: request.max_boxes,
        add_ons: request.add_ons,
        metadata: request.metadata,
    };
    let (license, key) = app.issue_license(&caller.requester, new).await?;
    let view = LicenseView {
        key: Some(key.expose_secret()),
        ..view(&app, &license)
    };
    Ok(private(StatusCode::CREATED, view))
}

/// `GET /v1/licenses/{id}`
pub(super) async fn show(
    State(app): State<App>,
    _caller: Allowed<ReadLicenses>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id = id.parse().map_err(|_| Refusal::LicenseNotFound)?;
    let license = licenses::get(app.store.read().await?.link(), &id).await?;
    let license = license.ok_or(Refusal::LicenseNotFound)?;
    Ok(private(StatusCode::OK, view(&app, &license)))
}

fn view<'l>(app: &'l Operations, license: &'l License) -> LicenseView<'l> {
    let default = app.tiers.default_tier().name().as_str();
    LicenseView {
        id: license.id.as_str(),
        customer_id: &license.customer_id,
        tier: license.tier.as_ref().map_or(default, |tier| tier.as_str()),
        tier_source: if license.tier.is_some() {
            "license"
        } else {
            "default"
        },
        status: license.status.as_str(),
        expires_at: license.expires_at,
        max_boxes: license.max_boxes,
        add_ons: &license.add_ons,
        metadata: &license.metadata,
        created_at: license.created_at,
        key: None,
    }
}
