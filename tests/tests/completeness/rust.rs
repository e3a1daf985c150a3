//! What tokio-postgres does with the corpus and with values.

use futures::{SinkExt as _, StreamExt as _, future::join_all, pin_mut};
use tokio_postgres::{NoTls, types::ToSql};

/// All of it, on one connection.
pub(crate) async fn drive(url: &str, statements: &[&str]) {
    let (mut client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let driven = tokio::spawn(connection);
    for statement in statements {
        let _ = client.simple_query(statement).await;
    }
    let _ = client.batch_execute("rollback").await;
    for statement in statements {
        let _ = client.query(*statement, &[]).await;
    }
    let _ =
        client.batch_execute("rollback; drop table if exists bulk; create table bulk(n int, s text)").await;
    let text = "x".repeat(5_000_000);
    let values: Vec<(&str, Box<dyn ToSql + Sync>)> = vec![
        ("text", Box::new("grüße 患者 😀\nit's")),
        ("text", Box::new(Option::<String>::None)),
        ("int2", Box::new(-3_i16)),
        ("int4", Box::new(i32::MIN)),
        ("int8", Box::new(i64::MAX)),
        ("bool", Box::new(true)),
        ("float8", Box::new(-0.25_f64)),
        ("float4", Box::new(0.5_f32)),
        ("bytea", Box::new(vec![0_u8, 255])),
        ("int4[]", Box::new(vec![Some(1), None])),
        ("text[]", Box::new(vec!["a", "b c", "\"", "null", ""])),
        ("oid", Box::new(7_u32)),
    ];
    for (kind, value) in &values {
        let statement = client.prepare(&format!("select $1::{kind}")).await.unwrap();
        for _ in 0..3 {
            client.query(&statement, &[value.as_ref()]).await.unwrap();
        }
    }
    // Longer than what a recording keeps of a value is told as such; shorter is kept whole.
    client.query("select length($1::text)", &[&&text[..500_000]]).await.unwrap();
    pipelined(&client).await;
    portals(&mut client).await;
    copies(&client).await;
    drop(client);
    driven.await.unwrap().unwrap();
}

async fn pipelined(client: &tokio_postgres::Client) {
    let statement = client.prepare("select 10 / $1::int4, $2::text").await.unwrap();
    let numbers: Vec<i32> = (-20..20).collect();
    let asked = numbers.iter().map(|n| {
        let statement = &statement;
        async move { client.query(statement, &[n, &"pipelined"]).await.is_ok() }
    });
    let answered = join_all(asked).await;
    assert_eq!(answered.iter().filter(|well| !**well).count(), 1, "by zero");
    let _ = client.query("select nowhere where $1", &[&true]).await;
}

async fn portals(client: &mut tokio_postgres::Client) {
    let transaction = client.transaction().await.unwrap();
    let portal = transaction.bind("select n from generate_series(1, $1::int4) n", &[&20]).await.unwrap();
    while !transaction.query_portal(&portal, 7).await.unwrap().is_empty() {}
    transaction.rollback().await.unwrap();
}

async fn copies(client: &tokio_postgres::Client) {
    let sink = client.copy_in("copy bulk from stdin").await.unwrap();
    pin_mut!(sink);
    sink.send(bytes::Bytes::from_static(b"1\ta\n2\t\\N\n")).await.unwrap();
    sink.close().await.unwrap();
    let rows = client.copy_out("copy bulk to stdout").await.unwrap();
    pin_mut!(rows);
    while rows.next().await.is_some() {}
}
