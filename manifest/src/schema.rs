//! The JSON Schema of `tiers.toml`, for editors, made from the shape that the loader accepts.

use serde_json::{Map, Value, json};

use crate::shape::{FILE, Kind, Section};

/// The JSON Schema (draft 7, which editors of TOML know).
pub fn schema() -> Value {
    let mut schema = Map::new();
    schema.insert(
        "$schema".to_owned(),
        json!("http://json-schema.org/draft-07/schema#"),
    );
    schema.insert("title".to_owned(), json!("tiers.toml"));
    schema.extend(section(&FILE));
    Value::Object(schema)
}

fn section(section: &Section) -> Map<String, Value> {
    let properties: Map<String, Value> = section
        .keys
        .iter()
        .map(|key| {
            let mut value = kind(&key.kind);
            value.insert("description".to_owned(), json!(key.about));
            (key.name.to_owned(), Value::Object(value))
        })
        .collect();
    let required: Vec<&str> = section
        .keys
        .iter()
        .filter(|key| key.required)
        .map(|key| key.name)
        .collect();
    object(json!({
        "type": "object",
        "description": section.about,
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    }))
}

fn kind(kind: &Kind) -> Map<String, Value> {
    let limit = json!({ "oneOf": [
        { "type": "integer", "minimum": 0, "maximum": crate::shape::LIMIT_MAX },
        { "const": "unlimited" },
    ]});
    object(match kind {
        Kind::Text => json!({ "type": "string" }),
        Kind::Texts => {
            json!({ "type": "array", "items": { "type": "string" }, "uniqueItems": true })
        }
        Kind::Switch => json!({ "type": "boolean" }),
        Kind::Hours => {
            json!({ "type": "integer", "minimum": 1, "maximum": crate::shape::HOURS_MAX })
        }
        Kind::Word(words) => json!({ "enum": words }),
        Kind::FlagValue => json!({ "type": ["boolean", "string"] }),
        Kind::Tiers => json!({
            "type": "array",
            "items": { "type": "string" },
            "uniqueItems": true,
            "minItems": 1,
            "maxItems": crate::shape::TIERS_MAX,
        }),
        Kind::Date => json!({ "type": "string", "format": "date" }),
        Kind::Switches => {
            json!({ "type": "object", "additionalProperties": { "type": "boolean" } })
        }
        Kind::Limits => json!({ "type": "object", "additionalProperties": limit }),
        Kind::One(one) => Value::Object(section(one)),
        Kind::Named(each) => json!({ "type": "object", "additionalProperties": section(each) }),
        Kind::Many(each) => json!({ "type": "array", "items": section(each) }),
    })
}

/// The members of a literal; every literal above is an object.
fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}
