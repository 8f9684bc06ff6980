//! `tollgate migrate`.

use std::process::ExitCode;

use clap::Args;
use terminal::output::print;

use super::{find_database, lock, look};
use crate::data_dir::{DataDir, Keys};
use crate::serve::open_database;
use crate::settings::{Config, Given};
use crate::store::{Schema, Store};

/// What `tollgate migrate` takes.
#[derive(Debug, Args)]
pub struct Migrate {
    /// Only say what would be done; exits with 1 when something would be
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    given: Given,
}

impl Migrate {
    /// Brings the schema up to date, or says what that would do.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let (config, _) = self.given.load()?;
        let schema = schema(&config).await?;
        if schema.pending.is_empty() {
            let version = schema.version;
            print(&format!("the schema is up to date: version {version}\n"))?;
            return Ok(ExitCode::SUCCESS);
        }
        let pending = list(&schema);
        if self.check {
            let version = schema.version;
            let is = match version {
                0 => "there is no schema yet".to_owned(),
                _ => format!("the schema has version {version}"),
            };
            print(&format!("{is}; `tollgate migrate` applies: {pending}\n"))?;
            return Ok(ExitCode::FAILURE);
        }
        // The previous release may be at work beside this.
        let data = if config.data.exists() {
            look(&config)?
        } else {
            lock(&config)?
        };
        apply(&config, &data).await?;
        print(&format!("applied: {pending}\n"))?;
        Ok(ExitCode::SUCCESS)
    }
}

async fn schema(config: &Config) -> anyhow::Result<Schema> {
    let Some(database) = find_database(config).await? else {
        return Ok(Schema::none());
    };
    let schema = database.schema().await?;
    database.close().await;
    Ok(schema)
}

async fn apply(config: &Config, data: &DataDir) -> anyhow::Result<()> {
    let database = open_database(config, data).await?;
    if database.is_new().await? {
        database.close().await;
        return Ok(());
    }
    // Rows of a release that did not chain are chained now, before anybody can edit them unseen.
    let store = Store::new(database, &data.hash_key(Keys::MustExist)?).await?;
    store.begin().await?.commit_notes().await?;
    store.close().await;
    Ok(())
}

fn list(schema: &Schema) -> String {
    let names = schema.pending.iter();
    let names: Vec<String> = names
        .map(|(version, name)| format!("{version} {name}"))
        .collect();
    names.join(", ")
}
