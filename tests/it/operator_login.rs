//! An operator logs in, works with two servers, and logs out.

use std::os::unix::fs::PermissionsExt;

use tests::operator::{Told, hiding};
use tests::{Operator, SMALL, Tollgate};

fn mode(path: &std::path::Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_login_keeps_a_good_token_and_shows_it_nowhere() {
    for (operator, tollgate) in Operator::on_each(SMALL).await {
        let again = operator.log_in("default", &tollgate).await;
        hiding().bind(|| insta::assert_snapshot!("login", again.whole()));
        assert_eq!(mode(&operator.profiles()), 0o600);
        for command in [&["profile", "list"][..], &["profile", "show"]] {
            let text = operator.must(command).await;
            assert!(text.contains(&tollgate.control_plane), "{text}");
            assert!(!text.contains(&tollgate.operator_token));
            let json = operator.json(command).await.to_string();
            assert!(!json.contains(&tollgate.operator_token));
        }
        operator.must(&["license", "list"]).await;

        // A file that others can read is not trusted.
        let open = std::fs::Permissions::from_mode(0o640);
        std::fs::set_permissions(operator.profiles(), open).unwrap();
        let told = operator.run(&["license", "list"]).await;
        assert_eq!(told.code, 1);
        assert!(told.err.contains("hint: chmod 600"), "{}", told.err);
        let closed = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(operator.profiles(), closed).unwrap();

        assert_eq!(operator.must(&["logout"]).await, "");
        let kept = std::fs::read_to_string(operator.profiles()).unwrap();
        assert!(!kept.contains(&tollgate.operator_token));
        let told = operator.run(&["license", "list"]).await;
        assert_eq!(told.code, 2);
        assert!(told.err.contains("tollgate login --server URL"));
        assert_eq!(operator.run(&["logout"]).await.code, 2);
    }
}

#[tokio::test]
async fn a_token_that_is_not_good_is_not_kept() {
    let tollgate = Tollgate::start(SMALL).await;
    let operator = Operator::default();
    let login = ["login", "--server", &tollgate.control_plane];
    let from_input = [&login[..], &["--token-file", "-"]].concat();
    let wrong = operator.hear(&from_input, "tgo_wrong\n").await;
    hiding().bind(|| insta::assert_snapshot!("wrong_token", wrong.whole()));
    assert_eq!(operator.hear(&from_input, "\n").await.code, 4);
    assert_eq!(operator.hear(&from_input, "two words").await.code, 4);

    // Nobody is there to type one.
    let told = operator.run(&login).await;
    assert_eq!(told.code, 2);
    assert!(told.err.contains("TOLLGATE_OPERATOR_TOKEN"), "{}", told.err);

    // What is no operator's can be asked who it is, and is not kept either.
    operator.log_in("first", &tollgate).await;
    let before = std::fs::read_to_string(operator.profiles()).unwrap();
    let create = ["credential", "create", "--name", "x"];
    let gate = operator.json(&[&create[..], &["gate"]].concat()).await;
    let told = operator
        .hear(&from_input, gate["secret"].as_str().unwrap())
        .await;
    assert_eq!(told.code, 4);
    assert!(told.err.contains("for a gate"), "{}", told.err);
    assert_eq!(
        std::fs::read_to_string(operator.profiles()).unwrap(),
        before
    );

    // One with a lesser role is kept, and told what it lacks.
    let viewer = operator
        .json(&[&create[..], &["operator", "--role", "viewer"]].concat())
        .await;
    let at = [&from_input[..], &["--profile", "viewer"]].concat();
    let told = operator.hear(&at, viewer["secret"].as_str().unwrap()).await;
    assert!(told.err.contains("(viewer)"), "{}", told.err);
    operator.must(&["license", "list"]).await;
    let issue = operator.run(&["license", "issue", "--customer", "c"]).await;
    hiding().bind(|| insta::assert_snapshot!("viewer_may_not", issue.whole()));

    // Once it is revoked, it says to log in again.
    let id = viewer["id"].as_str().unwrap();
    let revoke = ["credential", "revoke", id, "--yes", "--profile", "first"];
    operator.must(&revoke).await;
    let told = operator.run(&["license", "list"]).await;
    assert_eq!(told.code, 4);
    assert!(told.err.contains("hint: `tollgate login`"), "{}", told.err);
}

#[tokio::test]
async fn two_servers_are_kept_apart() {
    let (one, two) = (Tollgate::start(SMALL).await, Tollgate::start(SMALL).await);
    let operator = Operator::default();
    operator.log_in("one", &one).await;
    operator.log_in("two", &two).await;
    operator
        .must(&["license", "issue", "--customer", "of-two"])
        .await;
    let list = ["license", "list"];
    assert!(operator.must(&list).await.contains("of-two"));
    let of_one = [&list[..], &["--profile", "one"]].concat();
    assert!(!operator.must(&of_one).await.contains("of-two"));
    operator.must(&["profile", "use", "one"]).await;
    assert!(!operator.must(&list).await.contains("of-two"));
    let shown = operator.must(&["profile", "list"]).await;
    assert_eq!(shown.lines().count(), 3, "{shown}");

    // A token is never sent to a server that it was not made for.
    let other = [&list[..], &["--server", &two.control_plane]].concat();
    let told = operator.run(&other).await;
    assert_eq!(told.code, 4);
    assert!(told.err.contains("no operator token"), "{}", told.err);
    let mut command = operator.command(&other);
    command.env("TOLLGATE_OPERATOR_TOKEN", &two.operator_token);
    assert!(Told::of(command).await.out.contains("of-two"));

    // A profile that is named counts before the variables of another server.
    let of_two = [&list[..], &["--profile", "two"]].concat();
    let mut command = operator.command(&of_two);
    command.env("TOLLGATE_SERVER", &one.control_plane);
    command.env("TOLLGATE_OPERATOR_TOKEN", &one.operator_token);
    assert!(Told::of(command).await.out.contains("of-two"));
    let both = [&of_two[..], &["--server", &two.control_plane]].concat();
    assert_eq!(operator.run(&both).await.code, 2);

    operator.must(&["profile", "remove", "one"]).await;
    assert_eq!(operator.run(&of_one).await.code, 2);
    assert_eq!(operator.run(&["profile", "use", "one"]).await.code, 2);
}

#[tokio::test]
async fn a_token_is_not_sent_in_clear_to_another_machine() {
    let operator = Operator::default();
    for command in [&["login"][..], &["license", "list"]] {
        let server = ["--server", "http://tollgate.example.com"];
        let mut command = operator.command(&[command, &server].concat());
        command.env("TOLLGATE_OPERATOR_TOKEN", "tgo_secret");
        let told = Told::of(command).await;
        assert_eq!(told.code, 2);
        assert!(told.err.contains("--insecure"), "{}", told.err);
        assert!(!told.err.contains("tgo_secret"));
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_another_code() {
    let mut tollgate = Tollgate::start(SMALL).await;
    let operator = Operator::default();
    operator.log_in("default", &tollgate).await;
    tollgate.kill().await;
    let told = operator.run(&["license", "list"]).await;
    assert_eq!(told.code, 3);
    assert!(
        told.err.contains("cannot reach the control plane"),
        "{}",
        told.err
    );
    assert!(told.err.contains("hint:"), "{}", told.err);
    assert!(!told.err.contains(&tollgate.operator_token));
}
