//! The `AuthZEN` Authorization API 1.0: whether somebody may do something.
//!
//! `POST /access/v1/evaluation` asks one question, `/access/v1/evaluations` several. A "no" is an
//! answer, not a failure: 200 with `decision` false and the reason in `context`. The standard
//! has members ignored that nobody knows, and 400 for what cannot be read.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use super::caller::{Allowed, ReadEntitlements};
use super::json::{self, shown};
use super::problem::{Problem, WriteProblems};
use crate::domain::Denial;
use crate::operations::{Operations, Verdict, check_subject};
use crate::store::Link;

/// So many questions stand in one request at most.
const QUESTIONS_MAX: usize = 100;

/// Somebody or something.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[schema(as = AccessEntity)]
pub(super) struct Entity {
    /// For a subject `box` or `subject`, for a resource `package` or `feature`.
    r#type: String,
    /// Which one: a box id or a subject's, a package's name or a feature's.
    id: String,
}

/// What somebody wants to do.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[schema(as = AccessAction)]
pub(super) struct Action {
    /// `download` for packages, `use` for features.
    name: String,
}

/// A question, or what is the same in several.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[schema(as = AccessEvaluation)]
pub(super) struct Question {
    /// Who.
    subject: Option<Entity>,
    /// Does what.
    action: Option<Action>,
    /// With what.
    resource: Option<Entity>,
    /// Whatever else is known: taken, and not looked at.
    #[schema(value_type = Option<Object>)]
    #[serde(rename = "context")]
    _context: Option<IgnoredObject>,
}

/// Several questions. What stands beside them holds for each that does not say it itself;
/// without any, it is the one question.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = AccessEvaluations)]
pub(super) struct Asking {
    #[serde(flatten)]
    shared: Question,
    evaluations: Option<Vec<Question>>,
    options: Option<Options>,
}

/// How several questions are answered.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = AccessOptions)]
struct Options {
    evaluations_semantic: Option<Semantic>,
}

/// Whether all questions are answered, or those up to the first of a kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = AccessSemantic)]
enum Semantic {
    #[default]
    ExecuteAll,
    DenyOnFirstDeny,
    PermitOnFirstPermit,
}

/// An object of which nothing is kept.
#[derive(Debug, Clone)]
struct IgnoredObject;

impl<'de> Deserialize<'de> for IgnoredObject {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::collections::BTreeMap::<String, IgnoredAny>::deserialize(deserializer)?;
        Ok(Self)
    }
}

/// An answer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AccessAnswer)]
pub(super) struct Answer {
    decision: bool,
    /// Why, where the decision is no.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    context: Option<Context>,
}

/// The answers, in the order of the questions.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AccessAnswers)]
pub(super) struct Answers {
    evaluations: Vec<Answer>,
}

/// Why the decision is no.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = AccessDenial)]
enum Context {
    /// What was asked is denied.
    Denied {
        /// What programs go by; it never changes.
        reason_code: &'static str,
        /// The same for people.
        reason: String,
    },
    /// One question of several cannot be read.
    Unreadable { error: QuestionError },
}

/// What is wrong with one question of several.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AccessError)]
struct QuestionError {
    status: u16,
    message: String,
}

/// What is served under which address.
#[derive(Serialize, ToSchema)]
#[schema(as = AuthzenConfiguration)]
pub(super) struct Metadata {
    policy_decision_point: String,
    access_evaluation_endpoint: String,
    access_evaluations_endpoint: String,
}

/// A body as the standard has it: what cannot be read is 400, whatever is wrong with it.
pub(super) struct Asked<T>(T);

impl<T: DeserializeOwned> FromRequest<App> for Asked<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &App) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        json::require(&parts.headers)?;
        let bytes: Bytes = super::write::read(body, super::BODY_BYTES_MAX).await?;
        json::parse(&bytes)
            .map(Self)
            .map_err(|problem| problem.with_status(StatusCode::BAD_REQUEST))
    }
}

/// Say where decisions are made.
#[utoipa::path(get, path = "/.well-known/authzen-configuration",
    operation_id = "getAuthzenConfiguration", tag = "decisions", security(()),
    responses((status = 200, body = Metadata)))]
pub(super) async fn metadata(State(app): State<App>) -> Json<Metadata> {
    let base = app.policy.url.as_str().trim_end_matches('/');
    Json(Metadata {
        policy_decision_point: base.to_owned(),
        access_evaluation_endpoint: format!("{base}/access/v1/evaluation"),
        access_evaluations_endpoint: format!("{base}/access/v1/evaluations"),
    })
}

/// Ask whether somebody may do something.
///
/// May a `box` `download` a `package`: as a gate decides with a token that the box gets now. May a
/// `subject` `use` a `feature`: by its tier, add-ons, overrides, switches and trial. A denial is
/// 200 with `decision` false; `context.reason_code` says why.
#[utoipa::path(post, path = "/access/v1/evaluation", operation_id = "evaluate", tag = "decisions",
    security(("operator" = []), ("application" = [])), request_body = Question,
    responses((status = 200, body = Answer), WriteProblems))]
pub(super) async fn evaluate(
    State(app): State<App>,
    _caller: Allowed<ReadEntitlements>,
    Asked(question): Asked<Question>,
) -> Result<Response, Problem> {
    let mut conn = app.store.read().await?;
    shown(&answer(&app, conn.link(), &question).await?)
}

/// Ask several questions at once.
///
/// Members beside `evaluations` hold for each question that does not have them itself. With
/// `options.evaluations_semantic` set to `deny_on_first_deny` or `permit_on_first_permit`, the
/// answers end with the first such one.
#[utoipa::path(post, path = "/access/v1/evaluations", operation_id = "evaluateAll",
    tag = "decisions", security(("operator" = []), ("application" = [])),
    request_body = Asking, responses((status = 200, body = Answers), WriteProblems))]
pub(super) async fn evaluate_all(
    State(app): State<App>,
    _caller: Allowed<ReadEntitlements>,
    Asked(asked): Asked<Asking>,
) -> Result<Response, Problem> {
    let Asking {
        shared,
        evaluations,
        options,
    } = asked;
    let mut conn = app.store.read().await?;
    let questions = evaluations.unwrap_or_default();
    if questions.is_empty() {
        return shown(&answer(&app, conn.link(), &shared).await?);
    }
    if questions.len() > QUESTIONS_MAX {
        let detail = format!("`evaluations` has at most {QUESTIONS_MAX} questions");
        return Err(unreadable(detail));
    }
    let semantic = options.and_then(|options| options.evaluations_semantic);
    let last = match semantic.unwrap_or_default() {
        Semantic::ExecuteAll => None,
        Semantic::DenyOnFirstDeny => Some(false),
        Semantic::PermitOnFirstPermit => Some(true),
    };
    let mut evaluations = Vec::with_capacity(questions.len());
    for question in questions {
        let question = Question {
            subject: question.subject.or_else(|| shared.subject.clone()),
            action: question.action.or_else(|| shared.action.clone()),
            resource: question.resource.or_else(|| shared.resource.clone()),
            _context: None,
        };
        let answer = match question.read() {
            Ok(read) => Answer::of(read.ask(&app, conn.link()).await?),
            Err(message) => Answer::unreadable(message),
        };
        let decision = answer.decision;
        evaluations.push(answer);
        if last == Some(decision) {
            break;
        }
    }
    shown(&Answers { evaluations })
}

async fn answer(app: &Operations, link: Link<'_>, question: &Question) -> Result<Answer, Problem> {
    let read = question.read().map_err(unreadable)?;
    Ok(Answer::of(read.ask(app, link).await?))
}

/// A question with everything that it needs.
enum Read<'q> {
    Package { box_id: &'q str, package: &'q str },
    Feature { subject: &'q str, feature: &'q str },
    Unsupported,
}

impl Question {
    fn read(&self) -> Result<Read<'_>, String> {
        let missing = |member: &str| format!("`{member}` is missing");
        let subject = self.subject.as_ref().ok_or_else(|| missing("subject"))?;
        let action = self.action.as_ref().ok_or_else(|| missing("action"))?;
        let resource = self.resource.as_ref().ok_or_else(|| missing("resource"))?;
        for (member, text) in [
            ("subject.type", &subject.r#type),
            ("subject.id", &subject.id),
            ("action.name", &action.name),
            ("resource.type", &resource.r#type),
            ("resource.id", &resource.id),
        ] {
            if text.is_empty() || text.contains('\0') {
                return Err(format!("`{member}` must be a text of 1 or more characters"));
            }
        }
        let kinds = (&*subject.r#type, &*action.name, &*resource.r#type);
        Ok(match kinds {
            ("box", "download" | "install", "package") => Read::Package {
                box_id: &subject.id,
                package: &resource.id,
            },
            ("subject" | "customer", "use", "feature") => {
                check_subject(&subject.id).map_err(|refusal| refusal.to_string())?;
                Read::Feature {
                    subject: &subject.id,
                    feature: &resource.id,
                }
            }
            _ => Read::Unsupported,
        })
    }
}

impl Read<'_> {
    async fn ask(&self, app: &Operations, link: Link<'_>) -> Result<Verdict, Problem> {
        Ok(match self {
            Self::Package { box_id, package } => app.may_download(link, box_id, package).await?,
            Self::Feature { subject, feature } => app.may_use(link, subject, feature).await?,
            Self::Unsupported => Err(Denial::Unsupported),
        })
    }
}

impl Answer {
    fn of(verdict: Verdict) -> Self {
        let denied = verdict.err().map(|denial| Context::Denied {
            reason_code: denial.code(),
            reason: denial.to_string(),
        });
        Self {
            decision: denied.is_none(),
            context: denied,
        }
    }

    fn unreadable(message: String) -> Self {
        let status = StatusCode::BAD_REQUEST.as_u16();
        let error = QuestionError { status, message };
        Self {
            decision: false,
            context: Some(Context::Unreadable { error }),
        }
    }
}

fn unreadable(detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid_body", detail)
}
