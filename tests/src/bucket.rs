//! A bucket: as much of the S3 protocol as a store needs, with pages of three names. It knows
//! nothing of the product, and the gate's own tests use it too.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

/// So that every list of more than a few names has pages.
const PAGE: usize = 3;

/// The bucket `acme` of a service that speaks S3.
#[derive(Clone, Default)]
pub struct Bucket(Arc<Mutex<Content>>);

/// What is in it, and how it behaves.
#[derive(Default)]
pub struct Content {
    /// By their whole names.
    pub objects: BTreeMap<String, Bytes>,
    /// Writes over what is there, as some services do.
    pub heedless: bool,
    /// Does the next so many writes and then says that it failed.
    pub lost_answers: u32,
    /// How many pages were listed.
    pub pages: u32,
}

impl Bucket {
    /// Serves it and returns it with its address.
    pub async fn start() -> (Self, String) {
        let bucket = Self::default();
        let router = Router::new().fallback(serve).with_state(bucket.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (bucket, address)
    }

    /// What is in it now.
    pub fn content(&self) -> std::sync::MutexGuard<'_, Content> {
        self.0.lock().unwrap()
    }
}

/// What a gate is told so that it finds the bucket at an address: lines of a file.
pub fn options(address: &str) -> String {
    format!(
        "aws_endpoint_url = {address}\naws_region = eu-1\naws_access_key_id = AKIA1\n\
         aws_secret_access_key = hush\n"
    )
}

async fn serve(
    State(bucket): State<Bucket>,
    method: Method,
    uri: Uri,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let signed = headers.get("authorization");
    let signed = signed.is_some_and(|value| value.as_bytes().starts_with(b"AWS4-HMAC-SHA256"));
    let Some(path) = uri.path().strip_prefix("/acme").filter(|_| signed) else {
        return StatusCode::FORBIDDEN.into_response();
    };
    let key = path
        .trim_start_matches('/')
        .replace("%40", "@")
        .replace("%2B", "+");
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let mut content = bucket.content();
    match method {
        Method::GET if key.is_empty() => content.list(&query),
        Method::PUT => {
            let only_new = headers
                .get("if-none-match")
                .is_some_and(|value| value == "*");
            if only_new && !content.heedless && content.objects.contains_key(&key) {
                return error(StatusCode::PRECONDITION_FAILED, "PreconditionFailed");
            }
            content.objects.insert(key, body);
            if content.lost_answers > 0 {
                content.lost_answers -= 1;
                return error(StatusCode::INTERNAL_SERVER_ERROR, "InternalError");
            }
            [("etag", "\"1\"")].into_response()
        }
        Method::GET | Method::HEAD => match content.objects.get(&key) {
            Some(bytes) => {
                let modified = "Sat, 21 Nov 2026 12:00:00 GMT";
                (
                    [("etag", "\"1\""), ("last-modified", modified)],
                    bytes.clone(),
                )
                    .into_response()
            }
            None => error(StatusCode::NOT_FOUND, "NoSuchKey"),
        },
        Method::DELETE => {
            content.objects.remove(&key);
            StatusCode::NO_CONTENT.into_response()
        }
        // Many at once, the keys in XML.
        Method::POST => {
            let text = String::from_utf8(body.to_vec()).unwrap();
            let mut answer = "<DeleteResult>".to_owned();
            for part in text.split("<Key>").skip(1) {
                let key = part.split("</Key>").next().unwrap();
                content.objects.remove(key);
                write!(answer, "<Deleted><Key>{key}</Key></Deleted>").unwrap();
            }
            (answer + "</DeleteResult>").into_response()
        }
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}

impl Content {
    fn list(&mut self, query: &BTreeMap<String, String>) -> Response {
        self.pages += 1;
        let prefix = query.get("prefix").cloned().unwrap_or_default();
        let after = query.get("continuation-token").cloned().unwrap_or_default();
        let keys = self.objects.iter();
        let mut keys = keys.filter(|(key, _)| key.starts_with(&prefix) && **key > after);
        let mut answer = "<ListBucketResult>".to_owned();
        let mut last = String::new();
        for (key, bytes) in keys.by_ref().take(PAGE) {
            let size = bytes.len();
            write!(
                answer,
                "<Contents><Key>{key}</Key><Size>{size}</Size>\
                 <LastModified>2026-11-21T12:00:00.000Z</LastModified><ETag>1</ETag></Contents>"
            )
            .unwrap();
            last.clone_from(key);
        }
        let more = keys.next().is_some();
        write!(answer, "<IsTruncated>{more}</IsTruncated>").unwrap();
        if more {
            write!(
                answer,
                "<NextContinuationToken>{last}</NextContinuationToken>"
            )
            .unwrap();
        }
        (answer + "</ListBucketResult>").into_response()
    }
}

fn error(status: StatusCode, code: &str) -> Response {
    let body = format!("<Error><Code>{code}</Code><Message>{code}</Message></Error>");
    (status, body).into_response()
}
