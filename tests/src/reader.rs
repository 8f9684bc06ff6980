//! A database as its own program shows it, past the product.

use serde_json::Value;

/// How to read a database.
#[derive(Debug, Clone)]
pub struct Reader {
    program: &'static str,
    database: String,
}

impl Reader {
    /// Reads an SQLite file.
    pub fn sqlite(file: &std::path::Path) -> Self {
        Self {
            program: "sqlite3",
            database: file.to_str().unwrap().to_owned(),
        }
    }

    /// Reads a PostgreSQL database.
    pub fn postgres(url: &str) -> Self {
        Self {
            program: "psql",
            database: url.to_owned(),
        }
    }

    /// The database's file or URL.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// Whether it is PostgreSQL.
    pub fn is_postgres(&self) -> bool {
        self.program == "psql"
    }

    /// What the database's own program prints for a query: a row a line, columns between bars.
    pub fn lines(&self, query: &str) -> Vec<String> {
        let flags: &[&str] = if self.is_postgres() {
            &["-qAt", "-c"]
        } else {
            &["-cmd", ".timeout 10000"]
        };
        let output = std::process::Command::new(self.program)
            .arg(&self.database)
            .args(flags)
            .arg(query)
            .output();
        let output = output.expect("the database's own program runs");
        assert!(
            output.status.success(),
            "{query}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .map(ToOwned::to_owned)
            .collect()
    }

    /// Rows as JSON objects: these columns of what follows `FROM`.
    pub fn rows(&self, columns: &[&str], rest: &str) -> Vec<Value> {
        let function = if self.is_postgres() {
            "json_build_object"
        } else {
            "json_object"
        };
        let members: Vec<String> = columns
            .iter()
            .map(|column| format!("'{column}', {column}"))
            .collect();
        let query = format!("SELECT {function}({}) FROM {rest}", members.join(", "));
        self.lines(&query)
            .iter()
            .map(|line| serde_json::from_str(line).expect("a row in JSON"))
            .collect()
    }
}
