//! COMMANDS on the database and its audit log. They take the settings that `serve` takes and need
//! no manifest. One that only looks goes on beside a server; one that replaces needs the data
//! directory for itself.

mod audit;
mod backup;
mod loss;
mod migrate;
mod restore;

use std::io::{BufRead, ErrorKind, IsTerminal, Write};

use anyhow::{Context, bail};

use crate::data_dir::DataDir;
use crate::settings::Config;
use crate::store::Database;

pub use audit::Audit;
pub use backup::Backup;
pub use migrate::Migrate;
pub use restore::Restore;

/// The data directory, beside whoever works in it.
fn look(config: &Config) -> anyhow::Result<DataDir> {
    DataDir::look(&config.data)
}

/// The data directory, for this process alone.
fn lock(config: &Config) -> anyhow::Result<DataDir> {
    DataDir::open(&config.data)
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

/// Prints. Nobody need read it: a closed output is no error.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(()),
    }
}

/// Asks whoever sits there; `yes` is the answer that was given beforehand.
fn ask(question: &str, yes: bool) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    let input = std::io::stdin();
    if !input.is_terminal() {
        bail!("nobody is there to be asked\n  hint: add `--yes` if this is meant");
    }
    print(&format!("{question} [y/N] "))?;
    let mut answer = String::new();
    input.lock().read_line(&mut answer)?;
    if !matches!(answer.trim(), "y" | "Y" | "yes") {
        bail!("nothing was changed");
    }
    Ok(())
}
