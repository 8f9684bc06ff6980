//! `/ofrep/v1/evaluate/flags`: flags, features and limits by the remote evaluation protocol of
//! `OpenFeature` (OFREP 0.3). Everything with a name is a flag there: a feature has a boolean, a
//! limit a number. The targeting key of the context is the user, and with that the subject.

use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use entitlements::Limit;
use entitlements::flags::{FlagContext, FlagValue, Origin};
use entitlements::premium::Caller;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::App;
use super::caller::{Allowed, EvaluateFlags};
use super::json::{self, private};
use super::problem::{EvaluationProblems, InItsOwnWords, Problem};
use super::write::read;
use crate::domain::flag::to_json;
use crate::operations::Evaluated;

/// The longest name of a user or team, in bytes.
const NAME_BYTES_MAX: usize = 200;
/// The number that stands for "unlimited": the largest that every client reads exactly.
const UNLIMITED: u64 = (1 << 53) - 1;

/// Who flags are read for.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "read member by member; here for the document")]
pub(super) struct EvaluationRequest {
    context: Option<ContextView>,
}

/// Other members are not looked at.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = EvaluationContext)]
#[expect(dead_code, reason = "read member by member; here for the document")]
struct ContextView {
    /// The user, who is also the subject of features and limits.
    targeting_key: Option<String>,
    /// The team that the user acts for.
    team: Option<String>,
}

/// What a flag is.
#[derive(Serialize, ToSchema)]
pub(super) struct Evaluation {
    key: String,
    /// A boolean, a text or a number.
    value: Value,
    #[schema(value_type = ReasonView)]
    reason: &'static str,
    variant: String,
    /// `kind` is `flag`, `feature` or `limit`. Of a flag, `origin` says what decided: `user`,
    /// `team`, `platform`, `default`, or `premium` where it is for premium users alone. Of the
    /// others, `tier` is the subject's. `unlimited` is true for a limit without a bound.
    #[schema(value_type = Object)]
    metadata: Map<String, Value>,
}

/// Why a flag is what it is.
#[derive(ToSchema)]
#[schema(as = EvaluationReason, rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(dead_code, reason = "written as text; here for the document")]
enum ReasonView {
    Static,
    TargetingMatch,
}

/// Why a flag could not be evaluated.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EvaluationFailure {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    key: Option<String>,
    error_code: ErrorCode,
    error_details: String,
}

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schema(as = EvaluationErrorCode)]
enum ErrorCode {
    ParseError,
    InvalidContext,
    TargetingKeyMissing,
    FlagNotFound,
}

/// A flag of many.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = EvaluatedFlag)]
enum Either {
    Success(Evaluation),
    Failure(EvaluationFailure),
}

/// All flags.
#[derive(Serialize, ToSchema)]
pub(super) struct EvaluationList {
    flags: Vec<Either>,
}

/// Evaluate a flag, feature or limit.
///
/// By OFREP, the protocol of `OpenFeature`. An unlimited limit is the number 9007199254740991, with
/// `unlimited` in its metadata.
#[utoipa::path(post, path = "/ofrep/v1/evaluate/flags/{key}", operation_id = "evaluateFlag",
    tag = "flags", security(("application" = []), ("operator" = []), ("apiKey" = [])),
    params(("key" = String, Path)), request_body = EvaluationRequest,
    responses((status = 200, body = Evaluation), (status = 400, body = EvaluationFailure),
        (status = 404, body = EvaluationFailure), EvaluationProblems))]
pub(super) async fn evaluate(
    State(app): State<App>,
    _caller: Allowed<EvaluateFlags>,
    key: Result<Path<String>, PathRejection>,
    context: Result<Context, Failed>,
) -> Result<Response, Failed> {
    let key = key.map_or_else(|_| String::new(), |Path(key)| key);
    let context = context.map_err(|failed| failed.of(&key))?;
    let mut conn = app.store.read().await?;
    let found = app
        .evaluate_flag(conn.link(), &context.read(), &key)
        .await?;
    match found.map(|found| view(key.clone(), found)) {
        Some(Either::Success(evaluation)) => answer(&evaluation),
        Some(Either::Failure(failure)) => Err(failure.into()),
        None => Err(EvaluationFailure {
            key: Some(key),
            error_code: ErrorCode::FlagNotFound,
            error_details: "no flag, feature or limit has this name".to_owned(),
        }
        .into()),
    }
}

/// Evaluate all flags, features and limits.
///
/// By OFREP, the protocol of `OpenFeature`. The `ETag` changes when anything in the answer does;
/// with it as `If-None-Match` the answer is 304 until then. Without a `targetingKey`, features and
/// limits are told as failures.
#[utoipa::path(post, path = "/ofrep/v1/evaluate/flags", operation_id = "evaluateFlags",
    tag = "flags", security(("application" = []), ("operator" = []), ("apiKey" = [])),
    params(("If-None-Match" = Option<String>, Header, description = "`ETag` of an earlier answer")),
    request_body = EvaluationRequest,
    responses((status = 200, body = EvaluationList), (status = 304, description = "Nothing changed"),
        (status = 400, body = EvaluationFailure), EvaluationProblems))]
pub(super) async fn evaluate_all(
    State(app): State<App>,
    _caller: Allowed<EvaluateFlags>,
    headers: HeaderMap,
    context: Result<Context, Failed>,
) -> Result<Response, Failed> {
    let context = context?;
    let mut conn = app.store.read().await?;
    let found = app.evaluate_flags(conn.link(), &context.read()).await?;
    let flags = found
        .into_iter()
        .map(|(key, found)| view(key.to_string(), found));
    let list = EvaluationList {
        flags: flags.collect(),
    };
    let body = serde_json::to_string(&list).map_err(Problem::fault)?;
    // Whatever decides about a flag shows in what is answered.
    let digest = Sha256::digest(&body);
    let tag = format!(
        "\"{}\"",
        HEXLOWER.encode(digest.get(..16).unwrap_or_default())
    );
    let mut response = if is_known(&headers, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        private(StatusCode::OK, body)
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(response)
}

fn answer(evaluation: &Evaluation) -> Result<Response, Failed> {
    let body = serde_json::to_string(evaluation).map_err(Problem::fault)?;
    Ok(private(StatusCode::OK, body))
}

/// Whether the caller has the answer of this tag.
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let lists = headers.get_all(header::IF_NONE_MATCH);
    let mut known = lists
        .iter()
        .filter_map(|list| list.to_str().ok())
        .flat_map(|list| list.split(','))
        .map(str::trim);
    known.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

fn view(key: String, found: Evaluated) -> Either {
    let mut metadata = Map::new();
    let mut note = |name: &str, value: Value| {
        metadata.insert(name.to_owned(), value);
    };
    let (value, reason, variant) = match found {
        Evaluated::NobodyAsks => {
            return Either::Failure(EvaluationFailure {
                key: Some(key),
                error_code: ErrorCode::TargetingKeyMissing,
                error_details: "a feature or limit is somebody's; send `context.targetingKey`"
                    .to_owned(),
            });
        }
        Evaluated::Flag(found) => {
            note("kind", json!("flag"));
            note("origin", json!(found.origin.as_str()));
            let reason = match found.origin {
                Origin::Default | Origin::Platform => "STATIC",
                Origin::User | Origin::Team | Origin::PremiumFloor => "TARGETING_MATCH",
            };
            let variant = match &found.value {
                FlagValue::Switch(on) => on_or_off(*on),
                FlagValue::Variant(name) => name.to_string(),
            };
            (to_json(&found.value), reason, variant)
        }
        Evaluated::Feature(on, tier) => {
            note("kind", json!("feature"));
            note("tier", json!(tier));
            (json!(on), "TARGETING_MATCH", on_or_off(on))
        }
        Evaluated::Limit(limit, tier) => {
            note("kind", json!("limit"));
            note("tier", json!(tier));
            note("unlimited", json!(limit == Limit::Unlimited));
            let value = match limit {
                Limit::Count(count) => count.min(UNLIMITED),
                Limit::Unlimited => UNLIMITED,
            };
            (json!(value), "TARGETING_MATCH", limit.to_string())
        }
    };
    Either::Success(Evaluation {
        key,
        value,
        reason,
        variant,
        metadata,
    })
}

fn on_or_off(on: bool) -> String {
    if on { "on" } else { "off" }.to_owned()
}

/// Who asks, as the request says.
pub(super) struct Context {
    user: Option<String>,
    team: Option<String>,
}

impl Context {
    fn read(&self) -> FlagContext<'_> {
        FlagContext {
            caller: Caller::from(self.user.as_deref()),
            team: self.team.as_deref(),
        }
    }

    /// An empty text is none.
    fn of(body: &Value) -> Result<Self, Failed> {
        let context = match body.get("context") {
            None => {
                return Ok(Self {
                    user: None,
                    team: None,
                });
            }
            Some(Value::Object(context)) => context,
            Some(_) => return Err(invalid("`context` is an object")),
        };
        let text = |name: &str| match context.get(name) {
            None => Ok(None),
            Some(Value::String(text))
                if text.len() > NAME_BYTES_MAX || text.contains(char::is_control) =>
            {
                Err(invalid(&format!(
                    "`{name}` has at most {NAME_BYTES_MAX} bytes and no control characters"
                )))
            }
            Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
            Some(_) => Err(invalid(&format!("`{name}` is a text"))),
        };
        Ok(Self {
            user: text("targetingKey")?,
            team: text("team")?,
        })
    }
}

impl FromRequest<App> for Context {
    type Rejection = Failed;

    async fn from_request(request: Request, _: &App) -> Result<Self, Failed> {
        let (parts, body) = request.into_parts();
        let bytes = read(body, super::BODY_BYTES_MAX).await?;
        json::require(&parts.headers)?;
        let body: Value = serde_json::from_slice(&bytes).map_err(|error| EvaluationFailure {
            key: None,
            error_code: ErrorCode::ParseError,
            error_details: json::told(&error.to_string()),
        })?;
        if !body.is_object() {
            return Err(invalid("the body is an object with a `context`"));
        }
        Self::of(&body)
    }
}

fn invalid(details: &str) -> Failed {
    let failure = EvaluationFailure {
        key: None,
        error_code: ErrorCode::InvalidContext,
        error_details: details.to_owned(),
    };
    failure.into()
}

/// Why a request failed: as the protocol has it, or like everywhere else.
pub(super) enum Failed {
    Evaluation(EvaluationFailure),
    Problem(Problem),
}

impl Failed {
    /// The same about a flag.
    fn of(self, key: &str) -> Self {
        match self {
            Self::Evaluation(failure) => Self::Evaluation(EvaluationFailure {
                key: Some(key.to_owned()),
                ..failure
            }),
            problem @ Self::Problem(_) => problem,
        }
    }
}

impl From<EvaluationFailure> for Failed {
    fn from(failure: EvaluationFailure) -> Self {
        Self::Evaluation(failure)
    }
}

impl<P: Into<Problem>> From<P> for Failed {
    fn from(problem: P) -> Self {
        Self::Problem(problem.into())
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let failure = match self {
            Self::Problem(problem) => return problem.into_response(),
            Self::Evaluation(failure) => failure,
        };
        let status = match failure.error_code {
            ErrorCode::FlagNotFound => StatusCode::NOT_FOUND,
            _ => StatusCode::BAD_REQUEST,
        };
        match serde_json::to_string(&failure) {
            Ok(body) => (Extension(InItsOwnWords), private(status, body)).into_response(),
            Err(error) => Problem::fault(error).into_response(),
        }
    }
}
