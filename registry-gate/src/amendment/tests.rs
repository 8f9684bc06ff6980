//! What an amended document asks for.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::packument::{PublicUrl, Release};

fn name() -> PackageName {
    PackageName::parse("@acme/order").unwrap()
}

/// Three versions; `latest` is 1.1.0, and 1.0.0 says of itself that it is deprecated.
fn package() -> (Package, State) {
    let url = PublicUrl::new(&"http://gate.example".parse().unwrap()).unwrap();
    let releases = ["1.0.0", "1.1.0", "2.0.0-rc.1"].map(|text| {
        let mut manifest = json!({
            "name": name(),
            "version": text,
            "dist": { "shasum": "a9993e364706816aba3e25717850c26c9cd0d89d" },
        });
        if text == "1.0.0" {
            manifest["deprecated"] = json!("old");
        }
        let version: Version = text.parse().unwrap();
        let manifest = serde_json::value::to_raw_value(&manifest).unwrap();
        let release = Release::read(&name(), &version, &manifest, &url).unwrap();
        (version, Arc::new(release))
    });
    let live = releases.iter().map(|(version, _)| version.clone());
    let tags = [("latest", "1.1.0"), ("old", "1.0.0")];
    let state = State {
        live: live.collect(),
        tags: tags
            .map(|(tag, to)| (Tag::parse(tag).unwrap(), to.parse().unwrap()))
            .into(),
        ..State::default()
    };
    let tags = tags.map(|(tag, to)| (tag.to_owned(), to.parse().unwrap()));
    let package = Package::render(
        &name(),
        tags.into(),
        releases.into(),
        None,
        &BTreeMap::new(),
    );
    (package.unwrap(), state)
}

fn deeds(change: impl FnOnce(&mut Value), removes: bool) -> Result<Vec<Deed>, Refusal> {
    let (package, state) = package();
    let mut document: Value =
        serde_json::from_slice(&package.document(false).form(false).body).unwrap();
    change(&mut document);
    let amendment = Amendment::read(&name(), document.to_string().as_bytes());
    amendment.unwrap().deeds(&package, &state, removes)
}

fn tag(text: &str) -> Tag {
    Tag::parse(text).unwrap()
}

fn version(text: &str) -> Version {
    text.parse().unwrap()
}

fn deprecate(of: &str, text: &str) -> Deed {
    let (version, text) = (version(of), text.to_owned());
    Deed::Deprecate { version, text }
}

#[test]
fn what_is_as_it_was_is_not_done_again() {
    assert_eq!(deeds(|_| {}, true), Ok(vec![]));
    assert_eq!(deeds(|d| d["dist-tags"] = Value::Null, true), Ok(vec![]));
}

#[test]
fn a_deprecation_is_a_text_or_a_flag_and_empty_lifts_it() {
    for (told, text) in [(json!("use 2"), "use 2"), (json!(true), DEPRECATED)] {
        let change = |d: &mut Value| d["versions"]["1.1.0"]["deprecated"] = told;
        assert_eq!(deeds(change, false), Ok(vec![deprecate("1.1.0", text)]));
    }
    // Of what the package.json says of itself too.
    for told in [json!(""), json!(false), Value::Null] {
        let change = |d: &mut Value| d["versions"]["1.0.0"]["deprecated"] = told;
        assert_eq!(deeds(change, false), Ok(vec![deprecate("1.0.0", "")]));
    }
}

#[test]
fn versions_that_are_missing_are_removed_only_where_that_was_asked_for() {
    let remove = |d: &mut Value| {
        d["versions"].as_object_mut().unwrap().remove("1.1.0");
        d["dist-tags"] = json!({ "latest": "2.0.0-rc.1", "old": "1.0.0" });
    };
    let unpublish = Deed::Unpublish {
        version: version("1.1.0"),
    };
    // What becomes the latest is not the client's to say.
    assert_eq!(deeds(remove, true), Ok(vec![unpublish]));
    let latest = Deed::MoveTag {
        tag: Tag::latest(),
        version: version("2.0.0-rc.1"),
    };
    assert_eq!(deeds(remove, false), Ok(vec![latest]));
}

#[test]
fn tags_follow_the_document_but_latest_stays() {
    let change = |d: &mut Value| d["dist-tags"] = json!({ "next": "2.0.0-rc.1" });
    let expected = [
        Deed::MoveTag {
            tag: tag("next"),
            version: version("2.0.0-rc.1"),
        },
        Deed::RemoveTag { tag: tag("old") },
    ];
    assert_eq!(deeds(change, false), Ok(expected.into()));
}

#[test]
fn nothing_comes_into_being_by_a_document_without_a_tarball() {
    let refused = |error: PublicationError| Err(Refusal::from(error));
    let added = deeds(|d| d["versions"]["9.0.0"] = json!({}), false);
    assert_eq!(added, refused(PublicationError::UnknownVersion));
    let tagged = deeds(|d| d["dist-tags"]["next"] = json!("9.0.0"), false);
    assert_eq!(tagged, refused(PublicationError::Tag));
}
