//! The clients, each as it would run without us.

use hoop_testkit::{World, asyncpg_packages, libpq18_packages, node_packages, psql18, run, wait_until};

use crate::{
    STATEMENTS,
    compare::{compare, compare_while, world},
    rust, statements,
};

/// A file beside the world's.
fn file(world: &World, name: &str, text: &str) -> String {
    let path = world.folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn psycopg_of_debian() {
    let world = world(None);
    let (script, corpus) = (
        file(&world, "corpus.py", include_str!("corpus/psycopg.py")),
        file(&world, "corpus.sql", STATEMENTS),
    );
    compare(&world, &mut world.through(&["/usr/bin/python3", &script, &corpus]), "", 1000);
}

#[test]
fn psycopg_with_libpq_18() {
    let world = world(Some(18));
    let (script, corpus) = (
        file(&world, "corpus.py", include_str!("corpus/psycopg.py")),
        file(&world, "corpus.sql", STATEMENTS),
    );
    let mut python = world.through(&["python3", &script, &corpus]);
    let printed = compare(&world, python.env("PYTHONPATH", libpq18_packages()), "", 1000);
    assert!(printed.contains("libpq 18"), "{printed}");
}

#[test]
fn jdbc_in_every_query_mode() {
    let world = world(None);
    let (source, corpus) = (
        file(&world, "Drive.java", include_str!("corpus/Drive.java")),
        file(&world, "corpus.sql", STATEMENTS),
    );
    let jar = "/usr/share/java/postgresql.jar";
    for (mode, option) in [
        ("simple", "prepareThreshold=5"),
        ("extended", "prepareThreshold=5"),
        ("extended", "binaryTransferEnable=1700,2950,1114&prepareThreshold=1&autosave=always"),
        ("extendedForPrepared", "prepareThreshold=3"),
        ("extendedCacheEverything", "reWriteBatchedInserts=true"),
    ] {
        let mut java = world.through(&["java", "-cp", jar, &source, &corpus, mode, option]);
        let printed = compare(&world, &mut java, "", 500);
        assert!(printed.contains("JDBC is done"), "{mode}: {printed}");
    }
}

#[test]
fn psql_with_everything_people_type() {
    let world = world(None);
    let large = file(&world, "large", &"x".repeat(20_000));
    let typed =
        statements().join(";\n") + ";\n" + &include_str!("corpus/simple.psql").replace("FILE", &large);
    compare(&world, &mut world.through(&["psql", "-X", "-q", "-f", "-"]), &typed, 250);
    let each: Vec<&str> = statements().iter().flat_map(|statement| ["-c", statement]).collect();
    compare(&world, world.through(&["psql", "-X", "-q", "-v", "ON_ERROR_STOP=0"]).args(each), "", 190);
}

/// `\bind`, `\parse`, pipelines: psql 18.
#[test]
fn psql_18_that_binds() {
    let world = world(Some(18));
    world.postgres.script("create table t(n int primary key, s text); alter table t owner to app");
    let psql = psql18();
    let mut psql = world.through(&[psql.to_str().unwrap(), "-X", "-q", "-f", "-"]);
    compare(&world, &mut psql, include_str!("corpus/extended.psql"), 18);
}

#[test]
fn asyncpg() {
    let world = world(None);
    let (script, corpus) = (
        file(&world, "corpus.py", include_str!("corpus/asyncpg.py")),
        file(&world, "corpus.sql", STATEMENTS),
    );
    let mut python = world.through(&["python3", &script, &corpus]);
    let printed = compare(&world, python.env("PYTHONPATH", asyncpg_packages()), "", 500);
    assert!(printed.contains("asyncpg"), "{printed}");
}

#[test]
fn pg_of_node() {
    let printed = node("pg.cjs", include_str!("corpus/pg.cjs"), 1000);
    assert!(printed.contains("pg is done"), "{printed}");
}

#[test]
fn postgres_js() {
    let printed = node("postgresjs.cjs", include_str!("corpus/postgresjs.cjs"), 900);
    assert!(printed.contains("postgres.js is done"), "{printed}");
}

fn node(name: &str, script: &str, at_least: usize) -> String {
    let world = world(None);
    let (script, corpus) = (file(&world, name, script), file(&world, "corpus.sql", STATEMENTS));
    let mut node = world.through(&["node", &script, &corpus]);
    compare(&world, node.env("NODE_PATH", node_packages()), "", at_least)
}

#[test]
fn pgbench_in_every_mode_on_connections_beside_each_other() {
    let world = world(None);
    world.postgres.script("create table bulk(n int, s text); alter table bulk owner to app");
    compare(&world, &mut world.through(&["pgbench", "-i", "-q", "-s", "1"]), "", 10);
    let script = file(&world, "bench.sql", include_str!("corpus/pgbench.sql"));
    for mode in ["simple", "extended", "prepared"] {
        let arguments =
            ["pgbench", "-n", "-M", mode, "-c", "3", "-t", "20", "-f", &script, "-b", "tpcb-like"];
        compare(&world, &mut world.through(&arguments), "", 250);
    }
}

#[test]
fn a_dump() {
    let world = world(None);
    compare(
        &world,
        world.through(&["psql", "-X", "-q", "-f", "-"]).env("PGOPTIONS", ""),
        &(statements().join(";\n") + ";\n"),
        190,
    );
    compare(&world, &mut world.through(&["pg_dump", "-Fp", "clinic"]), "", 30);
    let archive = world.folder.path().join("dump");
    compare(&world, world.through(&["pg_dump", "-Fc", "-f"]).arg(&archive).arg("clinic"), "", 30);
    world.postgres.sql("create database copy owner app");
    let mut restore = world.through(&["pg_restore", "--no-owner", "--no-privileges", "-d", "copy"]);
    compare(&world, restore.arg(&archive), "", 20);
}

/// Everything is prepared, values are binary, and many futures at once are a pipeline.
#[test]
fn tokio_postgres_over_a_local_port() {
    let world = world(None);
    compare_while(&world, 450, || {
        let mut connect = world.hoop(&world.engineer);
        let log = world.folder.path().join("connect.log");
        let out = std::fs::File::create(&log).unwrap();
        let mut child =
            connect.args(["connect", "pg"]).stdout(out.try_clone().unwrap()).stderr(out).spawn().unwrap();
        let url = wait_until("the local port", || {
            let text = std::fs::read_to_string(&log).unwrap();
            text.split_whitespace().find(|word| word.starts_with("postgresql://")).map(str::to_owned)
        });
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(rust::drive(&url, &statements()));
        run(std::process::Command::new("kill").arg("-INT").arg(child.id().to_string()));
        child.wait().unwrap();
        "done".to_owned()
    });
}
