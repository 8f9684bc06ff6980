//! COMMANDS. Those on the database and its audit log take the settings that `serve` takes and need
//! no manifest; one that only looks goes on beside a server, one that replaces needs the data
//! directory for itself. The others are the operator's: they ask a running control plane over
//! HTTP ([`remote`]).

mod audit;
mod backup;
mod boxes;
mod bundle;
mod credential;
mod customer;
mod doctor;
mod gate;
mod key;
mod license;
mod login;
mod loss;
mod migrate;
mod premium;
pub mod profiles;
mod publish;
pub mod remote;
mod restore;
mod sign_request;
pub mod when;
mod whole_file;

use std::sync::Arc;

use anyhow::{Context, bail};

use crate::data_dir::DataDir;
use crate::entropy::OsEntropy;
use crate::settings::{Config, KEY_PASSPHRASE, secret};
use crate::store::Database;

pub use audit::Audit;
pub use backup::Backup;
pub use boxes::Boxes;
pub use bundle::Bundle;
pub use credential::Credential;
pub use customer::Customer;
pub use doctor::Doctor;
pub use key::Key;
pub use license::License;
pub use login::{Login, Logout, ProfileCommand};
pub use migrate::Migrate;
pub use premium::Premium;
pub use publish::Publish;
pub use restore::Restore;

/// The data directory, beside whoever works in it.
fn look(config: &Config) -> anyhow::Result<DataDir> {
    unlocked(DataDir::look(&config.data)?, config)
}

/// The data directory, for this process alone.
fn lock(config: &Config) -> anyhow::Result<DataDir> {
    unlocked(DataDir::open(&config.data)?, config)
}

/// With the passphrase of its keys, where they have one.
fn unlocked(data: DataDir, config: &Config) -> anyhow::Result<DataDir> {
    match config.key_passphrase(secret(KEY_PASSPHRASE))? {
        Some(passphrase) => data.protect(passphrase, Arc::new(OsEntropy)),
        None => Ok(data),
    }
}

/// Opens the database for reading alone; its schema stays what it is. None where there is none.
async fn find_database(config: &Config) -> anyhow::Result<Option<Database>> {
    let database = if let Some(url) = &config.database_url {
        Database::look_postgres(url.expose())
            .await
            .context("cannot open the PostgreSQL database of `database-url`")?
    } else {
        let file = config.data.join("tollgate.db");
        // An empty file is what a start leaves that ends before anything is written.
        if !std::fs::metadata(&file).is_ok_and(|file| file.len() > 0) {
            return Ok(None);
        }
        Database::look_sqlite(&file)
            .await
            .with_context(|| format!("cannot open the database `{}`", file.display()))?
    };
    Ok(Some(database))
}

/// Opens the database that there must be.
async fn look_at_database(config: &Config) -> anyhow::Result<Database> {
    let Some(database) = find_database(config).await? else {
        bail!(
            "there is no database in the data directory `{}`\n  hint: name it with `--data`",
            config.data.display()
        );
    };
    Ok(database)
}
