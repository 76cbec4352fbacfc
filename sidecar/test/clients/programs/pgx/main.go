// What pgx does, in its default mode (prepared, binary) or, with the argument "simple", in the simple protocol.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const customers = "select id, name, email, salary, born from customers"
const types = `select 1::int2, 2::int4, 3::int8, 4.5::float8, 6.7::numeric::text, true, 'x'::text, null::text, date '2020-01-02',
  timestamptz '2020-01-02 03:04:05+00', '{1,2}'::int[], '{"a":1}'::jsonb, '\x01ff'::bytea, interval '1 day'::text`

var ctx = context.Background()

func say(line map[string]any) {
	if err := json.NewEncoder(os.Stdout).Encode(line); err != nil {
		panic(err)
	}
}

func step(name string, act func() (any, error)) {
	result, err := act()
	var failure *pgconn.PgError
	switch {
	case err == nil:
		say(map[string]any{"step": name, "result": result})
	case errors.As(err, &failure):
		say(map[string]any{"step": name, "error": map[string]string{"sqlstate": failure.Code, "message": failure.Message}})
	default:
		say(map[string]any{"step": name, "error": map[string]string{"sqlstate": fmt.Sprintf("%T", err), "message": err.Error()}})
	}
}

// querier is a connection or a transaction.
type querier interface {
	Query(context.Context, string, ...any) (pgx.Rows, error)
}

// rows tells columns with type and format, the values as Go has them, and the tag.
func rows(on querier, text string, values ...any) (any, error) {
	found, err := on.Query(ctx, text, values...)
	if err != nil {
		return nil, err
	}
	return drain(found)
}

func drain(found pgx.Rows) (any, error) {
	defer found.Close()
	fields, all := []any{}, []any{}
	for _, field := range found.FieldDescriptions() {
		fields = append(fields, []any{field.Name, field.DataTypeOID, field.Format})
	}
	for found.Next() {
		row, err := found.Values()
		if err != nil {
			return nil, err
		}
		for at, value := range row {
			if day, is := value.(time.Time); is {
				row[at] = strings.TrimSuffix(day.UTC().Format(time.RFC3339), "T00:00:00Z")
			}
		}
		all = append(all, row)
	}
	if found.Err() != nil {
		return nil, found.Err()
	}
	return []any{fields, all, found.CommandTag().String()}, nil
}

func main() {
	config, err := pgx.ParseConfig("")
	if err != nil {
		panic(err)
	}
	if len(os.Args) > 1 && os.Args[1] == "simple" {
		config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	}
	notices := []string{}
	config.OnNotice = func(_ *pgconn.PgConn, notice *pgconn.Notice) { notices = append(notices, notice.Message) }
	connection, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		panic(err)
	}
	defer connection.Close(ctx)
	build, _ := debug.ReadBuildInfo()
	for _, module := range build.Deps {
		if module.Path == "github.com/jackc/pgx/v5" {
			say(map[string]any{"step": "client", "result": strings.TrimPrefix(module.Version, "v")})
		}
	}
	query := func(name, text string, values ...any) {
		step(name, func() (any, error) { return rows(connection, text, values...) })
	}

	query("query", "select id, name, tags, made from customers order by id")
	query("types", types)
	query("values", "select name from customers where id = $1 and name <> $2 and made > $3", 1, "x", time.Unix(0, 0))
	query("array of values", "select name from customers where id = any($1::int[]) order by 1", []int32{1, 3})
	query("an enum", "select id, mood from customers order by id")
	query("cached", "select name from customers where id = $1", 1)
	query("cached, again", "select name from customers where id = $1", 2)
	step("described only", func() (any, error) {
		return rows(connection, "select name from customers where id = $1", pgx.QueryExecModeDescribeExec, 1)
	})
	step("cached description", func() (any, error) {
		return rows(connection, "select email from customers where id = $1", pgx.QueryExecModeCacheDescribe, 1)
	})
	step("exec", func() (any, error) {
		return rows(connection, "select name from customers where id = $1", pgx.QueryExecModeExec, 1)
	})
	step("prepared by name", func() (any, error) {
		if _, err := connection.Prepare(ctx, "by-id", "select name from customers where id = $1"); err != nil {
			return nil, err
		}
		found, err := rows(connection, "by-id", 2)
		if err == nil {
			err = connection.Deallocate(ctx, "by-id")
		}
		return found, err
	})
	query("masked", customers+" order by id")
	query("masked with values", customers+" where id = $1", 2)
	query("masked through a view", "select * from contacts order by id")
	step("masked in text", func() (any, error) {
		return rows(connection, customers+" where id = $1", pgx.QueryResultFormats{pgx.TextFormatCode}, 1)
	})
	step("batch", func() (any, error) {
		batch := &pgx.Batch{}
		batch.Queue("select name from customers where id = $1", 1)
		batch.Queue("select email from customers where id = $1", 2)
		batch.Queue("select count(*) from orders")
		results := connection.SendBatch(ctx, batch)
		defer results.Close()
		all := []any{}
		for range batch.Len() {
			found, err := results.Query()
			if err != nil {
				return nil, err
			}
			one, err := drain(found)
			if err != nil {
				return nil, err
			}
			all = append(all, one)
		}
		return all, nil
	})
	step("batch with an error", func() (any, error) {
		batch := &pgx.Batch{}
		batch.Queue("insert into scratch (id) values (600)")
		batch.Queue("select 1 / $1::int", 0)
		return nil, connection.SendBatch(ctx, batch).Close()
	})
	query("nothing of it stays", "select count(*) from scratch where id = 600")
	step("insert, update, delete", func() (any, error) {
		one, err := rows(connection, "insert into scratch (id, word, amount, list, doc, raw) values ($1, $2, $3, $4, $5, $6) returning id, word, list, doc, raw",
			610, "w", "1.50", []int32{1, 2}, `{"a": 1}`, []byte{0, 255})
		if err != nil {
			return nil, err
		}
		two, err := rows(connection, "update scratch set word = $2 where id = $1 returning word", 610, "v")
		if err != nil {
			return nil, err
		}
		three, err := connection.Exec(ctx, "delete from scratch where id = $1", 610)
		return []any{one, two, three.String()}, err
	})
	step("nested transactions", func() (any, error) {
		outer, err := connection.Begin(ctx)
		if err != nil {
			return nil, err
		}
		defer outer.Rollback(ctx)
		if _, err = outer.Exec(ctx, "insert into scratch (id) values (620)"); err != nil {
			return nil, err
		}
		inner, err := outer.Begin(ctx)
		if err != nil {
			return nil, err
		}
		_, failure := inner.Exec(ctx, "insert into scratch (id) values (620)")
		if err = inner.Rollback(ctx); err != nil {
			return nil, err
		}
		found, err := rows(outer, "select count(*) from scratch where id = 620")
		return []any{failure.(*pgconn.PgError).ConstraintName, found}, err
	})
	step("serializable, read only", func() (any, error) {
		tx, err := connection.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.Serializable, AccessMode: pgx.ReadOnly, DeferrableMode: pgx.Deferrable})
		if err != nil {
			return nil, err
		}
		defer tx.Rollback(ctx)
		return rows(tx, "select name from customers where id = 1")
	})
	step("copy from", func() (any, error) {
		count, err := connection.CopyFrom(ctx, pgx.Identifier{"scratch"}, []string{"id", "word"},
			pgx.CopyFromRows([][]any{{int32(630), "a"}, {int32(631), nil}}))
		if err != nil {
			return nil, err
		}
		gone, err := rows(connection, "delete from scratch where id in (630, 631) returning id, word")
		return []any{count, gone}, err
	})
	step("copy to", func() (any, error) {
		out := &bytes.Buffer{}
		tag, err := connection.PgConn().CopyTo(ctx, out, "copy (select id, name from customers order by id) to stdout")
		return []any{tag.String(), out.String()}, err
	})
	step("copy to, masked", func() (any, error) {
		out := &bytes.Buffer{}
		tag, err := connection.PgConn().CopyTo(ctx, out, "copy customers to stdout")
		return []any{tag.String(), out.String()}, err
	})
	step("several statements", func() (any, error) {
		results, err := connection.PgConn().Exec(ctx, "select 1; select 'b'").ReadAll()
		return len(results), err
	})
	step("pipeline", func() (any, error) {
		pipeline := connection.PgConn().StartPipeline(ctx)
		pipeline.SendQueryParams("select name from customers where id = $1", [][]byte{[]byte("1")}, nil, nil, nil)
		pipeline.SendQueryParams("select email from customers where id = $1", [][]byte{[]byte("2")}, nil, nil, nil)
		if err := pipeline.Sync(); err != nil {
			return nil, err
		}
		all := []string{}
		for range 2 {
			result, err := pipeline.GetResults()
			if err != nil {
				return nil, err
			}
			read := result.(*pgconn.ResultReader).Read()
			if read.Err != nil {
				return nil, read.Err
			}
			all = append(all, string(read.Rows[0][0]))
		}
		return all, pipeline.Close()
	})
	step("a type, loaded", func() (any, error) {
		found, err := connection.LoadType(ctx, "mood")
		if err != nil {
			return nil, err
		}
		return found.Name, nil
	})
	step("a composite type, loaded", func() (any, error) {
		found, err := connection.LoadTypes(ctx, []string{"pair"})
		return len(found), err
	})
	query("error with values", "select 1 / $1::int", 0)
	query("wrong syntax", "selec 1")
	query("unknown table", "select * from nothing")
	step("notices", func() (any, error) {
		_, err := connection.Exec(ctx, "drop table if exists nothing_there")
		return notices, err
	})
	query("listen", "listen news")
	step("deallocate all", func() (any, error) { return nil, connection.DeallocateAll(ctx) })
	step("ping", func() (any, error) { return nil, connection.Ping(ctx) })
	query("at the end", "select current_user::text, $1::text", "yes")
	step("cancelled", func() (any, error) {
		short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
		_, err := connection.Exec(short, "select pg_sleep(20)")
		return errors.Is(err, context.DeadlineExceeded), nil
	})
}
