//! Whatever is done to the audit log by whoever has the database, and not the key, is found, and
//! named by its row.

use control_plane::domain::{Event, Requester};
use control_plane::store::audit::{self, Damage, Head};
use serde_json::json;
use tests::sql::{Cell, Sql};
use tests::{COMMERCE, Plane};

const ROWS: i64 = 24;
const COLUMNS: [&str; 9] = [
    "at",
    "actor",
    "action",
    "subject",
    "before",
    "after",
    "reason",
    "request_id",
    "mac",
];
/// Above every number of the log, where rows are put aside.
const ASIDE: i64 = 1_000;

/// What somebody does to a log.
#[derive(Debug, Clone)]
enum Tampering {
    /// Another value in one column of one row.
    Edit(&'static str, i64),
    /// Nothing, or an empty text where there was nothing.
    Blank(&'static str, i64),
    /// Every hash from this row on.
    Unchain(i64),
    /// A row, and perhaps the counter to go with it.
    Delete(i64, bool),
    /// All rows from here on, and perhaps the counter to go with it.
    Cut(i64, bool),
    /// A row, and all that follow move up to fill its place.
    CloseUp(i64),
    /// Two rows change places, with their hashes or without.
    Swap(i64, i64, bool),
    /// A row is put over another one, hash and all.
    Replay(i64, i64),
    /// A copy of a row under a number that was free.
    Insert(i64, i64),
    /// A row gets another number.
    Renumber(i64, i64),
    /// The counter alone.
    Count(i64),
}

/// The same steps on each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: i64) -> i64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        i64::try_from((z ^ (z >> 31)) % end.unsigned_abs()).unwrap()
    }

    fn row(&mut self) -> i64 {
        1 + self.below(ROWS)
    }

    fn two_rows(&mut self) -> (i64, i64) {
        let low = 1 + self.below(ROWS - 1);
        (low, low + 1 + self.below(ROWS - low))
    }

    fn column(&mut self) -> &'static str {
        let nth = self.below(COLUMNS.len().try_into().unwrap());
        COLUMNS[usize::try_from(nth).unwrap()]
    }

    fn tampering(&mut self) -> Tampering {
        use Tampering::{
            Blank, CloseUp, Count, Cut, Delete, Edit, Insert, Renumber, Replay, Swap, Unchain,
        };
        let coin = self.below(2) == 0;
        let (low, high) = self.two_rows();
        match self.below(11) {
            0 => Edit(self.column(), self.row()),
            1 => Blank(
                COLUMNS[4 + usize::try_from(self.below(5)).unwrap()],
                self.row(),
            ),
            2 => Unchain(self.row()),
            3 => Delete(self.row(), coin),
            4 => Cut(self.row(), coin),
            5 => CloseUp(low),
            6 => Swap(low, high, coin),
            7 => Replay(low, high),
            8 => Insert(
                self.row(),
                [ROWS + 1 + low, -low, 0, ROWS + 1][usize::try_from(self.below(4)).unwrap()],
            ),
            9 => Renumber(
                self.row(),
                [ROWS + 1 + low, -low, 0, ROWS + 1][usize::try_from(self.below(4)).unwrap()],
            ),
            _ => Count([high - 1, ROWS + low][usize::from(coin)]),
        }
    }
}

impl Tampering {
    /// Does it, and returns the first row that is not right.
    async fn commit(&self, sql: &mut Sql) -> i64 {
        use Tampering::{
            Blank, CloseUp, Count, Cut, Delete, Edit, Insert, Renumber, Replay, Swap, Unchain,
        };
        match *self {
            Edit("at", row) => {
                sql.run(
                    "UPDATE audit SET at = at + 1 WHERE sequence = $1",
                    &[row.into()],
                )
                .await;
                row
            }
            Edit(column, row) => {
                let set = format!(
                    "UPDATE audit SET {column} = COALESCE({column}, '') || 'x' WHERE sequence = $1"
                );
                sql.run(&set, &[row.into()]).await;
                row
            }
            Blank(column, row) => {
                let set = format!(
                    "UPDATE audit SET {column} = CASE WHEN {column} IS NULL THEN '' END \
                     WHERE sequence = $1"
                );
                sql.run(&set, &[row.into()]).await;
                row
            }
            Unchain(row) => {
                let set = "UPDATE audit SET mac = NULL WHERE sequence >= $1";
                sql.run(set, &[row.into()]).await;
                row
            }
            Delete(row, counted) => {
                delete(sql, "sequence = $1", row).await;
                count(sql, ROWS - i64::from(counted)).await;
                row
            }
            Cut(row, counted) => {
                delete(sql, "sequence >= $1", row).await;
                count(sql, if counted { row - 1 } else { ROWS }).await;
                row
            }
            CloseUp(row) => {
                delete(sql, "sequence = $1", row).await;
                for next in row + 1..=ROWS {
                    renumber(sql, next, next - 1).await;
                }
                count(sql, ROWS - 1).await;
                row
            }
            Swap(one, other, with_hashes) => {
                let hash = "SELECT mac FROM audit WHERE sequence = $1";
                let hashes = [
                    sql.rows(hash, &[one.into()]).await[0][0].clone(),
                    sql.rows(hash, &[other.into()]).await[0][0].clone(),
                ];
                renumber(sql, one, ASIDE).await;
                renumber(sql, other, one).await;
                renumber(sql, ASIDE, other).await;
                if !with_hashes {
                    for (row, hash) in [one, other].into_iter().zip(hashes) {
                        let set = "UPDATE audit SET mac = $2 WHERE sequence = $1";
                        sql.run(set, &[row.into(), hash]).await;
                    }
                }
                one
            }
            Replay(row, over) => {
                delete(sql, "sequence = $1", over).await;
                copy(sql, row, over).await;
                over
            }
            Insert(row, as_row) => {
                copy(sql, row, as_row).await;
                count(sql, ROWS.max(as_row)).await;
                as_row.clamp(0, ROWS + 1)
            }
            Renumber(row, as_row) => {
                renumber(sql, row, as_row).await;
                if as_row < 1 { 0 } else { row }
            }
            Count(number) => {
                count(sql, number).await;
                number.min(ROWS) + 1
            }
        }
    }

    /// Whether only a head that was noted elsewhere tells.
    fn is_a_clean_cut(&self) -> bool {
        matches!(self, Self::Cut(_, true) | Self::Delete(ROWS, true))
    }
}

async fn delete(sql: &mut Sql, which: &str, row: i64) {
    sql.run(&format!("DELETE FROM audit WHERE {which}"), &[row.into()])
        .await;
}

async fn count(sql: &mut Sql, rows: i64) {
    sql.run(
        "UPDATE counters SET value = $1 WHERE name = 'audit'",
        &[rows.into()],
    )
    .await;
}

async fn renumber(sql: &mut Sql, row: i64, as_row: i64) {
    let values: [Cell; 2] = [row.into(), as_row.into()];
    sql.run(
        "UPDATE audit SET sequence = $2 WHERE sequence = $1",
        &values,
    )
    .await;
}

async fn copy(sql: &mut Sql, row: i64, as_row: i64) {
    let columns = COLUMNS.join(", ");
    let insert = format!(
        "INSERT INTO audit (sequence, {columns}) \
         SELECT {as_row}, {columns} FROM audit WHERE sequence = $1"
    );
    sql.run(&insert, &[row.into()]).await;
}

async fn verified(plane: &Plane, noted: &[Head]) -> Result<Head, Damage> {
    let store = &plane.operations.store;
    let mut conn = store.read().await.unwrap();
    let found = audit::verify(&mut conn, store.chain(), noted).await;
    found.unwrap()
}

fn row_of(damage: &Damage) -> i64 {
    match *damage {
        Damage::Altered(row)
        | Damage::Unreadable(row)
        | Damage::Missing(row)
        | Damage::Unchained(row)
        | Damage::Forked(row) => row,
        Damage::Unnumbered(_) => 0,
        Damage::Cut { found, .. } => found + 1,
        Damage::Uncounted { counted, .. } => counted + 1,
    }
}

/// A control plane with a log, a copy of which is kept in the same database.
struct Log {
    plane: Plane,
    sql: Sql,
    head: Head,
}

impl Log {
    async fn on_each() -> Vec<Self> {
        let mut logs = Vec::new();
        for plane in Plane::on_each(COMMERCE).await {
            logs.push(Self::of(plane).await);
        }
        logs
    }

    async fn of(plane: Plane) -> Self {
        let store = &plane.operations.store;
        let own = verified(&plane, &[]).await.unwrap().sequence;
        for nth in own + 1..=ROWS {
            let event = Event {
                before: (nth % 2 == 0).then(|| json!({ "status": "active", "nth": nth })),
                after: (nth % 3 == 0).then(|| json!({ "status": "revoked" })),
                reason: (nth % 4 == 0).then(|| "unpaid".to_owned()),
                ..Event::new("test.change", &format!("subject-{}", nth % 5))
            };
            let mut by = Requester::system();
            by.request_id = (nth % 5 == 0).then(|| format!("req_{nth}"));
            let mut tx = store.begin().await.unwrap();
            let recorded = tx.record(&by, tests::now(), event, ()).await.unwrap();
            tx.commit(recorded).await.unwrap();
        }
        let head = verified(&plane, &[]).await.unwrap();
        assert_eq!(head.sequence, ROWS);
        let mut sql = plane.connection().await;
        if let Sql::Sqlite(_) = sql {
            sql.run("PRAGMA synchronous = OFF", &[]).await;
        }
        sql.run("CREATE TABLE untouched AS SELECT * FROM audit", &[])
            .await;
        Self { plane, sql, head }
    }

    async fn undo(&mut self) {
        self.sql.begin().await;
        self.sql.run("DELETE FROM audit", &[]).await;
        self.sql
            .run("INSERT INTO audit SELECT * FROM untouched", &[])
            .await;
        count(&mut self.sql, ROWS).await;
        self.sql.commit().await;
    }

    async fn finds(&mut self, tampering: &Tampering) {
        self.sql.begin().await;
        let row = tampering.commit(&mut self.sql).await;
        self.sql.commit().await;
        let noted = std::slice::from_ref(&self.head);
        let found = verified(&self.plane, noted).await;
        let damage = found.expect_err(&format!("{tampering:?} is not found"));
        assert_eq!(row_of(&damage), row, "{tampering:?}: {damage}");
        if tampering.is_a_clean_cut() {
            // The price of having only the database: this is what the note is for.
            assert!(verified(&self.plane, &[]).await.is_ok(), "{tampering:?}");
        } else {
            let damage = verified(&self.plane, &[]).await.unwrap_err();
            assert_eq!(row_of(&damage), row, "{tampering:?}: {damage}");
        }
        self.undo().await;
    }
}

#[tokio::test]
async fn every_kind_of_tampering_is_found_at_the_first_row_the_middle_and_the_last() {
    use Tampering::{Blank, CloseUp, Count, Cut, Delete, Edit, Insert, Renumber, Swap, Unchain};
    for mut log in Log::on_each().await {
        for row in [1, ROWS / 2, ROWS] {
            for column in COLUMNS {
                log.finds(&Edit(column, row)).await;
            }
            for column in &COLUMNS[4..] {
                log.finds(&Blank(column, row)).await;
            }
            for counted in [false, true] {
                log.finds(&Delete(row, counted)).await;
                log.finds(&Cut(row, counted)).await;
            }
            for free in [-1, 0, ROWS + 1, ROWS + 2] {
                log.finds(&Insert(row, free)).await;
                log.finds(&Renumber(row, free)).await;
            }
            log.finds(&Unchain(row)).await;
        }
        for with_hashes in [false, true] {
            log.finds(&Swap(1, 2, with_hashes)).await;
            log.finds(&Swap(1, ROWS, with_hashes)).await;
            log.finds(&Swap(ROWS - 1, ROWS, with_hashes)).await;
        }
        log.finds(&CloseUp(1)).await;
        log.finds(&Count(ROWS - 1)).await;
        log.finds(&Count(ROWS + 1)).await;
        let head = verified(&log.plane, std::slice::from_ref(&log.head)).await;
        assert_eq!(head.unwrap(), log.head);
    }
}

#[tokio::test]
async fn a_thousand_random_tamperings_are_found() {
    for mut log in Log::on_each().await {
        let mut dice = Dice(1);
        for _ in 0..1_000 {
            let tampering = dice.tampering();
            log.finds(&tampering).await;
        }
        let head = verified(&log.plane, std::slice::from_ref(&log.head)).await;
        assert_eq!(head.unwrap(), log.head);
    }
}

#[tokio::test]
async fn a_value_that_no_column_can_hold_is_damage_and_not_a_failure() {
    let log = Log::on_each().await.into_iter().next();
    let mut log = log.expect("the one on SQLite, where columns hold anything");
    for (set, row) in [
        ("at = 'yesterday'", 7),
        ("at = 1.5", 8),
        ("actor = x'00ff'", 9),
        ("reason = CAST(x'ff' AS TEXT)", 10),
        ("mac = x'00'", ROWS),
    ] {
        log.sql
            .run(
                &format!("UPDATE audit SET {set} WHERE sequence = {row}"),
                &[],
            )
            .await;
        let damage = verified(&log.plane, &[]).await.unwrap_err();
        assert_eq!(damage, Damage::Unreadable(row), "{set}");
        log.undo().await;
    }
    log.sql
        .run("UPDATE audit SET sequence = NULL WHERE sequence = 3", &[])
        .await;
    let damage = verified(&log.plane, &[]).await.unwrap_err();
    assert_eq!(damage, Damage::Unnumbered(1));
}

#[tokio::test]
async fn rows_that_are_added_meanwhile_are_no_damage() {
    for log in Log::on_each().await {
        let store = log.plane.operations.store.clone();
        let writing = tokio::spawn(async move {
            for _ in 0..100 {
                let mut tx = store.begin().await.unwrap();
                let event = Event::new("test.change", &"x");
                let by = Requester::system();
                let recorded = tx.record(&by, tests::now(), event, ());
                let recorded = recorded.await.unwrap();
                tx.commit(recorded).await.unwrap();
            }
        });
        while !writing.is_finished() {
            let noted = std::slice::from_ref(&log.head);
            assert!(verified(&log.plane, noted).await.unwrap().sequence >= ROWS);
        }
        writing.await.unwrap();
        assert_eq!(
            verified(&log.plane, &[]).await.unwrap().sequence,
            ROWS + 100
        );
    }
}
