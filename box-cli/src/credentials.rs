//! `.box/credentials.json`: what this box alone knows. It holds secrets, with mode 0600.

use anyhow::Context;
use jiff::{SignedDuration, Timestamp};
use manifest::PackageName;
use serde::{Deserialize, Serialize};
use terminal::private_file;
use url::Url;

use crate::activation::CLOCK_TOLERANCE;
use crate::project::Project;

/// The file's name in `.box`.
pub const FILE: &str = "credentials.json";

/// What the box activated with, and what it got.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Credentials {
    /// The license key (POT-58). None where the box was activated from a license file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license_key: Option<String>,
    /// The license file, where the box was activated from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license_file: Option<String>,
    /// The control plane. None where the box was activated from a license file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_plane_url: Option<Url>,
    /// The activation token (POT-58).
    pub npm_token: String,
    /// When the token was made, by this machine's clock.
    pub issued_at: Timestamp,
    /// When it ends, by this machine's clock.
    pub expires_at: Timestamp,
    /// When the box was activated with this license at this control plane first.
    pub activated_at: Timestamp,
    /// What the box is known by.
    pub fingerprint: String,
    /// Its name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Sent along at each activation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<String>,
    /// The license.
    pub license_id: String,
    /// Whose it is.
    pub customer_id: String,
    /// The box, where the license counts boxes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub box_id: Option<String>,
    /// The tier.
    pub tier: String,
    /// Where packages are installed from.
    pub registry_url: Url,
    /// What may be installed, sorted.
    pub packages: Vec<PackageName>,
    /// When the license expires, if ever and if that was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license_expires_at: Option<Timestamp>,
    /// How many boxes hold a seat, this one with them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boxes_used: Option<u64>,
    /// How many may. None for any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boxes_limit: Option<u64>,
    /// The latest time that this machine's clock was seen to show.
    pub clock_seen_at: Timestamp,
}

impl Credentials {
    /// Whether the token is good at `now`.
    pub fn is_good(&self, now: Timestamp) -> bool {
        now < self.expires_at
    }

    /// Whether the token is to be renewed: less than half of its life is left, or the clock was
    /// set back to before it was made.
    pub fn is_due(&self, now: Timestamp) -> bool {
        now >= self.due_at() || self.clock_set_back(now).is_some()
    }

    /// When half of the token's life is over.
    pub fn due_at(&self) -> Timestamp {
        let half = self.expires_at.duration_since(self.issued_at) / 2;
        self.issued_at
            .saturating_add(half)
            .unwrap_or(self.expires_at)
    }

    /// By how much the clock stands before the time at which the token was made, where that is
    /// more than an imprecise clock explains.
    pub fn clock_set_back(&self, now: Timestamp) -> Option<SignedDuration> {
        let back = self.issued_at.duration_since(now);
        (back > CLOCK_TOLERANCE).then_some(back)
    }

    /// Reads them; none where the project was not activated.
    pub fn load(project: &Project) -> anyhow::Result<Option<Self>> {
        let path = project.private(FILE);
        let Some(text) = private_file::read(&path)? else {
            return Ok(None);
        };
        // The text of an error would show what it could not read.
        let read = serde_json::from_str(&text).ok().with_context(|| {
            let path = path.display();
            format!("`{path}` cannot be read\n  hint: remove it and activate again")
        })?;
        Ok(Some(read))
    }

    /// Keeps them.
    pub fn save(&self, project: &Project) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        project.keep(FILE, &text)
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("license_id", &self.license_id)
            .finish_non_exhaustive()
    }
}
