//! `POST /v1/licenses/{id}/license-files`: what a box without a network asks for, carried here by
//! an operator.

use activation_token::offline::LicenseRequest;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use manifest::PackageName;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use super::caller::{Allowed, WriteLicenses};
use super::licenses::license_id;
use super::problem::WriteProblems;
use super::write::{Command, Halt};
use crate::operations::SignedFile;

/// What is to be signed.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct SignRequest {
    /// What `box request` printed.
    #[schema(value_type = LicenseRequestSchema)]
    request: LicenseRequest,
    /// When the file ends: at most 400 days from now and not after the license. If not said, in
    /// 365 days or with the license.
    expires_at: Option<Timestamp>,
}

/// What a box without a network sends by hand; it holds no secret.
#[derive(ToSchema)]
#[schema(as = LicenseRequest, rename_all = "camelCase")]
#[expect(dead_code, reason = "the shape of a type that knows no documents")]
struct LicenseRequestSchema {
    /// Made at random; the file that answers it names it.
    #[schema(min_length = 1, max_length = 100)]
    request_id: String,
    /// The box's own time.
    requested_at: Timestamp,
    /// The same at each activation of this machine.
    #[schema(min_length = 1, max_length = 256)]
    fingerprint: String,
    /// A name for people.
    #[schema(max_length = 100)]
    name: Option<String>,
    /// Which license is meant, where the box was told.
    license_id: Option<String>,
}

/// A license file, with what it says.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SignedLicenseFile)]
struct SignedFileView {
    /// The file: a compact JWS. Whoever has it may install until it ends.
    license_file: String,
    /// The public half of the key that signed it, as a JWK.
    #[schema(value_type = Object)]
    root_key: serde_json::Value,
    request_id: String,
    license_id: String,
    customer_id: String,
    box_id: Option<String>,
    tier: String,
    issued_at: Timestamp,
    /// When it ends. It cannot be taken back before.
    expires_at: Timestamp,
    /// What may be installed.
    #[schema(value_type = Vec<String>)]
    packages: Vec<PackageName>,
}

/// Sign a license file for a box without a network.
///
/// The box takes its seat as by an activation, and keeps it until the file ends, whatever the
/// lease. The same box again takes no further seat.
#[utoipa::path(post, path = "/v1/licenses/{id}/license-files",
    operation_id = "signLicenseFile", tag = "boxes", security(("operator" = [])),
    params(("id" = String, Path), super::openapi::IdempotencyParam),
    request_body = SignRequest,
    responses((status = 201, body = SignedFileView), WriteProblems))]
pub(super) async fn sign(
    State(app): State<App>,
    caller: Allowed<WriteLicenses>,
    Path(id): Path<String>,
    command: Command<SignRequest>,
) -> Result<Response, Halt> {
    let SignRequest {
        request,
        expires_at,
    } = command.body;
    let id = license_id(&id)?;
    let mut write = caller.write(&app, command.key).await?;
    let signed = app
        .sign_license_request(&mut write.tx, &write.by, &id, request, expires_at)
        .await?;
    let root_key = serde_json::json!(app.root_key.public().to_jwk());
    write
        .answer(StatusCode::CREATED, signed, |signed| view(signed, root_key))
        .await
}

fn view(signed: &SignedFile, root_key: serde_json::Value) -> SignedFileView {
    let file = &signed.file;
    SignedFileView {
        license_file: signed.signed.clone(),
        root_key,
        request_id: file.request_id.clone(),
        license_id: file.license_id.clone(),
        customer_id: file.customer_id.clone(),
        box_id: signed.box_id.clone(),
        tier: file.tier.clone(),
        issued_at: file.issued_at,
        expires_at: file.expires_at,
        packages: file.packages.clone(),
    }
}
