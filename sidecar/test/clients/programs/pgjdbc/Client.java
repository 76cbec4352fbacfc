import java.io.StringReader;
import java.io.StringWriter;
import java.sql.*;
import java.util.*;
import java.util.concurrent.Callable;
import org.postgresql.PGConnection;

/** What the JDBC driver does: metadata, statements of the protocol in text and, after a few repeats, in binary, batches, cursors, COPY. */
public class Client {
  static final String CUSTOMERS = "select id, name, email, salary, born from customers";
  static final String TYPES =
      "select 1::int2, 2::int4, 3::int8, 4.5::float8, 6.7::numeric, true, 'x'::text, null, date '2020-01-02',"
          + " timestamptz '2020-01-02 03:04:05+00', '{1,2}'::int[], '{\"a\":1}'::jsonb, '\\x01ff'::bytea, interval '1 day',"
          + " uuid '0e37df36-f698-11e6-8dd4-cb9ced3df976', 'sad'::mood";
  static Connection connection;

  static String json(Object value) {
    if (value == null) return "null";
    if (value instanceof Boolean || value instanceof Integer || value instanceof Long) return value.toString();
    if (value instanceof byte[] bytes) return json("bytes " + HexFormat.of().formatHex(bytes));
    if (value instanceof List<?> list) {
      StringJoiner out = new StringJoiner(",", "[", "]");
      for (Object each : list) out.add(json(each));
      return out.toString();
    }
    if (value instanceof Map<?, ?> map) {
      StringJoiner out = new StringJoiner(",", "{", "}");
      map.forEach((key, each) -> out.add(json(key.toString()) + ":" + json(each)));
      return out.toString();
    }
    StringBuilder out = new StringBuilder("\"");
    for (char c : value.toString().toCharArray())
      out.append(c == '"' || c == '\\' ? "\\" + c : c < 32 ? String.format("\\u%04x", (int) c) : String.valueOf(c));
    return out.append('"').toString();
  }

  static void say(String step, String key, Object value) {
    Map<String, Object> line = new LinkedHashMap<>();
    line.put("step", step);
    line.put(key, value);
    System.out.println(json(line));
  }

  static void step(String name, Callable<Object> act) throws Exception {
    try {
      say(name, "result", act.call());
    } catch (SQLException error) {
      SQLException first = error.getNextException() == null ? error : error.getNextException();
      Map<String, Object> shown = new LinkedHashMap<>();
      shown.put("sqlstate", String.valueOf(first.getSQLState()));
      shown.put("message", String.valueOf(first.getMessage()).split("\n")[0].replaceFirst("^(ERROR|FATAL): ", ""));
      say(name, "error", shown);
      if (!connection.getAutoCommit()) connection.rollback();
    }
  }

  static List<Object> rows(ResultSet found) throws SQLException {
    List<Object> all = new ArrayList<>();
    ResultSetMetaData about = found.getMetaData();
    List<Object> columns = new ArrayList<>();
    for (int at = 1; at <= about.getColumnCount(); at++) columns.add(List.of(about.getColumnLabel(at), about.getColumnTypeName(at)));
    all.add(columns);
    while (found.next()) {
      List<Object> row = new ArrayList<>();
      for (int at = 1; at <= about.getColumnCount(); at++) {
        Object value = found.getObject(at);
        row.add(value instanceof Number || value instanceof byte[] || value instanceof Boolean || value == null ? plain(value) : value.toString());
      }
      all.add(row);
    }
    found.close();
    return all;
  }

  static Object plain(Object value) {
    return value instanceof Integer || value instanceof Long || value instanceof byte[] || value instanceof Boolean || value == null ? value : value.toString();
  }

  static List<Object> query(String text, Object... values) throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(text)) {
      for (int at = 0; at < values.length; at++) statement.setObject(at + 1, values[at]);
      return rows(statement.executeQuery());
    }
  }

  static int update(String text, Object... values) throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(text)) {
      for (int at = 0; at < values.length; at++) statement.setObject(at + 1, values[at]);
      return statement.executeUpdate();
    }
  }

  /** The same statement often enough for the driver to name it at the server and to ask for binary. */
  static Object repeated(String text, int times) throws SQLException {
    List<Object> all = new ArrayList<>();
    try (PreparedStatement statement = connection.prepareStatement(text)) {
      for (int n = 0; n < times; n++) {
        statement.setInt(1, n % 3 + 1);
        all.add(rows(statement.executeQuery()));
      }
    }
    return all;
  }

  static Connection open(String mode) throws SQLException {
    Properties settings = new Properties();
    Map<String, String> env = System.getenv();
    settings.setProperty("user", env.get("PGUSER"));
    settings.setProperty("password", env.get("PGPASSWORD"));
    settings.setProperty("sslmode", env.get("PGSSLMODE"));
    settings.setProperty("sslrootcert", env.get("PGSSLROOTCERT"));
    settings.setProperty("preferQueryMode", mode);
    return DriverManager.getConnection("jdbc:postgresql://" + env.get("PGHOST") + ":" + env.get("PGPORT") + "/" + env.get("PGDATABASE"), settings);
  }

  public static void main(String[] args) throws Exception {
    connection = open("extended");
    DatabaseMetaData about = connection.getMetaData();
    say("client", "result", about.getDriverVersion());
    step("query", () -> query("select id, name, mood, tags::text, made::text from customers order by id"));
    step("types", () -> query(TYPES));
    step("values", () -> query("select name from customers where id = ? and name <> ?", 1, "x"));
    step("repeated, then in binary", () -> repeated("select id, cents, name from orders join customers c using (id) where id = ?", 8));
    step("masked", () -> query(CUSTOMERS + " order by id"));
    step("masked with values", () -> query(CUSTOMERS + " where id = ?", 2));
    step("masked, repeated, in binary", () -> repeated(CUSTOMERS + " where id = ?", 8));
    step("masked through a view", () -> query("select * from contacts order by id"));
    step("several statements", () -> {
      try (Statement statement = connection.createStatement()) {
        statement.execute("select 1 as a; select 'b' as b");
        List<Object> all = new ArrayList<>(rows(statement.getResultSet()));
        statement.getMoreResults();
        all.addAll(rows(statement.getResultSet()));
        return all;
      }
    });
    step("insert, update, delete", () -> List.of(
        update("insert into scratch (id, word, amount, flag) values (?, ?, ?, ?)", 701, "w", new java.math.BigDecimal("1.50"), true),
        update("update scratch set word = ?, day = ? where id = ?", "v", java.sql.Date.valueOf("2020-01-02"), 701),
        query("select id, word, amount, day from scratch where id = ?", 701),
        update("delete from scratch where id = ?", 701)));
    step("keys that the server makes", () -> {
      connection.setAutoCommit(false);
      try (PreparedStatement statement = connection.prepareStatement("insert into scratch (word) values (?)", Statement.RETURN_GENERATED_KEYS)) {
        statement.setString(1, "k");
        statement.executeUpdate();
        ResultSet keys = statement.getGeneratedKeys();
        return keys.next() && keys.getInt("id") > 0;
      } finally {
        connection.rollback();
        connection.setAutoCommit(true);
      }
    });
    step("batch", () -> {
      try (PreparedStatement statement = connection.prepareStatement("insert into scratch (id, word) values (?, ?)")) {
        for (int n = 710; n < 730; n++) {
          statement.setInt(1, n);
          statement.setString(2, "w" + n);
          statement.addBatch();
        }
        int[] counts = statement.executeBatch();
        return List.of(counts.length, update("delete from scratch where id between 710 and 729"));
      }
    });
    step("batch with an error", () -> {
      try (Statement statement = connection.createStatement()) {
        statement.addBatch("insert into scratch (id) values (730)");
        statement.addBatch("insert into scratch (id) values (730)");
        return statement.executeBatch().length;
      }
    });
    step("nothing of it stays", () -> query("select count(*) from scratch where id = 730"));
    step("transaction and savepoint", () -> {
      connection.setAutoCommit(false);
      try {
        update("insert into scratch (id) values (740)");
        Savepoint point = connection.setSavepoint();
        try {
          update("insert into scratch (id) values (740)");
          return "no error";
        } catch (SQLException expected) {
          connection.rollback(point);
        }
        return query("select id from scratch where id = 740");
      } finally {
        connection.rollback();
        connection.setAutoCommit(true);
      }
    });
    step("rows in parts", () -> {
      connection.setAutoCommit(false);
      try (PreparedStatement statement = connection.prepareStatement("select id, name from customers order by id")) {
        statement.setFetchSize(2);
        return rows(statement.executeQuery());
      } finally {
        connection.commit();
        connection.setAutoCommit(true);
      }
    });
    step("rows in parts, masked", () -> {
      connection.setAutoCommit(false);
      try (PreparedStatement statement = connection.prepareStatement(CUSTOMERS + " order by id")) {
        statement.setFetchSize(2);
        return rows(statement.executeQuery());
      } finally {
        connection.commit();
        connection.setAutoCommit(true);
      }
    });
    step("isolation, read only", () -> {
      connection.setReadOnly(true);
      connection.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
      try {
        return List.of(connection.getTransactionIsolation(), connection.isReadOnly(), query("select 1"));
      } finally {
        connection.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
        connection.setReadOnly(false);
      }
    });
    step("copy to", () -> {
      StringWriter out = new StringWriter();
      long count = connection.unwrap(PGConnection.class).getCopyAPI().copyOut("copy (select id, name from customers order by id) to stdout", out);
      return List.of(count, out.toString());
    });
    step("copy to, masked", () -> {
      StringWriter out = new StringWriter();
      long count = connection.unwrap(PGConnection.class).getCopyAPI().copyOut("copy customers to stdout", out);
      return List.of(count, out.toString());
    });
    step("copy from", () -> {
      long count = connection.unwrap(PGConnection.class).getCopyAPI().copyIn("copy scratch (id, word) from stdin", new StringReader("750\tx\n751\t\\N\n"));
      return List.of(count, update("delete from scratch where id in (750, 751)"));
    });
    step("error with values", () -> query("select 1 / ?", 0));
    step("unknown table", () -> query("select * from nothing"));
    step("query timeout", () -> {
      try (Statement statement = connection.createStatement()) {
        statement.setQueryTimeout(1);
        return rows(statement.executeQuery("select pg_sleep(20)"));
      }
    });
    step("catalogs and schemas", () -> List.of(rows(about.getCatalogs()), rows(about.getSchemas())));
    step("tables", () -> rows(about.getTables(null, "public", "%", null)));
    step("columns", () -> rows(about.getColumns(null, "public", "%", "%")));
    step("primary keys", () -> rows(about.getPrimaryKeys(null, "public", "orders")));
    step("foreign keys", () -> List.of(rows(about.getImportedKeys(null, "public", "orders")), rows(about.getExportedKeys(null, "public", "customers"))));
    step("indexes", () -> rows(about.getIndexInfo(null, "public", "customers", false, true)));
    step("types of the database", () -> List.of(rows(about.getUDTs(null, "public", "%", null)), rows(about.getTableTypes())));
    step("type information", () -> rows(about.getTypeInfo()).size() > 20);
    step("functions and procedures", () -> List.of(rows(about.getFunctions(null, "public", "%")), rows(about.getProcedures(null, "public", "%")),
        rows(about.getProcedureColumns(null, "public", "%", "%")), rows(about.getFunctionColumns(null, "public", "%", "%"))));
    step("privileges", () -> List.of(rows(about.getTablePrivileges(null, "public", "orders")), rows(about.getColumnPrivileges(null, "public", "orders", "%"))));
    step("best row identifier", () -> rows(about.getBestRowIdentifier(null, "public", "orders", DatabaseMetaData.bestRowSession, true)));
    step("properties of the server", () -> List.of(about.getDatabaseProductVersion(), about.getMaxColumnNameLength(), about.getSQLKeywords().length() > 100));
    step("search path", () -> {
      connection.setSchema("hidden");
      return connection.getSchema();
    });
    step("network timeout, valid", () -> connection.isValid(2));
    step("listen", () -> update("listen news"));
    step("large object", () -> {
      connection.setAutoCommit(false);
      try {
        return connection.unwrap(PGConnection.class).getLargeObjectAPI().createLO() > 0;
      } finally {
        connection.rollback();
        connection.setAutoCommit(true);
      }
    });
    step("callable", () -> {
      try (CallableStatement statement = connection.prepareCall("{? = call upper(?)}")) {
        statement.registerOutParameter(1, Types.VARCHAR);
        statement.setString(2, "x");
        statement.execute();
        return statement.getString(1);
      }
    });
    step("at the end", () -> query("select current_user::text, ?::text", "yes"));
    connection.close();

    connection = open("simple");
    step("simple: values", () -> query("select name from customers where id = ? and name <> ?", 1, "x"));
    step("simple: masked", () -> query(CUSTOMERS + " where id = ?", 2));
    step("simple: repeated", () -> repeated("select name from customers where id = ?", 6));
    step("simple: masked, repeated", () -> repeated(CUSTOMERS + " where id = ?", 6));
    connection.close();
  }
}
