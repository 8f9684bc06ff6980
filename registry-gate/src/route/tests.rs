//! The path grammar against a table of hostile paths, and against a slow twin that finds routes
//! by printing.

use http::Method;
use proptest::prelude::*;

use super::*;

fn read(path: &str) -> Result<Route, RouteError> {
    Route::parse(&Method::GET, path)
}

#[test]
fn npm_1_and_2_a_scoped_name_has_three_spellings() {
    let order: PackageName = "@acme/order".parse().unwrap();
    for name in ["@acme/order", "@acme%2forder", "@acme%2Forder"] {
        let version = Version::new(1, 2, 3);
        let cases = [
            (format!("/{name}"), Route::Packument(order.clone())),
            (
                format!("/{name}/-/order-1.2.3.tgz"),
                Route::Tarball(order.clone(), version.clone()),
            ),
            (
                format!("/{name}/1.2.3"),
                Route::Release(order.clone(), Selector::Version(version)),
            ),
            (
                format!("/{name}/latest"),
                Route::Release(order.clone(), Selector::Tag(Tag::latest())),
            ),
            (
                format!("/-/package/{name}/dist-tags"),
                Route::DistTags(order.clone()),
            ),
        ];
        for (path, route) in cases {
            assert_eq!(read(&path), Ok(route), "{path}");
        }
    }
}

#[test]
fn a_path_outside_the_grammar_is_refused_and_never_cleaned() {
    let long = format!("/@acme/{}", "a".repeat(300));
    let deep = "/a".repeat(50);
    let longer = format!("/{}", "a/".repeat(4000));
    let malformed = [
        "",
        "@acme/order",
        "//",
        "//@acme/order",
        "/@acme//order",
        "/@acme/order/",
        "/@acme/order//",
        "/@acme%2forder/",
        "/@acme",
        "/@acme/",
        "/@/order",
        "/.",
        "/..",
        "/../@acme/order",
        "/@acme/..",
        "/@acme/../order",
        "/@acme/./order",
        "/@acme/.order",
        "/@acme/_order",
        "/@Acme/order",
        "/@acme/Order",
        "/@acme%2f..%2fother",
        "/@acme%2forder%2fx",
        "/@acme%252forder",
        "/%40acme/order",
        "/%40acme%2forder",
        "/@acme%5corder",
        "/@acme\\order",
        "/@acme/order%00",
        "/@acme/order\0",
        "/@acme/order%0d%0a",
        "/@acme/order%20",
        "/@acme/order ",
        "/@acme/order;x",
        "/@acme/order?x",
        "/@acme/ord\u{e9}r",
        "/@acme/%zz",
        "/@acme/order%2",
        "/@acme/%6frder",
        "/@acme%2f%2forder",
        "/order%2fother",
        "/node_modules",
        "/@acme/-/order-1.0.0.tgz",
        "/@acme/order/-/",
        "/@acme/order/-/order-1.0.0.tgz/",
        "/@acme/order/-/order.tgz",
        "/@acme/order/-/order-.tgz",
        "/@acme/order/-/order-1.0.tgz",
        "/@acme/order/-/order-01.0.0.tgz",
        "/@acme/order/-/order-v1.0.0.tgz",
        "/@acme/order/-/order-1.0.0.tar.gz",
        "/@acme/order/-/order-1.0.0.TGZ",
        "/@acme/order/-/product-1.0.0.tgz",
        "/@acme/order/-/acme-order-1.0.0.tgz",
        "/@acme/order/-/..%2f..%2fproduct-1.0.0.tgz",
        "/@acme/order/-/order-1.0.0%2f.tgz",
        "/@acme/order/1.0",
        "/@acme/order/01.0.0",
        "/@acme/order/v1.0.0",
        "/@acme/order/^1.0.0",
        "/@acme/order/*",
        "/-/%2fadmin%2fx",
        "/-%2fadmin%2fx",
        "/-/",
        "/-/v1/search/",
        "/-/v1/%73earch",
        "/-/npm//v1/keys",
        "/metrics/",
        "/-/user/org.couchdb.user:a%2fb/../x",
        "/-/user/org.couchdb.user:a\\b",
        "/-/package//dist-tags",
        "/-/package/@acme/dist-tags",
        "/-/package/%2e%2e/dist-tags",
        "/-/package/@acme/order/dist-tags/1.x",
        "/-/package/@acme/order/dist-tags/%2e",
        "/@acme/order/-rev",
        "/@acme/order/-rev/",
        "/@acme/order/-rev/1%2f2",
        "/@acme/order/-rev/1_2",
        "/@acme/order/-/product-1.0.0.tgz/-rev/1-a",
        &long,
        &deep,
        &longer,
    ];
    for path in malformed {
        assert_eq!(read(path), Err(RouteError::Malformed), "{path:?}");
    }
}

#[test]
fn a_well_formed_address_that_nobody_knows_is_not_found() {
    let unknown = [
        "/",
        "/-",
        "/-/v1",
        "/-/v1/search/more",
        "/-/npm/v1/security",
        "/-/npm/v1/security/advisories",
        "/-/npm/v1/tokens/token/1",
        "/-/user/box",
        "/-/user/org.couchdb.user:",
        "/-/gate",
        "/-/gate/authorized",
        "/a/b/c",
        "/@acme/order/1.0.0/more",
        "/@acme/order/-/@acme/order-1.0.0.tgz",
        "/-/package/@acme/order/dist-tags/latest/more",
        "/@acme/order/-/order-1.0.0.tgz/-rev",
    ];
    for path in unknown {
        assert_eq!(read(path), Err(RouteError::Unknown), "{path:?}");
        let post = Route::parse(&Method::POST, path);
        assert_eq!(post, Err(RouteError::Unknown), "{path:?}");
    }
}

#[test]
fn a_known_address_names_its_methods() {
    let allow = |method: &Method, path| match Route::parse(method, path) {
        Err(RouteError::Method { allow }) => allow,
        other => panic!("{other:?}"),
    };
    assert_eq!(allow(&Method::DELETE, "/@acme/order"), "GET, HEAD, PUT");
    assert_eq!(allow(&Method::PUT, "/@acme/order/latest"), "GET, HEAD");
    assert_eq!(allow(&Method::POST, "/-/ping"), "GET, HEAD");
    let rev = "/@acme/order/-rev/1-a";
    assert_eq!(allow(&Method::GET, rev), "PUT, DELETE");
    let file = "/@acme/order/-/order-1.0.0.tgz/-rev/1-a";
    assert_eq!(allow(&Method::PUT, file), "DELETE");
    let tag = "/-/package/@acme/order/dist-tags/next";
    assert_eq!(allow(&Method::PATCH, tag), "GET, HEAD, PUT, POST, DELETE");
    let name = "@acme/order".parse().unwrap();
    let put = Route::parse(&Method::PUT, "/@acme%2forder");
    assert_eq!(put, Ok(Route::Publish(name)));
}

#[test]
fn a_log_in_and_a_decision_are_asked_for_by_any_method() {
    let login = Ok(Route::LogIn(LogIn::Password));
    for user in ["box", "some%40where", "x.y-z_1", "(a)!~*'"] {
        let path = format!("/-/user/org.couchdb.user:{user}");
        assert_eq!(Route::parse(&Method::PUT, &path), login, "{user}");
    }
    let original = "/@acme/../order%00";
    let path = format!("/-/gate/authorize{original}");
    let asked = Ok(Route::Authorize(original.to_owned()));
    for method in ["GET", "PUT", "DELETE", "PROPFIND"] {
        assert_eq!(Route::parse(&method.parse().unwrap(), &path), asked);
    }
    let long = format!("/-/gate/authorize/{}", "a".repeat(PATH_BYTES_MAX));
    assert_eq!(read(&long), Err(RouteError::Malformed));
    let audit = Route::parse(&Method::GET, Report::Bulk.path());
    assert_eq!(audit, Err(RouteError::Method { allow: "POST" }));
}

/// The method by which a route is asked for.
fn method_of(route: &Route) -> Method {
    match route {
        Route::Audit(_) => Method::POST,
        _ => Method::GET,
    }
}

fn is_for_all(route: &Route) -> bool {
    matches!(route, Route::LogIn(_) | Route::Authorize(_))
}

/// The routes that name nothing.
fn fixed() -> Vec<Route> {
    let audits = [Report::Bulk, Report::Quick, Report::Full].map(Route::Audit);
    let log_ins = [LogIn::Web, LogIn::Tokens, LogIn::Profile, LogIn::Password].map(Route::LogIn);
    let mut fixed = vec![
        Route::Live,
        Route::Ready,
        Route::Ping,
        Route::WhoAmI,
        Route::Search,
        Route::Keys,
        Route::Metrics,
        Route::Authorize(String::new()),
    ];
    fixed.extend(audits);
    fixed.extend(log_ins);
    fixed
}

/// The spellings of a name in a path.
fn spellings(name: &PackageName) -> Vec<String> {
    let plain = name.to_string();
    match plain.split_once('/') {
        Some((scope, base)) => ["%2f", "%2F", "/"]
            .iter()
            .map(|slash| format!("{scope}{slash}{base}"))
            .collect(),
        None => vec![plain],
    }
}

/// Finds the route of a path the slow way: guess the name, print every route it could be of,
/// and take the one that prints like the path.
fn twin(path: &str) -> Option<Route> {
    let mut fixed = fixed().into_iter();
    if let Some(route) = fixed.find(|route| route.to_string() == path) {
        return Some(route);
    }
    if let Some(user) = path.strip_prefix("/-/user/org.couchdb.user:") {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.!~*'()%@+".contains(c);
        let good = !user.is_empty() && user.chars().all(plain);
        return good.then_some(Route::LogIn(LogIn::Password));
    }
    if let Some(original) = path.strip_prefix("/-/gate/authorize/") {
        return Some(Route::Authorize(format!("/{original}")));
    }
    for (prefix, suffix) in [("/", ""), ("/-/package/", "/dist-tags")] {
        let Some(rest) = path.strip_prefix(prefix) else {
            continue;
        };
        for end in (0..=rest.len()).filter(|end| rest.is_char_boundary(*end)) {
            let text = rest[..end].replacen("%2f", "/", 1).replacen("%2F", "/", 1);
            let Ok(name) = PackageName::parse(&text) else {
                continue;
            };
            if name.base() == "-" || !spellings(&name).contains(&rest[..end].to_owned()) {
                continue;
            }
            let after = &rest[end..];
            if !suffix.is_empty() {
                if after == suffix {
                    return Some(Route::DistTags(name));
                }
                let tag = after.strip_prefix("/dist-tags/");
                if let Some(Ok(tag)) = tag.map(Tag::parse) {
                    return Some(Route::DistTag(name, tag));
                }
                continue;
            }
            if after.is_empty() {
                return Some(Route::Packument(name));
            }
            let file = after.strip_prefix(&format!("/-/{}-", name.base()));
            if let Some(version) = file.and_then(|file| file.strip_suffix(".tgz"))
                && let Ok(version) = Version::parse(version)
            {
                return Some(Route::Tarball(name, version));
            }
            if let Some(selector) = after.strip_prefix('/') {
                if let Ok(version) = Version::parse(selector) {
                    return Some(Route::Release(name, Selector::Version(version)));
                }
                if let Ok(tag) = Tag::parse(selector) {
                    return Some(Route::Release(name, Selector::Tag(tag)));
                }
            }
        }
    }
    None
}

fn any_name() -> impl Strategy<Value = PackageName> {
    "(@[a-z][a-z0-9._-]{0,5}/)?[a-z0-9-][a-z0-9._-]{0,8}"
        .prop_filter_map("reserved", |text| PackageName::parse(&text).ok())
        .prop_filter("a dash is no name here", |name| name.base() != "-")
}

fn any_version() -> impl Strategy<Value = Version> {
    r"(0|[1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})(-[a-zA-Z][0-9a-z.-]{0,4}[a-z])?(\+[a-z]{1,3})?"
        .prop_filter_map("empty identifiers", |text| Version::parse(&text).ok())
}

fn any_route() -> impl Strategy<Value = Route> {
    prop_oneof![
        any_name()
            .prop_filter("fixed", |name| {
                !matches!(name.as_str(), "livez" | "readyz" | "metrics")
            })
            .prop_map(Route::Packument),
        (any_name(), any_version()).prop_map(|(name, version)| Route::Tarball(name, version)),
        (any_name(), any_version())
            .prop_map(|(name, version)| Route::Release(name, Selector::Version(version))),
        (any_name(), any_tag()).prop_map(|(name, tag)| Route::Release(name, Selector::Tag(tag))),
        any_name().prop_map(Route::DistTags),
        (any_name(), any_tag()).prop_map(|(name, tag)| Route::DistTag(name, tag)),
        proptest::sample::select(fixed()),
        "(/[a-z@%.-]{0,6}){0,4}".prop_map(Route::Authorize),
    ]
}

fn any_tag() -> impl Strategy<Value = Tag> {
    "[a-z][a-z0-9.-]{0,6}".prop_filter_map("ranges", |text| Tag::parse(&text).ok())
}

/// The package that a route changes.
fn named(route: &Route) -> &PackageName {
    match route {
        Route::Publish(name)
        | Route::MoveTag(name, _)
        | Route::RemoveTag(name, _)
        | Route::Amend(name, _)
        | Route::Unpublish(name, _)
        | Route::UnpublishVersion(name, ..) => name,
        _ => panic!("not among the changes"),
    }
}

/// Routes that change something, with their methods.
fn any_change() -> impl Strategy<Value = (Method, Route)> {
    let revision = "[0-9]{1,4}-[0-9a-f]{1,8}";
    let put = |route| (Method::PUT, route);
    let delete = |route| (Method::DELETE, route);
    prop_oneof![
        any_name()
            .prop_filter("fixed", |name| !matches!(name.as_str(), "livez" | "readyz"))
            .prop_map(Route::Publish)
            .prop_map(put),
        (any_name(), any_tag()).prop_map(move |(name, tag)| put(Route::MoveTag(name, tag))),
        (any_name(), any_tag()).prop_map(move |(name, tag)| delete(Route::RemoveTag(name, tag))),
        (any_name(), revision).prop_map(move |(name, text)| put(Route::Amend(name, text))),
        (any_name(), revision).prop_map(move |(name, text)| delete(Route::Unpublish(name, text))),
        (any_name(), any_version(), revision).prop_map(move |(name, version, text)| {
            delete(Route::UnpublishVersion(name, version, text))
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_route_that_is_printed_is_read_back(route in any_route()) {
        prop_assert_eq!(Route::parse(&method_of(&route), &route.to_string()), Ok(route));
    }

    #[test]
    fn a_change_that_is_printed_is_read_back((method, route) in any_change()) {
        let path = route.to_string();
        prop_assert_eq!(Route::parse(&method, &path), Ok(route.clone()), "{}", path);
        if let Some((scope, base)) = named(&route).as_str().split_once('/') {
            for slash in ["%2f", "%2F"] {
                let (plain, escaped) = (format!("{scope}/{base}"), format!("{scope}{slash}{base}"));
                let path = path.replacen(&plain, &escaped, 1);
                prop_assert_eq!(Route::parse(&method, &path), Ok(route.clone()), "{}", path);
            }
        }
    }

    #[test]
    fn parser_and_twin_agree_near_good_paths(
        route in any_route(),
        at in 0_usize..60,
        cut in 0_usize..3,
        insert in prop_oneof![
            Just(""), Just("/"), Just("%2f"), Just("%2F"), Just("-"), Just("."), Just("@"),
            Just(".."), Just("%"), Just("%2e"), Just("\\"), Just("\0"), Just("A"), Just("é"),
            Just("1.0.0"), Just(".tgz"), Just("/-/"),
        ],
    ) {
        let method = method_of(&route);
        let mut path = route.to_string();
        let at = at.min(path.len());
        path.replace_range(at..(at + cut).min(path.len()), insert);
        let read = Route::parse(&method, &path);
        // By POST, nothing but an audit is read.
        let twin = twin(&path).filter(|found| method == method_of(found) || is_for_all(found));
        prop_assert_eq!(read.ok(), twin, "{}", path);
    }

    #[test]
    fn parser_and_twin_agree_on_any_path(
        path in r"(/|@|-|%2f|%2F|%|\.|a|b|tgz|1\.0\.0|latest|package|dist-tags|\\|A|_|ping|v1|npm|search|keys|user|metrics|gate|authorize){0,12}",
    ) {
        prop_assert_eq!(read(&path).ok(), twin(&path).filter(|found| method_of(found) == Method::GET), "{}", path);
    }
}
