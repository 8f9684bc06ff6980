//! `/v1/licenses/{id}/bundles`: what a gate without a network serves from.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use manifest::{PackageName, SetDigest};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use super::boxes::Nothing;
use super::caller::{Allowed, SignBundles};
use super::licenses::license_id;
use super::problem::WriteProblems;
use super::write::{Command, Halt};
use crate::operations::{BundleSource, NewBundle, SignedBundle};

/// A bundle whose files are all known.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct BundleRequest {
    /// SHA-256 of its list of contents, in lower-case hex.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    contents_sha256: String,
    /// `packagesDigest` of what it was made from.
    #[schema(value_type = String)]
    packages_digest: SetDigest,
    /// When a gate stops serving it: at most 400 days from now and not after the license. If not
    /// said, in 365 days or with the license.
    expires_at: Option<Timestamp>,
}

/// What a bundle is made from.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = BundleSource)]
struct SourceView {
    /// A token that reads the license's packages, bound to no box.
    token: String,
    /// Seconds.
    expires_in: i64,
    tier: String,
    customer_id: String,
    license_id: String,
    /// What goes into the bundle.
    #[schema(value_type = Vec<String>)]
    packages: Vec<PackageName>,
    /// To be told when the bundle is signed: it is refused where the license changed meanwhile.
    #[schema(value_type = String)]
    packages_digest: SetDigest,
    registry_url: String,
}

/// The signed head of a bundle.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SignedBundle)]
struct BundleView {
    /// The head: a compact JWS.
    head: String,
    /// The public half of the key that signed it, as a JWK.
    #[schema(value_type = Object)]
    root_key: serde_json::Value,
    customer_id: String,
    created_at: Timestamp,
    /// When a gate stops serving it. It cannot be taken back before.
    expires_at: Timestamp,
}

/// Get a token to read a license's packages with, for a bundle.
///
/// It takes no seat and is bound to no box.
#[utoipa::path(post, path = "/v1/licenses/{id}/bundles/prepare", operation_id = "prepareBundle",
    tag = "licenses", security(("operator" = [])),
    params(("id" = String, Path), super::openapi::IdempotencyParam),
    request_body = Option<Nothing>,
    responses((status = 200, body = SourceView), WriteProblems))]
pub(super) async fn prepare(
    State(app): State<App>,
    caller: Allowed<SignBundles>,
    Path(id): Path<String>,
    command: Command<Nothing>,
) -> Result<Response, Halt> {
    let id = license_id(&id)?;
    let mut write = caller.write(&app, command.key).await?;
    let source = app.prepare_bundle(&mut write.tx, &write.by, &id).await?;
    let registry_url = app.policy.registry_url.to_string();
    write
        .answer(StatusCode::OK, source, |source| {
            source_view(source, registry_url)
        })
        .await
}

/// Sign the head of a bundle.
///
/// A gate that is given the bundle serves what is in it, to boxes with license files, until it
/// ends.
#[utoipa::path(post, path = "/v1/licenses/{id}/bundles", operation_id = "signBundle",
    tag = "licenses", security(("operator" = [])),
    params(("id" = String, Path), super::openapi::IdempotencyParam),
    request_body = BundleRequest,
    responses((status = 201, body = BundleView), WriteProblems))]
pub(super) async fn sign(
    State(app): State<App>,
    caller: Allowed<SignBundles>,
    Path(id): Path<String>,
    command: Command<BundleRequest>,
) -> Result<Response, Halt> {
    let new = NewBundle {
        contents_sha256: command.body.contents_sha256,
        packages: command.body.packages_digest,
        expires_at: command.body.expires_at,
    };
    let id = license_id(&id)?;
    let mut write = caller.write(&app, command.key).await?;
    let signed = app.sign_bundle(&mut write.tx, &write.by, &id, new).await?;
    let root_key = serde_json::json!(app.root_key.public().to_jwk());
    write
        .answer(StatusCode::CREATED, signed, |signed| view(signed, root_key))
        .await
}

fn source_view(source: &BundleSource, registry_url: String) -> SourceView {
    let claims = &source.claims;
    SourceView {
        token: source.token.clone(),
        expires_in: source.expires_in,
        tier: claims.tier.to_string(),
        customer_id: claims.customer_id.clone(),
        license_id: claims.license_id.clone(),
        packages: source.packages.iter().cloned().collect(),
        packages_digest: source.packages.digest(),
        registry_url,
    }
}

fn view(signed: &SignedBundle, root_key: serde_json::Value) -> BundleView {
    BundleView {
        head: signed.signed.clone(),
        root_key,
        customer_id: signed.customer_id.clone(),
        created_at: signed.created_at,
        expires_at: signed.expires_at,
    }
}
