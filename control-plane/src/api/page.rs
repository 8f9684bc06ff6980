//! The OpenAPI document as a page for people: one file without scripts, so that it reads behind
//! any policy and without a network.

use std::fmt::Write as _;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

const STYLE: &str = include_str!("page.css");
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// The finished page and the policy under which it is shown.
#[derive(Clone)]
pub(super) struct Page {
    html: String,
    policy: String,
}

impl Page {
    /// Renders a document.
    pub(super) fn of(document: &Value) -> Self {
        let digest = BASE64.encode(&Sha256::digest(STYLE));
        Self {
            html: html(document),
            policy: format!(
                "default-src 'none'; style-src 'sha256-{digest}'; frame-ancestors 'none'"
            ),
        }
    }

    /// Answers with the page.
    pub(super) fn show(&self) -> Response {
        let headers = [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CONTENT_SECURITY_POLICY, self.policy.as_str()),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ];
        (headers, self.html.clone()).into_response()
    }
}

fn html(document: &Value) -> String {
    let info = &document["info"];
    let title = escaped(text(&info["title"]));
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
         <style>{STYLE}</style></head><body><main>\n<h1>{title} <small>{}</small></h1>\n",
        escaped(text(&info["version"])),
    );
    page += &paragraphs(text(&info["description"]));
    page += "<p>For programs: <a href=\"/openapi.json\">openapi.json</a></p>\n";
    page += &contents(document);
    for tag in list(&document["tags"]) {
        let name = text(&tag["name"]);
        let _ = write!(
            page,
            "<h2 id=\"{0}\">{0}</h2>\n<p>{1}</p>\n",
            escaped(name),
            escaped(text(&tag["description"]))
        );
        for (method, path, operation) in operations(document, name) {
            page += &operation_html(method, path, operation);
        }
    }
    page += "<h2 id=\"schemas\">Schemas</h2>\n";
    for (name, schema) in members(at(document, "/components/schemas")) {
        page += &schema_html(name, schema);
    }
    page + "</main></body></html>\n"
}

/// A line a route, to find it by.
fn contents(document: &Value) -> String {
    let mut html = String::from("<nav>\n");
    for tag in list(&document["tags"]) {
        let name = text(&tag["name"]);
        let _ = write!(
            html,
            "<section><a href=\"#{0}\"><b>{0}</b></a><ul>",
            escaped(name)
        );
        for (method, path, operation) in operations(document, name) {
            let _ = write!(
                html,
                "<li><a href=\"#{}\">{} <code>{}</code></a></li>",
                escaped(text(&operation["operationId"])),
                method.to_uppercase(),
                escaped(path)
            );
        }
        html += "</ul></section>\n";
    }
    html + "</nav>\n"
}

fn operations<'d>(
    document: &'d Value,
    tag: &str,
) -> impl Iterator<Item = (&'static str, &'d str, &'d Value)> {
    let mut found = Vec::new();
    for (path, item) in members(&document["paths"]) {
        for method in METHODS {
            let operation = &item[method];
            if list(&operation["tags"]).iter().any(|name| name == tag) {
                found.push((method, path.as_str(), operation));
            }
        }
    }
    found.into_iter()
}

fn operation_html(method: &str, path: &str, operation: &Value) -> String {
    let mut html = format!(
        "<article id=\"{id}\"><h3><span class=\"{method}\">{upper}</span> <code>{path}</code></h3>\n\
         <p><b>{summary}</b></p>\n",
        id = escaped(text(&operation["operationId"])),
        upper = method.to_uppercase(),
        path = escaped(path),
        summary = escaped(text(&operation["summary"])),
    );
    html += &paragraphs(text(&operation["description"]));
    let who: Vec<&str> = list(&operation["security"])
        .iter()
        .flat_map(members)
        .map(|(scheme, _)| scheme.as_str())
        .collect();
    if !who.is_empty() {
        let _ = writeln!(
            html,
            "<p class=\"who\">With the token of: {}</p>",
            who.join(", ")
        );
    }
    let parameters = list(&operation["parameters"]);
    if !parameters.is_empty() {
        html += "<table><caption>Parameters</caption>";
        for parameter in parameters {
            let place = text(&parameter["in"]);
            let note = if parameter["required"] == true {
                "required"
            } else {
                ""
            };
            let kind = format!("{place} {}", type_html(&parameter["schema"]));
            html += &row(
                text(&parameter["name"]),
                &kind,
                note,
                text(&parameter["description"]),
            );
        }
        html += "</table>\n";
    }
    for (kind, content) in members(at(operation, "/requestBody/content")) {
        let _ = writeln!(
            html,
            "<p>Body: <code>{}</code> {}</p>",
            escaped(kind),
            type_html(&content["schema"])
        );
    }
    html += "<table><caption>Answers</caption>";
    for (status, answer) in members(&operation["responses"]) {
        let mut kinds = members(&answer["content"]);
        let kind = kinds
            .next()
            .map(|(_, content)| type_html(&content["schema"]));
        html += &row(
            status,
            &kind.unwrap_or_default(),
            "",
            text(&answer["description"]),
        );
    }
    html + "</table></article>\n"
}

fn schema_html(name: &str, schema: &Value) -> String {
    let mut html = format!(
        "<article id=\"schema-{0}\"><h3><code>{0}</code></h3>\n<p>{1}</p>\n",
        escaped(name),
        escaped(text(&schema["description"]))
    );
    let required = list(&schema["required"]);
    if schema["properties"].is_object() {
        html += "<table>";
        for (member, schema) in members(&schema["properties"]) {
            let needed = required.iter().any(|name| name == member);
            let note = if needed { "" } else { "optional" };
            html += &row(
                member,
                &type_html(schema),
                note,
                text(&schema["description"]),
            );
        }
        html += "</table>";
    } else {
        let _ = write!(html, "<p>{}</p>", type_html(schema));
    }
    html + "</article>\n"
}

/// A row of a table; `kind` is HTML already.
fn row(name: &str, kind: &str, note: &str, description: &str) -> String {
    format!(
        "<tr><th><code>{}</code></th><td>{kind} <i>{note}</i></td><td>{}</td></tr>\n",
        escaped(name),
        code(&escaped(description))
    )
}

/// A schema in a few words, with links.
fn type_html(schema: &Value) -> String {
    if let Some(name) = schema["$ref"]
        .as_str()
        .and_then(|path| path.rsplit('/').next())
    {
        let name = escaped(name);
        return format!("<a href=\"#schema-{name}\">{name}</a>");
    }
    for choice in ["oneOf", "anyOf", "allOf"] {
        let kinds: Vec<String> = list(&schema[choice]).iter().map(type_html).collect();
        if !kinds.is_empty() {
            return kinds.join(" or ");
        }
    }
    if let Some(values) = schema["enum"].as_array() {
        let values: Vec<String> = values.iter().map(ToString::to_string).collect();
        return escaped(&values.join(" | "));
    }
    let mut kind = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().map(text).collect::<Vec<_>>().join(" or "),
        kind => text(kind).to_owned(),
    };
    if !schema["items"].is_null() {
        kind = format!("{} of {}", escaped(&kind), type_html(&schema["items"]));
    }
    for (name, word) in [
        ("format", ""),
        ("minimum", "from "),
        ("maximum", "to "),
        ("minLength", "length from "),
        ("maxLength", "length to "),
        ("maxItems", "at most "),
    ] {
        match &schema[name] {
            Value::Null => {}
            Value::String(value) => kind = format!("{kind}, {}", escaped(value)),
            value => kind = format!("{kind}, {word}{value}"),
        }
    }
    kind
}

fn paragraphs(text: &str) -> String {
    let texts = text.split("\n\n").filter(|text| !text.is_empty());
    texts.fold(String::new(), |mut html, text| {
        let _ = writeln!(html, "<p>{}</p>", code(&escaped(text)));
        html
    })
}

/// Text between backticks as code.
fn code(text: &str) -> String {
    let pieces = text.split('`').enumerate();
    pieces.fold(String::new(), |mut html, (nth, piece)| {
        let _ = match nth % 2 {
            0 => write!(html, "{piece}"),
            _ => write!(html, "<code>{piece}</code>"),
        };
        html
    })
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// What a JSON pointer leads to, `null` where that is nothing.
fn at<'v>(value: &'v Value, pointer: &str) -> &'v Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_document_says_is_text_and_never_markup() {
        let document = serde_json::json!({
            "info": { "title": "<script>", "version": "1", "description": "see `a<b`\n\nnext" },
            "tags": [{ "name": "t", "description": "\"quoted\"" }],
            "paths": { "/x": { "get": { "tags": ["t"], "operationId": "x", "summary": "a & b",
                "responses": { "200": { "description": "fine",
                    "content": { "application/json": { "schema": { "$ref": "#/components/schemas/X" } } } } } } } },
            "components": { "schemas": { "X": { "type": "object", "required": ["n"],
                "properties": { "n": { "type": "integer", "minimum": 1 } } } } },
        });
        let page = Page::of(&document);
        assert!(!page.html.contains("<script"));
        assert!(
            page.html
                .contains("<p>see <code>a&lt;b</code></p>\n<p>next</p>")
        );
        assert!(page.html.contains("a &amp; b"));
        assert!(page.html.contains("<a href=\"#schema-X\">X</a>"));
        assert!(page.html.contains("integer, from 1"));
    }
}
