import java.io.StringReader;
import java.math.BigDecimal;
import java.nio.file.*;
import java.sql.*;
import java.time.*;
import java.util.*;

/** Everything that JDBC can do with a statement, in every query mode, before and after it is prepared at the server. */
public class Drive {
    static String[] statements;

    interface Work { void run() throws Exception; }

    static void tried(Work work) throws Exception {
        try { work.run(); } catch (SQLException expected) { }
    }

    public static void main(String[] a) throws Exception {
        String text = Files.readString(Path.of(a[0]));
        statements = text.substring(0, text.length() - 1).split("\n%%\n");
        String url = "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT")
            + "/clinic?sslmode=disable&preferQueryMode=" + a[1] + "&" + a[2];
        try (Connection c = DriverManager.getConnection(url, System.getenv("PGUSER"), "")) {
            corpus(c);
            tables(c);
            values(c);
            batches(c);
            cursors(c);
            copies(c);
        }
        System.out.println("JDBC is done");
    }

    static void corpus(Connection c) throws Exception {
        for (String statement : statements) {
            tried(() -> { try (Statement s = c.createStatement()) { s.setEscapeProcessing(false); s.execute(statement); } });
        }
        for (String statement : statements) {
            if (statement.contains("?")) continue;
            tried(() -> { try (PreparedStatement s = c.prepareStatement(statement)) { s.execute(); s.execute(); } });
        }
    }

    static void tables(Connection c) throws Exception {
        try (Statement s = c.createStatement()) {
            s.execute("rollback");
            s.execute("drop table if exists bulk; create table bulk(n int, s text)");
        }
    }

    static void values(Connection c) throws Exception {
        Object[][] kinds = {
            {"text", "a", "", "it's", "two\nlines", "grüße 患者 😀", "x".repeat(70000), null},
            {"int4", 1, -2147483648, null}, {"int8", Long.MAX_VALUE, 7L}, {"int2", (short) -3},
            {"bool", true, false}, {"float8", 1.5, -0.25}, {"float4", 0.5f},
            {"numeric", new BigDecimal("1.50"), new BigDecimal("-12345678901234567890.0001"), new BigDecimal("1000")},
            {"bytea", new byte[0], new byte[] {0, -1, 1}},
            {"uuid", new UUID(1, 2)},
            {"date", LocalDate.of(2026, 2, 28)}, {"time", LocalTime.of(1, 2, 3)},
            {"timestamp", LocalDateTime.of(2026, 1, 2, 3, 4, 5)},
            {"timestamptz", OffsetDateTime.of(2026, 1, 2, 3, 4, 5, 0, ZoneOffset.UTC)},
        };
        for (Object[] kind : kinds) {
            tried(() -> {
                // Prepared at the server after five times: then its values may be binary.
                try (PreparedStatement p = c.prepareStatement("select ?::" + kind[0])) {
                    for (int round = 0; round < 7; round++) {
                        for (int at = 1; at < kind.length; at++) {
                            p.setObject(1, kind[at]);
                            p.executeQuery().close();
                        }
                    }
                }
            });
        }
        try (PreparedStatement p = c.prepareStatement("select ?::int4[], ?::text[], 1 / ?::int")) {
            for (int round = 0; round < 8; round++) {
                p.setArray(1, c.createArrayOf("int4", new Object[] {1, 2, null}));
                p.setArray(2, c.createArrayOf("text", new Object[] {"a", "b c", "\"", null, "null"}));
                p.setInt(3, round % 3);
                tried(() -> p.executeQuery().close());
            }
        }
        tried(() -> { try (PreparedStatement p = c.prepareStatement("select ?::int")) { p.setString(1, "not a number"); p.executeQuery(); } });
        tried(() -> { try (CallableStatement p = c.prepareCall("{? = call lower(?)}")) {
            p.registerOutParameter(1, Types.VARCHAR); p.setString(2, "CALLED"); p.execute(); } });
    }

    static void batches(Connection c) throws Exception {
        try (PreparedStatement p = c.prepareStatement("insert into bulk values (?, ?)")) {
            for (int round = 0; round < 3; round++) {
                for (int n = 0; n < 50; n++) { p.setInt(1, n); p.setString(2, n % 7 == 0 ? null : "row " + n); p.addBatch(); }
                p.executeBatch();
            }
        }
        // One of a batch fails: what stands behind it is not run.
        tried(() -> {
            try (PreparedStatement p = c.prepareStatement("insert into bulk values (10 / ?, ?)")) {
                for (int n = 3; n > -3; n--) { p.setInt(1, n); p.setString(2, "row " + n); p.addBatch(); }
                p.executeBatch();
            }
        });
        tried(() -> {
            try (Statement s = c.createStatement()) {
                s.addBatch("insert into bulk values (1, 'a')"); s.addBatch("select 1/0"); s.addBatch("insert into bulk values (2, 'b')");
                s.executeBatch();
            }
        });
        try (PreparedStatement p = c.prepareStatement("insert into bulk values (?, ?)", Statement.RETURN_GENERATED_KEYS)) {
            p.setInt(1, 1); p.setString(2, "keys"); p.executeUpdate();
        }
    }

    static void cursors(Connection c) throws Exception {
        c.setAutoCommit(false);
        for (int round = 0; round < 7; round++) {
            try (PreparedStatement p = c.prepareStatement("select n, s from bulk where n > ?")) {
                p.setFetchSize(30);
                p.setInt(1, round);
                ResultSet r = p.executeQuery();
                while (r.next()) r.getInt(1);
            }
        }
        Savepoint saved = c.setSavepoint();
        tried(() -> { try (Statement s = c.createStatement()) { s.execute("select 1/0"); } });
        c.rollback(saved);
        try (Statement s = c.createStatement()) { s.execute("select 'one'; select 'two; three'; update bulk set s = 'x' where n = 1"); }
        c.commit();
        c.setAutoCommit(true);
    }

    static void copies(Connection c) throws Exception {
        org.postgresql.copy.CopyManager copy = c.unwrap(org.postgresql.PGConnection.class).getCopyAPI();
        copy.copyIn("copy bulk from stdin", new StringReader("1\ta\n2\tb\n"));
        copy.copyOut("copy bulk to stdout (format csv)", new java.io.ByteArrayOutputStream());
        tried(() -> copy.copyIn("copy bulk from stdin", new StringReader("not\ta\tgood\trow\n")));
        org.postgresql.largeobject.LargeObjectManager large = c.unwrap(org.postgresql.PGConnection.class).getLargeObjectAPI();
        c.setAutoCommit(false);
        long id = large.createLO();
        org.postgresql.largeobject.LargeObject object = large.open(id);
        object.write("by function call".getBytes());
        object.seek(0); object.read(5); object.close();
        large.delete(id);
        c.commit();
        c.setAutoCommit(true);
    }
}
