//! The gate's snapshot: a read, made from what the verbs wrote.

use std::collections::BTreeMap;

use activation_token::credential::CredentialKind;
use activation_token::snapshot::{
    EXPIRING_MAX, Publishers, REVOCATION_SECONDS, Revocations, Snapshot, SnapshotTier,
};
use data_encoding::BASE64URL_NOPAD;
use jiff::SignedDuration;
use manifest::{PackageName, SetDigest};

use super::{Error, Fault, Operations};
use crate::store::{boxes, credentials, customers, licenses};

/// Boxes are warned so long before their license expires.
const WARNED_BEFORE: SignedDuration = SignedDuration::from_hours(24 * 14);

impl Operations {
    /// Everything a gate decides by, as of now.
    pub async fn snapshot(&self) -> Result<Snapshot, Error> {
        let now = self.clock.now();
        // Read before the rest: what follows can only be newer than the number says.
        let sequence = self.store.newest_change().await?;
        let mut conn = self.store.read().await?;
        let publishers = credentials::publishers(conn.link(), now).await?;
        // A token is good up to the second in which its license is narrowed, hence one more.
        let reach = SignedDuration::from_secs(REVOCATION_SECONDS + 1);
        let alive_since = now.saturating_sub(reach).unwrap_or(now);
        let revocations = Revocations {
            licenses: licenses::narrowed(conn.link(), alive_since).await?,
            boxes: boxes::released(conn.link(), alive_since, None).await?,
        };
        let soon = now.saturating_add(WARNED_BEFORE).unwrap_or(now);
        let expiring = licenses::expiring(conn.link(), now, soon, EXPIRING_MAX).await?;
        drop(conn);
        Ok(Snapshot {
            sequence: u64::try_from(sequence).unwrap_or(0),
            issued_at: now,
            max_stale_seconds: self.policy.max_stale_seconds,
            issuer: self.policy.issuer.clone(),
            audience: self.policy.audience.clone(),
            scope: self.tiers.scope().to_owned(),
            keys: self.keyring.published(now).to_jwks(),
            tiers: self.snapshot_tiers(),
            sets: self.sets_in_use().await?.into_values().collect(),
            revocations,
            publishers: Publishers {
                hash_key: BASE64URL_NOPAD.encode(
                    self.hash_key
                        .derive(CredentialKind::Publisher.as_str())
                        .as_bytes(),
                ),
                credentials: publishers,
            },
            expiring,
        })
    }

    /// The tiers, ascending, each with the digest of its set.
    pub(super) fn snapshot_tiers(&self) -> Vec<SnapshotTier> {
        let tiers = self.tiers.tiers().map(|tier| SnapshotTier {
            name: tier.name().clone(),
            set: tier.packages().digest(),
        });
        tiers.collect()
    }

    /// Every package set that a token can name: each tier's, and each with the add-ons that some
    /// license has. Fails when a license names a tier or package that the manifest has no more.
    pub async fn sets_in_use(&self) -> Result<BTreeMap<SetDigest, Vec<PackageName>>, Error> {
        let mut sets: BTreeMap<SetDigest, Vec<PackageName>> = BTreeMap::new();
        let mut conn = self.store.read().await?;
        let in_use = licenses::tiers_in_use(conn.link()).await?;
        for tier in customers::tiers_in_use(conn.link()).await? {
            self.tiers
                .tier(&tier)
                .ok_or_else(|| Fault::Dangling(format!("of a customer at {tier}")))?;
        }
        self.check_add_ons_in_use(conn.link()).await?;
        drop(conn);
        let tiers = self
            .tiers
            .tiers()
            .map(|tier| (Some(tier.name().clone()), Vec::new()));
        for (name, add_ons) in tiers.chain(in_use) {
            let dangling = || {
                let tier = name.as_ref().map_or("", |name| name.as_str());
                Fault::Dangling(format!("{tier} {add_ons:?}"))
            };
            let tier = match &name {
                None => self.tiers.default_tier(),
                Some(name) => self.tiers.tier(name.as_str()).ok_or_else(dangling)?,
            };
            let set = self
                .tiers
                .with_add_ons(tier, &add_ons)
                .map_err(|_| dangling())?;
            sets.entry(set.digest())
                .or_insert_with(|| set.iter().cloned().collect());
        }
        Ok(sets)
    }
}
