//! All rows out of one database and into another of either kind, and nothing of it where anything is in the way.

use hoop_store::{Cell, Conflict, Exported, Store, Table};

use crate::{
    cases,
    fixtures::{agent, conflict, events, new_session, size, user},
};

cases![
    what_is_copied_out_is_the_same_in_another,
    what_is_copied_in_is_the_same,
    one_moment_is_copied,
    nothing_is_copied_over_anything,
    what_does_not_fit_leaves_nothing,
];

type Copied = Vec<(Table, Vec<Vec<Cell>>)>;

async fn out(store: &Store) -> Copied {
    let mut tables: Copied = Vec::new();
    let exported = store.export(|exported| {
        match exported {
            Exported::Table(table) => tables.push((table.clone(), Vec::new())),
            Exported::Row(cells) => tables.last_mut().unwrap().1.push(cells.to_vec()),
            Exported::End => {}
        }
        Ok(())
    });
    exported.await.unwrap();
    tables
}

async fn into(store: &Store, tables: &Copied) {
    let mut import = store.import().await.unwrap();
    for (table, rows) in tables {
        import.table(table).unwrap();
        for row in rows {
            import.row(row.clone()).await.unwrap();
        }
    }
    import.finish(&[]).await.unwrap();
}

/// By table, with columns and rows in an order of their own: databases differ in that.
fn sorted(tables: &Copied) -> Vec<(String, Vec<String>)> {
    let table = |(table, rows): &(Table, Vec<Vec<Cell>>)| {
        let row = |row: &Vec<Cell>| {
            let mut cells: Vec<_> = table.columns.iter().zip(row).map(|cell| format!("{cell:?}")).collect();
            cells.sort();
            cells.join(" ")
        };
        let mut rows: Vec<_> = rows.iter().map(row).collect();
        rows.sort();
        (table.table.clone(), rows)
    };
    tables.iter().map(table).collect()
}

async fn fill(store: &Store) {
    let (ada, west) = (user(store, "ada").await, agent(store, "west").await);
    store.append(&events(2)).await.unwrap();
    store.create_session(&new_session(&ada, &west, "pg"), 10, &events(3)).await.unwrap();
    // Who refers to a row that comes later.
    user(store, "eve").await;
}

async fn other() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&format!("sqlite:{}", folder.path().join("other.db").display())).await.unwrap();
    (folder, store)
}

async fn what_is_copied_out_is_the_same_in_another(store: Store) {
    fill(&store).await;
    let (_folder, other) = other().await;
    let copied = out(&store).await;
    assert!(copied.iter().any(|(table, rows)| table.table == "sessions" && rows.len() == 1));
    into(&other, &copied).await;
    assert_eq!(sorted(&out(&other).await), sorted(&copied));
    assert_eq!(other.ledger_head().await.unwrap(), store.ledger_head().await.unwrap());
}

async fn what_is_copied_in_is_the_same(store: Store) {
    let (_folder, other) = other().await;
    fill(&other).await;
    let copied = out(&other).await;
    into(&store, &copied).await;
    assert_eq!(sorted(&out(&store).await), sorted(&copied));
    // It goes on from there, and references are held as before.
    let before = size(&store).await;
    store.append(&events(1)).await.unwrap();
    assert_eq!(size(&store).await, before + 1);
    let (ada, west) = (user(&other, "nobody-here").await, agent(&other, "nowhere").await);
    assert!(store.create_session(&new_session(&ada, &west, "pg"), 10, &[]).await.is_err());
}

async fn one_moment_is_copied(store: Store) {
    store.append(&events(5)).await.unwrap();
    let (mut rows, mut head) = (0, 0);
    let (mut table, writing) = (String::new(), store.clone());
    let runtime = tokio::runtime::Handle::current();
    let exported = store.export(|exported| {
        match exported {
            Exported::Table(next) if next.table == "ledger_events" => {
                table.clone_from(&next.table);
                // While it is read, others write.
                let writing = writing.clone();
                let written = || runtime.block_on(async move { writing.append(&events(3)).await });
                tokio::task::block_in_place(written).unwrap();
            }
            Exported::Table(next) => table.clone_from(&next.table),
            Exported::Row(_) if table == "ledger_events" => rows += 1,
            Exported::Row(cells) if table == "ledger_head" => {
                head = cells
                    .iter()
                    .filter_map(|cell| if let Cell::Int(size) = cell { Some(*size) } else { None })
                    .max()
                    .unwrap();
            }
            Exported::Row(_) | Exported::End => {}
        }
        Ok(())
    });
    exported.await.unwrap();
    assert_eq!((rows, head), (5, 5), "events and head are of the same moment");
    assert_eq!(size(&store).await, 8);
}

async fn nothing_is_copied_over_anything(store: Store) {
    store.append(&events(1)).await.unwrap();
    assert_eq!(conflict(store.import().await), Conflict::NameTaken);
    assert_eq!(size(&store).await, 1);
}

async fn what_does_not_fit_leaves_nothing(store: Store) {
    let (_folder, other) = other().await;
    fill(&other).await;
    let copied = out(&other).await;
    // A session whose person is missing.
    let mut import = store.import().await.unwrap();
    for (table, rows) in copied.iter().filter(|(table, _)| table.table != "users") {
        import.table(table).unwrap();
        for row in rows {
            import.row(row.clone()).await.unwrap();
        }
    }
    assert!(import.finish(&[]).await.is_err());
    // Names and rows that are none.
    let mut import = store.import().await.unwrap();
    let mut table = copied[0].0.clone();
    assert!(import.row(vec![Cell::Int(1)]).await.is_err(), "of no table");
    import.table(&table).unwrap();
    assert!(import.row(vec![Cell::Int(1)]).await.is_err(), "too short");
    table.table = "users; drop table users".into();
    assert!(import.table(&table).is_err());
    drop(import);
    assert_eq!(size(&store).await, 0);
    assert_eq!(store.recording_keys().await.unwrap(), []);
}
