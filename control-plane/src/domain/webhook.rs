//! Webhooks: who is told of what, when a delivery is tried again, and when it is given up.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use url::Url;

use super::{FieldError, WebhookId};

/// The most webhooks: each has at most one request on its way, so this bounds them all.
pub const WEBHOOKS_MAX: usize = 50;
/// How long deliveries and what became of them are kept, and how old an event may be to be told.
pub const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);
/// A webhook that took nothing for so long is disabled at the next failure.
pub const FAILING_MAX: SignedDuration = SignedDuration::from_hours(3 * 24);

/// What is waited for after the first failure, the second and so on; then it is given up.
const WAITS: [SignedDuration; 9] = [
    SignedDuration::from_secs(5),
    SignedDuration::from_mins(5),
    SignedDuration::from_mins(30),
    SignedDuration::from_hours(2),
    SignedDuration::from_hours(5),
    SignedDuration::from_hours(10),
    SignedDuration::from_hours(14),
    SignedDuration::from_hours(20),
    SignedDuration::from_hours(24),
];
/// A receiver may ask for at most this much patience.
const RETRY_AFTER_MAX: SignedDuration = SignedDuration::from_hours(1);
/// How long a webhook rests that is overloaded or does not answer: a quarter of the time for
/// which that has lasted, within these.
const PAUSE: (SignedDuration, SignedDuration) =
    (SignedDuration::from_secs(5), SignedDuration::from_mins(5));

const PATTERNS_MAX: usize = 50;
const PATTERN_BYTES_MAX: usize = 100;
/// What anybody can cause as often as they like, and nobody can act on.
const NEVER_SENT: [&str; 2] = ["access.denied", "license.activate.refused"];
/// What is sent only where it is asked for by name.
const OWN: &str = "webhook.";

/// An endpoint that is told of changes, without its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its id.
    pub id: WebhookId,
    /// Where it listens.
    pub url: Url,
    /// A note for people.
    pub description: Option<String>,
    /// What it is told of.
    pub events: EventFilter,
    /// The last row of the audit log that it was told of, or passed over.
    pub told: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// Since when nothing is sent, and why, if so.
    pub disabled: Option<(Timestamp, DisabledReason)>,
    /// Since when nothing got through, if the last attempt failed.
    pub failing_since: Option<Timestamp>,
    /// Until when it rests.
    pub paused_until: Option<Timestamp>,
    /// Until when the secret before the present one signs as well.
    pub old_secret_until: Option<Timestamp>,
}

/// Why nothing is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = WebhookDisabledReason)]
pub enum DisabledReason {
    /// An operator said so.
    Operator,
    /// The receiver answered that it is gone for good.
    Gone,
    /// Nothing got through for three days.
    Failing,
}

impl DisabledReason {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::Operator, Self::Gone, Self::Failing];

    /// The reason as it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Gone => "gone",
            Self::Failing => "failing",
        }
    }
}

impl Webhook {
    /// Whether something may be sent now.
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.disabled.is_none() && self.paused_until.is_none_or(|until| until <= now)
    }

    /// Begins anew, as if nothing had failed.
    pub fn forgive(&mut self) {
        self.failing_since = None;
        self.paused_until = None;
    }
}

/// Which events are wanted: types, or prefixes that end in `.*`; none for all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventFilter(Vec<String>);

impl EventFilter {
    /// Takes patterns as they were sent.
    pub fn new(patterns: Vec<String>) -> Self {
        Self(patterns)
    }

    /// What is wrong with the patterns, if anything.
    pub fn error(&self, field: &'static str) -> Option<FieldError> {
        if self.0.len() > PATTERNS_MAX {
            let message = format!("has at most {PATTERNS_MAX} types");
            return Some(FieldError::new(field, message));
        }
        if let Some(never) = self.0.iter().find(|p| NEVER_SENT.contains(&p.as_str())) {
            return Some(FieldError::new(
                field,
                format!("names `{never}`, which is never sent"),
            ));
        }
        let bad = !self.0.iter().all(|pattern| is_pattern(pattern));
        let message = "are types such as `license.suspend`, or prefixes such as `license.*`";
        bad.then(|| FieldError::new(field, message))
    }

    /// The patterns.
    pub fn patterns(&self) -> &[String] {
        &self.0
    }

    /// Whether an event of this type is sent.
    pub fn wants(&self, action: &str) -> bool {
        if NEVER_SENT.contains(&action) {
            return false;
        }
        let named = self
            .0
            .iter()
            .any(|pattern| match pattern.strip_suffix('*') {
                Some(prefix) => action.starts_with(prefix),
                None => action == pattern,
            });
        named || self.0.is_empty() && !action.starts_with(OWN)
    }
}

/// Lower-case words joined by full stops, at least two of them; the last may be `*`.
fn is_pattern(pattern: &str) -> bool {
    let is_word =
        |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    let (base, words_min) = match pattern.strip_suffix(".*") {
        Some(base) => (base, 1),
        None => (pattern, 2),
    };
    pattern.len() <= PATTERN_BYTES_MAX
        && base.split('.').all(is_word)
        && base.split('.').count() >= words_min
}

/// How a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryStatus {
    /// It is sent, or sent again, when its time comes.
    Pending,
    /// The receiver took it.
    Delivered,
    /// It was given up.
    Failed,
}

impl DeliveryStatus {
    /// Every status.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Delivered, Self::Failed];

    /// The status as it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }
}

/// What a receiver answered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// The HTTP status; none without an answer.
    pub status: Option<u16>,
    /// How much patience it asks for.
    pub retry_after: Option<SignedDuration>,
    /// Why there was no answer.
    pub error: Option<String>,
    /// The beginning of what it said, where it did not take the message.
    pub response: Option<String>,
    /// How long that took, in milliseconds.
    pub duration_ms: i64,
}

/// What an answer means for the delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is done.
    Delivered,
    /// It is tried again at this time.
    Again(Timestamp),
    /// It was the last attempt.
    GivenUp,
}

impl Answer {
    /// Whether the receiver took the message.
    pub fn is_success(&self) -> bool {
        self.status
            .is_some_and(|status| (200..300).contains(&status))
    }

    /// Whether the receiver is gone for good.
    pub fn is_gone(&self) -> bool {
        self.status == Some(410)
    }

    /// What becomes of a delivery that failed `step` times before. `jitter` spreads the next
    /// attempts of many: up to a tenth is added.
    pub fn verdict(&self, step: usize, now: Timestamp, jitter: u8) -> Verdict {
        if self.is_success() {
            return Verdict::Delivered;
        }
        let Some(wait) = WAITS.get(step) else {
            return Verdict::GivenUp;
        };
        let wait = *wait + (*wait / 10) * i32::from(jitter) / 255;
        let wait = wait.max(self.asked_patience().unwrap_or_default());
        Verdict::Again(now.saturating_add(wait).unwrap_or(Timestamp::MAX))
    }

    /// Until when the whole webhook rests, which took nothing since `failing_since`.
    pub fn pause(&self, failing_since: Timestamp, now: Timestamp) -> Option<Timestamp> {
        if self.is_success() {
            return None;
        }
        let slow = matches!(self.status, None | Some(429 | 502 | 504));
        let failing_for = now.duration_since(failing_since);
        let pause = match self.asked_patience() {
            Some(asked) => asked,
            None if slow => (failing_for / 4).clamp(PAUSE.0, PAUSE.1),
            None => return None,
        };
        now.saturating_add(pause).ok()
    }

    fn asked_patience(&self) -> Option<SignedDuration> {
        self.retry_after
            .map(|asked| asked.clamp(SignedDuration::ZERO, RETRY_AFTER_MAX))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filter(patterns: &[&str]) -> EventFilter {
        EventFilter::new(patterns.iter().map(ToString::to_string).collect())
    }

    fn answer(status: Option<u16>) -> Answer {
        Answer {
            status,
            ..Answer::default()
        }
    }

    #[test]
    fn types_and_prefixes_choose_and_none_means_all_but_webhooks_themselves() {
        for (patterns, action, wanted) in [
            (&[][..], "license.suspend", true),
            (&[], "webhook.create", false),
            (&[], "access.denied", false),
            (&["license.suspend"], "license.suspend", true),
            (&["license.suspend"], "license.suspended", false),
            (&["license.*"], "license.suspend", true),
            (&["license.*"], "license.activate.refused", false),
            (&["license.*"], "licenses.x", false),
            (&["box.*", "license.issue"], "license.issue", true),
            (&["webhook.*"], "webhook.create", true),
            (&["webhook.*"], "license.issue", false),
        ] {
            assert_eq!(
                filter(patterns).wants(action),
                wanted,
                "{patterns:?} {action}"
            );
        }
    }

    #[test]
    fn a_pattern_that_could_never_fit_is_refused() {
        for good in [
            "license.suspend",
            "license.*",
            "a.b.*",
            "customer.assign_tier",
        ] {
            assert_eq!(filter(&[good]).error("events"), None, "{good}");
        }
        for bad in [
            "",
            "*",
            ".*",
            "license",
            "License.issue",
            "license.",
            "lic*.x",
            "a..b",
            "access.denied",
        ] {
            assert!(filter(&[bad]).error("events").is_some(), "{bad}");
        }
        assert!(filter(&["a.b"; 51]).error("events").is_some());
    }

    #[test]
    fn ten_attempts_over_three_days() {
        let start: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let mut now = start;
        let mut attempts = 1;
        while let Verdict::Again(at) = answer(Some(500)).verdict(attempts - 1, now, 0) {
            now = at;
            attempts += 1;
        }
        assert_eq!(attempts, 10);
        let all = now.duration_since(start);
        assert_eq!(all, SignedDuration::new(75 * 3600 + 35 * 60 + 5, 0));
        // The last attempt falls behind the time after which a webhook is disabled.
        assert!(all > FAILING_MAX);
    }

    #[test]
    fn only_200_to_299_is_a_success() {
        let now = Timestamp::UNIX_EPOCH;
        for (status, success) in [
            (199, false),
            (200, true),
            (204, true),
            (299, true),
            (301, false),
        ] {
            let verdict = answer(Some(status)).verdict(0, now, 0);
            assert_eq!(verdict == Verdict::Delivered, success, "{status}");
        }
    }

    #[test]
    fn an_overloaded_or_silent_webhook_rests_longer_the_longer_that_lasts() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let pause = |answer: &Answer, minutes: i64| {
            let since = now - SignedDuration::from_mins(minutes);
            answer
                .pause(since, now)
                .map(|until| until.duration_since(now).as_secs())
        };
        for (status, minutes, seconds) in [
            (Some(200), 9, None),
            (Some(500), 9, None),
            (Some(429), 0, Some(5)),
            (Some(502), 4, Some(60)),
            (Some(504), 100, Some(300)),
            (None, 0, Some(5)),
        ] {
            assert_eq!(
                pause(&answer(status), minutes),
                seconds,
                "{status:?} {minutes}"
            );
        }
        for (asked, seconds) in [(-1, 0), (40, 40), (i64::MAX, 3600)] {
            let mut answer = answer(Some(503));
            answer.retry_after = Some(SignedDuration::from_secs(asked));
            assert_eq!(pause(&answer, 0), Some(seconds), "{asked}");
        }
    }

    proptest! {
        #[test]
        fn the_next_attempt_is_never_early_and_at_most_a_tenth_late(step in 0_usize..9, jitter: u8) {
            let now = Timestamp::UNIX_EPOCH;
            let Verdict::Again(at) = answer(None).verdict(step, now, jitter) else {
                return Err(TestCaseError::fail("given up too early"));
            };
            let wait = at.duration_since(now);
            prop_assert!(wait >= WAITS[step] && wait <= WAITS[step] + WAITS[step] / 10, "{wait:?}");
        }
    }
}
