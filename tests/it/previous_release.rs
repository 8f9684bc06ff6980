//! Migrations are safe while the previous release still runs.
//!
//! `Release1` is what release 0001 does to its database, statement by statement. It is a frozen
//! contract: a migration that breaks it breaks whoever upgrades without a stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use control_plane::domain::Requester;
use control_plane::store::audit::{self, Damage, Head};
use serde_json::json;
use sqlx::SqlStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use tests::plane::Place;
use tests::sql::{Cell, Sql};
use tests::{COMMERCE, Plane};

const MIGRATION: &str = include_str!("../../control-plane/src/store/migrations/0001_licenses.sql");

const NEXT: &str = "UPDATE counters SET value = value + 1 WHERE name = $1 RETURNING value";
const VALUE: &str = "SELECT value FROM counters WHERE name = $1";
const ADD_AUDIT: &str = "INSERT INTO audit \
    (sequence, at, actor, action, subject, before, after, reason, request_id) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
const ADD_LICENSE: &str = "INSERT INTO licenses \
    (id, customer_id, key_digest, tier, status, expires_at, max_boxes, add_ons, metadata, created_at, revision) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0)";
const GET_LICENSE: &str = "SELECT id, customer_id, tier, status, expires_at, max_boxes, add_ons, metadata, created_at \
    FROM licenses WHERE id = $1";
const LOCK_BY_KEY: &str = "UPDATE licenses SET revision = revision + 1 WHERE key_digest = $1 \
    RETURNING id, customer_id, tier, status, expires_at, max_boxes, add_ons, metadata, created_at";
const TIERS_IN_USE: &str =
    "SELECT DISTINCT tier, add_ons FROM licenses WHERE status <> 'revoked' ORDER BY tier, add_ons";
const SEEN_BOX: &str = "UPDATE boxes SET last_seen_at = $3, name = COALESCE($4, name) \
    WHERE license_id = $1 AND fingerprint = $2 RETURNING id, fingerprint, name";
const COUNT_BOXES: &str = "SELECT COUNT(*) FROM boxes WHERE license_id = $1";
const ADD_BOX: &str = "INSERT INTO boxes \
    (id, license_id, fingerprint, name, activated_at, last_seen_at) \
    VALUES ($1, $2, $3, $4, $5, $5)";
const ADD_CREDENTIAL: &str = "INSERT INTO credentials \
    (id, kind, name, role, digest, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)";
const FIND_CREDENTIAL: &str = "SELECT id, role, digest, expires_at FROM credentials \
    WHERE digest = $1 AND kind = $2 AND (expires_at IS NULL OR expires_at > $3)";
const ALL_OF_KIND: &str = "SELECT id, role, digest, expires_at FROM credentials \
    WHERE kind = $1 AND (expires_at IS NULL OR expires_at > $2) ORDER BY id";
const ANY_OF_KIND: &str = "SELECT COUNT(*) FROM credentials WHERE kind = $1";

/// 2026-11-21T12:00:00Z, the time of the control plane under test.
const NOW: i64 = 1_795_262_400_000_000;
const FOREVER: Option<i64> = None;
const NONE: Option<&str> = None;

/// The previous release at work.
struct Release1(Sql);

impl Release1 {
    /// Makes its database.
    async fn install(place: &Place) -> Self {
        let migration = Migration::new(
            1,
            "licenses".into(),
            MigrationType::Simple,
            SqlStr::from_static(MIGRATION),
            false,
        );
        let migrator = Migrator::with_migrations(vec![migration]);
        let mut connection = place.connection().await;
        let run = match &mut connection {
            Sql::Sqlite(c) => migrator.run_direct(None, c, false).await,
            Sql::Postgres(c) => migrator.run_direct(None, c, false).await,
        };
        run.unwrap();
        Self(connection)
    }

    async fn audit(&mut self, action: &str, subject: &str, after: Option<&str>) {
        let sequence = self.0.number(NEXT, &["audit".into()]).await;
        let row: [Cell; 9] = [
            sequence.into(),
            NOW.into(),
            "system".into(),
            action.into(),
            subject.into(),
            NONE.into(),
            after.into(),
            NONE.into(),
            Some("req_1").into(),
        ];
        assert_eq!(self.0.run(ADD_AUDIT, &row).await, 1);
    }

    async fn issue(&mut self, nth: i64) -> String {
        // A license's id has 26 letters after its prefix.
        let id = format!("lic_{nth:026}");
        self.0.begin().await;
        let row: [Cell; 10] = [
            id.as_str().into(),
            "corner-shop".into(),
            key(nth).as_str().into(),
            Some("basic").into(),
            "active".into(),
            FOREVER.into(),
            Some(3).into(),
            "[]".into(),
            "{}".into(),
            NOW.into(),
        ];
        self.0.run(ADD_LICENSE, &row).await;
        self.0.number(NEXT, &["change".into()]).await;
        self.audit("license.issue", &id, Some("{\"tier\":\"basic\"}"))
            .await;
        self.0.commit().await;
        id
    }

    /// Activates a box with a license's key, as it decides: by status, expiry and seats.
    async fn activate(&mut self, key: &str, nth: i64, fingerprint: &str) -> bool {
        self.0.begin().await;
        let found = self.0.rows(LOCK_BY_KEY, &[key.into()]).await;
        let (id, status, expires_at) = (&found[0][0], &found[0][3], &found[0][4]);
        let good = *status == "active".into() && *expires_at == FOREVER.into();
        let seen: [Cell; 4] = [id.clone(), fingerprint.into(), NOW.into(), NONE.into()];
        if good && self.0.rows(SEEN_BOX, &seen).await.is_empty() {
            assert!(self.0.number(COUNT_BOXES, std::slice::from_ref(id)).await < 3);
            let name = format!("box_{nth:026}");
            let row: [Cell; 5] = [
                name.as_str().into(),
                id.clone(),
                fingerprint.into(),
                Some("till").into(),
                NOW.into(),
            ];
            self.0.run(ADD_BOX, &row).await;
            self.audit("box.activate", &name, None).await;
        }
        self.0.commit().await;
        good
    }

    async fn create_operator(&mut self, id: &str, digest: &str) {
        self.0.begin().await;
        let row: [Cell; 7] = [
            id.into(),
            "operator".into(),
            "first operator".into(),
            Some("admin").into(),
            digest.into(),
            NOW.into(),
            FOREVER.into(),
        ];
        self.0.run(ADD_CREDENTIAL, &row).await;
        self.audit("credential.create", id, None).await;
        self.0.commit().await;
    }

    async fn lets_in(&mut self, digest: &str) -> bool {
        let asked: [Cell; 3] = [digest.into(), "operator".into(), NOW.into()];
        !self.0.rows(FIND_CREDENTIAL, &asked).await.is_empty()
    }

    /// One of everything that it does, again and again.
    async fn work(&mut self, nth: i64) {
        let id = self.issue(nth).await;
        for _ in 0..2 {
            assert!(self.activate(&key(nth), nth, "fingerprint").await);
        }
        assert_eq!(
            self.0.rows(GET_LICENSE, &[id.as_str().into()]).await.len(),
            1
        );
        assert_eq!(self.0.rows(TIERS_IN_USE, &[]).await.len(), 1);
        assert!(self.0.number(VALUE, &["change".into()]).await > 0);
        let kind: [Cell; 2] = ["publisher".into(), NOW.into()];
        assert!(self.0.rows(ALL_OF_KIND, &kind).await.is_empty());
        assert!(self.0.number(ANY_OF_KIND, &["operator".into()]).await > 0);
    }
}

fn key(nth: i64) -> String {
    format!("{nth:064x}")
}

async fn verified(plane: &Plane) -> Result<Head, Damage> {
    let store = &plane.operations.store;
    let mut conn = store.read().await.unwrap();
    let found = audit::verify(&mut conn, store.chain(), &[]).await;
    found.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_previous_release_goes_on_while_and_after_the_schema_is_brought_up_to_date() {
    for place in Place::on_each().await {
        let mut old = Release1::install(&place).await;
        let first = "crd_00000000000000000000000001";
        old.create_operator(first, &key(7)).await;

        // It works on, and the migration comes in between.
        let (stop, done) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicI64::new(0)),
        );
        let at_work = tokio::spawn({
            let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
            async move {
                while !stop.load(Ordering::SeqCst) {
                    let nth = done.load(Ordering::SeqCst) + 1;
                    old.work(nth).await;
                    done.store(nth, Ordering::SeqCst);
                }
                old
            }
        });
        let worked = async |further: i64| {
            let goal = done.load(Ordering::SeqCst) + further;
            while done.load(Ordering::SeqCst) < goal && !at_work.is_finished() {
                tokio::task::yield_now().await;
            }
        };
        worked(5).await;
        let migrated = place.open().await.unwrap();
        worked(5).await;
        migrated.close().await;
        stop.store(true, Ordering::SeqCst);
        let mut old = at_work.await.unwrap();

        // What it wrote before and after has no hash yet; the next change chains it.
        let plane = Plane::at(place, COMMERCE).await;
        let whole = verified(&plane).await.unwrap();
        let works = done.load(Ordering::SeqCst);
        // The operator, and a license and a box each time.
        let rows = "SELECT COUNT(*) FROM audit WHERE request_id = 'req_1' AND mac IS NOT NULL";
        assert_eq!(plane.sql(rows), [(1 + 2 * works).to_string()]);

        // And again: both releases write by turns.
        old.work(works + 1).await;
        let unchained = Err(Damage::Unchained(whole.sequence + 1));
        assert_eq!(verified(&plane).await, unchained);
        let body = json!({ "customerId": "c-1", "tier": "basic", "maxBoxes": 3 });
        let license = plane.admin_posts("/v1/licenses", &body).await;
        assert_eq!(verified(&plane).await.unwrap().sequence, whole.sequence + 3);

        // A license of the new release serves the old one, until it is suspended.
        let id = license["id"].as_str().unwrap().to_owned();
        let digest = plane.sql(&format!(
            "SELECT key_digest FROM licenses WHERE id = '{id}'"
        ));
        assert!(old.activate(&digest[0], works + 2, "another").await);
        let suspend = format!("/v1/licenses/{id}/suspend");
        plane
            .admin_posts(&suspend, &json!({ "reason": "unpaid" }))
            .await;
        assert!(!old.activate(&digest[0], works + 3, "third").await);

        // A revoked credential is refused by the old release too, which knows no revocation.
        assert!(old.lets_in(&key(7)).await);
        let operations = &plane.operations;
        let mut tx = operations.store.begin().await.unwrap();
        let id = first.parse().unwrap();
        let by = Requester::system();
        let revoked = operations.revoke_credential(&mut tx, &by, &id, None).await;
        tx.commit(revoked.unwrap()).await.unwrap();
        assert!(!old.lets_in(&key(7)).await);
        assert!(verified(&plane).await.is_ok());
    }
}
