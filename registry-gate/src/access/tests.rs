use activation_token::clock::SettableClock;
use activation_token::snapshot::{
    self, BoxRevocation, LicenseRevocation, Publishers, RevokedBecause, Snapshot, SnapshotTier,
};
use activation_token::{Claims, KeySet, Packages, SigningKey};
use data_encoding::BASE64URL_NOPAD;
use jiff::SignedDuration;
use manifest::PackageSet;
use proptest::prelude::*;

use super::*;
use crate::grant::Granted;
use crate::view::SnapshotSender;

const NAMES: [&str; 4] = ["@acme/a", "@acme/b", "@acme/c", "@other/d"];

fn start() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

fn key(number: u8) -> SigningKey {
    SigningKey::from_seed(&[number; 32]).unwrap()
}

/// The first so many names.
fn set(size: usize) -> PackageSet {
    let names = NAMES.iter().take(size);
    names.map(|name| name.parse().unwrap()).collect()
}

fn claims(license: u8, packages: Packages) -> Claims {
    Claims {
        issuer: "issuer-0".to_owned(),
        audience: "gate".to_owned(),
        customer_id: format!("customer-{license}"),
        token_id: "token".to_owned(),
        issued_at: start(),
        not_before: start(),
        expires_at: start() + SignedDuration::from_mins(30),
        tier: "basic".parse().unwrap(),
        license_id: format!("license-{license}"),
        box_id: (license == 1).then(|| "box-1".to_owned()),
        packages,
    }
}

/// Tokens that differ in whatever a rule looks at, and texts that are none.
fn tokens() -> Vec<String> {
    let mut tokens = Vec::new();
    for signer in [1, 2] {
        for (license, packages) in [
            (0, Packages::Listed(set(1))),
            (1, Packages::Listed(set(2))),
            (1, Packages::Reference(set(3).digest())),
            (2, Packages::Reference(set(2).digest())),
        ] {
            tokens.push(key(signer).sign(&claims(license, packages)).unwrap());
        }
    }
    let later = Claims {
        not_before: start() + SignedDuration::from_mins(5),
        issued_at: start() + SignedDuration::from_mins(4),
        ..claims(0, Packages::Listed(set(1)))
    };
    tokens.push(key(1).sign(&later).unwrap());
    let forged = tokens[0].rsplit_once('.').unwrap().0;
    tokens.push(format!(
        "{forged}.{}",
        tokens[1].rsplit_once('.').unwrap().1
    ));
    tokens.push(format!("{}=", tokens[0]));
    tokens
}

/// What a control plane may say.
#[derive(Debug, Clone)]
struct Said {
    keys: Vec<u8>,
    issuer: u8,
    sets: Vec<usize>,
    license: Option<(u8, RevokedBecause)>,
    frees_box: bool,
}

fn said() -> impl Strategy<Value = Said> {
    let why = prop_oneof![
        Just(RevokedBecause::Changed),
        Just(RevokedBecause::Suspended),
        Just(RevokedBecause::Revoked)
    ];
    (
        // Mostly all is well, or most sequences would see nothing but refusals.
        prop_oneof![3 => Just(vec![1, 2]), 1 => Just(vec![1]), 1 => Just(vec![2])],
        prop_oneof![5 => Just(0_u8), 1 => Just(1)],
        prop_oneof![Just(vec![1, 2, 3]), Just(vec![1, 2])],
        prop::option::of((0..3_u8, why)),
        any::<bool>(),
    )
        .prop_map(|(keys, issuer, sets, license, frees_box)| Said {
            keys,
            issuer,
            sets,
            license,
            frees_box,
        })
}

fn snapshot(said: &Said, sequence: u64, now: Timestamp) -> Snapshot {
    let keys = said.keys.iter().map(|number| key(*number).public().clone());
    let sets = said.sets.iter().map(|size| set(*size));
    Snapshot {
        sequence,
        issued_at: now,
        max_stale_seconds: 900,
        issuer: format!("issuer-{}", said.issuer),
        audience: "gate".to_owned(),
        scope: "@acme".to_owned(),
        keys: KeySet::new(keys.collect()).to_jwks(),
        tiers: vec![SnapshotTier {
            name: "basic".parse().unwrap(),
            set: set(1).digest(),
        }],
        sets: sets.map(|set| set.iter().cloned().collect()).collect(),
        revocations: snapshot::Revocations {
            licenses: said
                .license
                .iter()
                .map(|(license, why)| LicenseRevocation {
                    id: format!("license-{license}"),
                    issued_until: now,
                    why: *why,
                })
                .collect(),
            boxes: said
                .frees_box
                .then(|| BoxRevocation {
                    id: "box-1".to_owned(),
                    issued_until: now,
                })
                .into_iter()
                .collect(),
        },
        expiring: Vec::new(),
        publishers: Publishers {
            hash_key: BASE64URL_NOPAD.encode(&[3; 32]),
            credentials: Vec::new(),
        },
    }
}

fn rule(clock: &Arc<SettableClock>, token_cache_bytes: u64) -> (Rule, SnapshotSender) {
    let (views, sender) = Views::new(clock.clone());
    (
        Rule::new(views, clock.clone(), token_cache_bytes, false),
        sender,
    )
}

fn bearer_of(token: &str) -> HeaderMap {
    [(AUTHORIZATION, format!("Bearer {token}").parse().unwrap())]
        .into_iter()
        .collect()
}

#[derive(Debug, Clone)]
enum Step {
    Ask { token: usize, name: usize },
    Say(Said),
    Wait { seconds: i64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0..11_usize, 0..4_usize).prop_map(|(token, name)| Step::Ask { token, name }),
        1 => said().prop_map(Step::Say),
        1 => (0..700_i64).prop_map(|seconds| Step::Wait { seconds }),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_rule_that_knows_the_tokens_decides_as_one_that_never_saw_them(steps in steps()) {
        let clock = Arc::new(SettableClock::at(start()));
        let tokens = tokens();
        let (warm, sender) = rule(&clock, 1024 * 1024);
        let mut last = None;
        let mut sequence = 0;
        for step in steps {
            match step {
                Step::Say(said) => {
                    sequence += 1;
                    let said = snapshot(&said, sequence, clock.now());
                    sender.publish(said.clone()).unwrap();
                    last = Some(said);
                }
                Step::Wait { seconds } => clock.advance_seconds(seconds),
                Step::Ask { token, name } => {
                    let headers = bearer_of(&tokens[token]);
                    let name: PackageName = NAMES[name].parse().unwrap();
                    let (cold, cold_sender) = rule(&clock, 0);
                    if let Some(said) = &last {
                        cold_sender.publish(said.clone()).unwrap();
                    }
                    let decide = |rule: &Rule| {
                        let permit = rule.may_read(&headers, name.clone())?;
                        Ok::<_, Refusal>(permit.caller().user_name())
                    };
                    prop_assert_eq!(decide(&warm), decide(&cold));
                }
            }
        }
    }
}

#[test]
fn tokens_with_one_set_share_it_with_each_other_and_with_the_snapshot() {
    let clock = Arc::new(SettableClock::at(start()));
    let (rule, sender) = rule(&clock, 1024 * 1024);
    let said = Said {
        keys: vec![1],
        issuer: 0,
        sets: vec![1, 2],
        license: None,
        frees_box: false,
    };
    sender.publish(snapshot(&said, 1, start())).unwrap();
    let set_of = |license| {
        let token = key(1)
            .sign(&claims(license, Packages::Listed(set(2))))
            .unwrap();
        match rule.caller(&bearer_of(&token)) {
            Ok(Caller::Box(grant)) => match grant.packages() {
                Granted::Set(set) => Arc::clone(set),
                Granted::Reference(_) => panic!("the token lists its packages"),
            },
            other => panic!("{other:?}"),
        }
    };
    let (one, other) = (set_of(0), set_of(1));
    assert!(Arc::ptr_eq(&one, &other));
    // The older snapshot is gone, and the newer one found the set again.
    sender.publish(snapshot(&said, 2, start())).unwrap();
    // Two tokens here, the snapshot, the two of us.
    assert_eq!(Arc::strong_count(&one), 5);
}
