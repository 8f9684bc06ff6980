//! The schema's versions: which a database has, which this program knows, and the way up.
//!
//! Migrations go forward only, and add only, so that the previous release can go on running on a
//! database that is up to date already. A database of a later release is left alone.

use sqlx::migrate::{Migrate, Migration, MigrationType, Migrator};
use sqlx::{PgConnection, SqlStr, SqliteConnection};

use super::{Link, StoreError, on};

const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "licenses", include_str!("migrations/0001_licenses.sql")),
    (
        2,
        "licensing",
        include_str!("migrations/0002_licensing.sql"),
    ),
    (
        3,
        "downloads",
        include_str!("migrations/0003_downloads.sql"),
    ),
    (
        4,
        "entitlements",
        include_str!("migrations/0004_entitlements.sql"),
    ),
    (5, "usage", include_str!("migrations/0005_usage.sql")),
    (6, "premium", include_str!("migrations/0006_premium.sql")),
    (7, "billing", include_str!("migrations/0007_billing.sql")),
    (8, "offline", include_str!("migrations/0008_offline.sql")),
];

/// The first version whose audit rows have hashes.
const CHAINS: i64 = 2;

/// Where sqlx writes down what was applied.
const TABLE: &str = "_sqlx_migrations";
const HAS_TABLE_SQLITE: &str =
    "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = $1";
const HAS_TABLE_POSTGRES: &str = "SELECT COUNT(*) FROM pg_class WHERE oid = to_regclass($1)";

/// The schema of a database that this program can bring up to date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    /// The newest migration that was applied, 0 for a database without any.
    pub version: i64,
    /// What would be applied, in order: each with its name.
    pub pending: Vec<(i64, &'static str)>,
}

impl Schema {
    /// A database that is not there yet.
    pub fn none() -> Self {
        Self {
            version: 0,
            pending: MIGRATIONS.iter().map(|&(v, name, _)| (v, name)).collect(),
        }
    }

    /// Whether the audit rows of a database of this version have hashes.
    pub fn chains(&self) -> bool {
        self.version >= CHAINS
    }

    /// Looks at a database and changes nothing. One that is newer than this program, or that was
    /// made by other migrations than this program's, is refused.
    pub(super) async fn of(mut link: Link<'_>) -> Result<Self, StoreError> {
        let (tables,) = match &mut link {
            Link::Sqlite(c) => {
                let query = sqlx::query_as::<_, (i64,)>(HAS_TABLE_SQLITE).bind(TABLE);
                query.fetch_one(&mut **c).await?
            }
            Link::Postgres(c) => {
                let query = sqlx::query_as::<_, (i64,)>(HAS_TABLE_POSTGRES).bind(TABLE);
                query.fetch_one(&mut **c).await?
            }
        };
        if tables == 0 {
            return Ok(Self::none());
        }
        let applied = on!(link, |c| c.list_applied_migrations(TABLE).await)?;
        let migrator = migrator();
        let version = applied.iter().map(|one| one.version).max().unwrap_or(0);
        let knows = migrator.iter().map(|one| one.version).max().unwrap_or(0);
        if version > knows {
            return Err(StoreError::Newer { version, knows });
        }
        for one in &applied {
            let ours = migrator.iter().find(|ours| ours.version == one.version);
            if ours.is_none_or(|ours| ours.checksum != one.checksum) {
                return Err(StoreError::OtherMigration(one.version));
            }
        }
        let mut pending = Self::none().pending;
        pending.retain(|(version, _)| applied.iter().all(|one| one.version != *version));
        Ok(Self { version, pending })
    }
}

/// Brings an SQLite database up to date.
pub(super) async fn migrate_sqlite(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    Schema::of(Link::Sqlite(connection)).await?;
    Ok(migrator().run_direct(None, connection, false).await?)
}

/// Brings a PostgreSQL database up to date.
pub(super) async fn migrate_postgres(connection: &mut PgConnection) -> Result<(), StoreError> {
    Schema::of(Link::Postgres(connection)).await?;
    Ok(migrator().run_direct(None, connection, false).await?)
}

fn migrator() -> Migrator {
    let migrations = MIGRATIONS.iter().map(|&(version, description, sql)| {
        Migration::new(
            version,
            description.into(),
            MigrationType::Simple,
            SqlStr::from_static(sql),
            false,
        )
    });
    Migrator::with_migrations(migrations.collect())
}
