//! Packages that nobody here wrote, from the registry that this machine's npm is configured with.

use tests::{Npm, Tollgate, Vendor, npm};

/// The scope's packages that `@tiptap/starter-kit` needs, read from the registry itself, so that
/// the manifest stays true when a new version needs one more.
async fn tiptap_manifest(npm: &Npm) -> String {
    let mut packages = std::collections::BTreeMap::new();
    let mut waiting = vec![STARTER_KIT.to_owned(), NOT_IN_IT.to_owned()];
    while let Some(name) = waiting.pop() {
        // With a single field to show, npm would leave out the field's name.
        let view = npm.must(&["view", &name, "--json"]).await;
        let kinds: serde_json::Value = serde_json::from_str(&view.stdout).unwrap();
        let in_scope: Vec<String> = ["dependencies", "peerDependencies"]
            .iter()
            .filter_map(|kind| kinds[kind].as_object())
            .flat_map(|dependencies| dependencies.keys().cloned())
            .filter(|dependency| dependency.starts_with("@tiptap/"))
            .collect();
        waiting.extend(in_scope.iter().cloned());
        packages.insert(name, in_scope);
        waiting.retain(|name| !packages.contains_key(name));
    }
    let mut text = format!(
        "[manifest]\nscope = '@tiptap'\ndefault-tier = 'basic'\ntiers = ['basic', 'growth']\n\
         [foundation]\nleaves = ['@tiptap/core']\n\
         [tier.basic]\nleaves = ['{STARTER_KIT}']\n[tier.growth]\nleaves = ['{NOT_IN_IT}']\n"
    );
    for (name, requires) in packages {
        text += &format!("[package.\"{name}\"]\nrequires = {requires:?}\n");
    }
    text
}

const STARTER_KIT: &str = "@tiptap/starter-kit";
const NOT_IN_IT: &str = "@tiptap/extension-mention";

#[tokio::test]
async fn npm_10_public_packages_install_through_the_gate_with_their_closure() {
    let outside = Npm::empty();
    let manifest = tiptap_manifest(&outside).await;
    let upstream = npm::configured_registry(&outside).await;
    // It may well be a registry of this network.
    let arguments = ["--upstream", &upstream, "--upstream-allow-internal"];
    let tollgate = Tollgate::start_on(tests::Database::Sqlite, &manifest, &arguments).await;
    let vendor = Vendor::of(&tollgate);

    let basic = vendor.sell("basic").await;
    let editor = Npm::project("@tiptap", &tollgate.gate, Some(&basic.token));
    editor.must(&["install", STARTER_KIT]).await;
    let installed = editor.installed("@tiptap");
    assert!(
        installed.contains(STARTER_KIT) && installed.contains("@tiptap/core"),
        "{installed:?}"
    );
    // What is outside the scope came from the normal registry.
    assert!(
        editor
            .path("node_modules/prosemirror-model/package.json")
            .exists()
    );
    // Every one of the scope's packages stands in the lockfile with its hash.
    let lockfile = std::fs::read_to_string(editor.path("package-lock.json")).unwrap();
    let lockfile: serde_json::Value = serde_json::from_str(&lockfile).unwrap();
    for (path, package) in lockfile["packages"].as_object().unwrap() {
        if path.contains("/@tiptap/") {
            assert!(
                package["integrity"]
                    .as_str()
                    .unwrap()
                    .starts_with("sha512-"),
                "{path}"
            );
        }
    }

    let output = editor.run(&["install", NOT_IN_IT]).await;
    let refusal = format!("{NOT_IN_IT} is not in your tier basic; it comes with growth");
    assert!(
        !output.success && output.text.contains("E403"),
        "{}",
        output.text
    );
    assert!(output.text.contains(&refusal), "{}", output.text);

    let growth = vendor.sell("growth").await;
    editor.point("@tiptap", &tollgate.gate, Some(&growth.token));
    editor.must(&["install", NOT_IN_IT]).await;
    assert!(editor.installed("@tiptap").contains(NOT_IN_IT));
}

#[tokio::test]
async fn npm_10_a_gate_that_passes_through_is_the_only_registry_a_box_needs() {
    let outside = Npm::empty();
    let manifest = tiptap_manifest(&outside).await;
    let registry = npm::configured_registry(&outside).await;
    let arguments = [
        "--upstream",
        &registry,
        "--pass-through",
        &registry,
        "--upstream-allow-internal",
    ];
    let tollgate = Tollgate::start_on(tests::Database::Sqlite, &manifest, &arguments).await;
    let basic = Vendor::of(&tollgate).sell("basic").await;
    let mut editor = Npm::project("@tiptap", &tollgate.gate, Some(&basic.token));
    let only = format!("--registry={}/", tollgate.gate);
    editor.must(&["install", STARTER_KIT, &only]).await;
    let lockfile = std::fs::read_to_string(editor.path("package-lock.json")).unwrap();
    let lockfile: serde_json::Value = serde_json::from_str(&lockfile).unwrap();
    let mut outside_the_scope = 0;
    for (path, package) in lockfile["packages"].as_object().unwrap() {
        if path.is_empty() {
            continue;
        }
        let resolved = package["resolved"].as_str().unwrap();
        assert!(resolved.starts_with(&tollgate.gate), "{path}");
        outside_the_scope += usize::from(!path.contains("/@tiptap/"));
    }
    assert!(outside_the_scope > 0);

    editor.clean();
    editor.must(&["ci", &only]).await;
    assert!(editor.installed("@tiptap").contains(STARTER_KIT));
    // The box's right ends where it did before.
    let output = editor.run(&["install", NOT_IN_IT, &only]).await;
    assert!(!output.success && output.text.contains("E403"));
}
